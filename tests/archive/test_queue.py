import pytest
from tests.helpers.small_feeds import PAIR, FullDisk, new_feed

from datd.archive.queue import EntryQueue
from datd.errors import BlockMissing, StorageError
from datd.feed.feed import Feed
from datd.storage.memory import memory_feed_storage


def test_what_waits_is_read_behind_what_is_in_the_feed():
    feed = new_feed([b"header", b"one"])
    queue = EntryQueue(feed)
    queue.add(b"two")
    queue.add(b"three")
    assert (queue.length, queue.size) == (4, 8)
    assert [queue.get(block) for block in range(4)] == [b"header", b"one", b"two", b"three"]
    assert [queue.has(block) for block in range(5)] == [True, True, True, True, False]
    with pytest.raises(BlockMissing):
        queue.get(4)


def test_all_that_waits_goes_into_the_feed_under_one_signature():
    feed = new_feed([b"header"])
    queue = EntryQueue(feed)
    for block in (b"one", b"two", b"three"):
        queue.add(block)
    queue.append_all()
    assert [feed.get(block) for block in range(4)] == [b"header", b"one", b"two", b"three"]
    signed = [feed._store.signature_of(length) is not None for length in range(1, 5)]
    assert signed == [True, False, False, True]
    assert (queue.length, queue.size) == (4, 0)
    queue.append_all()
    assert feed.length == 4


def test_d12_what_could_not_be_appended_still_waits():
    storage = memory_feed_storage()
    disk = FullDisk(name="data")
    object.__setattr__(storage, "data", disk)
    feed = Feed.create(storage, PAIR)
    feed.append([b"header"])
    queue = EntryQueue(feed)
    queue.add(b"one")
    disk.full = True
    with pytest.raises(StorageError):
        queue.append_all()
    assert (feed.length, queue.length, queue.get(1)) == (1, 2, b"one")
    disk.full = False
    queue.append_all()
    assert feed.get(1) == b"one"
