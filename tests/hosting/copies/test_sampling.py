"""A sample of a window, and the parts of it that are worth more."""

import itertools

import pytest

from datd.hosting.copies.sampling import LEAST_SAMPLE, MOST_SAMPLE, around, spread


@pytest.mark.parametrize("count", [1, 7, 8, 100, 1000, 32768])
def test_a_sample_is_spread_evenly_and_small(count: int):
    window = range(5, 5 + count)
    sample = spread(window)
    assert len(sample) == len(set(sample)) <= MOST_SAMPLE
    assert len(sample) >= min(count, LEAST_SAMPLE)
    gaps = [after - before for before, after in itertools.pairwise(sample)]
    assert not gaps or max(gaps) - min(gaps) <= 1
    assert set(sample) <= set(window)


def test_where_the_sample_found_something_and_beside_it_is_looked_further():
    window = range(1000, 2024)
    sample = spread(window)  # 32 parts of 32 blocks
    assert around(window, sample, {sample[10]}) == list(range(1000 + 9 * 32, 1000 + 12 * 32))
    assert around(window, sample, {sample[0]}) == list(range(1000, 1064))
    assert around(window, sample, {sample[31]}) == list(range(2024 - 64, 2024))


def test_where_it_found_most_all_is_looked_at():
    window = range(1000)
    sample = spread(window)
    assert around(window, sample, set(sample[::2])) == list(window)
    assert around(window, sample, {index ^ 1 for index in sample}) == list(window)
