import tracemalloc

from bitarray import bitarray

from datd.replication.block_map import INDEX_LIMIT, REGION, BlockMap
from datd.replication.open_blocks import OpenBlocks
from datd.replication.remote_blocks import RemoteBlocks


def offer(start: int, stop: int) -> RemoteBlocks:
    remote = RemoteBlocks()
    remote.have(start, stop - start)
    return remote


def test_open_is_wanted_missing_and_not_in_flight():
    in_flight = {7: None}
    opened = OpenBlocks(BlockMap.of_bits(bitarray("1110")), in_flight.keys(), 10)
    opened.want(BlockMap.of_ranges([(0, 9)]))
    assert list(opened.runs(offer(0, 20), 0, 20)) == [(3, 7), (8, 9)]
    opened.close_run(3, 5)
    opened.open(3)
    opened.close(8)
    assert list(opened.runs(offer(0, 20), 0, 20)) == [(3, 4), (5, 7)]


def test_blocks_the_peer_has_in_part():
    opened = OpenBlocks(BlockMap(), {}.keys(), 2 * REGION)
    opened.want(BlockMap.of_ranges([(0, INDEX_LIMIT)]))
    remote = offer(5, 8)
    remote.have(100_000, 2)
    remote.have(REGION - 1, 3)
    assert list(opened.runs(remote, 6, INDEX_LIMIT)) == [
        (6, 8),
        (100_000, 100_002),
        (REGION - 1, REGION),
        (REGION, REGION + 2),
    ]


def test_it_grows_with_the_feed():
    have = BlockMap()
    opened = OpenBlocks(have, {}.keys(), 4)
    opened.want(BlockMap.of_ranges([(0, INDEX_LIMIT)]))
    assert list(opened.runs(offer(0, 20), 0, 20)) == [(0, 4)]
    have.add(6)
    opened.length = 9
    assert list(opened.runs(offer(0, 20), 0, 20)) == [(0, 6), (7, 9)]


def test_memory_does_not_grow_with_what_is_claimed():
    opened = OpenBlocks(BlockMap(), {}.keys(), INDEX_LIMIT)
    opened.want(BlockMap.of_ranges([(0, INDEX_LIMIT)]))
    remote = offer(0, INDEX_LIMIT)
    tracemalloc.start()
    try:
        for region in range(0, 4096, 40):
            assert next(opened.runs(remote, region * REGION, INDEX_LIMIT))
        assert tracemalloc.get_traced_memory()[0] < 5 * 2**20
    finally:
        tracemalloc.stop()
