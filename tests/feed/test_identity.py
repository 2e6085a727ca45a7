import pytest
from tests.helpers.feed_vectors import (
    contents,
)
from tests.helpers.small_feeds import PAIR, new_feed

from datd import crypto
from datd.errors import NotWritableError, StorageError
from datd.feed.feed import Feed
from datd.keys import Key
from datd.storage.memory import MemoryFile, memory_feed_storage


def test_d7_a_new_feed_is_made_only_where_nothing_lies():
    for name in ("key", "secret_key", "tree", "signatures", "bitfield", "data"):
        storage = memory_feed_storage()
        getattr(storage, name).write(0, b"x")
        before = contents(storage)
        with pytest.raises(StorageError, match=name):
            Feed.create(storage, PAIR)
        assert contents(storage) == before


def test_d7_another_key_in_the_folder_is_refused():
    feed = new_feed([b"a"])
    with pytest.raises(StorageError, match="another feed"):
        Feed.open(feed._storage, Key(bytes(32)))
    with pytest.raises(StorageError, match="no key"):
        Feed.open(memory_feed_storage())


def test_a_content_feed_keeps_no_secret_of_its_own():
    storage = memory_feed_storage()
    Feed.create(storage, PAIR, keep_secret=False).close()
    assert not contents(storage)["secret_key"]
    assert not Feed.open(storage).writable
    with pytest.raises(NotWritableError):
        Feed.open(storage).append([b"a"])
    assert Feed.open(storage, secret_key=PAIR.secret).writable
    other = crypto.key_pair(bytes(32)).secret
    assert not Feed.open(storage, secret_key=other).writable


class UnreadableFile(MemoryFile):
    """A file that is there and gives an error."""

    def read(self, offset, length):
        raise StorageError("bad sector")

    def size(self):
        raise StorageError("bad sector")


@pytest.mark.parametrize("name", ["key", "secret_key"])
def test_d7_a_key_file_that_cannot_be_read_is_not_an_absent_one(name):
    storage = new_feed([b"a"])._storage
    object.__setattr__(storage, name, UnreadableFile(name=name))
    with pytest.raises(StorageError, match="bad sector"):
        Feed.open(storage)
    empty = memory_feed_storage()
    object.__setattr__(empty, name, UnreadableFile(name=name))
    with pytest.raises(StorageError, match="bad sector"):
        Feed.create(empty, PAIR)
