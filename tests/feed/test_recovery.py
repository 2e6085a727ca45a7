import json

import pytest
from bitarray import bitarray
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.feed_vectors import FILES, contents, folder, in_memory, load, ranges
from tests.helpers.recording import Recording, unique

from datd import crypto
from datd.errors import NotWritableError, ReadOnlyError, StorageError
from datd.feed.feed import Feed
from datd.keys import Key
from datd.storage.base import FeedStorage
from datd.storage.memory import MemoryFile

DAMAGED = json.loads(folder("damaged.json").read_text())
WHOLE = json.loads(folder("singles.json").read_text())
LIVE = ["singles", "batch", "batches", "page-3328", "sparse", "sparse-grown", "pages", "static"]
PAIR = crypto.key_pair(bytes(range(32)))


def damaged(name):
    return in_memory(folder("damaged") / name)


def storage_of(disk):
    return FeedStorage(**{name: MemoryFile(disk.get(name, b""), name=name) for name in FILES})


def present(feed):
    return set(feed.have.search(1))


# C-11: one file damaged


@pytest.mark.parametrize("clean", [True, False], ids=["noticed", "unclean"])
@pytest.mark.parametrize("name", sorted(set(DAMAGED) - {"other-key", "no-tree", "signatures-cut"}))
def test_c11_what_can_be_derived_is_recovered(name, clean):
    storage = damaged(name)
    feed = Feed.open(storage, clean=clean)
    assert feed.key.hex == WHOLE["key"]
    feed.audit(0, feed.length)
    assert feed.length == DAMAGED[name]["derivable"]["length"]
    assert present(feed) == ranges(DAMAGED[name]["derivable"]["have"])
    assert feed._store.signature_of(6)
    feed.close()
    again = Feed.open(storage)
    assert again.recovered is None or again.behind
    assert (again.length, present(again)) == (feed.length, present(feed))


def test_c11_a_lost_signature_is_made_again_by_who_has_the_secret_key():
    want = contents(in_memory(folder("singles")))["signatures"]
    storage = damaged("signatures-cut")
    feed = Feed.open(storage)
    assert (feed.length, present(feed)) == (6, set(range(6)))
    assert contents(storage)["signatures"] == want
    assert feed.writable


def test_c11_without_the_secret_key_a_lost_signature_shortens_the_feed_to_what_is_proven():
    storage = damaged("signatures-cut")
    storage.secret_key.truncate(0)
    feed = Feed.open(storage)
    want = DAMAGED["signatures-cut"]["derivable"]
    assert (feed.length, present(feed)) == (want["length"], ranges(want["have"]))
    assert feed.behind == 6


def test_c11_no_signature_that_holds_is_refused_and_nothing_is_touched():
    storage = damaged("other-key")
    before = contents(storage)
    with pytest.raises(StorageError, match="no signature"):
        Feed.open(storage)
    assert contents(storage) == before


def test_c11_a_feed_without_its_tree_is_not_appended_to_until_peers_gave_it_back():
    whole = Feed.open(in_memory(folder("singles")))
    feed = Feed.open(damaged("no-tree"))
    assert (feed.length, feed.behind, present(feed)) == (0, 6, set())
    assert feed.key == whole.key
    with pytest.raises(NotWritableError, match="6 blocks"):
        feed.append([b"a second history"])
    feed.put(0, *whole.serve(0, digest=feed.digest(0)))
    assert feed.behind == 0
    assert feed.append([b"the seventh"]) == 6
    feed.close()
    assert Feed.open(feed._storage).recovered is None


def test_d3_the_warning_not_to_append_outlives_a_restart():
    feed = Feed.open(damaged("no-tree"))
    for _ in range(3):
        feed.close()
        feed = Feed.open(feed._storage)
        assert feed.behind == 6
    feed.accept_shorter()
    feed.close()
    assert Feed.open(feed._storage).writable


def test_the_owner_may_accept_a_shorter_feed_once_the_network_was_asked():
    feed = Feed.open(damaged("no-tree"))
    feed.accept_shorter()
    assert feed.writable


def test_c11_a_feed_whose_bits_are_ahead_waits_before_it_appends():
    feed = Feed.open(damaged("bitfield-ahead"))
    assert feed.length == 6
    assert feed.behind > 6


