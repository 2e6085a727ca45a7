import hashlib
import json

import pytest
from tests.helpers.feed_vectors import (
    blocks_of,
    contents,
    folder,
    in_memory,
    load,
    pair_of,
    ranges,
)
from tests.helpers.small_feeds import new_feed, present, reader_of, send

from datd.errors import BlockMissing
from datd.feed.feed import MAX_REMOTE_NODES, Feed
from datd.feed.merkle import Proof
from datd.storage.memory import memory_feed_storage

SLEEP = [
    "empty", "singles", "batch", "batches", "pages", "page-3328", "static", "sparse", "sparse-grown"
]  # fmt: skip


@pytest.mark.parametrize("name", SLEEP)
def test_a_folder_of_the_reference_opens_as_it_was_left(name):
    want = json.loads(folder(f"{name}.json").read_text())
    storage = in_memory(folder(name))
    feed = Feed.open(storage)
    assert feed.key.hex == want["key"]
    assert feed.discovery_key.hex() == want["discoveryKey"]
    assert (feed.length, feed.byte_length) == (want["length"], want["byteLength"])
    assert feed.writable == (want["writable"] and want["live"])
    assert present(feed) == ranges(want["have"])
    assert feed.recovered is None
    for block, digest in enumerate(want["blocks"]):
        if digest is None:
            with pytest.raises(BlockMissing):
                feed.get(block)
        else:
            assert hashlib.sha256(feed.get(block)).hexdigest() == digest
    for block, start in enumerate(want["blockStart"]):
        if start is not None and feed.has(block):
            assert feed.block_offset(block) == start
    assert feed.present_bytes == sum(feed.block_size(block) for block in present(feed))


@pytest.mark.parametrize("name", SLEEP)
def test_d6_opening_and_closing_changes_no_file(name):
    storage = in_memory(folder(name))
    before = contents(storage)
    feed = Feed.open(storage)
    for block in present(feed):
        feed.get(block)
    feed.close()
    assert contents(storage) == before


@pytest.mark.parametrize("name", ["sparse", "singles", "batches", "page-3328", "static"])
def test_a_copy_block_by_block_holds_the_same_bytes(name):
    holder = Feed.open(in_memory(folder(name)))
    reader = reader_of(holder)
    order = sorted(present(holder), key=lambda block: block * 7919 % 31)
    for block in order:
        reader.put(block, *holder.serve(block))
    assert [reader.get(block) for block in order] == [holder.get(block) for block in order]
    reader.close()
    again = Feed.open(reader._storage)
    assert present(again) == present(holder)
    assert again.length == holder.length


def test_a_reader_writes_nothing_before_the_first_block_and_then_its_key():
    holder = new_feed([b"a"])
    reader = reader_of(holder)
    reader.flush()
    assert not any(contents(reader._storage).values())
    send(holder, reader, 0)
    reader.close()
    assert contents(reader._storage)["key"] == holder.key.raw
    assert Feed.open(reader._storage).get(0) == b"a"


def test_a_partial_holder_proves_what_it_has_to_another():
    holder = new_feed([bytes([index]) for index in range(21)])
    between, last = reader_of(holder), reader_of(holder)
    send(holder, between, 3, 17, 9)
    for block in (17, 3, 9):
        send(between, last, block)
    assert present(last) == {3, 9, 17}
    with pytest.raises(BlockMissing):
        between.serve(4)


def test_d5_a_damaged_block_is_never_given_and_counts_as_missing():
    feed = new_feed([b"one", b"two", b"six"])
    feed.close()
    feed._storage.data.write(4, b"X")
    feed = Feed.open(feed._storage)
    assert feed.present_bytes == 9
    with pytest.raises(BlockMissing):
        feed.serve(1)
    assert not feed.has(1)
    assert feed.take_damaged() == [1]
    assert feed.take_damaged() == []
    assert (feed.present_blocks, feed.present_bytes) == (2, 6)
    # A peer gives it back.
    feed.put(1, b"two", Proof([]))
    assert feed.get(1) == b"two"


def test_c11_rot_in_the_tree_is_healed_by_peers_and_no_peer_is_blamed():
    holder = new_feed([bytes([index]) * 20 for index in range(16)])
    for node in range(31):
        reader = reader_of(holder)
        send(holder, reader, *range(16))
        reader.close()
        reader._storage.tree.write(32 + 40 * node + 3, b"rot")
        again = Feed.open(reader._storage)
        for _ in range(4):
            again.audit(0, 16)
            for block in range(16):
                again.put(block, *holder.serve(block, again.digest(block)))
        assert [again.get(block) for block in range(16)] == [
            holder.get(block) for block in range(16)
        ]


def test_c10_an_audit_finds_exactly_the_damaged_blocks():
    feed = new_feed([bytes([index]) * 10 for index in range(20)])
    for block in (3, 11):
        feed._storage.data.write(10 * block + 5, b"\xff")
    assert feed.audit(0, 8) == [3]
    assert feed.audit(0, 99) == [11]
    assert feed.audit(0, 99) == []


@pytest.mark.parametrize("name", ["feed-text", "feed-mixed", "feed-1000"])
def test_seeks_agree_with_the_reference(name):
    feed = Feed.create(memory_feed_storage(), pair_of(name))
    feed.append(blocks_of(name))
    seek = next(seek for seek in load("seek")["seeks"] if seek["feed"] == name)
    for byte, block, rest in seek["rows"]:
        if 0 < byte < feed.byte_length:
            assert feed.resolve_bytes(byte) == block
            assert byte - feed.block_offset(block) == rest
    assert feed.resolve_bytes(feed.byte_length + 1) is None


def test_a_byte_request_is_resolved_by_who_knows():
    holder = new_feed([b"abc", b"", b"de", b"f" * 60])
    assert [holder.resolve_bytes(byte) for byte in (0, 1, 3, 5, 64, 65, 2**60)] == [
        None, 0, 2, 3, 3, None, None
    ]  # fmt: skip


def test_present_bytes_follow_what_comes_and_goes():
    holder = new_feed([b"a" * 10, b"b" * 20, b"c" * 30])
    reader = reader_of(holder)
    assert reader.present_bytes == 0
    send(holder, reader, 2, 0)
    assert (reader.present_blocks, reader.present_bytes) == (2, 40)
    reader.clear([(0, 2)])
    assert (reader.present_blocks, reader.present_bytes) == (1, 30)


def test_dirt_is_counted_until_the_flush():
    feed = new_feed([b"one", b"two"])
    assert feed.dirty_blocks == 2
    assert feed.dirty >= 6
    feed.flush()
    assert (feed.dirty, feed.dirty_blocks) == (0, 0)


def test_what_a_peer_says_it_has_takes_no_more_memory_than_its_share():
    feed = new_feed([b"x"] * 9000)
    remote: set[int] = set()
    for block in range(9000):  # "the neighbour's hash is here": both make the one above, and so on
        feed.proof(block, digest=2, hash_only=True, remote=remote)
        assert len(remote) < MAX_REMOTE_NODES + 100
    assert remote
