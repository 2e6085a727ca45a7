"""Changes to an archive of our own: files put and removed, folders made, all committed together.

Synchronous, without a clock. Nobody is told of anything here: `commit` says what is new once it is
on disk. Source: archives.md section 6.
"""

import stat as file_mode
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from datd.archive.append_tree import AppendTree
from datd.archive.archive import Archive, resolve
from datd.archive.entries import MAX_DEPTH, MAX_NAME_SIZE, Entry, Stat, encode_node
from datd.archive.index_writer import IndexWriter
from datd.archive.queue import EntryQueue
from datd.crypto import leaf_hash
from datd.errors import EntryNotFound, FolderNotEmpty, NotWritableError, PathRefused, StorageError
from datd.feed.appending import MAX_BLOCK_SIZE
from datd.feed.feed import Feed

# Content waits in memory until there is this much of it: one write, one signature.
CONTENT_BATCH = 4 * 2**20
# Batches that are hashed while one is written: with a single one, hashing and writing would take
# turns at waiting for each other.
BATCHES_AHEAD = 2
# Small blocks wait until there are this many, whose tree nodes take some 10 MB while they are made.
CONTENT_BATCH_BLOCKS = 16_384
# Entries of our own make sense, and folders are held once they were read: no look-up is refused.
_READS = 2**32

_PERMISSIONS = 0o7777


Hashing = Callable[[Sequence[bytes]], Callable[[], Sequence[bytes]]]
"""Begins to work out the leaf hashes of blocks; what it gives waits for them."""


def hash_here(blocks: Sequence[bytes]) -> Callable[[], Sequence[bytes]]:
    """Hash blocks at once, where the writing is done."""
    hashes = [leaf_hash(block) for block in blocks]
    return lambda: hashes


class _Batch(NamedTuple):
    """Content on its way to disk: blocks, their bytes in all, and what waits for their hashes."""

    blocks: Sequence[bytes]
    size: int
    hashes: Callable[[], Sequence[bytes]]


class Committed(NamedTuple):
    """What is new and on disk since the commit before: tell peers now.

    Attributes:
        metadata: Blocks of the metadata feed.
        content: Blocks of the content feed.
    """

    metadata: range
    content: range


@dataclass(slots=True)
class Draft:
    """A file on its way into the content feed.

    Attributes:
        offset: Its first content block.
        byte_offset: Its first content byte.
        blocks: Blocks so far.
        size: Bytes so far.
    """

    _writer: "ArchiveWriter"
    offset: int
    byte_offset: int
    blocks: int = 0
    size: int = 0

    def write(self, blocks: Sequence[bytes]) -> None:
        """Add blocks, cut as they are to be; empty ones are left out.

        Args:
            blocks: At most a few MiB. They may wait in memory until the batch is large enough.

        Raises:
            StorageError: The disk refused. The draft is as before: hand the same in again, or
                abandon it.
            ValueError: A block is larger than can travel, or the draft is done.
        """
        self._writer._take(self, blocks)


