from hypothesis import given
from hypothesis import strategies as st

from datctl.windows import LEAST, MOST_AHEAD, MOST_KEPT, Windows

SIZE = 1_000 * 2**20


def read(windows, start, stop, size=SIZE):
    """As files read: gives the fetch that it took, or None."""
    here = len(windows.beginning_of(start, stop))
    if here == stop - start:
        return None
    at = start + here
    end = windows.end_of_fetch(at, stop)
    windows.keep(at, bytes(end - at), stop - at)
    return at, end


def test_a_first_small_read_fetches_a_block_and_the_next_ones_nothing():
    windows = Windows(SIZE)
    assert read(windows, 100, 110) == (100, 100 + LEAST)
    assert read(windows, 110, 1_000) is None
    assert read(windows, 50_000, 50_010) is None


def test_who_reads_on_is_given_twice_as_much_each_time_up_to_a_limit():
    windows, at, lengths = Windows(SIZE), 0, []
    while at < 40 * MOST_AHEAD:
        fetched = read(windows, at, at + 1_000)
        if fetched is not None:
            lengths.append(fetched[1] - fetched[0])
        at += 1_000
    assert lengths[:4] == [LEAST, LEAST, 2 * LEAST, 4 * LEAST]
    assert lengths[-1] == MOST_AHEAD
    assert lengths == sorted(lengths)


def test_who_jumps_is_given_a_block_again():
    windows = Windows(SIZE)
    for at in range(0, 2**21, LEAST):
        read(windows, at, at + LEAST)
    start, end = read(windows, 500 * 2**20, 500 * 2**20 + 10)
    assert end - start == LEAST


def test_a_large_read_costs_exactly_what_it_asks_for():
    windows = Windows(SIZE)
    assert read(windows, 5_000_000, 6_000_000) == (5_000_000, 6_000_000)
    assert read(windows, 90_000_000, 98_000_000) == (90_000_000, 98_000_000)


def test_what_is_here_in_part_is_not_fetched_again():
    windows = Windows(SIZE)
    read(windows, 0, 10)
    assert read(windows, LEAST - 10, LEAST + 10) == (LEAST, 2 * LEAST)


@given(
    st.integers(0, 30 * 2**20),
    st.lists(st.tuples(st.integers(0, 31 * 2**20), st.integers(1, 2**23)), max_size=30),
)
def test_no_reader_makes_it_fetch_past_the_end_or_keep_much(size, reads):
    windows = Windows(size)
    for start, length in reads:
        stop = min(size, start + length)
        if start >= stop:
            continue
        fetched = read(windows, start, stop, size)
        if fetched is not None:
            assert stop <= fetched[1] <= size
        assert sum(map(len, windows._kept.values())) <= MOST_KEPT
