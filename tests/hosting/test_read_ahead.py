from bitarray import bitarray
from tests.helpers.feeds import feed_of, sparse_copy

from datd.errors import NoRoom
from datd.hosting.live_feed import LiveFeed
from datd.hosting.read_ahead import ReadAhead
from datd.replication.remote_blocks import RemoteBlocks
from datd.types import Seek


def live() -> tuple[LiveFeed, RemoteBlocks]:
    copy = sparse_copy(feed_of([b"%d" % n for n in range(50)]))
    made = LiveFeed(copy, bitarray(), 0, choose=lambda _: 0)
    peer = RemoteBlocks()
    made.picker.join(peer)
    peer.have(0, 50)
    made.picker.announced(peer)
    return made, peer


def test_what_lies_ahead_is_asked_for_until_the_reader_has_passed_it():
    feed, peer = live()
    ahead = ReadAhead(feed)
    ahead.move([3, 4, 5], ())
    assert feed.picker.next(peer, 1) == [3]
    ahead.move([5, 6, 7], [Seek(90, 9, 0, 50)])
    assert feed.picker.next(peer, 9) == [5, 6, 7]
    assert 90 in feed.picker.seeks
    ahead.move([8, 9], ())
    ahead.close()
    assert feed.picker.next(peer, 9) == []


def test_c8_nothing_is_asked_for_ahead_once_nothing_can_be_stored():
    feed, peer = live()
    ahead = ReadAhead(feed)
    ahead.move([3, 4], [Seek(90, 9, 0, 50)])
    feed.refuse(NoRoom("full"))
    assert feed.picker.next(peer, 9) == []
    assert not feed.picker.urgent
    assert not feed.picker.seeks
    ahead.close()


def test_two_readers_do_not_take_from_one_another():
    feed, peer = live()
    one, two = ReadAhead(feed), ReadAhead(feed)
    one.move([3, 4], ())
    two.move([4, 5], ())
    one.close()
    assert feed.picker.next(peer, 9) == [4, 5]
