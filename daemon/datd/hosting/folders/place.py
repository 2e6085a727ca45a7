"""Where the files of an archive lie: in the data folder, or in a folder that was taken over.

A folder that is not ours is believed nothing: each node and block in it is checked by hash before
it counts, and again whenever somebody else has written there since we closed it (the *seal* tells).
What such a folder cannot hold lies aside, in the data folder.

Synchronous: opened and closed in the archive's lane.

Source: sleep.md sections 1, 9 and 10; decisions 13 and 16.
"""

import json
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

from datd.archive.plain_files import PlainFiles
from datd.errors import FolderRefused, StorageError
from datd.feed.feed import Feed
from datd.hosting.folders.folder_lock import FolderLock
from datd.hosting.own.roots import ImportRoots
from datd.keys import Key
from datd.records import Record
from datd.storage import layout
from datd.storage.base import DescriptorPool, FeedStorage, RandomAccess
from datd.storage.disk import DiskFile, replace_file
from datd.storage.faults import storage_error
from datd.storage.guarded import GuardedFile
from datd.storage.layout import ArchiveFiles, LayoutName
from datd.storage.mapped import MappedFiles
from datd.storage.memory import MemoryFile
from datd.storage.sleep import TREE, SleepFile

# Beside what lies aside of an adopted archive; no file of a feed has this name.
SEAL: Final = "seal"
_ASIDE: Final = "content.aside"
# Sleep.md section 9; the original makes it in mirrors only.
_LATEST: Final = ".dat/metadata.latest"
# T-26: all of a tree is looked through when it is checked, holes included. So much belongs to an
# archive of 13 TB of usual blocks.
_LARGEST: Final = 16 * 2**30


def is_folder_of_files(record: Record) -> bool:
    """Whether the content of an archive are the plain files of a folder."""
    return record.layout == "dat"


def is_their_folder(record: Record) -> bool:
    """Whether those files are the ones that it is published from: then they are never written."""
    return is_folder_of_files(record) and record.source is not None


@dataclass(slots=True)
class Check:
    """How far the check of a folder is. Written in the lane, read anywhere.

    Attributes:
        tell: Called with bytes checked and to be checked, in the lane.
        stopped: Set to end it early.
        over: Set when there is to be none any more: the archive was removed, or the daemon ends.
    """

    tell: Callable[[int, int], None] = lambda done, total: None
    stopped: bool = False
    over: bool = False
    done: int = 0
    total: int = 0

    def reads(self, size: int) -> None:
        """So many bytes are read next."""
        if self.stopped or self.over:
            raise StorageError("the check of this folder was ended: it begins anew at the next use")
        self.done += size
        self.tell(self.done, self.total)


class OpenPlace:
    """The files of an archive that is open.

    Attributes:
        files: Of both feeds.
        trusted: Whether what bits and hashes there say may be believed.
        plain: Maps content to plain files, in layout `dat`; it needs the metadata feed.
        folder: Those files.
        latest: Notes up to which version a mirror in layout `dat` removed old files.
    """

    def __init__(
        self,
        files: ArchiveFiles,
        *,
        trusted: bool = True,
        plain: PlainFiles | None = None,
        folder: MappedFiles | None = None,
        latest: RandomAccess | None = None,
        lock: FolderLock | None = None,
        seal: Callable[[], None] = lambda: None,
    ) -> None:
        self.files = files
        self.trusted = trusted
        self.plain = plain
        self.folder = folder
        self.latest = latest
        self._lock = lock
        self._seal = seal

    def feed(self, files: FeedStorage, key: Key, *, secret: bytes | None, clean: bool) -> Feed:
        """Open one of the feeds, metadata before content.

        Raises:
            StorageError: Its files cannot be read, or belong to another key.
        """
        feed = Feed.open(
            files, key, secret_key=secret, clean=clean and self.trusted, trust_bits=self.trusted
        )
        if self.plain is not None and files is self.files.metadata:
            self.plain.metadata = feed
        return feed

    def close(self, *, sound: bool) -> None:
        """Give everything back.

        Args:
            sound: Whether all was written as it should be: then it is believed the next time.
        """
        try:
            self.files.close()
            if self.latest is not None:
                self.latest.close()
            if sound:
                self._seal()
        finally:
            if self._lock is not None:
                self._lock.release()


