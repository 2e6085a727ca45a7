from hypothesis import given
from hypothesis import strategies as st

from datd.archive.cache import BoundedCache


def test_what_was_not_used_for_longest_goes_first():
    cache = BoundedCache[str, int](10)
    cache.put("a", 1, 4)
    cache.put("b", 2, 4)
    assert cache.get("a") == 1
    cache.put("c", 3, 4)
    assert [cache.get(key) for key in "abc"] == [1, None, 3]


def test_one_heavy_value_does_not_push_out_all_others():
    cache = BoundedCache[str, int](10)
    cache.put("a", 1, 4)
    cache.put("heavy", 2, 6)
    assert (cache.get("a"), cache.get("heavy")) == (1, None)


def test_putting_again_replaces_value_and_weight():
    cache = BoundedCache[str, int](10)
    cache.put("a", 1, 4)
    cache.put("a", 2, 1)
    assert (cache.get("a"), cache.weight) == (2, 1)
    cache.forget("a")
    assert (cache.get("a"), cache.weight, len(cache)) == (None, 0, 0)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 12))))
def test_the_weight_is_true_and_never_above_the_limit(puts):
    cache = BoundedCache[int, int](20)
    weights = {}
    for key, weight in puts:
        cache.put(key, key, weight)
        weights[key] = weight
    held = [key for key in weights if cache.get(key) is not None]
    assert cache.weight == sum(weights[key] for key in held) <= 20
