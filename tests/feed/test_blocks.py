import errno
import os
import random
from dataclasses import replace

import pytest
from tests.helpers.feed_vectors import contents
from tests.helpers.small_feeds import PAIR, new_feed, present, reader_of, send

from datd.errors import BlockMissing, ReadOnlyError, StorageError
from datd.feed.feed import Feed
from datd.feed.merkle import Proof
from datd.hosting.descriptors import Descriptors
from datd.storage import layout
from datd.storage.memory import MemoryFile, memory_feed_storage

VALUES = [bytes([index + 1]) * (10 + index) for index in range(20)]


def test_what_is_dropped_is_gone_and_the_rest_is_proven_as_before():
    feed = new_feed(VALUES)
    assert feed.clear([(3, 7)]) == [3, 4, 5, 6]
    assert feed.clear([(5, 8)]) == [7]
    assert present(feed) == set(range(20)) - {3, 4, 5, 6, 7}
    assert feed.present_bytes == sum(len(VALUES[block]) for block in present(feed))
    with pytest.raises(BlockMissing):
        feed.get(5)
    reader = reader_of(feed)
    send(feed, reader, *sorted(present(feed)))
    assert reader.get(8) == VALUES[8]
    # A peer gives one back: its hash is known.
    feed.put(5, VALUES[5], Proof([]))
    assert feed.get(5) == VALUES[5]


def test_bytes_of_dropped_blocks_are_not_on_the_disk_any_more_and_others_are():
    feed = new_feed(VALUES)
    feed.clear([(0, 3), (9, 10), (18, 99)])
    data = feed._storage.data.read(0, 10_000)
    for block, value in enumerate(VALUES):
        assert (value in data) == feed.has(block)


@pytest.mark.parametrize("seed", range(10))
def test_any_clearing_leaves_the_others_readable_after_a_restart(seed):
    chance = random.Random(seed)
    feed = new_feed(VALUES)
    left = set(range(20))
    for _ in range(6):
        start = chance.randrange(20)
        end = start + chance.randrange(6)
        assert feed.clear([(start, end)]) == sorted(left & set(range(start, end)))
        left -= set(range(start, end))
    feed.close()
    again = Feed.open(feed._storage)
    assert present(again) == left
    assert all(again.get(block) == VALUES[block] for block in left)


class Recorder(MemoryFile):
    """Notes what is done to it, in a list that it shares with others."""

    def __init__(self, name: str, log: list[str]) -> None:
        super().__init__(name=name)
        self.log = log

    def write_many(self, writes):
        self.log.append(f"write {self.name}")
        super().write_many(writes)

    def sync(self):
        self.log.append(f"sync {self.name}")

    def punch(self, offset, length):
        self.log.append(f"punch {self.name}")
        super().punch(offset, length)


def test_d1_the_bits_are_on_the_disk_before_the_bytes_go():
    feed = new_feed(VALUES)
    log: list[str] = []
    for name in ("bitfield", "data"):
        recorder = Recorder(name, log)
        recorder.write(0, getattr(feed._storage, name).read(0, 10_000))
        object.__setattr__(feed._storage, name, recorder)
    feed = Feed.open(feed._storage)
    log.clear()
    feed.clear([(2, 4)])
    assert log == ["write bitfield", "sync bitfield", "punch data"]


class ReadOnly(MemoryFile):
    def write_many(self, writes):
        raise ReadOnlyError("the disk takes no writes")


def test_c13_a_read_only_disk_keeps_everything():
    feed = new_feed(VALUES)
    feed.flush()
    storage = feed._storage
    locked = ReadOnly(storage.bitfield.read(0, 10_000))
    object.__setattr__(storage, "bitfield", locked)
    feed = Feed.open(storage)
    with pytest.raises(ReadOnlyError):
        feed.clear([(0, 5)])
    assert present(feed) == set(range(20))
    assert feed.get(3) == VALUES[3]
    assert feed.present_bytes == sum(map(len, VALUES))


def test_rot_in_the_tree_never_punches_the_bytes_of_others():
    for node in range(39):
        feed = new_feed(VALUES)
        feed.close()
        # A size that lies: blocks behind it seem to be elsewhere.
        feed._storage.tree.write(32 + 40 * node + 36, b"\x00\x00\x01\x00")
        try:
            again = Feed.open(feed._storage)
        except StorageError:
            continue
        again.clear([(6, 12)])
        data = feed._storage.data.read(0, 10_000)
        assert all(VALUES[block] in data for block in (*range(6), *range(12, 20)))


@pytest.mark.parametrize("block", range(20))
def test_rot_in_the_tree_beside_what_is_dropped_never_punches_the_bytes_of_others(block):
    feed = new_feed(VALUES)
    feed.clear([(4, 6)])
    feed.clear([(12, 14)])
    feed.close()
    feed._storage.tree.write(32 + 40 * 2 * block + 36, b"\x00\x00\x01\x00")
    again = Feed.open(feed._storage)
    again.clear([(6, 12)])
    data = feed._storage.data.read(0, 10_000)
    assert all(VALUES[block] in data for block in (*range(4), *range(14, 20)))


def test_d3_nothing_is_dropped_while_part_of_the_feed_is_lost():
    feed = new_feed(VALUES[:10], VALUES[10:])
    feed.close()
    feed._storage.tree.truncate(32 + 40 * 19)
    feed._storage.signatures.truncate(32 + 64 * 10)
    again = Feed.open(feed._storage, clean=False)
    assert again.behind
    assert again.clear([(0, 5)]) == []
    assert again.get(3) == VALUES[3]