class Place:
    """Where one archive lies. Costs nothing while it is quiet.

    Attributes:
        folder: In the data folder: its files, or what lies aside of those elsewhere.
        check: How far the check of an adopted folder is.
    """

    def __init__(self, record: Record, archives: Path, roots: ImportRoots) -> None:
        """Look at nothing yet.

        Args:
            record: Tells where, in which layout.
            archives: The part of the data folder for archives.
            roots: Folders elsewhere must lie below one of these.
        """
        name = str(record.key.discovery_key)
        self.folder = archives / name[:2] / name[2:]
        self.check = Check()
        self._record = record
        self._roots = roots

    def open(self, pool: DescriptorPool) -> OpenPlace:
        """Open what is there; nothing is written by that.

        Raises:
            StorageError: An adopted folder is gone, may not be used any more, holds links where
                files should be, or is in use by another program.
        """
        location = self._record.location
        if location is None:
            return OpenPlace(layout.flat(self.folder, pool))
        return self._open_adopted(Path(location), cast(LayoutName, self._record.layout), pool)

    def _open_adopted(self, location: Path, how: LayoutName, pool: DescriptorPool) -> OpenPlace:
        require_usable(location, how, self._roots)
        lock = FolderLock(bitfields(location, how))
        try:
            sealed = self._is_sealed(location, how)
            plain = folder = latest = None
            if how == "dat":
                plain = PlainFiles()
                folder = MappedFiles(
                    location,
                    plain.place,
                    aside=DiskFile(self.folder / _ASIDE, pool, mode=0o600),
                    theirs=is_their_folder(self._record),
                )
                if not is_their_folder(self._record):
                    latest = DiskFile(location / _LATEST, pool)
                files = layout.dat(
                    location, pool, secret_keys=None, locate=plain.place, content=folder
                )
            else:
                files = (layout.flat if how == "flat" else layout.hyperdrive)(location, pool)
            files = without_secret(files)
            if not sealed:
                files = self._checked(files)
            return OpenPlace(
                files,
                trusted=sealed,
                plain=plain,
                folder=folder,
                latest=latest,
                lock=lock,
                seal=lambda: self._set_seal(location, how),
            )
        except BaseException:
            lock.release()
            raise

    def _checked(self, files: ArchiveFiles) -> ArchiveFiles:
        check = self.check
        check.done, check.stopped = 0, False
        check.total = sum(expected_size(feed) for feed in (files.metadata, files.content))
        return ArchiveFiles(
            *(
                replace(feed, data=GuardedFile(feed.data, on_read=check.reads))
                for feed in (files.metadata, files.content)
            )
        )

    # ---- the seal

    def _is_sealed(self, location: Path, how: LayoutName) -> bool:
        try:
            kept = json.loads((self.folder / SEAL).read_bytes())
        except (OSError, ValueError):
            return False
        return bool(kept == _state(location, how))

    def _set_seal(self, location: Path, how: LayoutName) -> None:
        state = _state(location, how)
        if not self._is_sealed(location, how):
            # Without a seal, all is checked again: no reason for an error.
            with suppress(StorageError):
                replace_file(self.folder / SEAL, json.dumps(state).encode(), mode=0o600)


def _state(location: Path, how: LayoutName) -> list[list[object]]:
    """What changes when anybody writes to the files of the feeds."""
    found: list[list[object]] = []
    for file in layout.sleep_files(location, how):
        # Content in plain files is a person's to change; each block is checked when it is read.
        with suppress(OSError):
            status = os.lstat(file)
            found.append([str(file), status.st_ino, status.st_size, status.st_mtime_ns])
    return found


def bitfields(location: Path, how: LayoutName) -> list[Path]:
    """The two files on which programs lock an archive."""
    return [file for file in layout.sleep_files(location, how) if file.name.endswith("bitfield")]


def expected_size(feed: FeedStorage) -> int:
    """Bytes that a check of a feed will read, as far as its tree file tells."""
    try:
        entries = SleepFile(feed.tree, TREE).scan()
        return sum(int.from_bytes(entry[32:], "big") for index, entry in entries if index % 2 == 0)
    except StorageError:
        return 0


def without_secret(files: ArchiveFiles) -> ArchiveFiles:
    """The same files; a secret key among them is not looked at."""
    return replace(files, metadata=replace(files.metadata, secret_key=MemoryFile()))


def require_usable(location: Path, how: LayoutName, roots: ImportRoots) -> None:
    """See to it that a folder may be used, and that writing to its files writes nowhere else.

    Raises:
        StorageError: It may not.
    """
    try:
        found = roots.folder(str(location))
    except FolderRefused as error:
        raise StorageError(f"the folder of this archive cannot be used: {error}") from error
    if found != location:
        raise StorageError(f"a link stands in the way to {str(location)!r}: remove the link")
    try:
        for file in layout.sleep_files(location, how):
            _require_plain(location, file)
    except OSError as error:
        raise storage_error(error, location, "look into") from error
    if layout.detect(location) != how:
        raise StorageError(f"there is no archive in {str(location)!r} any more: put it back")


def _require_plain(location: Path, file: Path) -> None:
    if file.parent != location:
        with suppress(FileNotFoundError):
            if not stat.S_ISDIR(os.lstat(file.parent).st_mode):
                raise StorageError(f"{str(file.parent)!r} is no folder, or a link to one")
    try:
        status = os.lstat(file)
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISREG(status.st_mode):
        raise StorageError(f"{str(file)!r} is a link or no plain file: an archive has none there")
    if status.st_size > _LARGEST and not file.name.endswith("data"):
        raise StorageError(f"{str(file)!r} has {status.st_size} bytes: more than can be checked")
    if status.st_nlink > 1:
        raise StorageError(
            f"{str(file)!r} is the same file as another one elsewhere (a hard link), which would "
            "change with it: copy the folder, and use the copy"
        )
