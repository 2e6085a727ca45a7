"""All archives that this daemon hosts, by key, by name and by discovery key."""

import asyncio
import itertools
import logging
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Unpack

from datd import crypto
from datd.errors import ArchiveExists, SecretRefused, StorageError, UnknownArchive
from datd.hosting import showing
from datd.hosting.archive import HostedArchive
from datd.hosting.buffers import Share, Unfinished, Unsent
from datd.hosting.changes import Changes
from datd.hosting.copies import noting
from datd.hosting.folders.adoption import Adoption, require_possible
from datd.hosting.folders.leftovers import Leftovers
from datd.hosting.folders.opening import look_at
from datd.hosting.history_index import HistoryIndex
from datd.hosting.jobs import Job
from datd.hosting.line import Line
from datd.hosting.own.founding import Noted, as_own, found
from datd.hosting.own.publishing import Publisher
from datd.hosting.own.workshop import Workshop
from datd.hosting.peer import PeerConnection
from datd.hosting.register import Register
from datd.hosting.services import Services
from datd.hosting.settings import AS_DAT_DOES, Settings, record_of, require_same
from datd.hosting.telling import news
from datd.hosting.telling.herald import Herald
from datd.hosting.toll import Toll
from datd.hosting.versions import Versions
from datd.hosting.views import DaemonView, PeerView
from datd.keys import Key
from datd.records import Forking, ImportRules, Record
from datd.types import Address

log = logging.getLogger(__name__)

# Reliability 3.2: written blocks become durable within this time; unused feeds are closed with it.
TIDY_SECONDS = 5.0
SAVE_TURNS = 6  # decision 17: counters go into the catalogue every half minute
RETRY_TURNS = 12  # C-8: an archive whose files could not be used is tried again every minute
# Each archive that waits for its disk while it is tidied holds a thread of all lanes.
MOST_STUCK = 2


