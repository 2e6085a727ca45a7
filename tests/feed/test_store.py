from tests.helpers.feed_vectors import (
    contents,
)
from tests.helpers.recording import Recording
from tests.helpers.small_feeds import PAIR, new_feed, present

from datd.feed.feed import Feed
from datd.storage.sleep import BITFIELD


def test_d1_a_flush_makes_blocks_durable_before_their_signature_and_that_before_the_bits():
    recording = Recording()
    feed = Feed.create(recording.storage(), PAIR)
    recording.operations.clear()
    feed.append([b"one", b"two"])
    assert [step.file for step in recording.operations] == ["data", "tree"]
    assert feed.signed_roots() is not None
    recording.operations.clear()
    feed.flush()
    steps = [(step.file, step.is_flush) for step in recording.operations]
    assert steps[:2] == [("data", True), ("tree", True)]
    assert steps[2:4] == [("signatures", False), ("signatures", True)]
    assert {file for file, is_flush in steps[4:]} == {"bitfield"}
    assert steps[-1] == ("bitfield", True)
    recording.operations.clear()
    feed.flush()
    assert recording.operations == []


def test_a_batch_of_blocks_is_one_write_for_each_file():
    holder = new_feed([bytes([index]) for index in range(64)])
    recording = Recording()
    reader = Feed.open(recording.storage(), holder.key)
    reader.put_many([(block, *holder.serve(block)) for block in range(32)])
    recording.operations.clear()
    reader.put_many([(block, *holder.serve(block)) for block in range(32, 64)])
    written = [step for step in recording.operations if step.file == "tree"]
    assert len(written) == 1


def test_d1_bits_reach_the_disk_only_with_a_flush():
    feed = new_feed([b"one"])
    assert contents(feed._storage)["bitfield"] == BITFIELD.header(3584)
    feed.flush()
    assert len(contents(feed._storage)["bitfield"]) == 32 + 3584


def test_clearing_forgets_the_bit_durably_and_then_the_bytes():
    feed = new_feed([b"one", b"two", b"three", b"four"])
    feed.clear([(1, 3)])
    assert present(feed) == {0, 3}
    assert contents(feed._storage)["data"] == b"one" + bytes(8) + b"four"
    again = Feed.open(feed._storage)
    assert present(again) == {0, 3}
    assert again.length == 4
