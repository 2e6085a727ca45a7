"""Every disk that a crash can leave while an archive of our own is written: both feeds together.

Source: reliability.md sections 3.3 and 3.5 (C-1, C-3, C-4, C-7), archives.md section 6.
"""

from collections import defaultdict
from dataclasses import dataclass, field

import pytest
from tests.helpers.feed_vectors import FILES
from tests.helpers.feeds import content_of
from tests.helpers.own_archives import PAIR, files, put, read_stat
from tests.helpers.recording import Recording, unique

from datd.archive import writer as writing
from datd.archive.archive import Archive
from datd.archive.creation import create, open_own
from datd.archive.writer import ArchiveWriter
from datd.errors import StorageError
from datd.feed.feed import Feed
from datd.storage.base import FeedStorage
from datd.storage.layout import ArchiveFiles
from datd.storage.memory import MemoryFile

Disk = dict[str, bytes]
Listing = list[tuple[str, bytes | None]]
Paths = tuple[str, ...]


@dataclass(frozen=True)
class Promise:
    """What peers were told, or may have been, after so many operations.

    Attributes:
        operations: So many.
        lengths: Of metadata and content.
        files: All files of that version.
    """

    operations: int
    lengths: tuple[int, int]
    files: Listing


@dataclass
class Life:
    """An archive while it is written, and recorded.

    Attributes:
        meant: All that was ever put at a path, written down or not.
        listings: Paths that were there together, behind each change.
        cleared: Content blocks that were dropped.
    """

    recording: Recording = field(default_factory=Recording)
    promises: list[Promise] = field(default_factory=list)
    meant: dict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    listings: set[Paths] = field(default_factory=set)
    cleared: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.files = self.recording.archive()
        self.archive = create(self.files, PAIR)
        self.writer = ArchiveWriter(self.archive)
        self.promise()

    def promise(self) -> None:
        """All that is there now was told."""
        self.promises.append(
            Promise(len(self.recording.operations), lengths(self.archive), files(self.archive))
        )
        self.listings.add(paths(self.archive))

    def put(self, path: str, *blocks: bytes) -> None:
        self.meant[path].add(b"".join(blocks))
        put(self.writer, path, *blocks)
        self.listings.add(paths(self.writer.archive))

    def remove(self, path: str) -> None:
        self.writer.remove(path)
        self.listings.add(paths(self.writer.archive))

    def commit(self) -> None:
        self.writer.commit()
        self.promise()

    def refused(self, file: str) -> None:
        """Commit while a file may not grow."""
        self.recording.full.add(file)
        with pytest.raises(StorageError, match="full"):
            self.writer.commit()
        self.recording.full.clear()

    def reopen(self) -> None:
        """Look over what is on the disk, and go on from there; what waited is dropped."""
        self.archive = open_own(self.files, clean=False)
        self.writer = ArchiveWriter(self.archive)

    def clear(self, path: str) -> None:
        """Drop the blocks of a file, as is done with what was replaced."""
        stat = self.archive.stat(path, version=1)
        blocks = range(stat.offset, stat.offset + stat.blocks)
        self.cleared |= set(blocks)
        assert content_of(self.archive).clear([(blocks.start, blocks.stop)]) == [*blocks]


def lengths(archive: Archive) -> tuple[int, int]:
    return archive.metadata.length, content_of(archive).length


def paths(archive: Archive) -> Paths:
    return tuple(path for path, _ in archive.walk())


def opened(disk: Disk) -> Archive:
    feeds = [
        FeedStorage(**{name: MemoryFile(disk.get(prefix + name, b"")) for name in FILES})
        for prefix in ("metadata.", "content.")
    ]
    return open_own(ArchiveFiles(*feeds), clean=False)


def assert_all_crashes_end_well(life: Life) -> None:
    tried = 0
    for done, disk in unique(life.recording.crashes()):
        told = [promise for promise in life.promises if promise.operations <= done]
        if told:  # before that nobody was given the key
            assert_ends_well(life, told[-1], opened(disk))
            tried += 1
    assert tried > 20


def assert_ends_well(life: Life, promise: Promise, archive: Archive) -> None:
    # Nothing that was told is lost or another one.
    for feed, was, length in zip(
        feeds_of(archive), feeds_of(life.archive), promise.lengths, strict=True
    ):
        assert feed.length >= length
        hashes = [feed.leaf_hash(block) for block in range(length)]
        assert hashes == [was.leaf_hash(block) for block in range(length)]
    assert files(archive, promise.lengths[0] - 1) == promise.files
    # No signature speaks of what is not there: nobody else has it, no mirror would ever be whole.
    for feed, gone in zip(feeds_of(archive), (set(), life.cleared), strict=True):
        assert {block for block in range(feed.length) if not feed.has(block)} <= gone
        assert feed.audit(0, feed.length) == []  # D-1
    # And no entry names it.
    for entry in archive.history(0, archive.version).entries:
        stat = entry.stat
        assert stat is None or stat.offset + stat.blocks <= content_of(archive).length
        if stat is not None and life.cleared.isdisjoint(
            range(stat.offset, stat.offset + stat.blocks)
        ):
            assert read_stat(archive, stat) in life.meant[entry.name]
    assert paths(archive) in life.listings
    # And it is written on: what was told stays, and so does what came.
    assert [feed.behind for feed in feeds_of(archive)] == [0, 0]
    before, (_, content) = files(archive), lengths(archive)
    writer = ArchiveWriter(archive)
    put(writer, "/zz", b"after", b"the crash")
    committed = writer.commit()
    assert committed.content == range(content, content + 2)
    assert files(archive) == [*before, ("/zz", b"afterthe crash")]