class Library:
    """All archives, and what can be done with them.

    Attributes:
        publisher: Writes those that are ours.
        workshop: Does long work on them.
        adoption: Takes over what lies in folders of this host.
        versions: Answers what changed in them, and when.
        herald: Passes on what happens.
        services: What they share.
    """

    def __init__(self, services: Services, *, peer_id: bytes) -> None:
        self.services = services
        self._peer_id = peer_id
        self._register = Register()
        self.publisher = Publisher(services)
        self.workshop = Workshop(services, self.publisher, self.create, self.find)
        self.adoption = Adoption(
            services, self.workshop, self.take_in, self.take_secret, self._register.of_key
        )
        self.versions = Versions(HistoryIndex(services.history), services.spawn)
        self.herald = Herald(services, self.versions, self._register.of_key)
        self._looking: set[asyncio.Task[None]] = set()
        self._tidying: set[HostedArchive] = set()
        self._started_at = services.wall_clock()
        self._adding = asyncio.Lock()
        self._leftovers = Leftovers(services.pool.shrink, self._adding, self._register.all)
        self._unfinished: Unfinished[Line] = Unfinished()
        self._unsent = Unsent()

    # ---- life

    async def start(self, records: Sequence[Record]) -> None:
        """Host everything that the catalogue tells of. No archive is opened by that."""
        await self.services.events.start()
        for record in records:
            archive = self._register.enter(HostedArchive(record, self.services))
            if not archive.paused:
                archive.join(at_once=False)
        self._count_room()
        # After a crash the files know more than the catalogue. READY does not wait for that.
        self._look_soon([a for a in self._register.all() if a.record.dirty])
        await self.workshop.start(self.archives())
        await self.herald.start()
        if self.services.shelf is not None:
            self._soon(noting.catch_up(self.services.shelf.known, self.archives()))

    async def keep_tidy(self) -> None:
        """Flush and close what is not used, for ever: the one clock of all archives."""
        for turn in itertools.count(1):
            await asyncio.sleep(TIDY_SECONDS)
            if len(self._tidying) < MOST_STUCK:
                self._soon(self.tidy())  # a turn passes by whom a disk keeps waiting
            if turn % SAVE_TURNS == 0:
                await self._save()
            if turn % RETRY_TURNS == 0:
                self._soon(self._leftovers.again())
                self._look_soon([a for a in self._register.all() if a.error and not a.paused])

    async def tidy(self, *, close: bool = False) -> None:
        """Flush what was written, and close what nobody uses; with `close`, everything."""
        for archive in [a for a in self._register.all() if a.in_use]:
            if close or archive not in self._tidying:
                await self._tidy(archive, close=close)

    async def _tidy(self, archive: HostedArchive, *, close: bool) -> None:
        self._tidying.add(archive)
        try:
            await archive.tidy(close=close)
            archive.look_for_room()
        except StorageError as error:
            archive.fail(error)
        except Exception:
            # One archive's trouble must not keep the others from being flushed.
            log.exception("tidying %s failed", archive.key.discovery_key)
        finally:
            self._tidying.discard(archive)

    async def close(self) -> None:
        """Flush and close everything. Connections have ended before."""
        await self.herald.close()
        await self.workshop.close()
        await self.versions.close()
        for task in self._looking:
            task.cancel()
        for archive in self._register.all():
            archive.place.check.over = True  # its thread is waited for in the end
        # Side by side: a disk that does not answer holds up the archives on it, and no others.
        ends = [self._tidy(a, close=True) for a in self._register.all() if a.in_use]
        await asyncio.gather(*self._looking, *ends, return_exceptions=True)
        await self._save()
        await self.services.events.close()

    def _look_soon(self, archives: Sequence[HostedArchive]) -> None:
        if archives:
            self._soon(look_at(archives))

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.services.spawn(work)
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    def _count_room(self) -> None:
        self.services.room.held = sum(a.record.summary.bytes_have for a in self._register.all())

    async def _save(self) -> None:
        changed = [a for a in self._register.all() if a.take_changes()]
        self._count_room()
        if changed:
            try:
                await self.services.catalogue.save([a.record for a in changed])
            except StorageError as error:
                # Only counters are lost, and they will be saved the next time.
                log.error("%s", error)

    # ---- the shelf

    async def add(
        self,
        key: Key,
        *,
        version: int | None = None,
        peers: Sequence[Address] = (),
        shortname: str | None = None,
        **settings: Unpack[Settings],
    ) -> tuple[HostedArchive, bool]:
        """Host an archive.

        Args:
            key: Its link.
            version: Mirror up to this version and no further.
            peers: Sources to try at once.
            shortname: The name that stood in its link, if it was no key.
            settings: See `Settings`.

        Returns:
            The archive, and whether it is new here.

        Raises:
            ArchiveExists: It is hosted with other settings, or the name or domain is taken.
        """
        async with self._adding:
            known = self._register.of_key(key)
            if known is not None:
                require_same(known.record, version, settings)
                if shortname is not None and known.record.shortname is None:
                    await known.change(Changes({"shortname": shortname}))
                for address in peers:
                    await known.add_peer(address)
                return known, False
            self._require_free(settings)
            record = record_of(key, self.services.wall_clock(), peers, settings)
            record.pinned, record.shortname = version, shortname
            # A removal leaves the secret key of an archive of ours, unless told otherwise.
            secret = await asyncio.to_thread(self.services.secrets.read, key.discovery_key)
            record.writable = secret is not None
            archive = HostedArchive(record, self.services)
            # Files that lie there already (kept by a removal) are looked over before they are used.
            record.dirty = await asyncio.to_thread(archive.folder.exists)
            return await self._host(archive), True

    async def create(
        self,
        *,
        chunking: str = "fixed",
        source: Path | None = None,
        watch: bool = False,
        import_rules: ImportRules = AS_DAT_DOES,
        forking: Forking | None = None,
        noted: Noted | None = None,
        peers: Sequence[Address] = (),
        **settings: Unpack[Settings],
    ) -> HostedArchive:
        """Make a new archive of our own, without files.

        Args:
            chunking: How its files are cut: "fixed" or "content".
            source: The folder of this host that it is published from, checked.
            watch: Whether changes there are published as they happen.
            import_rules: How that folder is imported.
            forking: What is to be copied into it.
            noted: Gives what is written down together with it, by its key.
            peers: Who is to be told of it at once.
            settings: See `Settings`.

        Raises:
            ArchiveExists: The name or domain is taken.
            StorageError: The disk refused; then there is no such archive.
        """
        services = self.services
        async with self._adding:
            self._require_free(settings)
            key = await asyncio.to_thread(found, services.folder, services.secrets, services.pool)
            record = record_of(key, services.wall_clock(), peers, settings)
            as_own(record, chunking, source, watch, import_rules, forking)
            return await self._host(HostedArchive(record, services), noted)

    async def take_in(
        self,
        key: Key,
        where: Changes,
        *,
        peers: Sequence[Address] = (),
        **settings: Unpack[Settings],
    ) -> HostedArchive:
        """Host an archive that lies in a folder of this host.

        Args:
            key: Its key.
            where: Fields of its record: where it lies and how, and whether it is ours.
            peers: Sources to try at once.
            settings: See `Settings`.

        Raises:
            ArchiveExists: It is hosted, or the name or domain is taken.
        """
        async with self._adding:
            if self._register.of_key(key) is not None:
                raise ArchiveExists(
                    "the archive in this folder is hosted already: let the folder fill it "
                    "(`adopt` of that archive), or remove that one first"
                )
            self._require_free(settings)
            record = record_of(key, self.services.wall_clock(), peers, settings)
            where.exchange(record)
            return await self._host(HostedArchive(record, self.services))

    def _require_free(self, settings: Settings) -> None:
        self._register.require_free(settings.get("name"), settings.get("domain"))

    async def _host(self, archive: HostedArchive, noted: Noted | None = None) -> HostedArchive:
        told = news.of_arrival(archive.record, self.services, noted and noted(archive.key))
        await self.services.catalogue.add(archive.record, told)
        self._register.enter(archive)
        if not archive.paused:
            archive.join()
        if archive.record.dirty:
            self._look_soon([archive])
        return archive

    async def change(
        self, archive: HostedArchive, changes: Changes, *, prune: bool = False
    ) -> None:
        """Keep an archive with other settings than before.

        Args:
            archive: Which.
            changes: The settings.
            prune: With another mode or other patterns: drop what is not wanted any more.

        Raises:
            ArchiveExists: Another one has that name or domain.
            UnknownArchive: It was removed.
            StorageError: The catalogue cannot be written; nothing changed.
        """
        async with self._adding:
            fields = changes.fields
            self._register.require_free(fields.get("name"), fields.get("domain"), besides=archive)
            if archive.removed:
                raise UnknownArchive("this archive is not hosted any more")
            require_possible(archive.record, changes)
            before = archive.record.name, archive.record.domain
            try:
                await archive.change(changes, prune=prune)
            finally:
                self._register.recall(archive, *before)
        if fields.keys() & {"watch", "import_rules"}:
            self.workshop.watch(archive)

    async def take_secret(self, archive: HostedArchive, secret: bytes) -> None:
        """Keep an archive's secret key: from now on it can be written here.

        Before the first write its peers are asked whether they know a longer history.

        Raises:
            SecretRefused: It is the key of another archive.
        """
        if crypto.key_pair(secret[: crypto.KEY_SIZE]) != (archive.key.raw, secret):
            raise SecretRefused("this is not the secret key of this archive")
        if archive.record.writable and await self.secret_of(archive) == secret:
            return  # to open it anew would end whatever is being written
        await asyncio.to_thread(self.services.secrets.keep, secret)
        await archive.change(Changes({"writable": True}))
        await archive.tidy(close=True)  # it is opened with the key next time

    async def secret_of(self, archive: HostedArchive) -> bytes | None:
        """The archive's 64-byte secret key, if it is here."""
        return await asyncio.to_thread(self.services.secrets.read, archive.key.discovery_key)

    async def cancel(self, job: Job) -> None:
        """End a job, if it runs; what it did so far stays."""
        await self.workshop.cancel(job, self._register.of_key(job.archive))

    def of_discovery_key(self, discovery_key: bytes) -> HostedArchive | None:
        """The archive with that public name of 32 bytes, paused or not."""
        return self._register.of_discovery_key(discovery_key)

    def of_domain(self, domain: str) -> HostedArchive | None:
        """The archive that has a domain (ASCII, lower case), unless it is paused."""
        archive = self._register.of_domain(domain)
        return None if archive is None or archive.paused else archive

    def of_name(self, name: str) -> HostedArchive | None:
        """The archive that is called exactly so; no key finds one, nor the beginning of a name."""
        return self._register.of_name(name)

    @property
    def networks(self) -> list[str]:
        """Names of the discovery networks in use."""
        return self.services.networks

    def find(self, reference: str) -> HostedArchive:
        """The archive that somebody means; see `Register.find`.

        Raises:
            UnknownArchive: There is none, or more than one.
        """
        return self._register.find(reference)

    def archives(self) -> list[HostedArchive]:
        """All of them, in the order in which they were added."""
        return list(self._register.all())

    async def remove(
        self,
        archive: HostedArchive,
        *,
        keep_data: bool = False,
        delete_key: bool = False,
        still: Callable[[HostedArchive], bool] = lambda _: True,
    ) -> None:
        """Stop hosting an archive, and delete its files unless they are to be kept.

        A folder that was taken over is its owner's: it stays as it is in any case.

        Args:
            archive: Which.
            keep_data: Leave its files.
            delete_key: Delete its secret key, too: nobody can ever write it again.
            still: Asked when its turn has come: whether it is to go.

        Raises:
            UnknownArchive: It was removed before.
            StorageError: The catalogue cannot be written; the archive stays.
        """
        async with self._adding:
            if archive.removed:
                raise UnknownArchive("this archive is not hosted any more")
            if not still(archive):
                return
            await self.workshop.forget(archive)
            self._register.strike(archive)
            try:
                told = news.of_removal(archive.record, self.services)
                await self.services.catalogue.remove(archive.key, told)
            except StorageError:
                self._register.enter(archive)
                self.workshop.watch(archive)
                raise
            await archive.retire()
            self.services.room.held -= archive.record.summary.bytes_have
            await self.versions.forget(archive)
            if self.services.shelf is not None:
                await self.services.shelf.known.forget(archive.key.discovery_key.raw)
            if not keep_data:
                await self._leftovers.remove(archive.folder)
            if delete_key:
                await asyncio.to_thread(self.services.secrets.remove, archive.key.discovery_key)

    # ---- the network's side

    async def serve(self, connection: Line) -> None:
        """Run one connection, whoever dialled. Errors are for the swarm to judge."""
        await PeerConnection(
            connection,
            peer_id=self._peer_id,
            find=self._find_for_peer,
            clock=self.services.clock,
            unfinished=self._unfinished,
            unsent=Share(self._unsent),
            toll=Toll(self.services.bandwidth, counted=connection.counted),
        ).run()

    def _find_for_peer(self, discovery_key: bytes) -> HostedArchive:
        # T-4: a peer cannot tell a paused archive from an unknown one.
        archive = self._register.of_discovery_key(discovery_key)
        if archive is None or archive.paused or archive.error is not None:
            raise UnknownArchive("not hosted")
        return archive

    # ---- views

    async def view(self) -> DaemonView:
        """The whole daemon in numbers."""
        return showing.daemon_view(
            self.services, self.archives(), self.peers(), self._peer_id, self._started_at
        )

    def peers(self) -> list[PeerView]:
        """The peers of all archives."""
        return [peer for archive in self._register.all() for peer in archive.peers()]
