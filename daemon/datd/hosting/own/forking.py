"""Copies a version of an archive into a new one of our own, block by block."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from datd.archive.entries import IMPLIED_DIRECTORY, Stat
from datd.archive.manifest import MANIFEST_PATH, MAX_MANIFEST_SIZE, parse_manifest
from datd.archive.writer import ArchiveWriter, Draft
from datd.errors import (
    ArchiveFormatError,
    BlockMissing,
    PathRefused,
    StorageError,
    UnknownArchive,
)
from datd.hosting.archive import HostedArchive
from datd.hosting.jobs import Job
from datd.hosting.open_archive import OpenArchive
from datd.hosting.own.publishing import Desk, manifest_text, once

T = TypeVar("T")

# As long as a job may wait for a block that no peer gives: it is nobody's browser.
PATIENCE = 600.0
PAGE = 200
# What is read at once of the original, and so held in memory.
READ_BYTES = 4 * 2**20
COMMIT_ENTRIES = 1000


class Fork:
    """One copy under way."""

    def __init__(self, original: HostedArchive, version: int, desk: Desk, job: Job) -> None:
        """Copy nothing yet.

        Args:
            original: What is copied.
            version: Which version of it.
            desk: Where the copy is written.
            job: Is told how far it is.
        """
        self._original = original
        self._version = version
        self._desk = desk
        self._job = job
        self._queued = 0
        self._begun_before = False

    async def copy(self, fields: dict[str, str]) -> None:
        """Copy all files and folders; of a copy that was begun before, what it lacks.

        Args:
            fields: What shall stand in `/dat.json` in place of what the original says.

        Raises:
            Timeout: A block is not to be had.
            UnknownArchive: The files of the original cannot be read.
        """
        self._begun_before = self._desk.opened.archive.version > 0
        if await self._desk.stat(MANIFEST_PATH) is None:
            await self._describe(fields)
        cursor: tuple[int, ...] = ()
        finished = False

        def page(opened: OpenArchive) -> tuple[list[tuple[str, Stat]], tuple[int, ...], bool]:
            going = opened.archive.walk("/", self._version, after=cursor)
            return going.page(PAGE), going.cursor, going.finished

        while not finished:
            entries, cursor, finished = await self._ask(page)
            for path, stat in entries:
                await self._entry(path, stat)
        await self._commit()

    async def _entry(self, path: str, stat: Stat) -> None:
        if path == MANIFEST_PATH and stat.is_file:
            return
        try:
            if self._begun_before and await self._is_there(path):
                pass  # as it was copied, or as somebody wrote it since
            elif stat.is_directory:
                await self._desk.write(
                    lambda writer: writer.mkdir(
                        path, mode=stat.mode, mtime=stat.mtime, ctime=stat.ctime
                    )
                )
            elif stat.is_file:
                await self._file(path, stat)
            else:
                self._job.skip(path, "it is neither a file nor a folder")
        except (PathRefused, ArchiveFormatError) as error:
            self._job.skip(path, str(error))
        self._job.done += stat.size
        self._job.text = path
        self._queued += 1
        if self._queued >= COMMIT_ENTRIES:
            await self._commit()

    async def _is_there(self, path: str) -> bool:
        known = await self._desk.stat(path)
        return known is not None and known is not IMPLIED_DIRECTORY

    async def _file(self, path: str, stat: Stat) -> None:
        draft = await self._desk.write(ArchiveWriter.begin)
        try:
            at = 0
            while at < stat.size:
                blocks = await self._ask(partial(_blocks, stat=stat, at=at))
                await self._desk.write(partial(_write, draft, blocks))
                at += sum(map(len, blocks))
            await self._desk.write(
                lambda writer: writer.put(
                    path, draft, mode=stat.mode, mtime=stat.mtime, ctime=stat.ctime
                )
            )
        except (ArchiveFormatError, PathRefused):
            await self._desk.write(lambda writer: writer.abandon(draft))
            raise

    async def _ask(self, call: Callable[[OpenArchive], T]) -> T:
        """Read the original; a fault of its files is its own, and none of the copy's."""
        try:
            async with self._original.opened() as opened:
                return await opened.call(partial(call, opened), wait=PATIENCE)
        except StorageError as error:
            raise UnknownArchive(f"the original cannot be read: {error}") from error

    async def _describe(self, fields: dict[str, str]) -> None:
        """Write `/dat.json`: the original's, but with our own link."""
        known = await self._ask(self._manifest)
        if known is None and not fields:
            return
        said = known if known is not None else {"title": "", "description": ""}
        whole = {**said, **fields, "url": self._desk.archive.key.link}
        await self._desk.put(MANIFEST_PATH, once(manifest_text(whole)))

    def _manifest(self, opened: OpenArchive) -> dict[str, object] | None:
        entry = opened.archive.find(MANIFEST_PATH, self._version)
        stat = entry.stat if entry is not None else None
        if stat is None or not stat.is_file or stat.size > MAX_MANIFEST_SIZE:
            return None
        data = b""
        while len(data) < stat.size:
            data += b"".join(_blocks(opened, stat, len(data)))
        if parse_manifest(data) is None:
            return None
        found = json.loads(data)
        return found if isinstance(found, dict) else None

    async def _commit(self) -> None:
        self._queued = 0
        await self._desk.write(ArchiveWriter.commit)


def _write(draft: Draft, blocks: Sequence[bytes], _: ArchiveWriter) -> None:
    draft.write(blocks)


def _blocks(opened: OpenArchive, stat: Stat, at: int) -> list[bytes]:
    """The next blocks of a file, as its author cut them: copies have equal blocks."""
    content = opened.content
    if content is None:
        raise BlockMissing(opened.metadata.feed.discovery_key, 0)
    blocks: list[bytes] = []
    size = 0
    for block, start, stop in opened.archive.spans(stat, at, stat.size):
        try:
            blocks.append(content.feed.get(block)[start:stop])
        except BlockMissing:
            if blocks:
                break
            raise
        size += len(blocks[-1])
        if size >= READ_BYTES:
            break
    return blocks
