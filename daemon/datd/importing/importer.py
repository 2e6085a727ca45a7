"""Brings an archive up to date with a folder, slice by slice.

What changed is put, what vanished is removed; all else costs a look. Each file becomes content
blocks first and an entry then, so what is cut short leaves unused blocks, and the next import takes
those up. Source: archives.md section 10; dat-node with mirror-folder 3.0.0 for what is imported.
"""

import os
from collections.abc import Callable, Collection, Generator, Iterable
from contextlib import suppress
from pathlib import Path

from datd.archive.archive import Archive
from datd.archive.entries import Stat
from datd.archive.writer import ArchiveWriter, Committed, Draft, stored_names
from datd.errors import FolderNotEmpty, FolderRefused
from datd.importing.chunking import FIXED_SIZE, Chunking, chunker
from datd.importing.content import UnusedBlocks, equals
from datd.importing.hashing import HashingThreads
from datd.importing.ignore import IgnoreRules
from datd.importing.known import Children, KnownVersion
from datd.importing.noticed import look
from datd.importing.progress import Progress
from datd.importing.scan import File, Folder, FollowLinks, Scan, Skipped, unreadable
from datd.importing.tree import FolderTree

# One slice keeps the archive's lane from readers: for so long, or until so much was read.
SLICE_MS = 100
SLICE_SIZE = 8 * 2**20
# A commit costs several flushes of the disk, so slices share one; peers hear of nothing before.
COMMIT_MS = 1000
COMMIT_SIZE = 64 * 2**20
COMMIT_ENTRIES = 4096
COMMIT_ENTRY_BYTES = 4 * 2**20
# Times of files lag behind the clock by up to a tick of the kernel, 10 ms. A file that was changed
# so shortly before its import may have changed since without looking younger.
RACY_MS = 20
# A file that goes on changing is left for the next import.
_ATTEMPTS = 2
# The rest of a mode, such as set-user-id, is nobody's business.
_PERMISSIONS = 0o777

_NOTHING = range(0)
# What a step read, in bytes.
_Steps = Generator[int, None, None]


