"""A hosted archive: what is kept of it while it is quiet, and its asynchronous face."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datd.archive.entries import Stat
from datd.catalogue import Record
from datd.errors import NoRoom, StorageError
from datd.hosting import census, reading
from datd.hosting.lane import Lane
from datd.hosting.live_feed import LiveFeed
from datd.hosting.open_archive import OpenArchive, Stored
from datd.hosting.services import Services
from datd.hosting.stats import Traffic
from datd.hosting.views import ArchiveView, EntryView, PeerView, Progress, State
from datd.keys import Key
from datd.swarm import peer as swarm
from datd.types import Address

if TYPE_CHECKING:
    from datd.hosting.peer import PeerConnection

# A page of entries, and the mark at which the next one starts.
Page = tuple[list[EntryView], str | None]
Peers = list[PeerView]

log = logging.getLogger(__name__)

# One call into the lane reads about this much of a file: large enough that the hop costs nothing,
# small enough that a slow reader holds little.
READ_BYTES = 512 * 1024


class HostedArchive:
    """One archive that this daemon keeps alive.

    While nobody uses it there is only this object: no file, task or timer. `opened` gives it feeds.

    Attributes:
        key: Its link.
        record: What the catalogue keeps of it.
        error: Why it cannot be used just now, or None.
    """

    def __init__(self, record: Record, services: Services) -> None:
        self.key: Key = record.key
        self.record = record
        self.error: str | None = None
        self.traffic = Traffic(record.downloaded, record.uploaded)
        self._services = services
        self._lane = Lane(services.executor)
        self._gate = asyncio.Lock()
        self._opened: OpenArchive | None = None
        self._users = 0
        self._stock: asyncio.Task[None] | None = None
        self._changed = False

    # ---- identity and policy

    @property
    def name(self) -> str | None:
        """What its operator calls it."""
        return self.record.name

    @property
    def tags(self) -> list[str]:
        """Words its operator put on it."""
        return self.record.tags

    @property
    def added_at(self) -> float:
        """Seconds since 1970."""
        return self.record.added_at

    @property
    def paused(self) -> bool:
        """Whether it is neither fetched nor served."""
        return self.record.paused

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        name = str(self.key.discovery_key)
        return self._services.folder / name[:2] / name[2:]

    def join(self) -> None:
        """Look for peers, and be found."""
        name = self.key.discovery_key.raw
        self._services.swarm.join(name)
        for address in self.record.peers:
            self._services.swarm.add_peer(name, address)

    async def pause(self) -> None:
        """Neither fetch nor serve, until resumed. Peers are left."""
        self.record.paused = True
        await self._services.catalogue.save([self.record])
        await self._services.swarm.leave(self.key.discovery_key.raw)

    async def resume(self) -> None:
        """Fetch and serve again."""
        self.record.paused = False
        self.error = None
        await self._services.catalogue.save([self.record])
        self.join()

    async def add_peer(self, address: Address) -> None:
        """Try a source now, and again later: it is remembered with the archive."""
        if address not in self.record.peers:
            self.record.peers.append(address)
            await self._services.catalogue.save([self.record])
        if not self.paused:
            self._services.swarm.add_peer(self.key.discovery_key.raw, address)

    # ---- open and closed

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[OpenArchive]:
        """The feeds, open for the time of an `async with`; they stay open a little longer.

        Raises:
            StorageError: Its files cannot be used. The archive is in state `error` from then on.
        """
        self._users += 1
        try:
            yield await self._open()
        except StorageError as error:
            self.fail(error)
            raise
        finally:
            self._users -= 1

    async def _open(self) -> OpenArchive:
        async with self._gate:
            if self._opened is None:
                self._opened = await OpenArchive.open(
                    self._lane,
                    self.folder,
                    self._services.pool,
                    self.key,
                    clean=not self.record.dirty,
                    choose=self._services.choose,
                    before_write=self._before_write,
                )
                self.error = None
                census.set_wants(self._opened, self.record.pinned)
                self._take_stock_soon()
            return self._opened

    async def retire(self) -> None:
        """End everything: the archive is not hosted any more. Its connections have ended."""
        self.record.paused = True
        await self._cancel_stock()
        async with self._gate:
            opened, self._opened = self._opened, None
            if opened is not None:
                await opened.close()

    async def tidy(self, *, close: bool = False) -> None:
        """Flush what was written; close the feeds if nobody uses them. Called every few seconds.

        Args:
            close: Close even if it was used a moment ago (the daemon ends).
        """
        if close:
            await self._cancel_stock()
        async with self._gate:
            opened = self._opened
            if opened is None:
                return
            if opened.dirty:
                await opened.flush()
            if self._users and not close:
                return
            self._opened = None
            self._remember(opened)
            await opened.close()
            await self._save_clean()

    @property
    def in_use(self) -> bool:
        """Whether feeds are open."""
        return self._opened is not None

    def take_changes(self) -> bool:
        """Whether counters changed since the last call; the record has them then."""
        record, traffic = self.record, self.traffic
        now = (traffic.downloaded.total, traffic.uploaded.total)
        changed = now != (record.downloaded, record.uploaded) or self._opened is not None
        if self._opened is not None:
            self._remember(self._opened)
        record.downloaded, record.uploaded = now
        return changed

    def fail(self, error: StorageError) -> None:
        """Note that the files cannot be used; the operator sees it in the archive's state."""
        if self.error is None:
            log.error("%s: %s", self.key.discovery_key, error)
        self.error = str(error)

    async def _before_write(self) -> None:
        if not self.record.dirty:
            await self._services.catalogue.set_dirty(self.key, True)
            self.record.dirty = True

    async def _save_clean(self) -> None:
        await self._services.catalogue.save([self.record])
        if self.record.dirty:
            await self._services.catalogue.set_dirty(self.key, False)
            self.record.dirty = False

    # ---- what connections report

    def peer_seen(self) -> None:
        """A peer is here."""
        self.record.last_peer_at = self._services.wall_clock()

    def may_store(self) -> bool:
        """Whether there is room for more; if not, nothing more is asked for (T-29)."""
        opened = self._opened
        if opened is None or opened.no_room is not None:
            return False
        opened.no_room = self._lacking(opened)
        if opened.no_room is None:
            return True
        log.warning("%s fetches nothing more: %s", self.key.discovery_key, opened.no_room)
        for live in opened.live_feeds:
            live.picker.want([])
            live.refuse(NoRoom(opened.no_room))
        return False

    def look_for_room(self) -> None:
        """Fetch again if there is room again."""
        opened = self._opened
        if opened is not None and opened.no_room is not None and self._lacking(opened) is None:
            opened.no_room = None
            census.set_wants(opened, self.record.pinned)
            for live in opened.live_feeds:
                live.ask_all()

    def _lacking(self, opened: OpenArchive) -> str | None:
        held = sum(live.present_bytes for live in opened.live_feeds)
        return self._services.room.refusal(held)

    async def blocks_stored(self, live: LiveFeed, stored: Stored) -> None:
        """Blocks were written: tell everybody, and see whether the archive is complete."""
        opened = self._opened
        if opened is None:
            raise AssertionError("blocks stored in a closed archive")
        now = self._services.clock()
        self.traffic.downloaded.add(stored.size, now)
        self._services.traffic.downloaded.add(stored.size, now)
        self._services.room.held += stored.size
        live.stored(stored.here)
        if live is opened.metadata:
            self.record.updated_at = self._services.wall_clock()
            if opened.content is None and live.feed.has(0):
                await self._content_found(opened)
        if live.picker.idle:
            self._take_stock_soon()

    async def _content_found(self, opened: OpenArchive) -> None:
        async with self._gate:
            new = await opened.open_content()
        if new:
            census.set_wants(opened, self.record.pinned)
            for connection in opened.connections:
                connection.content_known()

    def blocks_served(self, size: int) -> None:
        """Bytes of blocks went out."""
        now = self._services.clock()
        self.traffic.uploaded.add(size, now)
        self._services.traffic.uploaded.add(size, now)

    # ---- taking stock: is it complete?

    def _take_stock_soon(self) -> None:
        self._changed = True
        if self._stock is None:
            self._stock = self._services.spawn(self._take_stock())

    async def _take_stock(self) -> None:
        # One at a time; what changes meanwhile is looked at in another turn.
        try:
            while self._changed and self._opened is not None:
                self._changed = False
                async with self.opened() as opened:
                    await census.take(opened, self.record)
                    self._remember(opened)
        except StorageError:
            # The state says so already; whoever needs the archive next will see it, too.
            self._changed = False
        finally:
            self._stock = None

    async def _cancel_stock(self) -> None:
        if self._stock is not None:
            self._stock.cancel()
            await asyncio.wait([self._stock])

    def _remember(self, opened: OpenArchive) -> None:
        census.update(self.record.summary, opened, self.record.pinned)
        self.record.downloaded = self.traffic.downloaded.total
        self.record.uploaded = self.traffic.uploaded.total

    # ---- files

    async def stat(self, path: str, version: int | None = None, *, wait: float = 30) -> Stat:
        """The entry of a path.

        Args:
            path: Starts with `/`.
            version: Number of a version; None for the newest one.
            wait: Seconds to wait for blocks that have to come from peers.

        Raises:
            EntryNotFound, VersionNotFound, ArchiveFormatError: As the archive says.
            Timeout: No peer gave what is needed in time.
        """
        async with self.opened() as opened:
            return await reading.stat(opened, path, self._version(version), wait)

    async def list(
        self,
        path: str,
        version: int | None = None,
        *,
        recursive: bool = False,
        after: str | None = None,
        limit: int = 1000,
        wait: float = 30,
    ) -> Page:
        """One page of a folder, or of all below it, and what to give as `after` for the next.

        Raises:
            EntryNotFound, VersionNotFound, ArchiveFormatError, Timeout: As `stat`.
        """
        page = reading.walk if recursive else reading.list_folder
        async with self.opened() as opened:
            return await page(opened, path, self._version(version), after, limit, wait)

    async def read(
        self, entry: Stat, start: int, stop: int, *, wait: float = 30
    ) -> AsyncGenerator[bytes, None]:
        """Bytes of a file, every block verified; missing ones are fetched first.

        Args:
            entry: What `stat` gave.
            start: First byte.
            stop: The byte behind the last one; at most the file's size.
            wait: Seconds to wait for each piece that has to come from peers.

        Raises:
            ArchiveFormatError: The entry's claims do not fit the content.
            Timeout: No peer gave a block in time.
        """
        async with self.opened() as opened:
            async for piece in reading.read(opened, entry, start, stop, wait):
                yield piece

    async def etag(self, path: str, version: int | None = None, *, wait: float = 30) -> str:
        """A text that changes exactly when the bytes at this path do."""
        async with self.opened() as opened:
            number = await reading.entry_number(opened, path, self._version(version), wait)
        return f"{str(self.key.discovery_key)[:16]}-{number}"

    def _version(self, asked: int | None) -> int | None:
        return self.record.pinned if asked is None else asked

    # ---- views

    @property
    def state(self) -> State:
        """One word for people."""
        if self.error is not None or (self._opened is not None and self._opened.no_room):
            return "error"
        if self.paused:
            return "paused"
        opened = self._opened
        if self.record.summary.complete and not (opened and census.behind(opened, self.record)):
            return "seeding"
        return "syncing" if opened is not None and opened.connections else "searching"

    async def view(self) -> ArchiveView:
        """The archive as the interface shows it."""
        opened, record = self._opened, self.record
        if opened is not None:
            self._remember(opened)
        summary, now = record.summary, self._services.clock()
        known = self._services.swarm.peers(self.key.discovery_key.raw)
        state = self.state
        return ArchiveView(
            key=self.key.hex,
            discovery_key=str(self.key.discovery_key),
            name=record.name,
            title=summary.title,
            description=summary.description,
            tags=list(record.tags),
            writable=opened is not None and opened.metadata.feed.writable,
            mode="archive",
            state=state,
            error=self.error or (opened.no_room or opened.format_error if opened else None),
            version=summary.version,
            files=summary.files,
            size=summary.size,
            blocks=Progress(summary.blocks_have, summary.blocks_total, summary.blocks_unavailable),
            bytes=Progress(summary.bytes_have, summary.bytes_total),
            progress=census.progress(summary, complete=state == "seeding"),
            peers_connected=len(opened.connections) if opened is not None else 0,
            peers_known=len(known),
            download_rate=self.traffic.downloaded.rate(now),
            upload_rate=self.traffic.uploaded.rate(now),
            downloaded=self.traffic.downloaded.total,
            uploaded=self.traffic.uploaded.total,
            added_at=record.added_at,
            updated_at=record.updated_at,
            last_peer_at=record.last_peer_at,
        )

    def peers(self) -> Peers:
        """Everybody known to have this archive, the dropped ones and why included."""
        talking = self._opened.connections if self._opened is not None else set()
        by_connection: dict[Any, PeerConnection] = {peer.connection: peer for peer in talking}
        services = self._services
        since_epoch = services.wall_clock() - services.clock()
        return [
            _peer_view(self.key, known, by_connection, since_epoch)
            for known in services.swarm.peers(self.key.discovery_key.raw)
        ]


def _peer_view(
    key: Key,
    known: swarm.PeerView,
    talking: "Mapping[Any, PeerConnection]",
    since_epoch: float,
) -> PeerView:
    peer = talking.get(known.connection)
    return PeerView(
        archive=key.hex,
        address=known.address,
        source=known.source,
        state=known.state,
        transport=known.kind,
        initiator=known.initiator,
        connected_at=known.connected_at and known.connected_at + since_epoch,
        length=peer.announced_length if peer is not None else None,
        downloaded=peer.traffic.downloaded.total if peer is not None else 0,
        uploaded=peer.traffic.uploaded.total if peer is not None else 0,
        dropped=known.dropped,
        last_error=known.last_error,
        marks=dict(known.marks),
    )
