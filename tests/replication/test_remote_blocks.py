import tracemalloc

import pytest
from bitarray import bitarray
from hypothesis import given
from hypothesis import strategies as st

from datd.errors import ProtocolError
from datd.feed import rle
from datd.replication.block_map import INDEX_LIMIT, REGION
from datd.replication.remote_blocks import RemoteBlocks


def coded(*indexes: int) -> bytes:
    bits = bitarray(max(indexes) + 1, endian="big")
    for index in indexes:
        bits[index] = 1
    return rle.encode(bits.tobytes())


def test_have_and_unhave():
    remote = RemoteBlocks()
    remote.have(9, 1)
    remote.have(2, 3)
    remote.unhave(3, 1)
    assert [i for i in range(12) if i in remote] == [2, 4, 9]
    assert remote.reach == 10


def test_a_bitfield_says_what_is_not_there_too():
    remote = RemoteBlocks()
    remote.have(0, 8)
    remote.have_bitfield(0, REGION, coded(1, 20))
    assert [i for i in range(30) if i in remote] == [1, 20]
    remote.have_bitfield(0, REGION, b"")
    assert not any(i in remote for i in range(30))
    assert remote.reach == 21


def test_unhave_of_all_that_is_known_starts_anew():
    remote = RemoteBlocks()
    remote.have(0, 20)
    remote.unhave(0, 19)
    assert remote.reach == 20
    remote.unhave(0, 20)
    assert remote.reach == 0


@pytest.mark.parametrize("start", [0, 5, REGION - 1, 2**32 - 1, 2**32, 2**53 - 1, 2**64 - 1])
@pytest.mark.parametrize("length", [1, REGION, 2**32, 2**53 - 1, 2**64 - 1])
def test_t14_ranges_of_any_size_stay_ranges(start, length):
    remote = RemoteBlocks()
    remote.have(start, length)
    assert remote.has_more == (start + length > INDEX_LIMIT)
    assert (start in remote) == (start < INDEX_LIMIT)
    assert remote.reach == (0 if start >= INDEX_LIMIT else min(start + length, INDEX_LIMIT))
    remote.unhave(start, length)
    assert start not in remote


def test_t15_l10_scattered_haves_stay_below_a_mebibyte():
    tracemalloc.start()
    try:
        remote = RemoteBlocks()
        for i in range(100_000):
            remote.have(i * 2654435761 % INDEX_LIMIT, 1)
        assert tracemalloc.get_traced_memory()[0] < 1.1 * 2**20
    finally:
        tracemalloc.stop()
    assert remote.crowded
    # Coarser: what was not kept can be asked for again.
    dropped = next(i * 2654435761 % INDEX_LIMIT for i in range(50, 100_000))
    assert dropped in remote or remote.unknown[dropped // REGION]


def test_l10_room_for_a_region_is_made_by_forgetting_others():
    remote = RemoteBlocks()
    for region in range(8):
        remote.have(region * REGION + 5, 1)
    remote.have(8 * REGION + 5, 1)
    assert 8 * REGION + 5 not in remote
    remote.make_room()
    remote.have_bitfield(8 * REGION, REGION, coded(5))
    assert 8 * REGION + 5 in remote
    assert not remote.unknown[8]
    assert remote.unknown[3]
    assert 3 * REGION + 5 not in remote


def test_l10_holes_in_many_full_regions():
    remote = RemoteBlocks()
    remote.have(0, INDEX_LIMIT)
    for region in range(4096):
        remote.unhave(region * REGION, 1)
        assert region * REGION not in remote
    remote.have(0, INDEX_LIMIT)
    assert 4000 * REGION in remote


@pytest.mark.parametrize("claimed", [2**17 + 1, 2**24, 2**33, 2**50])
def test_t13_l8_run_length_bomb_is_refused(claimed):
    header = claimed << 2 | 3
    bomb = bytearray()
    while header > 127:
        bomb.append(header & 127 | 128)
        header >>= 7
    bomb.append(header)
    with pytest.raises(ProtocolError):
        RemoteBlocks().have_bitfield(0, REGION, bytes(bomb))


def test_l8_a_bitfield_larger_than_its_range_is_refused():
    RemoteBlocks().have_bitfield(0, 8192, rle.encode(b"\xff" * 1024))
    with pytest.raises(ProtocolError):
        RemoteBlocks().have_bitfield(0, 8192, rle.encode(b"\xff" * 1025))


def test_an_old_peer_tells_about_the_whole_feed_with_length_zero():
    remote = RemoteBlocks()
    remote.unknown[0] = True
    remote.have_bitfield(0, 0, coded(0, 3))
    assert (0 in remote, 1 in remote, 3 in remote) == (True, False, True)
    assert not remote.unknown.any()


def test_further_regions_are_unknown_until_told():
    remote = RemoteBlocks()
    remote.have(2 * REGION + 7, 1)
    assert [bool(bit) for bit in remote.unknown[:4]] == [False, True, True, False]
    remote.have_bitfield(2 * REGION, REGION, coded(7))
    remote.have(REGION, REGION)
    assert not remote.unknown.any()


def test_a_refused_block_stays_refused_whatever_is_announced():
    remote = RemoteBlocks()
    remote.refuse(4)
    remote.have(4, 1)
    remote.have(0, 2 * REGION)
    remote.have_bitfield(0, REGION, coded(3, 4))
    assert 3 in remote
    assert 4 not in remote


def test_t23_without_trust_it_offers_nothing():
    remote = RemoteBlocks()
    remote.have(0, 10)
    remote.trusted = False
    assert 3 not in remote
    assert remote.part(0) is None


_numbers = st.one_of(st.integers(0, 200), st.integers(REGION - 5, REGION + 5), st.just(2**53 - 1))


@given(st.lists(st.tuples(st.sampled_from("hub"), _numbers, _numbers, st.binary(max_size=12))))
def test_any_claims_leave_a_small_map_or_our_error(claims):
    remote = RemoteBlocks()
    for kind, start, length, body in claims:
        try:
            if kind == "h":
                remote.have(start, max(1, length))
                assert start in remote or start >= INDEX_LIMIT or remote.crowded
            elif kind == "u":
                remote.unhave(start, length)
                assert start not in remote or length == 0
            else:
                remote.have_bitfield(start, length, body)
        except ProtocolError:
            return
        assert remote.reach <= INDEX_LIMIT


def test_the_first_block_of_a_range():
    remote = RemoteBlocks()
    remote.have(5, 3)
    remote.have(2 * REGION + 7, 1)
    assert remote.first_of(0, 100) == 5
    assert remote.first_of(6, 7) == 6
    assert remote.first_of(8, 2 * REGION + 7) is None
    assert remote.first_of(8, INDEX_LIMIT) == 2 * REGION + 7
    remote.have(0, 3 * REGION)
    assert remote.first_of(REGION + 9, REGION + 9) is None
    assert remote.first_of(REGION + 9, REGION + 10) == REGION + 9
    remote.trusted = False
    assert remote.first_of(0, 100) is None
