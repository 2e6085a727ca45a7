from bitarray import bitarray

from datd.replication.block_map import INDEX_LIMIT, REGION, BlockMap
from datd.replication.coverage import count_missing, count_unoffered
from datd.replication.remote_blocks import RemoteBlocks


def peer(*ranges: tuple[int, int]) -> RemoteBlocks:
    remote = RemoteBlocks()
    for start, stop in ranges:
        remote.have(start, stop - start)
    remote.unknown.setall(0)
    return remote


def test_missing():
    wanted = BlockMap.of_ranges([(0, 10), (REGION, REGION + 10)])
    have = BlockMap.of_bits(bitarray("1111"))
    assert count_missing(wanted, have) == 16
    assert count_missing(wanted, BlockMap()) == 20


def test_what_no_peer_offers():
    wanted = BlockMap.of_ranges([(0, INDEX_LIMIT)])
    have = BlockMap.of_bits(bitarray("1111"))
    peers = [peer((0, 8)), peer((90, 95))]
    assert count_unoffered(wanted, have, 100, peers) == 100 - 8 - 5
    assert count_unoffered(wanted, have, 100, []) == 96
    assert count_unoffered(wanted, have, 100, [*peers, peer((0, REGION))]) == 0


def test_a_peer_that_has_yet_to_tell_counts_as_offering():
    asking = RemoteBlocks()
    asking.unknown[0] = True
    wanted = BlockMap.of_ranges([(0, 10)])
    assert count_unoffered(wanted, BlockMap(), 10, [asking]) == 0


def test_an_author_may_sign_an_absurd_length():
    wanted = BlockMap.of_ranges([(0, INDEX_LIMIT)])
    assert count_unoffered(wanted, BlockMap(), INDEX_LIMIT, [peer((0, 1))]) == INDEX_LIMIT - 1
