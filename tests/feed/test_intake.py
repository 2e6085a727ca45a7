import pytest
from tests.helpers.feed_vectors import (
    contents,
)
from tests.helpers.small_feeds import FullDisk, known_nodes, new_feed, present, reader_of, send

from datd.errors import IntegrityError, StorageError
from datd.feed.feed import Feed
from datd.storage.memory import memory_feed_storage


def test_t21_a_bad_block_stops_a_batch_and_keeps_what_came_before():
    holder = new_feed([bytes([index]) * 9 for index in range(20)])
    reader = reader_of(holder)
    batch = [(block, *holder.serve(block)) for block in range(20)]
    batch[12] = (12, b"not the block", batch[12][2])
    with pytest.raises(IntegrityError) as caught:
        reader.put_many(batch)
    assert caught.value.index == 12
    assert caught.value.stored == list(range(12)) == sorted(present(reader))
    assert not caught.value.signature
    assert reader.put_many([(12, *holder.serve(12)), *batch[13:]]) == list(range(12, 20))


def test_c8_a_failed_put_counts_nothing_as_stored():
    holder = new_feed([b"one", b"two", b"three"])
    storage = memory_feed_storage()
    broken = FullDisk(name="tree")
    object.__setattr__(storage, "tree", broken)
    reader = Feed.open(storage, holder.key)
    broken.full = True
    with pytest.raises(StorageError):
        send(holder, reader, 0)
    assert (reader.length, present(reader), known_nodes(reader)) == (0, set(), set())
    broken.full = False
    send(holder, reader, 0, 1, 2)
    assert [reader.get(block) for block in range(3)] == [b"one", b"two", b"three"]


def test_empty_blocks_travel_and_take_no_bytes():
    holder = new_feed([b"", b"a", b"", b"", b"bc", b""])
    reader = reader_of(holder)
    send(holder, reader, 5, 3, 0, 4, 2, 1)
    assert [reader.get(block) for block in range(6)] == [b"", b"a", b"", b"", b"bc", b""]
    assert reader.resolve_bytes(1) == 4
    assert reader.block_offset(5) == 3


def test_a_growing_feed_is_followed():
    holder = new_feed([b"a"] * 5)
    reader = reader_of(holder)
    send(holder, reader, 4)
    holder.append([b"b"] * 6)
    send(holder, reader, 10, 0)
    holder.append([b"c"])
    send(holder, reader, 11)
    assert reader.length == 12
    assert reader._store.signature_of(5)
    assert reader._store.signature_of(11)
    assert reader.resolve_bytes(11) == 11


def test_a_batch_in_any_order_and_with_doubles_is_stored_once():
    blocks = [bytes([index]) * (index % 4) for index in range(30)]
    holder = new_feed(blocks)
    reader = reader_of(holder)
    order = [(7 * index) % 30 for index in range(30)]
    batch = [(block, *holder.serve(block)) for block in [*order, *order[:5]]]
    assert reader.put_many(batch) == order
    assert reader.put_many(batch) == []
    assert [reader.get(block) for block in range(30)] == blocks
    reader.close()
    assert contents(reader._storage)["data"] == b"".join(blocks)
    assert contents(reader._storage)["tree"] == contents(holder._storage)["tree"]


def test_answers_asked_for_before_any_of_them_came_are_all_taken():
    holder = new_feed([bytes([index]) for index in range(64)])
    reader = reader_of(holder)
    asked = [(block, reader.digest(block)) for block in range(64)]
    answers = [(block, *holder.serve(block, digest)) for block, digest in asked]
    assert reader.put_many(answers) == list(range(64))