def test_c11_the_key_comes_back_from_the_secret_key_or_from_the_link():
    for storage in (damaged("no-key"), damaged("no-key")):
        assert Feed.open(storage).key.hex == WHOLE["key"]
        storage.secret_key.truncate(0)
        assert Feed.open(storage, Key.parse(WHOLE["key"])).length == 6
        with pytest.raises(StorageError, match="no key"):
            Feed.open(storage)


def test_c11_a_secret_key_that_does_not_fit_is_not_used():
    feed = Feed.open(damaged("other-secret-key"))
    assert (feed.length, feed.writable) == (6, False)


# Without any bitfield


@pytest.mark.parametrize("name", LIVE)
def test_length_and_blocks_are_found_without_the_bitfield(name):
    want = json.loads(folder(f"{name}.json").read_text())
    storage = in_memory(folder(name))
    storage.bitfield.truncate(0)
    feed = Feed.open(storage)
    assert (feed.length, feed.byte_length) == (want["length"], want["byteLength"])
    assert present(feed) == ranges(want["have"])
    assert set(feed._store.bitfield.nodes().search(1)) == ranges(want["treeNodes"])


@pytest.mark.parametrize("name", ["singles", "sparse"])
def test_a_folder_of_a_stranger_is_believed_only_as_far_as_hashes_go(name):
    want = json.loads(folder(f"{name}.json").read_text())
    storage = in_memory(folder(name))
    block = max(ranges(want["have"]))
    leaf = 32 + 40 * 2 * block
    forged = b"forged".ljust(len(Feed.open(storage).get(block)), b"!")
    storage.data.write(want["blockStart"][block], forged)
    storage.tree.write(leaf, crypto.leaf_hash(forged))
    assert Feed.open(storage).get(block) == forged  # a bit is believed
    feed = Feed.open(storage, trust_bits=False)
    # Its sibling's hash may have been provable only together with the one that is gone.
    others = ranges(want["have"]) - {block, block ^ 1}
    assert others <= present(feed) <= others | {block ^ 1}


def test_d6_c13_on_a_read_only_disk_the_result_stays_in_memory():
    class ReadOnlyFile(MemoryFile):
        def write(self, offset, data):
            raise ReadOnlyError("read-only")

        def write_many(self, writes):
            raise ReadOnlyError("read-only")

        def truncate(self, size):
            raise ReadOnlyError("read-only")

    for name in ("root-zeroed", "tree-cut", "no-bitfield", "signatures-cut", "bad-magic"):
        files = contents(damaged(name))
        storage = FeedStorage(**{key: ReadOnlyFile(data) for key, data in files.items()})
        feed = Feed.open(storage)
        assert (feed.length, present(feed)) == (6, set(range(6)))
        assert [feed.proof(block).signature is not None for block in range(6)] == [True] * 6
        assert [len(feed.get(block)) for block in range(6)] == [7, 14, 21, 28, 35, 42]
        feed.close()
        assert contents(storage) == files


# C-1 to C-6: every disk that a crash can leave

BLOCKS = [bytes([65 + index]) * (11 + 3 * index % 7) for index in range(9)]


def grown(*batches):
    """A recording of appends, each followed by a flush, and how long the feed was at each step."""
    recording = Recording()
    feed = Feed.create(recording.storage(), PAIR)
    recording.before = contents(feed._storage)
    recording.operations.clear()
    acknowledged = [(0, 0)]
    for batch in batches:
        feed.append(batch)
        feed.flush()
        acknowledged.append((len(recording.operations), feed.length))
    return recording, acknowledged


def assert_honest(feed):
    """D-1 as a user sees it: what is claimed is there, true, and provable to a stranger."""
    stranger = Feed.open(storage_of({}), feed.key)
    for block in present(feed):
        value, proof = feed.serve(block)
        assert value == BLOCKS[block]
        stranger.put(block, value, proof)


def test_c1_c3_c4_a_crash_while_appending_keeps_what_was_acknowledged_and_never_forks():
    recording, acknowledged = grown(BLOCKS[:1], BLOCKS[1:4], BLOCKS[4:5], BLOCKS[5:8])
    for done, disk in unique(recording.crashes()):
        promised = max(length for at, length in acknowledged if at <= done)
        feed = Feed.open(storage_of(disk), clean=False)
        assert promised <= feed.length <= 8
        assert set(range(promised)) <= present(feed)
        assert_honest(feed)
        assert feed.writable
        assert feed.append([BLOCKS[feed.length]]) == feed.length - 1
        feed.close()
        again = Feed.open(feed._storage, clean=False)
        assert (again.length, present(again)) == (feed.length, present(feed))
        assert_honest(again)