class Importer:
    """One import of a folder into an archive of our own.

    Nothing else may write to the archive until it is done: an open file and entries wait between
    the slices.

    Attributes:
        progress: How far it is; the same object all along.
    """

    def __init__(
        self,
        archive: Archive,
        folder: Path,
        *,
        now: Callable[[], int],
        chunking: Chunking = "fixed",
        ignore_hidden: bool = True,
        follow_links: FollowLinks = "inside",
        delete: bool = True,
        begins: Callable[[str, int], None] | None = None,
        noticed: Collection[str] | None = None,
        may_follow: Callable[[Path], bool] = lambda _: True,
    ) -> None:
        """Open the folder and read its rules.

        Args:
            archive: Both feeds open and writable.
            folder: Absolute, and without links in it: resolve it, and check what comes out.
            now: Milliseconds since 1970.
            chunking: How files are cut into blocks.
            ignore_hidden: Leave out all that is hidden.
            follow_links: Whose targets are imported in place of symbolic links; see `Scan`.
            delete: Remove from the archive what is not in the folder.
            noticed: Import only these files, as far as each can be judged by itself; see `look`.
            may_follow: With `follow_links` "all": whether a file outside may be imported.
            begins: Is told, before a file is written, its path and where its content will begin.

        Raises:
            NotWritableError, ArchiveFormatError: As `ArchiveWriter`.
            FolderRefused: The folder cannot be opened.
            ConfigError: Its `.datignore` cannot be understood.
        """
        self.progress = Progress()
        self._hashing = HashingThreads()
        self._writer = ArchiveWriter(archive, hashing=self._hashing)
        self._now = now
        self._chunking: Chunking = chunking
        self._follow_links: FollowLinks = follow_links
        self._may_follow = may_follow
        self._delete = delete
        self._begins = begins
        self._rules = IgnoreRules.read(folder, ignore_hidden=ignore_hidden)
        self._unused = UnusedBlocks(archive)
        self._known = KnownVersion(archive)
        # Folders on the way to where the scan stands, and what the archive has in them.
        self._way: list[tuple[str, Children]] = []
        self._trees = [FolderTree(folder)]
        if follow_links == "all":
            try:
                self._trees.append(FolderTree(Path("/")))
            except FolderRefused:
                self._trees[0].close()  # no descriptor is left: this one is not kept from others
                raise
        self._steps: _Steps | None = (
            self._work() if noticed is None else self._take_noticed(noticed)
        )
        self._finished = False
        self._committed_at = now()
        self._size = 0

    def advance(self) -> Committed | None:
        """Do the next slice: call it until it gives None.

        Returns:
            What is new and durable, often nothing; None when all was done before.

        Raises:
            FolderRefused: The folder is gone, or cannot be read. It is over; what was committed
                stays, and another import goes on from there.
            StorageError: The disk of the archive refused. Likewise.
            BlockMissing: Part of the archive's metadata is not here. It is over.
        """
        if self._steps is None:
            return None
        committed = Committed(_NOTHING, _NOTHING)
        try:
            if not self._finished and not self._is_due():
                self._finished = self._slice(self._steps)
                return committed
            committed = self._commit()  # a slice of its own: the disk may take its time
        except BaseException:
            self.close()
            raise
        if self._finished:
            self.close()
        return committed

    def close(self) -> None:
        """Stop here; what is not committed yet is done again by the next import."""
        if self._steps is not None:
            steps, self._steps = self._steps, None
            steps.close()
            self._hashing.close()
            for tree in self._trees:
                tree.close()

    def _slice(self, steps: _Steps) -> bool:
        """Go on for a while; whether all is done."""
        until = self._now() + SLICE_MS
        size = 0
        for read in steps:
            size += read
            if size >= SLICE_SIZE or self._now() >= until or self._now() < until - SLICE_MS:
                self._size += size
                return False
        self._size += size
        return True

    def _is_due(self) -> bool:
        writer = self._writer
        return (
            self._size >= COMMIT_SIZE
            or writer.queued >= COMMIT_ENTRIES
            or writer.queued_bytes >= COMMIT_ENTRY_BYTES
            or (writer.queued > 0 and abs(self._now() - self._committed_at) >= COMMIT_MS)
        )

    def _commit(self) -> Committed:
        self._size = 0
        committed = self._writer.commit()
        self._committed_at = self._now()
        return committed

    # The folder

    def _work(self) -> _Steps:
        for found in self._scan():
            if isinstance(found, File):
                self.progress.files_total += 1
                self.progress.bytes_total += found.stat.st_size
            yield 0
        for found in self._scan():
            match found:
                case Folder():
                    yield from self._enter(found)
                case File():
                    yield from self._take(found)
                case Skipped():
                    yield from self._skip(found)
            yield 0

    def _take_noticed(self, paths: Iterable[str]) -> _Steps:
        for path in sorted(paths):
            found = look(self._trees[0], self._rules, path)
            if found is None or self._lies_in_file(path):
                continue
            folder = path.rpartition("/")[0]
            self._way = [(folder, self._known.children(folder))]
            if isinstance(found, File):
                yield from self._take(found)
            elif self._delete and self._stat(path) is not None:
                self._trees[0].check()
                yield from self._remove_all(path)
            yield 0

    def _lies_in_file(self, path: str) -> bool:
        """Whether the archive has a file where the folder has a folder: more is to be done then."""
        names = path.split("/")
        above = ("/".join(names[:depth]) for depth in range(1, len(names)))
        entries = (self._writer.find(folder) for folder in above)
        return any(e is not None and e.stat is not None and e.stat.is_file for e in entries)

    def _scan(self) -> Scan:
        outside = self._trees[1] if len(self._trees) > 1 else None
        return Scan(
            self._trees[0],
            self._rules,
            follow_links=self._follow_links,
            outside=outside,
            may_follow=self._may_follow,
        )

    def _enter(self, folder: Folder) -> _Steps:
        # What the archive does not have needs no look-up: the first import makes none.
        children: Children = {}
        if not folder.path or self._number(folder.path) is not None:
            known = self._stat(folder.path) if folder.path else None
            if known is not None and known.is_file:
                self._remove(folder.path)
            children = self._known.children(folder.path)
        self._way.append((folder.path, children))
        gone = [name for name in children if name not in folder.names]
        if gone and self._delete:
            self._trees[0].check()
            for name in gone:
                yield from self._remove_all(f"{folder.path}/{name}" if folder.path else name)

    def _number(self, path: str) -> int | None:
        """The archive's newest entry at or below a path whose folder was entered."""
        folder, _, name = path.rpartition("/")
        while self._way[-1][0] != folder:
            self._way.pop()
        return self._way[-1][1].get(name)

    def _stat(self, path: str) -> Stat | None:
        """What the archive has at a path whose folder was entered."""
        number = self._number(path)
        return None if number is None else self._known.stat(path, number)

    def _skip(self, skipped: Skipped) -> _Steps:
        if not skipped.path:
            raise FolderRefused(f"{self._trees[0].folder}: {skipped.why}")
        self.progress.skip(skipped)
        if skipped.gone and self._delete and self._stat(skipped.path) is not None:
            self._trees[0].check()
            yield from self._remove_all(skipped.path)

    # What vanished

    def _remove(self, path: str) -> None:
        # A name that other writers can make and we cannot (`a\\b`) would mean another path here.
        if "/".join(stored_names(path)) == path:
            self._writer.remove(path)
            self.progress.removed += 1

    def _remove_all(self, path: str, *, itself: bool = True) -> _Steps:
        """Remove what the archive has at and below a path, or only what is below it.

        What is ignored is not ours to judge, as in `dat`: it stays.
        """
        folders = []
        for name, stat in self._known.below(path):
            below = name[1:]
            if self._rules.ignores(below):
                pass
            elif stat.is_directory:
                folders.append(below)
            elif itself or below != path:
                self._remove(below)
            yield 0
        for folder in sorted(folders, reverse=True):  # those in others first
            with suppress(FolderNotEmpty):
                self._writer.rmdir(folder)
            yield 0

    # What is there

    def _take(self, file: File) -> _Steps:
        known = self._stat(file.path)
        try:
            if known is not None and known.is_file and (yield from self._is_as_known(file, known)):
                self.progress.unchanged += 1
            elif (yield from self._put(file, known)):
                if known is None or not known.is_file:
                    self.progress.added += 1
                else:
                    self.progress.changed += 1
        except OSError as error:
            yield from self._skip(unreadable(file.path, error))
        self.progress.did(1, file.stat.st_size)

    def _is_as_known(self, file: File, known: Stat) -> Generator[int, None, bool]:
        if file.stat.st_size != known.size:
            return False
        changed = file.stat.st_mtime_ns // 1_000_000
        if changed > known.mtime and changed <= self._now():
            return False
        if changed < known.mtime - RACY_MS:
            return True
        # Its time tells nothing: it lies in the future, or too near to the last import.
        descriptor, _ = file.tree.open_file(file.place)
        try:
            content = self._writer.archive.content
            assert content is not None
            return (yield from equals(content, known, descriptor))
        finally:
            os.close(descriptor)

    def _put(self, file: File, known: Stat | None) -> Generator[int, None, bool]:
        for _ in range(_ATTEMPTS):
            descriptor, before = file.tree.open_file(file.place)
            try:
                if (yield from self._put_opened(file, known, descriptor, before)):
                    return True
            finally:
                os.close(descriptor)
        why = "it changed while it was read: import again when it rests"
        yield from self._skip(Skipped(file.path, why))
        return False

    def _put_opened(
        self, file: File, known: Stat | None, descriptor: int, before: os.stat_result
    ) -> Generator[int, None, bool]:
        """Write a file, unless it changes meanwhile; whether it was written."""
        began = self._now()
        draft = self._writer.begin()
        try:
            yield from self._unused.take_up(draft, descriptor)
            if self._begins is not None:
                self._begins(file.path, draft.byte_offset)
            whole = yield from self._write(draft, descriptor, before)
            if whole:
                if known is not None:
                    yield from self._remove_all(file.path, itself=False)
                mode = before.st_mode & _PERMISSIONS
                self._writer.put(file.path, draft, mode=mode, mtime=began, ctime=began)
        except BaseException:
            self._writer.abandon(draft)
            raise
        if whole:
            self._unused.claim(draft)
        else:
            self._writer.abandon(draft)
        return whole

    def _write(
        self, draft: Draft, descriptor: int, before: os.stat_result
    ) -> Generator[int, None, bool]:
        """Write what a draft lacks of a file; whether the file stayed as it was."""
        left = before.st_size - draft.size
        cutter = chunker(self._chunking)
        held: list[bytes] = []
        if draft.size:
            os.lseek(descriptor, draft.size, os.SEEK_SET)
        while left > 0 and (piece := os.read(descriptor, min(left, FIXED_SIZE))):
            left -= len(piece)
            blocks = held + cutter.feed(piece)
            held = blocks[-1:]
            draft.write(blocks[:-1])
            yield len(piece)
        after = os.fstat(descriptor)
        if left or (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            return False  # the last block is still here: what was written can be taken up again
        draft.write(held + cutter.end())
        return True