class ArchiveWriter:
    """Writes one archive. One at a time: two of them would sign two histories.

    Entries get their numbers and wait until `commit`, whose signature covers all of them. Their
    content goes to disk in batches of its own, and is durable before any entry that names it is.

    Attributes:
        archive: The archive as it will be after `commit`; content that waits cannot be read in it.
    """

    def __init__(self, archive: Archive, *, hashing: Hashing = hash_here) -> None:
        """Begin at the newest version.

        Args:
            archive: Both feeds open and writable (`creation.open_own`).
            hashing: Hashes content, beside the writing of the batch before where that can be had.

        Raises:
            NotWritableError: A secret key is not here, or part of a feed is lost.
            ArchiveFormatError: The feed is no archive.
        """
        content = archive.content
        if content is None or not archive.metadata.writable or not content.writable:
            raise NotWritableError(
                "this archive is only read here: its secret key is not at hand, or part of it is "
                "lost and has to come back from peers first"
            )
        archive.content_key()
        self._metadata = archive.metadata
        self._content: Feed = content
        self._queue = EntryQueue(archive.metadata)
        self._index = IndexWriter(AppendTree(self._queue, most_reads=_READS), archive.version)
        self.archive = Archive(archive.metadata, content, entries=self._queue)
        self._hashing = hashing
        self._batches: deque[_Batch] = deque()  # are being hashed; what waits comes behind them
        self._waiting: list[bytes] = []
        self._waiting_size = 0
        self._draft: Draft | None = None
        self._draft_waits = 0  # blocks of it that wait, the last ones of those that do
        self._told = (archive.metadata.length, content.length)
        self._broken = False

    @property
    def queued(self) -> int:
        """Entries that wait for `commit`."""
        return len(self._queue.blocks)

    @property
    def queued_bytes(self) -> int:
        """Bytes of them: commit before they are many."""
        return self._queue.size

    def find(self, path: str) -> Entry | None:
        """Find the entry of a file or explicit directory, the waiting ones included.

        The same as `archive.find`, and faster while entries are being written.

        Raises:
            BlockMissing, ArchiveFormatError: As `Archive.stat`.
        """
        names = stored_names(path)
        return self._index.find(names) if names else None

    # Files

    def begin(self) -> Draft:
        """Begin a new file. One at a time: put it or abandon it before the next.

        Raises:
            ValueError: There is one.
        """
        if self._draft is not None:
            raise ValueError("another file is still being written")
        self._draft = Draft(self, *self._end())
        self._draft_waits = 0
        return self._draft

    def put(self, path: str, draft: Draft, *, mode: int = 0o644, mtime: int, ctime: int) -> int:
        """Queue the entry of a file whose content is complete.

        Args:
            path: Where it is to stand; what is there goes.
            draft: Its content. It is done with this.
            mode: Permission bits.
            mtime: Milliseconds since 1970.
            ctime: Milliseconds since 1970.

        Returns:
            The entry's number.

        Raises:
            PathRefused: No archive can hold such a path. The draft is as before.
            BlockMissing, StorageError: The index cannot be read. Nothing has changed.
        """
        self._check_open(draft)
        names = stored_names(path)
        stat = Stat(
            file_mode.S_IFREG | mode & _PERMISSIONS,
            size=draft.size,
            blocks=draft.blocks,
            offset=draft.offset,
            byte_offset=draft.byte_offset,
            mtime=mtime,
            ctime=ctime,
        )
        seq = self._put_entry(path, names, stat)
        self._draft = None
        return seq

    def abandon(self, draft: Draft) -> None:
        """Give a draft up. What is in the feed of it stays there, unused."""
        self._check_open(draft)
        waiting = len(self._waiting) - self._draft_waits
        self._waiting_size -= sum(map(len, self._waiting[waiting:]))
        del self._waiting[waiting:]
        self._draft = None

    def remove(self, path: str) -> int:
        """Queue the deletion of a file; gives the entry's number.

        Raises:
            EntryNotFound: There is no such file. (Deleting what is not there would write an entry
                that can make the reference lose others.)
            PathRefused: It is a folder.
        """
        names = resolve(path)  # what is listed under that very name, a backslash in it included
        entry = self._index.find(names) if names else None
        if entry is None or entry.stat is None:
            if not names or self._index.children(names):
                raise PathRefused(f"{path!r} is a folder: remove the files in it")
            raise EntryNotFound(f"{path!r} is not in this archive")
        if entry.stat.is_directory:
            raise PathRefused(f"{path!r} is a folder: remove it as one")
        return self._remove_entry(names)

    # Folders

    def mkdir(self, path: str, *, mode: int = 0o755, mtime: int, ctime: int) -> int:
        """Queue an entry for a folder, which keeps it while it is empty; gives its number.

        Raises:
            PathRefused: There is a file or such an entry already, or no archive can hold the path.
        """
        names = stored_names(path)
        if names and self._index.find(names) is not None:
            raise PathRefused(f"{path!r} exists already")
        offset, byte_offset = self._end()
        stat = Stat(
            file_mode.S_IFDIR | mode & _PERMISSIONS,
            offset=offset,
            byte_offset=byte_offset,
            mtime=mtime,
            ctime=ctime,
        )
        return self._put_entry(path, names, stat)

    def rmdir(self, path: str) -> int:
        """Queue the deletion of an empty folder; gives the entry's number.

        Raises:
            EntryNotFound: There is no such folder.
            FolderNotEmpty: Something lies in it.
        """
        names = resolve(path)
        if self._index.children(names):
            raise FolderNotEmpty(f"{path!r} is not empty: remove what lies in it first")
        entry = self._index.find(names) if names else None
        if entry is None or entry.stat is None or not entry.stat.is_directory:
            raise EntryNotFound(f"{path!r} is no folder of this archive")
        return self._remove_entry(names)

    # To disk

    def commit(self) -> Committed:
        """Make everything durable: content first, then all waiting entries under one signature.

        A draft may be open; what it has so far goes along.

        Returns:
            What is new since the last commit.

        Raises:
            StorageError: The disk refused. While it was only full, everything still waits: make
                room and commit again, or drop this writer and with it what waits. If it says that
                the archive is to be opened anew, do so (D-4).
            NotWritableError: Part of the archive was found lost.
        """
        if self._broken:
            raise StorageError("a file of this archive could not be flushed: open it anew")
        self._append_content()
        self._flush(self._content)
        self._queue.append_all()
        self._flush(self._metadata)
        before, self._told = self._told, (self._metadata.length, self._content.length)
        return Committed(range(before[0], self._told[0]), range(before[1], self._told[1]))

    def _flush(self, feed: Feed) -> None:
        try:
            feed.flush()
        except StorageError:
            self._broken = True
            raise

    def _take(self, draft: Draft, blocks: Sequence[bytes]) -> None:
        self._check_open(draft)
        added = [block for block in blocks if block]
        size = sum(map(len, added))
        if size > MAX_BLOCK_SIZE and max(map(len, added)) > MAX_BLOCK_SIZE:
            raise ValueError(f"a block has more than {MAX_BLOCK_SIZE} bytes")
        before = len(self._waiting), self._waiting_size, self._draft_waits
        self._waiting += added
        self._waiting_size += size
        self._draft_waits += len(added)
        if self._waiting_size >= CONTENT_BATCH or len(self._waiting) >= CONTENT_BATCH_BLOCKS:
            try:
                self._spill()
            except StorageError:
                waiting, self._waiting_size, self._draft_waits = before
                self._waiting = self._waiting[:waiting]
                raise
        draft.blocks += len(added)
        draft.size += size

    def _spill(self) -> None:
        """Begin to hash the content that waits; append, unflushed, what was hashed meanwhile."""
        following = _Batch(self._waiting, self._waiting_size, self._hashing(self._waiting))
        if len(self._batches) >= BATCHES_AHEAD:
            self._append_batch()
        self._batches.append(following)
        self._waiting = []
        self._waiting_size = self._draft_waits = 0

    def _append_batch(self) -> None:
        batch = self._batches[0]
        self._content.append(batch.blocks, batch.hashes())
        self._batches.popleft()  # not before: a full disk may take it later

    def _append_content(self) -> None:
        while self._batches:
            self._append_batch()
        if self._waiting:
            self._spill()
            self._append_batch()

    def _end(self) -> tuple[int, int]:
        """Block and byte behind all content."""
        content, batches = self._content, self._batches
        return (
            content.length + sum(len(batch.blocks) for batch in batches) + len(self._waiting),
            content.byte_length + sum(batch.size for batch in batches) + self._waiting_size,
        )

    def _check_open(self, draft: Draft) -> None:
        if draft is not self._draft:
            raise ValueError("this file is done with")

    def _put_entry(self, path: str, names: tuple[str, ...], stat: Stat) -> int:
        if not names:
            raise PathRefused(f"{path!r} is the archive itself")
        self._queue.add(encode_node("/" + "/".join(names), stat, self._index.put(names)))
        return self._index.head

    def _remove_entry(self, names: tuple[str, ...]) -> int:
        self._queue.add(encode_node("/" + "/".join(names), None, self._index.remove(names)))
        return self._index.head


def stored_names(path: str) -> tuple[str, ...]:
    r"""Split a path that is to be written, as hyperdrive does: `\` is `/`, `..` stops at the root.

    Raises:
        PathRefused: It is no text, too long or too deep for any reader.
    """
    names = resolve(path.replace("\\", "/"))
    try:
        size = len("/".join(names).encode()) + 1
    except UnicodeEncodeError:
        raise PathRefused(
            f"{path!r} is no valid UTF-8: archives hold no such names; rename it"
        ) from None
    if size > MAX_NAME_SIZE or len(names) > MAX_DEPTH:
        raise PathRefused(
            f"a path of {size} bytes and {len(names)} folders is longer than the {MAX_NAME_SIZE} "
            f"bytes or deeper than the {MAX_DEPTH} folders that archives are read to"
        )
    return names