def test_small_blocks_dropped_one_by_one_free_room_together(tmp_path):
    pool = Descriptors()
    storage = layout.flat(tmp_path, pool).content
    source = new_feed([bytes([index % 250 + 1]) * 300 for index in range(1000)])
    feed = Feed.open(storage, source.key)
    send(source, feed, *range(1000))
    feed.flush()
    data = tmp_path / "content.data"
    before = data.stat().st_blocks * 512
    for block in random.Random(1).sample(range(1000), 990):
        feed.clear([(block, block + 1)])
    left = sorted(present(feed))
    assert all(feed.get(block) == source.get(block) for block in left)
    # Ten blocks are left, each on at most two pages of 4 KiB.
    assert data.stat().st_blocks * 512 <= 10 * 2 * 4096 < before
    feed.close()
    pool.close()


# ---- blocks that were come by elsewhere


def test_known_blocks_are_stored_if_they_fit_their_hashes():
    holder = new_feed(VALUES)
    reader = reader_of(holder)
    assert reader.leaf_hash(4) is None
    assert reader.put_known([(4, VALUES[4])]) == []
    for block in (4, 9):
        reader.put_hashes(block, holder.proof(block, hash_only=True))
    assert reader.leaf_hash(4) == holder.leaf_hash(4)
    assert reader.put_known([(4, VALUES[5])]) == []
    assert not reader.has(4)
    # Its sibling's hash came along; of a third one nothing is known.
    assert reader.put_known([(4, VALUES[4]), (7, VALUES[7]), (5, VALUES[5])]) == [4, 5]
    assert reader.put_known([(4, VALUES[4])]) == [4]
    assert (reader.present_blocks, reader.present_bytes) == (2, len(VALUES[4] + VALUES[5]))
    reader.close()
    again = Feed.open(reader._storage)
    assert [again.get(block) for block in (4, 5)] == VALUES[4:6]


def test_t19_a_known_block_is_held_against_the_sizes_above_it():
    holder = new_feed(VALUES)
    reader = reader_of(holder)
    proof = holder.proof(4, hash_only=True)
    nodes = [proof.nodes[0]._replace(size=99_999), *proof.nodes[1:]]
    reader_refuses(reader, nodes, proof.signature)
    assert reader.leaf_hash(4) is None


def reader_refuses(reader: Feed, nodes, signature) -> None:
    with pytest.raises(Exception, match=r"hold|match"):
        reader.put_hashes(4, Proof(nodes, signature))


def test_files_are_only_touched_where_blocks_lie():
    feed = new_feed(VALUES)
    feed.flush()
    before = contents(feed._storage)
    feed.clear([(0, 0)])
    feed.clear([(20, 500)])
    assert contents(feed._storage) == before


def test_known_blocks_are_stored_with_what_leads_up_to_a_hash_known_here():
    holder = new_feed(VALUES)
    reader = reader_of(holder)
    # An answer about block 0 tells what blocks 4 to 7 hash to together, and nothing of each.
    reader.put_hashes(0, holder.proof(0, hash_only=True))
    assert reader.subtree_hash(4, 4) == holder.subtree_hash(4, 4)
    assert reader.subtree_hash(4, 1) is None
    proofs = {n: holder.proof(n, digest=reader.digest(n)) for n in (4, 5, 6)}
    swapped = {4: proofs[6], 6: proofs[6]}
    assert reader.put_known([(4, VALUES[4]), (6, VALUES[5]), (5, VALUES[5])], swapped) == []
    assert reader.present_blocks == 0
    blocks = [(n, VALUES[n]) for n in (4, 5, 6, 7)]
    assert reader.put_known([(4, b"another"), *blocks[1:]], proofs) == [5, 6]
    # What came with them proves the others.
    assert reader.put_known(blocks) == [4, 5, 6, 7]
    reader.close()
    assert [Feed.open(reader._storage).get(n) for n in (4, 5, 6, 7)] == VALUES[4:8]


class FailingDisk(MemoryFile):
    """Does not give some bytes.

    Attributes:
        bad: Which offset it cannot read; -1 for none.
        code: What the system says then.
    """

    bad = -1
    code = errno.EIO

    def read(self, offset: int, length: int) -> bytes:
        if offset <= self.bad < offset + length:
            raise StorageError("cannot read") from OSError(self.code, os.strerror(self.code))
        return super().read(offset, length)


def test_c9_a_block_that_cannot_be_read_is_damaged_and_the_others_are_served():
    disk = FailingDisk()
    feed = Feed.create(replace(memory_feed_storage(), data=disk), PAIR)
    feed.append(VALUES)
    disk.bad = sum(map(len, VALUES[:7])) + 3
    with pytest.raises(BlockMissing):
        feed.get(7)
    assert feed.take_damaged() == [7]
    assert present(feed) == set(range(20)) - {7}
    reader = reader_of(feed)
    send(feed, reader, *sorted(present(feed)))
    assert all(reader.get(block) == VALUES[block] for block in present(feed))


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.EACCES])
def test_c17_d7_what_could_not_even_be_opened_is_not_damaged(code):
    disk = FailingDisk()
    feed = Feed.create(replace(memory_feed_storage(), data=disk), PAIR)
    feed.append(VALUES)
    disk.bad, disk.code = 3, code
    with pytest.raises(StorageError):
        feed.get(0)
    disk.bad = -1
    assert feed.take_damaged() == []
    assert feed.get(0) == VALUES[0]
