from bitarray import bitarray
from hypothesis import given
from hypothesis import strategies as st

from datd.replication.block_map import FULL, INDEX_LIMIT, REGION, BlockMap, edges_and_middle

# Small numbers meet often, and the borders of regions matter.
_indexes = st.one_of(
    st.integers(0, 40), st.integers(REGION - 20, REGION + 20), st.just(INDEX_LIMIT - 1)
)
_lengths = st.one_of(st.integers(0, 60), st.integers(REGION - 3, REGION + 3))


def test_l9_full_and_empty_regions_cost_nothing():
    blocks = BlockMap.of_ranges([(0, INDEX_LIMIT)])
    assert blocks.partial == 0
    assert INDEX_LIMIT - 1 in blocks
    assert INDEX_LIMIT not in blocks
    assert blocks.count() == INDEX_LIMIT
    blocks.discard_range(0, INDEX_LIMIT)
    assert (blocks.count(), blocks.end(), blocks.partial) == (0, 0, 0)


def test_a_region_that_fills_up_becomes_full():
    blocks = BlockMap()
    blocks.add_range(0, REGION - 1)
    assert blocks.part(0) is not FULL
    blocks.add_range(REGION - 1, REGION)
    assert blocks.part(0) is FULL
    assert blocks.discard(7)
    assert 7 not in blocks
    assert 8 in blocks
    assert FULL.all()


def test_the_lowest_block_of_a_range_is_found_across_regions():
    blocks = BlockMap.of_ranges([(2 * REGION, 3 * REGION), (INDEX_LIMIT - 5, INDEX_LIMIT)])
    blocks.add(REGION + 7)
    assert blocks.first(0, INDEX_LIMIT) == REGION + 7
    assert blocks.first(REGION + 8, INDEX_LIMIT) == 2 * REGION
    assert blocks.first(2 * REGION + 3, INDEX_LIMIT) == 2 * REGION + 3
    assert blocks.first(3 * REGION, 2**53) == INDEX_LIMIT - 5
    assert blocks.first(3 * REGION, INDEX_LIMIT - 5) is None
    assert blocks.first(2**53, 2**53 + 1) is None


def test_window_across_regions():
    blocks = BlockMap.of_ranges([(REGION - 2, REGION + 1)])
    assert blocks.window(REGION - 4, REGION + 4) == bitarray("00111000")


@given(_indexes, _lengths)
def test_ranges_are_cut_at_region_borders(start, length):
    pieces = list(edges_and_middle(start, start + length))
    assert len(pieces) <= 3
    covered = [i for low, high in pieces for i in (low, high)]
    if pieces:
        assert covered[0] == start
        assert covered[-1] == min(start + length, INDEX_LIMIT)
        assert covered[1:-1:2] == covered[2:-1:2]
    for low, high in pieces:
        whole = low % REGION == 0 and high % REGION == 0
        assert whole or low // REGION == (high - 1) // REGION


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "discard", "fill", "empty", "write"]), _indexes, _lengths)
    )
)
def test_it_is_a_set(steps):
    blocks = BlockMap()
    watched = [*range(100), *range(REGION - 100, REGION + 100), 2 * REGION, INDEX_LIMIT - 1]
    there: set[int] = set()
    for step, start, length in steps:
        stop = min(start + length, INDEX_LIMIT)
        touched = {i for i in watched if start <= i < stop}
        if step == "add":
            assert blocks.add(start) == (start not in there)
            there.add(start)
        elif step == "discard":
            assert blocks.discard(start) == (start in there)
            there.discard(start)
        elif step == "fill":
            blocks.add_range(start, stop)
            there |= touched
        elif step == "empty":
            blocks.discard_range(start, stop)
            there -= touched
        else:
            bits = bitarray(min(length, 30), endian="big")
            bits.setall(0)
            bits[::3] = 1
            blocks.write(start, bits, stop)
            there -= touched
            there |= {i for i in touched if i - start < len(bits) and (i - start) % 3 == 0}
        assert {i for i in watched if i in blocks} == there
        for low in (0, REGION - 100):
            window = blocks.window(low, low + 100)
            assert {low + at for at in window.search(bitarray("1"))} == {
                i for i in there if low <= i < low + 100
            }
            for start, stop in ((low, low + 100), (low + 13, low + 37), (low + 50, low + 50)):
                lowest = min((i for i in there if start <= i < stop), default=None)
                assert blocks.first(start, stop) == lowest
