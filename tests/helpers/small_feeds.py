"""Feeds of a few blocks, and what peers say to one another about them, in one call."""

from typing import Any

from datd import crypto
from datd.errors import StorageError
from datd.feed.feed import Feed
from datd.storage.memory import MemoryFile, memory_feed_storage
from tests.helpers.feed_vectors import proof_of, value_of

PAIR = crypto.key_pair(bytes(range(32)))


def new_feed(*batches: list[bytes]) -> Feed:
    """A feed of our own, one append for each batch."""
    feed = Feed.create(memory_feed_storage(), PAIR)
    for batch in batches:
        feed.append(batch)
    return feed


def reader_of(feed: Feed) -> Feed:
    """An empty copy."""
    return Feed.open(memory_feed_storage(), feed.key)


def send(holder: Feed, reader: Feed, *blocks: int) -> None:
    """Ask for blocks one after the other, as a peer would, and store the answers."""
    for block in blocks:
        reader.put(block, *holder.serve(block, reader.digest(block)))


def receive(feed: Feed, message: dict[str, Any]) -> None:
    """Take a Data message of the vectors."""
    value = value_of(message)
    if value is None:
        feed.put_hashes(message["index"], proof_of(message))
    else:
        feed.put(message["index"], value, proof_of(message))


def known_nodes(feed: Feed) -> set[int]:
    """Nodes whose hashes are proven here, with or without their sizes."""
    known = {index for index in range(2 * feed.length) if feed._tree.has(index)}
    return known | set(feed._intake.verifier.loose)


def present(feed: Feed) -> set[int]:
    """Blocks here."""
    return set(feed.have.search(1))


class FullDisk(MemoryFile):
    """Does not grow by more than half a write once told so."""

    full = False

    def write_many(self, writes: Any) -> None:
        for offset, data in writes:
            if self.full and offset + len(data) > self.size():
                self.write(offset, bytes(data[: len(data) // 2]))
                raise StorageError("disk full")
            self.write(offset, data)
