import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.feed_vectors import (
    blocks_of,
    contents,
    folder,
    in_memory,
    load,
    node,
    pair_of,
)
from tests.helpers.small_feeds import PAIR, FullDisk, new_feed

from datd import crypto
from datd.errors import StorageError
from datd.feed.feed import Feed
from datd.storage.memory import memory_feed_storage


@pytest.mark.parametrize("name", ["feed-text", "feed-mixed", "feed-1000"])
def test_appending_signs_what_the_reference_signs(name):
    feed = Feed.create(memory_feed_storage(), pair_of(name))
    for block, want in zip(blocks_of(name), load(name)["lengths"][1:], strict=True):
        feed.append([block])
        assert feed.byte_length == want["byteLength"]
        assert feed._store.signature_of(feed.length) == bytes.fromhex(want["signature"])
    assert [feed._tree.get(row[0]) for row in load(name)["nodes"]] == [
        node(row) for row in load(name)["nodes"]
    ]


@pytest.mark.parametrize("name", ["data", "tree"])
def test_c7_d12_a_failed_append_leaves_the_feed_as_it_was(name):
    storage = memory_feed_storage()
    broken = FullDisk(name=name)
    object.__setattr__(storage, name, broken)
    feed = Feed.create(storage, PAIR)
    feed.append([b"one", b"two", b"three"])
    feed.flush()
    before = contents(storage)
    broken.full = True
    with pytest.raises(StorageError):
        feed.append([b"four", b"five"])
    assert (feed.length, feed.byte_length) == (3, 11)
    broken.full = False
    assert {k: v.rstrip(b"\0") for k, v in contents(storage).items()} == {
        k: v.rstrip(b"\0") for k, v in before.items()
    }
    feed.append([b"other"])
    feed.close()
    again = Feed.open(storage, clean=False)
    assert [again.get(block) for block in range(4)] == [b"one", b"two", b"three", b"other"]


def test_c7_a_signature_that_the_disk_refused_is_made_again():
    storage = memory_feed_storage()
    broken = FullDisk(name="signatures")
    object.__setattr__(storage, "signatures", broken)
    feed = Feed.create(storage, PAIR)
    feed.append([b"one", b"two"])
    signed = feed.signed_roots()
    broken.full = True
    with pytest.raises(StorageError, match="full"):
        feed.flush()
    broken.full = False
    again = Feed.open(storage, clean=False)
    assert again.signed_roots() == signed
    assert [again.get(block) for block in range(2)] == [b"one", b"two"]


def test_a_block_that_could_not_travel_is_not_appended():
    feed = new_feed()
    with pytest.raises(ValueError, match="bytes"):
        feed.append([b"a", bytes(8 * 2**20)])
    assert feed.length == 0


@pytest.mark.parametrize(
    ("name", "batches"),
    [("empty", []), ("singles", [1] * 6), ("batch", [6]), ("batches", [3, 1, 4, 2])],
)
def test_the_same_appends_give_the_same_files(name, batches):
    want = in_memory(folder(name))
    secret = contents(want)["secret_key"]
    source = Feed.open(in_memory(folder(name)))
    storage = memory_feed_storage()
    feed = Feed.create(storage, crypto.key_pair(secret[:32]))
    at = 0
    for count in batches:
        feed.append([source.get(block) for block in range(at, at + count)])
        at += count
    feed.close()
    assert contents(storage) == contents(want)


@given(st.lists(st.integers(1, 70), max_size=12))
def test_however_blocks_are_batched_the_same_nodes_are_known(batches):
    whole = new_feed([b"%d" % block for block in range(sum(batches))])
    feed = new_feed()
    for count in batches:
        feed.append([b"%d" % block for block in range(feed.length, feed.length + count)])
    known = feed._store.bitfield.nodes()
    assert known == whole._store.bitfield.nodes()
    for index in range(2 * feed.length):
        assert bool(known[index]) == (feed._tree.get(index) is not None)
        assert feed._tree.get(index) == whole._tree.get(index)
    assert (feed.byte_length, feed.present_blocks) == (whole.byte_length, feed.length)


def test_hashes_that_were_worked_out_before_are_taken():
    blocks = [b"one", b"", b"three" * 5000]
    feed, other = new_feed(), new_feed(blocks)
    feed.append(blocks, [crypto.leaf_hash(block) for block in blocks])
    assert feed.signed_roots() == other.signed_roots()
    assert [feed.get(block) for block in range(3)] == blocks
    with pytest.raises(ValueError, match="zip"):
        feed.append([b"four", b"five"], [crypto.leaf_hash(b"four")])
