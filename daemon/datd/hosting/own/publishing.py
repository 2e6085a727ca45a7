"""Writing archives of ours: files put and removed, folders made; peers hear of it at once.

One writer at a time for each archive. What peers hear of is durable, and the mark beside the secret
key tells how far that is (reliability.md sections 3.1 and 3.4).
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from datd.archive.archive import resolve
from datd.archive.entries import IMPLIED_DIRECTORY, Stat
from datd.archive.manifest import MANIFEST_PATH
from datd.archive.writer import ArchiveWriter, Draft, stored_names
from datd.errors import (
    Busy,
    EntryNotFound,
    FolderNotEmpty,
    Forked,
    NoRoom,
    NotWritableError,
    PathRefused,
    StorageError,
    Timeout,
)
from datd.feed.feed import Feed
from datd.hosting.archive import HostedArchive
from datd.hosting.open_archive import OpenArchive
from datd.hosting.own.growing import Growing
from datd.hosting.own.own_history import OwnHistory, signed
from datd.hosting.own.secrets import Mark
from datd.hosting.own.spool import Spool
from datd.hosting.services import Services
from datd.importing.chunking import Chunker, chunker

T = TypeVar("T")
Check = Callable[[Stat | None], None]
Bytes = AsyncIterator[bytes]

# How long a writer waits for the one before it.
WAIT_SECONDS = 30.0
# One call into the lane writes about this much.
WRITE_BYTES = 4 * 2**20
# A call that removes a folder looks at this many files; each makes an entry of a few hundred bytes.
REMOVED_AT_ONCE = 250


@dataclass(frozen=True, slots=True)
class Put:
    """What was written: its entry, the version that has it, and whether the path is new."""

    path: str
    stat: Stat
    version: int
    new: bool


def _anything(_: Stat | None) -> None:
    """A check that lets everything pass."""


class Desk:
    """Where one archive is written, for as long as nobody else may.

    Attributes:
        archive: The archive.
        opened: Its feeds.
        growing: The same, for whoever is in their lane.
    """

    def __init__(
        self, archive: HostedArchive, opened: OpenArchive, services: Services, mark: Mark | None
    ) -> None:
        self.archive = archive
        self.opened = opened
        self._services = services
        self._history = OwnHistory(opened, mark)
        self._writer: ArchiveWriter | None = None
        self._written_to = 0
        self._unpublished = 0
        self.growing = Growing(self._feeds, self._set_mark)

    async def take(self, *, reachable: bool) -> None:
        """Sit down: nobody else writes from here on.

        Raises:
            NotWritableError: Nothing may be appended; see `OwnHistory.settle`.
        """
        grown = self._written_to != self.opened.metadata.feed.length
        await self._history.settle(grown=grown, reachable=reachable)
        if grown:
            self.rest()
            self._written_to = self.opened.metadata.feed.length

    def rest(self) -> None:
        """Give back the memory of folders that were written, and whatever waits."""
        self._writer = None

    async def leave(self) -> None:
        """Stand up: what was appended and not committed is sealed all the same."""
        with suppress(Timeout):
            if self.growing.waits and not self.opened.broken:
                await self.opened.grow(self.growing, self.growing.seal)
                self._count()

    async def write(self, change: Callable[[ArchiveWriter], T], *, removes: bool = False) -> T:
        """Change something in the lane; what it commits is durable, and told to peers, then.

        Args:
            change: Does it.
            removes: Whether it only removes: that is how an owner makes room, so it needs none.

        Raises:
            NoRoom: There is none for more.
            StorageError: The disk refused; the archive is to be opened anew.
        """
        if not removes:
            self._require_room()
        return await self._grow(lambda: change(self._lent()))

    async def grow(self, call: Callable[[], T]) -> T:
        """The same for a call that has a writer of its own."""
        # Ours knows nothing of what that one writes: its next entry would hide those from readers.
        self.rest()
        self._require_room()
        return await self._grow(call)

    def _require_room(self) -> None:
        lacking = self._services.room.refusal(self._held)
        if lacking is not None:
            raise NoRoom(lacking)

    @property
    def _held(self) -> int:
        return sum(live.present_bytes for live in self.opened.live_feeds)

    async def _grow(self, call: Callable[[], T]) -> T:
        held = self._held
        try:
            return await self.opened.grow(self.growing, partial(self._followed, call))
        finally:
            self._unpublished += self._held - held
            self._count()

    def _count(self) -> None:
        if self._unpublished and not self.growing.waits:
            self.archive.published(self._unpublished)
            self._unpublished = 0

    def _followed(self, call: Callable[[], T]) -> T:
        try:
            return call()
        finally:
            self._written_to = self.opened.metadata.feed.length

    def _lent(self) -> ArchiveWriter:
        if self._writer is None:
            self._writer = ArchiveWriter(self.opened.archive)
        return self._writer

    def _feeds(self) -> list[Feed]:
        return [live.feed for live in self.opened.live_feeds]

    def _set_mark(self) -> None:
        mark = Mark(*map(signed, self._feeds()))
        self._services.secrets.set_mark(self.archive.key.discovery_key, mark)

    # ---- files

    async def stat(self, path: str) -> Stat | None:
        """What a path is, in this moment; None if nothing."""
        with suppress(EntryNotFound):
            return await self.opened.call(lambda: self.opened.archive.stat(path), wait=WAIT_SECONDS)
        return None

    async def put(
        self, path: str, body: Bytes, *, check: Check = _anything, mode: int = 0o644
    ) -> Put:
        """Write a file, in place of what was there.

        Args:
            path: Where.
            body: Its bytes, taken as fast as they are written.
            check: Is told what is there, and may raise what the caller likes.
            mode: Permission bits.

        Raises:
            PathRefused: A folder is there, or a file where a folder would have to be.
        """
        old = await self.stat(path)
        check(old)
        if old is not None and old.is_directory:
            raise PathRefused(f"{path!r} is a folder")
        await self._check_way(path)
        try:
            draft = await self.write(ArchiveWriter.begin)
            await self._fill(draft, body)
            now = int(self._services.wall_clock() * 1000)

            def finish(writer: ArchiveWriter) -> tuple[Stat, int]:
                version = writer.put(path, draft, mode=mode, mtime=now, ctime=now)
                writer.commit()
                return writer.archive.stat(path), version

            stat, version = await self.write(finish)
        except BaseException:
            # Also when whoever sent it has gone: no entry ever names what is here of it.
            self.rest()
            raise
        return Put(path, stat, version, new=old is None)

    async def _fill(self, draft: Draft, body: Bytes) -> None:
        cutter = chunker("content" if self.archive.record.chunking == "content" else "fixed")
        waiting = bytearray()
        async for piece in body:
            waiting += piece
            if len(waiting) >= WRITE_BYTES:
                await self.write(partial(_cut, draft, cutter, bytes(waiting)))
                waiting.clear()
        await self.write(partial(_cut, draft, cutter, bytes(waiting), last=True))

    async def _check_way(self, path: str) -> None:
        """A file with files below it can be written, but no reader could put it on a disk."""
        names = stored_names(path)
        for depth in range(1, len(names)):
            above = "/" + "/".join(names[:depth])
            stat = await self.stat(above)
            if stat is None:
                return
            if not stat.is_directory:
                raise PathRefused(f"{above!r} is a file, so nothing can lie in it")

    async def mkdir(self, path: str, *, check: Check) -> Put:
        """Make a folder that stays while it is empty.

        Raises:
            PathRefused: Something is there.
        """
        path = "/" + "/".join(stored_names(path))
        check(await self.stat(path))
        await self._check_way(path)
        now = int(self._services.wall_clock() * 1000)

        def make(writer: ArchiveWriter) -> tuple[Stat, int]:
            version = writer.mkdir(path, mtime=now, ctime=now)
            writer.commit()
            return writer.archive.stat(path), version

        stat, version = await self.write(make)
        return Put(path, stat, version, new=True)

    async def remove(self, path: str, *, recursive: bool, check: Check) -> None:
        """Remove a file, or a folder that is empty; with `recursive`, with all in it.

        Raises:
            EntryNotFound: There is nothing.
            FolderNotEmpty: It is a folder with something in it.
        """
        stat = await self.stat(path)
        check(stat)
        if stat is None or (not resolve(path) and not recursive):
            raise EntryNotFound(f"{path!r} is not in this archive")
        if not stat.is_directory:
            await self.write(lambda writer: _committed(writer, writer.remove(path)), removes=True)
        elif recursive:
            await self._empty(path)
        elif stat is IMPLIED_DIRECTORY:
            raise FolderNotEmpty(f"{path!r} is not empty: remove what lies in it first")
        else:
            await self.write(lambda writer: _committed(writer, writer.rmdir(path)), removes=True)

    async def _empty(self, path: str) -> None:
        """Remove all that lies below a folder, and it: files first, then folders from below."""
        folders: list[str] = []
        cursor: tuple[int, ...] = ()
        version = self.opened.archive.version

        def files(writer: ArchiveWriter) -> bool:
            nonlocal cursor
            going = self.opened.archive.walk(path, version, after=cursor)
            for found, stat in going.page(REMOVED_AT_ONCE):
                if stat.is_directory:
                    folders.append(found)
                else:
                    writer.remove(found)
            cursor = going.cursor
            writer.commit()
            return not going.finished

        def emptied(writer: ArchiveWriter) -> bool:
            for _ in range(min(REMOVED_AT_ONCE, len(folders))):
                # Where a path is both a file and a folder, its entry went with the file.
                with suppress(EntryNotFound):
                    writer.rmdir(folders.pop())
            writer.commit()
            return bool(folders)

        while await self.write(files, removes=True):
            pass
        folders.sort(key=lambda folder: folder.count("/"))
        while await self.write(emptied, removes=True):
            pass


def _cut(
    draft: Draft, cutter: Chunker, data: bytes, _: ArchiveWriter, *, last: bool = False
) -> None:
    blocks = cutter.feed(data) if data else []
    draft.write(blocks + cutter.end() if last else blocks)


def _committed(writer: ArchiveWriter, version: int) -> int:
    writer.commit()
    return version


class Publisher:
    """Gives writers their turn."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @asynccontextmanager
    async def writing(
        self, archive: HostedArchive, *, wait: float = WAIT_SECONDS
    ) -> AsyncGenerator[Desk]:
        """Be the one who writes an archive.

        Args:
            archive: One of ours.
            wait: Seconds to wait for whoever is at it.

        Raises:
            NotWritableError: It is not ours.
            Behind, Forked: See `OwnHistory`.
            Busy: Somebody else is at it for long.
        """
        _require_ours(archive)
        try:
            async with asyncio.timeout(wait):
                await archive.writing.acquire()
        except TimeoutError:
            raise Busy(
                "somebody else is writing this archive: wait for that job, or cancel it"
            ) from None
        try:
            async with archive.opened() as opened:
                desk = await self._desk(archive, opened)
                try:
                    yield desk
                except BaseException:
                    desk.rest()  # what waits was never asked for, or half of something
                    raise
                finally:
                    await desk.leave()
        except StorageError:
            await self._open_anew(archive)
            raise
        finally:
            archive.writing.release()

    async def put(
        self,
        archive: HostedArchive,
        path: str,
        body: Bytes,
        *,
        check: Check = _anything,
        mode: int = 0o644,
    ) -> Put:
        """Write a file; see `Desk.put`. Who sends slowly keeps nobody from writing meanwhile."""
        path = "/" + "/".join(stored_names(path))
        _require_ours(archive)
        services = self._services
        spool = Spool(
            services.folder,
            room=services.room,
            executor=services.executor,
            held=archive.record.summary.bytes_have,
        )
        try:
            await spool.fill(body)
            async with self.writing(archive) as desk, aclosing(spool.pieces()) as whole:
                return await desk.put(path, whole, check=check, mode=mode)
        finally:
            spool.close()

    async def describe(self, archive: HostedArchive, fields: dict[str, str]) -> None:
        """Write `/dat.json` as `dat create` does: link, title, description, by two spaces."""
        whole = {"title": "", "description": "", "url": archive.key.link} | fields
        await self.put(archive, MANIFEST_PATH, once(manifest_text(whole)))

    async def _desk(self, archive: HostedArchive, opened: OpenArchive) -> Desk:
        services, record = self._services, archive.record
        if opened.desk is None:
            mark = await opened.run(partial(services.secrets.mark, archive.key.discovery_key))
            opened.desk = Desk(archive, opened, services, mark)
        networks = services.networks if record.networks is None else record.networks
        await opened.desk.take(reachable=not archive.paused and bool(networks or record.peers))
        return opened.desk

    async def _open_anew(self, archive: HostedArchive) -> None:
        # D-4. Its peers were sent away; what is on the disk is all there is, and is looked over.
        with suppress(StorageError):
            await archive.tidy()
            async with archive.opened():
                pass


def _require_ours(archive: HostedArchive) -> None:
    if archive.record.conflict is not None and archive.record.writable:
        raise Forked(
            "two histories were signed with the key of this archive, so nothing is added to it any "
            "more: fork it, and go on with the copy"
        )
    if not archive.record.writable:
        raise NotWritableError("this archive is somebody else's: its secret key is not here")


def manifest_text(fields: dict[str, Any]) -> bytes:
    """`/dat.json` as the original writes it."""
    return json.dumps(fields, indent=2, ensure_ascii=False).encode("utf-8", "replace")


async def once(data: bytes) -> Bytes:
    """Bytes that are here already, as those of a body."""
    yield data
