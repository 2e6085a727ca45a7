"""Copies a version of an archive into a new one of our own, block by block."""

import json
from collections.abc import Sequence
from functools import partial

from datd.archive.entries import Stat
from datd.archive.manifest import MANIFEST_PATH, MAX_MANIFEST_SIZE, parse_manifest
from datd.archive.writer import ArchiveWriter, Draft
from datd.errors import ArchiveFormatError, BlockMissing, PathRefused
from datd.hosting.jobs import Job
from datd.hosting.open_archive import OpenArchive
from datd.hosting.publishing import Desk, manifest_text, once

# As long as a job may wait for a block that no peer gives: it is nobody's browser.
PATIENCE = 600.0
PAGE = 200
# What is read at once of the original, and so held in memory.
READ_BYTES = 4 * 2**20
COMMIT_ENTRIES = 1000


class Fork:
    """One copy under way."""

    def __init__(self, opened: OpenArchive, version: int, desk: Desk, job: Job) -> None:
        """Copy nothing yet.

        Args:
            opened: The original.
            version: Which version of it.
            desk: Where the copy is written.
            job: Is told how far it is.
        """
        self._opened = opened
        self._version = version
        self._desk = desk
        self._job = job
        self._queued = 0

    async def copy(self, fields: dict[str, str]) -> None:
        """Copy all files and folders.

        Args:
            fields: What shall stand in `/dat.json` in place of what the original says.

        Raises:
            Timeout: A block is not to be had.
        """
        await self._describe(fields)
        cursor: tuple[int, ...] = ()
        finished = False

        def page() -> tuple[list[tuple[str, Stat]], tuple[int, ...], bool]:
            going = self._opened.archive.walk("/", self._version, after=cursor)
            return going.page(PAGE), going.cursor, going.finished

        while not finished:
            entries, cursor, finished = await self._opened.call(page, wait=PATIENCE)
            for path, stat in entries:
                await self._entry(path, stat)
        await self._commit()

    async def _entry(self, path: str, stat: Stat) -> None:
        if path == MANIFEST_PATH and stat.is_file:
            return
        try:
            if stat.is_directory:
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

    async def _file(self, path: str, stat: Stat) -> None:
        draft = await self._desk.write(ArchiveWriter.begin)
        try:
            at = 0
            while at < stat.size:
                blocks = await self._opened.call(partial(self._blocks, stat, at), wait=PATIENCE)
                await self._desk.write(partial(_write, draft, blocks))
                at += sum(map(len, blocks))
        except ArchiveFormatError:
            await self._desk.write(lambda writer: writer.abandon(draft))
            raise
        await self._desk.write(
            lambda writer: writer.put(
                path, draft, mode=stat.mode, mtime=stat.mtime, ctime=stat.ctime
            )
        )

    def _blocks(self, stat: Stat, at: int) -> list[bytes]:
        """The next blocks of a file, as its author cut them: copies have equal blocks."""
        content = self._opened.content
        if content is None:
            raise BlockMissing(self._opened.metadata.feed.discovery_key, 0)
        blocks: list[bytes] = []
        size = 0
        for block, start, stop in self._opened.archive.spans(stat, at, stat.size):
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

    async def _describe(self, fields: dict[str, str]) -> None:
        """Write `/dat.json`: the original's, but with our own link."""
        known = await self._opened.call(self._manifest, wait=PATIENCE)
        if known is None and not fields:
            return
        said = known if known is not None else {"title": "", "description": ""}
        whole = {**said, **fields, "url": self._desk.archive.key.link}
        await self._desk.put(MANIFEST_PATH, once(manifest_text(whole)))

    def _manifest(self) -> dict[str, object] | None:
        entry = self._opened.archive.find(MANIFEST_PATH, self._version)
        stat = entry.stat if entry is not None else None
        if stat is None or not stat.is_file or stat.size > MAX_MANIFEST_SIZE:
            return None
        data = b""
        while len(data) < stat.size:
            data += b"".join(self._blocks(stat, len(data)))
        if parse_manifest(data) is None:
            return None
        found = json.loads(data)
        return found if isinstance(found, dict) else None

    async def _commit(self) -> None:
        self._queued = 0
        await self._desk.write(ArchiveWriter.commit)


def _write(draft: Draft, blocks: Sequence[bytes], _: ArchiveWriter) -> None:
    draft.write(blocks)
