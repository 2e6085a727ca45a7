"""A hosted archive: what is kept of it while it is quiet, and its asynchronous face."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from datd.archive.entries import Stat
from datd.errors import ForkError, StorageError, UnknownArchive
from datd.hosting import reading, showing
from datd.hosting.appetite import Appetite
from datd.hosting.batches import Stored
from datd.hosting.bookkeeping import Bookkeeping
from datd.hosting.changes import Changes
from datd.hosting.copies import dedup, noting
from datd.hosting.folders.place import Place
from datd.hosting.keeping import census
from datd.hosting.keeping.stocktaking import StockTaking
from datd.hosting.keeping.wants import SETTINGS, Wants, with_sweep
from datd.hosting.lane import Lane
from datd.hosting.live_feed import LiveFeed
from datd.hosting.open_archive import OpenArchive
from datd.hosting.reach import Reach
from datd.hosting.services import Services
from datd.hosting.stats import Savings, Traffic
from datd.hosting.telling.news import News
from datd.hosting.views import ArchiveView, EntryView, PeerView, State
from datd.keys import Key
from datd.records import Record
from datd.storage.faults import storage_fault
from datd.types import Address

# A page of entries, and the mark at which the next one starts.
Page = tuple[list[EntryView], str | None]
Peers = list[PeerView]


class HostedArchive:
    """One archive that this daemon keeps alive.

    While nobody uses it there is only this object: no file, task or timer. `opened` gives it feeds.

    Attributes:
        key: Its link.
        record: What the catalogue keeps of it.
        error: Why it cannot be used just now, or None.
        place: Where its files lie.
        removed: Whether it is not hosted any more; whoever still holds it can do nothing with it.
        writing: Held by who writes it: two at a time would sign two histories.
    """

    def __init__(self, record: Record, services: Services) -> None:
        self.key: Key = record.key
        self.record = record
        self.error: str | None = None
        self.removed = False
        self.traffic = Traffic(record.downloaded, record.uploaded)
        self._services = services
        self._lane = Lane(services.executor)
        self._gate = asyncio.Lock()
        self._opened: OpenArchive | None = None
        self._users = 0
        self.place = Place(record, services.folder, services.roots)
        self._policy = asyncio.Lock()
        self.writing = asyncio.Lock()
        self._stock = StockTaking(services.spawn, self._take_stock)
        self._news = News(record, services, self._stock.soon)
        self._book = Bookkeeping(record, services.catalogue, self._news.change)
        self._reach = Reach(record, services)
        self._appetite = Appetite(record, services)

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
    def paused(self) -> bool:
        """Whether it is neither fetched nor served."""
        return self.record.paused

    @property
    def folder(self) -> Path:
        """Its part of the data folder."""
        return self.place.folder

    def join(self, *, at_once: bool = True) -> None:
        """Look for peers, and be found; at once if somebody waits for it."""
        self._reach.join(hungry=not self.record.summary.complete, at_once=at_once)

    async def pause(self) -> None:
        """Neither fetch nor serve, until resumed. Peers are left."""
        async with self._changing():
            self._reach.note_good_peers()
            await self._book.change(Changes({"paused": True}))
            await self._reach.leave()

    async def resume(self) -> None:
        """Fetch and serve again."""
        async with self._changing():
            await self._book.change(Changes({"paused": False}))
            self.error = None
            if not self.removed:
                self.join()

    async def add_peer(self, address: Address) -> None:
        """Try a source now, and again later: it is remembered with the archive."""
        async with self._changing():
            if address not in self.record.peers:
                await self._book.change(Changes({"peers": [*self.record.peers, address]}))
            if not self.paused:
                self._reach.add_peer(address)

    async def change(self, changes: Changes, *, prune: bool = False) -> None:
        """Keep other settings than before, and live by them.

        Args:
            changes: The settings.
            prune: Whether a sparse archive is to drop what it does not want any more.

        Raises:
            StorageError: They cannot be written down; nothing changed.
        """
        async with self._changing():
            wanted = with_sweep(changes, self.record, prune=prune)
            await self._book.change(wanted)
            if SETTINGS & changes.fields.keys():
                await self._want_otherwise(wanted)
            if {"networks", "web_sources"} & changes.fields.keys() and not self.paused:
                self.join()

    async def _want_otherwise(self, changes: Changes) -> None:
        self.record.summary.complete = False
        async with self.opened() as opened:
            changes.exchange(self.record)  # a count of what was wanted before may have ended
            opened.wants = Wants(self.record)
            opened.wants.apply(opened)
            self._stock.soon()

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[None]:
        # One change after the other: a pause and a resume that meet must not mix.
        async with self._policy:
            self._require_hosted()
            yield

    def _require_hosted(self) -> None:
        if self.removed:
            raise UnknownArchive("this archive is not hosted any more")

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
        except (StorageError, ExceptionGroup) as error:
            failure = storage_fault(error)
            if failure is not None:
                self.fail(failure)
            raise
        finally:
            self._users -= 1

    async def _open(self) -> OpenArchive:
        async with self._gate:
            self._require_hosted()
            if self._opened is None:
                self._opened = await OpenArchive.open(
                    self._lane,
                    self.place,
                    self._services.pool,
                    self.key,
                    clean=not self.record.dirty,
                    choose=self._services.choose,
                    before_write=self._book.soil,
                    on_damage=self._news.damaged,
                    wants=Wants(self.record),
                    secret=await self._lane.run(self._services.secrets.to_sign_with, self.record),
                )
                self.error = None
                self._opened.wanted = self._reach.wanted
                self._opened.metadata.on_first = self._stock.soon
                self._news.recovered()
                dedup.watch(self, self._opened, self._services.shelf)
                self._opened.wants.apply(self._opened)
                self._stock.soon()
            return self._opened

    async def retire(self) -> None:
        """End everything; it was removed. Who still reads it gets an error."""
        self.place.check.over = True
        async with self._policy:
            self.record.paused = True
            await self._reach.leave()
        await self._stock.cancel()
        async with self._gate:
            opened, self._opened = self._opened, None
            if opened is not None:
                with suppress(StorageError):  # kept files are looked over when they are used again
                    await opened.close()

    async def tidy(self, *, close: bool = False) -> None:
        """Flush what was written; close the feeds if nobody uses them; with `close` in any case."""
        if close:
            await self._stock.cancel()
        async with self._gate:
            opened = self._opened
            if opened is None:
                return
            self._reach.hungry(self._misses_blocks() or opened.metadata.lonely)
            opened.wants.refresh(opened)
            if opened.dirty and not opened.broken:
                await opened.flush()
            if opened.desk is not None and not self.writing.locked():
                opened.desk.rest()
            if self._users and not (close or opened.broken):
                return
            self._opened = None
            self._remember(opened)
            self._reach.note_good_peers()
            await opened.close()
            if close:  # what ended with it may have asked for a count, which would open it anew
                await self._stock.cancel()
            if not opened.broken and not self.removed:
                await self._book.clean()

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
            self._reach.note_good_peers()
        record.downloaded, record.uploaded = now
        return changed

    def fail(self, error: StorageError) -> None:
        """Note that the files cannot be used; the operator sees it in the archive's state."""
        self.error = str(error)
        if not self.removed:  # of one that is gone nobody is told
            self._news.failed(self.error)
        if self._opened is not None:
            self._opened.broken = True

    # ---- what connections report

    def peer_seen(self) -> None:
        """A peer is here."""
        self.record.last_peer_at = self._services.wall_clock()

    def peer_left(self) -> None:
        """A peer is gone, and what only it offered is not to be had any more."""
        if not self.record.summary.complete:
            self._stock.soon()

    def may_store(self) -> bool:
        """Whether there is room for more; if not, nothing more is asked for (T-29)."""
        return self._opened is not None and self._appetite.may_store(self._opened)

    def refused_to_write(self, error: StorageError) -> bool:
        """A batch could not be written; whether that only means to fetch no more (C-8, C-13)."""
        opened = self._opened
        if opened is None or opened.broken:
            return False
        self._appetite.refused(opened, error)
        return True

    def look_for_room(self) -> None:
        """Fetch again if there is room again."""
        if self._opened is not None:
            self._appetite.look_for_room(self._opened)

    def blocks_stored(self, live: LiveFeed, stored: Stored) -> None:
        """Blocks were written: count them, and see whether the archive is complete."""
        if (opened := self._opened) is None:
            return
        for traffic in (self.traffic, self._services.traffic):
            traffic.downloaded.add(stored.size, self._services.clock())
        self._services.room.held += stored.size
        if live is opened.metadata:
            self.record.updated_at = self._services.wall_clock()
            self._news.grown(opened)
        if live.picker.idle:
            self._stock.soon()

    def blocks_taken_over(self, live: LiveFeed, stored: Stored) -> None:
        """Blocks were found on this machine, and written here, too."""
        for traffic in (self.traffic, self._services.traffic):
            traffic.saved.add(Savings(blocks=len(stored.here), bytes=stored.size))
        self._services.room.held += stored.size
        if live.picker.idle:
            self._stock.soon()

    def published(self, size: int) -> None:
        """Bytes of our own were written, and peers know."""
        self.record.updated_at = self._services.wall_clock()
        self._services.room.held += size
        self._news.grown(self._opened)
        self._stock.soon()

    async def in_conflict(
        self, live: LiveFeed, error: ForkError, kept: tuple[int, bytes, bytes] | None
    ) -> None:
        """A peer proved a second history: keep the proof of both, and the first one (T-22)."""
        if self.record.conflict is None:
            await self._book.save(self._news.conflict(live.feed.discovery_key, error, kept))

    async def find_content(self, opened: OpenArchive) -> None:
        """Open the content feed if metadata names it by now."""
        async with self._gate:
            new = await opened.open_content()
        if new:
            dedup.watch(self, opened, self._services.shelf)
            opened.wants.apply(opened)
            for connection in opened.connections:
                connection.ask()

    def blocks_served(self, size: int) -> None:
        """Bytes of blocks went out."""
        for traffic in (self.traffic, self._services.traffic):
            traffic.uploaded.add(size, self._services.clock())

    async def _take_stock(self) -> None:
        if self._opened is None:
            return
        async with self.opened() as opened:
            await self.find_content(opened)
            self._services.room.gave_back(await census.take(opened, self.record))
            self._remember(opened)
            self._news.counted(opened)
            self._reach.hungry(self._misses_blocks() or opened.metadata.lonely)
            if self._services.shelf is not None:
                await noting.note(self._services.shelf.known, self.key.discovery_key.raw, opened)

    def _misses_blocks(self) -> bool:
        opened = self._opened
        behind = opened is not None and census.behind(opened, self.record.summary)
        return behind or not self.record.summary.complete

    def _remember(self, opened: OpenArchive) -> None:
        census.update(self.record.summary, opened)
        self.record.downloaded = self.traffic.downloaded.total
        self.record.uploaded = self.traffic.uploaded.total

    # ---- files

    async def stat(self, path: str, version: int | None = None, *, wait: float = 30) -> Stat:
        """The entry of a path, which starts with `/`; see `reading.stat`.

        Args:
            path: What is looked for.
            version: Number of a version; None for the newest one.
            wait: Seconds to wait for blocks that have to come from peers.

        Raises:
            Timeout: No peer gave what is needed in time; others as `Archive.stat`.
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
        """One page of a folder, or of all below it, and what to give as `after` for the next."""
        page = reading.walk if recursive else reading.list_folder
        async with self.opened() as opened:
            return await page(opened, path, self._version(version), after, limit, wait)

    async def read(
        self, entry: Stat, start: int, stop: int, *, wait: float = 30
    ) -> AsyncGenerator[bytes, None]:
        """Bytes `start` to `stop` of a file, whose entry `stat` gave; see `reading.read`.

        Raises:
            ArchiveFormatError: The entry's claims do not fit the content.
            Timeout: No peer gave a block in time, `wait` seconds for each piece.
        """
        async with self.opened() as opened:
            async for piece in reading.read(opened, entry, start, stop, wait):
                yield piece

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
        if not self._misses_blocks():
            return "seeding"
        return "syncing" if self.peers_connected else "searching"

    @property
    def peers_connected(self) -> int:
        """Peers it talks with just now."""
        return len(self._opened.connections) if self._opened is not None else 0

    async def view(self) -> ArchiveView:
        """The archive as the interface shows it."""
        if self._opened is not None:
            self._remember(self._opened)
        return showing.archive_view(
            self.record,
            self._opened,
            self.traffic,
            state=self.state,
            error=self.error,
            networks=self._reach.networks,
            peers_known=len(self._reach.peers()),
            now=self._services.clock(),
        )

    def peers(self) -> Peers:
        """Everybody known to have this archive, the dropped ones and why included."""
        talking = self._opened.connections if self._opened is not None else ()
        since_epoch = self._services.wall_clock() - self._services.clock()
        return showing.peer_views(self.key, self._reach.peers(), talking, since_epoch=since_epoch)