def test_c2_c3_a_crash_while_mirroring_never_claims_what_is_not_there():
    holder = Feed.create(storage_of({}), PAIR)
    holder.append(BLOCKS)
    recording = Recording()
    feed = Feed.open(recording.storage(), holder.key)
    flushed: list[tuple[int, set[int]]] = [(0, set())]
    for batch in ([8, 0], [3], [1, 2, 7]):
        feed.put_many([(block, *holder.serve(block)) for block in batch])
        feed.flush()
        flushed.append((len(recording.operations), present(feed)))
    for done, disk in unique(recording.crashes()):
        promised = [blocks for at, blocks in flushed if at <= done][-1]
        for clean in (True, False):
            reopened = Feed.open(storage_of(disk), holder.key, clean=clean)
            assert promised <= present(reopened)
            assert_honest(reopened)
            missing = [block for block in range(9) if not reopened.has(block)]
            reopened.put_many([(block, *holder.serve(block)) for block in missing])
            assert [reopened.get(block) for block in range(9)] == BLOCKS


@pytest.mark.parametrize("held", [1, 7, 32, 33, 63, 64])
def test_c2_a_copy_of_the_beginning_only_is_recovered(held):
    source = Feed.create(storage_of({}), PAIR)
    source.append([b"%d" % n for n in range(64)])
    storage = storage_of({})
    copy = Feed.open(storage, source.key)
    for block in range(held):
        copy.put(block, *source.serve(block, copy.digest(block)))
    copy.flush()
    again = Feed.open(storage, source.key, clean=False)
    assert (again.length, present(again)) == (64, set(range(held)))


@pytest.mark.parametrize("name", ["root-zeroed", "tree-cut", "no-bitfield", "bad-page-size"])
def test_c6_d9_a_recovery_that_is_cut_short_ends_the_same_the_next_time(name):
    before = contents(damaged(name))
    recording = Recording(before)
    want = Feed.open(recording.storage())
    assert want.recovered
    assert want.recovered.changed
    for _, disk in unique(recording.crashes()):
        feed = Feed.open(storage_of(disk), clean=False)
        assert (feed.length, present(feed)) == (want.length, present(want))
        assert feed.writable


def test_c1_a_crash_between_two_appends_leaves_both_or_one_and_signs_the_same_bytes():
    recording, _ = grown(BLOCKS[:3], BLOCKS[3:5])
    whole = recording.disk(recording.operations, set(), None)
    for _, disk in unique(recording.crashes()):
        feed = Feed.open(storage_of(disk), clean=False)
        if feed.length == 5:
            assert feed._store.signature_of(5) == whole["signatures"][-64:]


# Any bytes in any file


@settings(max_examples=200)
@given(st.sampled_from(FILES), st.integers(0, 4000), st.binary(max_size=60), st.booleans())
def test_any_bytes_in_any_file_give_the_truth_or_our_error(name, offset, junk, cut):
    storage = in_memory(folder("singles"))
    file = getattr(storage, name)
    if cut:
        file.truncate(min(offset, file.size()))
    else:
        file.write(offset, junk)
    whole = Feed.open(in_memory(folder("singles")))
    try:
        feed = Feed.open(storage, trust_bits=False)
    except StorageError:
        return
    assert feed.key == whole.key
    for block in present(feed):
        assert feed.get(block) == whole.get(block)
    assert isinstance(feed.have, bitarray)


def test_recovering_a_feed_of_a_thousand_blocks_finds_every_node():
    feed = Feed.create(storage_of({}), PAIR)
    feed.append([bytes([index % 256]) * (index % 5) for index in range(1000)])
    feed.close()
    feed._storage.bitfield.truncate(0)
    again = Feed.open(feed._storage)
    assert (again.length, again.present_blocks) == (1000, 1000)
    assert len(load("feed-1000")["nodes"]) == again._store.bitfield.nodes().count()
