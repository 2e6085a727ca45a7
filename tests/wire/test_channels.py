import pytest

from datd.errors import ProtocolError
from datd.wire.channels import ChannelTable


def named(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_each_end_counts_for_itself():
    table = ChannelTable()
    assert [table.open(named(n)) for n in (10, 11, 12)] == [0, 1, 2]
    table.offer(0, named(10))
    table.offer(1, named(12))
    table.offer(9, named(11))
    assert table.routes == {0: 0, 1: 2, 9: 1}


def test_a_feed_is_joined_whoever_opens_it_first():
    table = ChannelTable()
    table.offer(3, named(10))
    assert table.routes == {}
    assert table.is_offered(named(10))
    assert table.open(named(10)) == 0
    assert table.routes == {3: 0}


def test_t10_a_channel_or_a_feed_opened_twice_is_refused():
    for remote, feed in ((0, 11), (1, 10)):
        table = ChannelTable()
        table.offer(0, named(10))
        with pytest.raises(ProtocolError):
            table.offer(remote, named(feed))


def test_t9_l5_at_most_16_unknown_feeds():
    table = ChannelTable()
    for number in range(16):
        table.offer(number, named(number))
    table.open(named(3))
    table.offer(16, named(16))
    table.open(named(18))
    table.offer(18, named(18))
    with pytest.raises(ProtocolError):
        table.offer(17, named(17))


def test_l5_at_most_256_feeds():
    table = ChannelTable()
    for number in range(256):
        assert table.open(named(number)) == number
    with pytest.raises(ValueError, match="256"):
        table.open(named(256))


def test_l6_t9_at_most_16_messages_are_held_in_all():
    table = ChannelTable()
    table.offer(0, named(0))
    table.offer(1, named(1))
    for number in range(16):
        table.hold(number % 2, 5, b"%d" % number)
    with pytest.raises(ProtocolError):
        table.hold(1, 5, b"")


def test_l6_t9_at_most_64_kib_are_held_in_all():
    table = ChannelTable()
    table.offer(0, named(0))
    table.offer(1, named(1))
    table.hold(0, 9, bytes(32768))
    table.hold(1, 9, bytes(32768))
    with pytest.raises(ProtocolError):
        table.hold(0, 9, b"x")


def test_what_is_released_makes_room():
    table = ChannelTable()
    table.offer(4, named(0))
    for _ in range(3):
        for number in range(16):
            table.hold(4, 5, bytes([number]) * 4096)
        assert [body[0] for _, body in table.release(named(0))] == list(range(16))
    assert table.release(named(0)) == []
    assert table.release(named(7)) == []
