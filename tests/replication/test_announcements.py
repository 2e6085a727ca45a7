from itertools import pairwise

import pytest
from bitarray import bitarray
from hypothesis import given
from hypothesis import strategies as st

from datd.errors import ProtocolError
from datd.feed import rle
from datd.replication.announcements import Announcements, merged
from datd.replication.block_map import REGION
from datd.replication.picker import BlockPicker
from datd.replication.remote_blocks import RemoteBlocks
from datd.wire.messages import Have, Unhave, Unwant, Want


def announcements(have: bitarray, length: int | None = None) -> Announcements:
    picker = BlockPicker(have, length or len(have), choose=lambda _: 0)
    return Announcements(picker, 0.0)


def ones(count: int) -> bitarray:
    bits = bitarray(count, endian="big")
    bits.setall(1)
    return bits


def test_the_first_want_learns_where_the_feed_ends():
    book = announcements(ones(10))
    assert book.want(Want(0, REGION), 0.0) == [Have(9), Have(0, REGION, b"\x07\x02\xc0")]
    assert book.want(Want(0, REGION), 0.0) == [Have(0, REGION, b"\x07\x02\xc0")]


def test_without_the_last_block_there_is_only_the_bitfield():
    assert announcements(bitarray("1101"), 6).want(Want(0, REGION), 0.0) == [
        Have(0, REGION, b"\x02\xd0")
    ]
    assert announcements(bitarray()).want(Want(0, REGION), 0.0) == [Have(0, REGION, b"")]


def test_a_later_region():
    book = announcements(ones(REGION + 8))
    assert book.want(Want(REGION, REGION), 0.0)[1:] == [Have(REGION, REGION, b"\x07")]
    assert book.want(Want(5 * REGION, REGION), 0.0) == [Have(5 * REGION, REGION, b"")]


@pytest.mark.parametrize("want", [Want(1, 8192), Want(8192, 100), Want(8192, 0)])
def test_malformed_wants_are_ignored(want):
    book = announcements(ones(10))
    assert book.want(want, 0.0) == []
    assert not book.active


def test_an_old_peer_asks_for_the_whole_feed():
    answers = announcements(ones(2 * REGION + 8)).want(Want(0, 0), 0.0)
    assert [(h.start, h.length) for h in answers] == [
        (2 * REGION + 7, 1),
        (0, 0),
        (REGION, REGION),
        (2 * REGION, REGION),
    ]


@pytest.mark.parametrize("length", [2**31, 2**33, 2**53 - 8192])
def test_t16_l11_huge_wants_get_answers_of_at_most_a_region_each(length):
    answers = announcements(ones(3 * REGION)).want(Want(0, length), 0.0)
    assert [(h.start, h.length) for h in answers[1:]] == [
        (0, REGION),
        (REGION, REGION),
        (2 * REGION, REGION),
    ]


def test_t16_l11_floods_of_wants():
    book = announcements(ones(10))
    for i in range(100):
        answers = book.want(Want(i * 8192, 8192), 0.0)
        assert bool(answers) == (i < 64)
    with pytest.raises(ProtocolError, match="100 Want messages"):
        book.want(Want(0, 8192), 0.001)
    calm = announcements(ones(10))
    for i in range(1000):
        calm.want(Want(0, 8192), i / 100)


def test_news_go_to_those_who_want_them():
    book = announcements(ones(10))
    assert book.stored([3]) == []
    assert book.lost([3]) == []
    book.want(Want(0, REGION), 0.0)
    assert book.stored([9, 3, 4, 5, 3]) == [Have(3, 3), Have(9)]
    assert book.stored([]) == []
    assert book.lost([4, 5, 6, 7, 8]) == [Unhave(4, 5)]
    book.unwant(Unwant(0, REGION))
    assert book.stored([3]) == []
    book.want(Want(0, REGION), 0.0)
    book.want(Want(REGION, REGION), 0.0)
    book.unwant(Unwant(0, 0))
    assert not book.active


def test_many_scattered_blocks_become_few_messages():
    have = bitarray(40_000, endian="big")
    have[::3] = 1
    book = announcements(have)
    book.want(Want(8192, 8192), 0.0)
    new = range(0, 40_000, 3)
    messages = book.stored(new)
    assert len(messages) == 5
    peer = RemoteBlocks()
    for message in messages:
        if message.bitfield is None:
            peer.have(message.start, message.length)
        else:
            peer.have_bitfield(message.start, message.length, message.bitfield)
    assert all(i in peer for i in new)
    assert 1 not in peer
    # A reference learns from a plain Have, not from these bitfields, how far we reach.
    grown = announcements(have, 50_000)
    grown.want(Want(0, REGION), 0.0)
    assert grown.stored(new)[-1] == Have(39_999)


def test_long_runs_are_told_in_pieces():
    book = announcements(ones(8))
    book.want(Want(0, REGION), 0.0)
    assert book.stored(range(5, REGION + 9)) == [Have(5, REGION), Have(REGION + 5, 4)]


def test_answers_are_coded_anew_when_blocks_came():
    picker = BlockPicker(bitarray("1"), 1, choose=lambda _: 0)
    book = Announcements(picker, 0.0)
    assert book.want(Want(0, REGION), 0.0)[-1].bitfield == b"\x02\x80"
    picker.stored([1], 2)
    assert book.want(Want(0, REGION), 0.0)[-1].bitfield == b"\x02\xc0"
    picker.lost([0])
    assert book.want(Want(0, REGION), 0.0)[-1].bitfield == b"\x02\x40"


@given(st.lists(st.integers(0, 60)))
def test_runs_cover_exactly_the_blocks(indexes):
    runs = list(merged(indexes))
    assert [i for start, stop in runs for i in range(start, stop)] == sorted(set(indexes))
    assert all(a[1] < b[0] for a, b in pairwise(runs))


@given(st.binary(max_size=300), st.sampled_from([0, 8192]))
def test_an_answer_says_what_is_held(held, start):
    bits = bitarray(endian="big")
    bits.frombytes(bytes(start // 8) + held)
    answer = announcements(bits).want(Want(start, 8192), 0.0)[-1]
    assert answer.bitfield is not None
    assert rle.decode(answer.bitfield, limit=1024).rstrip(b"\0") == held.rstrip(b"\0")
