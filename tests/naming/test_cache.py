from datd.errors import NameNotFound
from datd.keys import Key, KnownName
from datd.naming.cache import MAX_MISSES, MAX_NAMES, MISS_SECONDS, NameCache
from datd.naming.records import MAX_TTL

KEY = Key(bytes(32))


def known(name: str, expires_at: float = 100.0) -> KnownName:
    return KnownName(name, KEY, expires_at)


def test_a_name_is_fresh_until_it_expires_and_remembered_after():
    cache = NameCache()
    assert cache.put(known("a.example")) == []
    assert cache.fresh("a.example", 99.9) == known("a.example")
    assert cache.fresh("a.example", 100.0) is None
    assert cache.any_age("a.example") == known("a.example")
    assert cache.fresh("b.example", 0.0) is None


def test_a_clock_that_was_set_back_makes_nothing_young_for_ever():
    cache = NameCache([known("a.example", 10 * MAX_TTL)])
    assert cache.fresh("a.example", 8.9 * MAX_TTL) is None
    assert cache.fresh("a.example", 9 * MAX_TTL) is not None
    assert cache.any_age("a.example") is not None


def test_l27_the_oldest_name_goes_when_there_are_too_many():
    cache = NameCache()
    for number in range(MAX_NAMES):
        assert cache.put(known(f"{number}.example")) == []
    cache.put(known("0.example", 200.0))
    assert cache.put(known("new.example")) == ["1.example"]
    assert len(cache) == MAX_NAMES
    assert cache.any_age("0.example") is not None


def test_more_names_than_fit_are_not_taken_from_the_book_either():
    cache = NameCache(known(f"{number}.example", float(number)) for number in range(5000))
    assert len(cache) == MAX_NAMES
    assert cache.any_age("4999.example") is not None
    assert cache.any_age("0.example") is None


def test_a_miss_is_remembered_for_a_minute():
    cache, error = NameCache(), NameNotFound("no")
    cache.put_miss("a.example", error, 10.0)
    assert cache.miss("a.example", 69.9) is error
    assert cache.miss("a.example", 70.0) is None
    assert cache.miss("b.example", 10.0) is None
    # The clock went back by an hour.
    assert cache.miss("a.example", 10.0 - 3600) is None
    assert MISS_SECONDS == 60


def test_an_answer_ends_a_miss():
    cache = NameCache()
    cache.put_miss("a.example", NameNotFound("no"), 10.0)
    cache.put(known("a.example"))
    assert cache.miss("a.example", 11.0) is None


def test_misses_are_bounded():
    cache, error = NameCache(), NameNotFound("no")
    for number in range(MAX_MISSES + 1):
        cache.put_miss(f"{number}.example", error, 0.0)
    assert cache.miss("0.example", 1.0) is None
    assert cache.miss("1.example", 1.0) is error