def feeds_of(archive: Archive) -> list[Feed]:
    return [archive.metadata, content_of(archive)]


def test_c1_c3_c4_a_crash_while_files_are_put_replaced_and_removed(monkeypatch):
    monkeypatch.setattr(writing, "CONTENT_BATCH", 20)  # content goes down before its entries
    life = Life()
    life.put("/a", b"first of a", b"second")
    life.put("/d/b", b"b is in a folder")
    life.put("/d/c", b"c", b"is", b"too")
    life.commit()
    life.remove("/d/b")
    life.put("/a", b"another a, larger than a batch", b"and its end")
    life.put("/e", b"e")
    life.commit()
    assert_all_crashes_end_well(life)


def test_c1_c3_a_crash_beside_an_unfinished_file_that_is_abandoned(monkeypatch):
    monkeypatch.setattr(writing, "CONTENT_BATCH", 8)
    life = Life()
    draft = life.writer.begin()
    draft.write([b"written and", b"not put"])
    life.commit()
    draft.write([b"written too", b"waits"])
    life.writer.abandon(draft)
    life.put("/a", b"of the same size")
    life.commit()
    assert_all_crashes_end_well(life)


@pytest.mark.parametrize("feed", ["metadata", "content"])
@pytest.mark.parametrize("file", ["data", "tree"])
def test_c7_d12_a_crash_after_a_full_disk_and_other_files_instead(feed, file):
    life = Life()
    life.put("/first", b"first")
    life.commit()
    life.put("/d/b", b"never", b"to be told")
    life.put("/d/c", b"never either")
    life.refused(f"{feed}.{file}")
    life.writer = ArchiveWriter(life.archive)
    life.put("/e", b"comes", b"in its place")
    life.commit()
    assert_all_crashes_end_well(life)


def test_c7_d12_what_a_full_disk_left_half_written_is_never_taken_for_more_of_what_came_instead():
    life = Life()
    life.put("/first", b"first")
    life.commit()
    for number in range(8):
        life.put(f"/d/{number}", b"all of a size")
    life.refused("metadata.tree")
    life.writer = ArchiveWriter(life.archive)
    life.put("/e/0", b"all of a size")
    life.commit()
    assert_all_crashes_end_well(life)


@pytest.mark.parametrize("feed", ["metadata", "content"])
@pytest.mark.parametrize("file", ["data", "tree"])
def test_c7_d12_a_crash_after_a_full_disk_that_has_room_again(feed, file):
    life = Life()
    life.put("/first", b"first")
    life.commit()
    life.put("/d/b", b"waits", b"for room")
    life.refused(f"{feed}.{file}")
    life.put("/d/c", b"behind it")
    life.commit()
    assert_all_crashes_end_well(life)


@pytest.mark.parametrize(
    "file",
    [
        *("metadata.data", "metadata.tree", "metadata.signatures"),
        *("content.data", "content.tree", "content.signatures", "content.bitfield"),
    ],
)
def test_c7_d4_a_crash_after_a_full_disk_and_opening_anew(file):
    life = Life()
    life.put("/d/b", b"perhaps", b"to be told")
    life.refused(file)
    life.reopen()
    life.promise()
    life.put("/e", b"comes", b"behind or instead")
    life.commit()
    assert_all_crashes_end_well(life)


def test_c1_c3_a_crash_while_replaced_blocks_are_dropped_beside_what_is_written(monkeypatch):
    monkeypatch.setattr(writing, "CONTENT_BATCH", 8)
    life = Life()
    life.put("/a", b"the old one", b"of two blocks")
    life.put("/b", b"stays as it is")
    life.commit()
    life.put("/a", b"the new one")
    life.commit()
    draft = life.writer.begin()
    draft.write([b"half of a file", b"on its way"])
    life.clear("/a")
    draft.write([b"and the rest"])
    life.writer.put("/c", draft, mtime=1, ctime=1)
    life.meant["/c"].add(b"half of a fileon its wayand the rest")
    life.listings.add(paths(life.writer.archive))
    life.commit()
    assert_all_crashes_end_well(life)


def test_c6_power_is_lost_while_what_a_killed_writer_left_is_looked_over(monkeypatch):
    monkeypatch.setattr(writing, "CONTENT_BATCH", 8)
    life = Life()
    life.put("/a", b"is appended")
    life.put("/b", b"and so is this")
    for number in range(writing.BATCHES_AHEAD):
        life.put(f"/{number}", b"is hashed meanwhile")
    life.reopen()
    assert lengths(life.archive) == (1, 2)
    life.promise()
    life.put("/d", b"behind them")
    life.commit()
    assert_all_crashes_end_well(life)
