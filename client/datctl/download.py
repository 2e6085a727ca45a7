"""Brings files of an archive onto this host's disk; what is there already is kept.

The bytes come in order into a new file, which appears under its name when it is complete. A large
one that is interrupted goes on at the next run.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from typing import IO, NamedTuple

from datctl.client import Client
from datctl.disk import DestinationFolder, Skipped
from datctl.disk_names import UnsafeName, disk_parts
from datctl.errors import Gone, NoDaemon, NoPeers, TimedOut, TransferError, UsageError
from datctl.models import Entry
from datctl.routes import PAGE, Version

# A daemon that restarts is back after a few seconds; what is worse needs a person.
ATTEMPTS = 4
RETRY_SECONDS = 1.0
# What is smaller is sooner fetched again than found again.
LASTING_SIZE = 16 * 2**20


class Snapshot(NamedTuple):
    """One version of one archive.

    Attributes:
        archive: Its key.
        version: The same for all that is read, however the archive changes meanwhile.
    """

    archive: str
    version: int


@dataclass
class Report:
    """What became of the files.

    Attributes:
        files: Fetched, with `size` bytes in all.
        kept: Were here already.
        skipped: (path, why) of those that may not be written here.
        missing: (path, why) of those that nobody gave in time.
    """

    files: int = 0
    size: int = 0
    kept: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)


class Download:
    """Fetches files into one folder.

    Args:
        dat: The daemon.
        snapshot: What to read.
        folder: Where to write.
        wait: Seconds to wait for bytes that have to come from peers.
        changed: Called with the report whenever there is something new in it.
        wanted: Takes down the names that belong here, by their parts, and whether they are folders;
            None if nobody wants to know.
        replaced: Size and time of those versions of a file that are replaced; another file under
            its name stays. None: any file is replaced.

    Attributes:
        report: What became of the files so far.
    """

    def __init__(
        self,
        dat: Client,
        snapshot: Snapshot,
        folder: DestinationFolder,
        *,
        wait: float,
        changed: Callable[[Report], None],
        wanted: dict[tuple[str, ...], bool] | None = None,
        replaced: Callable[[tuple[str, ...]], Collection[tuple[int, float | None]]] | None = None,
    ) -> None:
        self._dat = dat
        self._snapshot = snapshot
        self._folder = folder
        self._wait = wait
        self._changed = changed
        self.report = Report()
        self._wanted = wanted
        self._replaced = replaced

    async def tree(self, path: str) -> None:
        """Everything below a folder of the archive. What nobody gives is noted, the rest comes."""
        async for entry in self._dat.walk(
            self._snapshot.archive, path, version=self._snapshot.version, wait=self._wait
        ):
            await self.entry(entry, path)

    async def entry(self, entry: Entry, path: str) -> None:
        """One file or folder that lies below a folder of the archive; what goes wrong is noted."""
        try:
            parts = disk_parts(entry.path.removeprefix(path.rstrip("/")))
            if entry.kind == "directory":
                self._want(parts, is_folder=True)
                self._folder.make_folder(parts)
            elif entry.kind == "file":
                self._want(parts, is_folder=False)
                await self._file_or_note(entry, parts)
            else:
                raise Skipped("it is neither a file nor a folder")
        except (UnsafeName, Skipped) as reason:
            self.report.skipped.append((entry.path, str(reason)))
        self._changed(self.report)

    def _want(self, parts: tuple[str, ...], *, is_folder: bool) -> None:
        if self._wanted is not None:
            self._wanted[parts] = is_folder
            for depth in range(1, len(parts)):
                self._wanted[parts[:depth]] = True

    async def file(self, entry: Entry, name: str) -> None:
        """One file, under a name of the caller's choice.

        Raises:
            NoPeers: Nobody gave its bytes in time.
            TransferError: They ended early, again and again.
            Skipped: Something lies there that is not replaced.
        """
        await self._file(entry, (name,))

    async def _file_or_note(self, entry: Entry, parts: tuple[str, ...]) -> None:
        try:
            await self._file(entry, parts)
        except (NoPeers, Gone) as error:
            self.report.missing.append((entry.path, str(error)))
            # Nobody gave this one; for the others, what is here now is all that is asked for.
            self._wait = 0.0

    async def _file(self, entry: Entry, parts: tuple[str, ...]) -> None:
        mtime = entry.mtime.timestamp() if entry.mtime is not None else None
        if self._folder.holds(parts, entry.size, mtime):
            self.report.kept += 1
            return
        self._spare(parts)
        executable = bool(entry.mode & 0o100)
        token = await self._token(entry) if entry.size >= LASTING_SIZE else None
        with self._folder.new_file(parts, executable=executable, mtime=mtime, token=token) as file:
            before = self.report.size
            try:
                await self._fetch(entry, file)
                self._spare(parts)  # it may have been written meanwhile
            except BaseException:
                self.report.size = before
                raise
        self.report.files += 1

    def _spare(self, parts: tuple[str, ...]) -> None:
        if self._replaced is not None and not self._folder.is_one_of(parts, self._replaced(parts)):
            raise Skipped("another file lies here, or it was changed: it stays")

    async def _token(self, entry: Entry) -> str | None:
        """What stands for the bytes of a file: a part of them that is here needs not come again."""
        head = await self._dat.head(
            self._snapshot.archive, entry.path, version=self._snapshot.version, wait=self._wait
        )
        return head and hashlib.sha256(f"{entry.path}\0{head.etag}".encode()).hexdigest()[:32]

    async def _fetch(self, entry: Entry, file: IO[bytes]) -> None:
        """All bytes of a file; after an interruption it goes on where it stood."""
        at, attempt = file.tell(), 0
        if at > entry.size:
            file.truncate(0)
            at = 0
        while at < entry.size:
            try:
                async for chunk in self._bytes_from(entry, at):
                    file.write(chunk)
                    at += len(chunk)
                    attempt = 0
                    self.report.size += len(chunk)
                    self._changed(self.report)
                if at < entry.size:
                    raise TransferError(f"{entry.path} ended after {at} of {entry.size} bytes")
            except (NoDaemon, TransferError, TimedOut):
                attempt += 1
                if attempt >= ATTEMPTS:
                    raise
                await asyncio.sleep(RETRY_SECONDS * attempt)
        if at != entry.size:
            raise TransferError(f"{entry.path} has {at} bytes, and should have {entry.size}")

    async def _bytes_from(self, entry: Entry, start: int) -> AsyncIterator[bytes]:
        async with self._dat.stream(
            self._snapshot.archive,
            entry.path,
            version=self._snapshot.version,
            start=start,
            wait=self._wait,
        ) as chunks:
            async for chunk in chunks:
                yield chunk


async def find_entry(
    dat: Client, archive: str, path: str, *, version: Version | None, wait: float
) -> tuple[Snapshot, Entry | None]:
    """What lies at a path, and the version in which it was found.

    Returns:
        The entry is None for a folder.

    Raises:
        NotFound: There is nothing.
        UsageError: It is listed in its folder by another name.
    """
    if path.strip("/") == "":
        listing = await dat.list(archive, "/", version=version, limit=1, wait=wait)
        return Snapshot(listing.key, listing.version), None
    head = await dat.head(archive, path, version=version, wait=wait)
    if head is None:
        listing = await dat.list(archive, path, version=version, limit=1, wait=wait)
        return Snapshot(listing.key, listing.version), None
    folder, wanted = path.rpartition("/")[0] or "/", "/" + path.strip("/")
    cursor = None
    while True:
        listing = await dat.list(
            archive, folder, version=version, limit=PAGE, cursor=cursor, wait=wait
        )
        for entry in listing.entries:
            if entry.path == wanted:
                return Snapshot(listing.key, listing.version), entry
        cursor = listing.next_cursor
        if cursor is None:
            raise UsageError(f"{path} changed while it was looked up: try again")
