"""All archives that this daemon hosts, by key, by name and by discovery key."""

import asyncio
import itertools
import logging
import shutil
from collections import Counter
from collections.abc import Sequence

from datd import __version__
from datd.catalogue import Record
from datd.errors import ArchiveExists, DatdError, KeyFormatError, StorageError, UnknownArchive
from datd.hosting.archive import HostedArchive
from datd.hosting.buffers import Share, Unfinished, Unsent
from datd.hosting.changes import Changes
from datd.hosting.peer import PeerConnection
from datd.hosting.services import Services
from datd.hosting.views import DaemonView, PeerView
from datd.keys import Key
from datd.naming import names
from datd.swarm.roster import Connection
from datd.types import Address

log = logging.getLogger(__name__)

# Reliability 3.2: written blocks become durable within this time; unused feeds are closed with it.
TIDY_SECONDS = 5.0
# Decision 17: counters go into the catalogue every half minute, never for each block.
SAVE_TURNS = 6
# C-8: an archive whose files could not be used is tried again every minute.
RETRY_TURNS = 12
# The beginning of a key that is enough to mean it, if only one archive has it.
MIN_PREFIX = 6


class Library:
    """The shelf. Peers find archives in it by discovery key, people by key, link or name."""

    def __init__(self, services: Services, *, peer_id: bytes) -> None:
        self._services = services
        self._peer_id = peer_id
        self._archives: dict[str, HostedArchive] = {}
        self._by_discovery: dict[bytes, HostedArchive] = {}
        self._by_name: dict[str, HostedArchive] = {}
        self._by_domain: dict[str, HostedArchive] = {}
        self._looking: set[asyncio.Task[None]] = set()
        self._started_at = services.wall_clock()
        self._adding = asyncio.Lock()
        self._unfinished: Unfinished[Connection] = Unfinished()
        self._unsent = Unsent()

    # ---- life

    async def start(self, records: Sequence[Record]) -> None:
        """Host everything that the catalogue tells of. No archive is opened by that."""
        for record in records:
            archive = self._shelve(HostedArchive(record, self._services))
            if not archive.paused:
                archive.join(at_once=False)
        self._count_room()
        # After a crash the files know more than the catalogue. READY does not wait for that.
        self._look_soon([a for a in self._archives.values() if a.record.dirty])

    async def keep_tidy(self) -> None:
        """Flush and close what is not used, for ever: the one clock of all archives."""
        for turn in itertools.count(1):
            await asyncio.sleep(TIDY_SECONDS)
            await self.tidy()
            if turn % SAVE_TURNS == 0:
                await self._save()
            if turn % RETRY_TURNS == 0:
                self._look_soon([a for a in self._archives.values() if a.error and not a.paused])

    async def tidy(self, *, close: bool = False) -> None:
        """Flush what was written, and close what nobody uses; with `close`, everything."""
        for archive in [a for a in self._archives.values() if a.in_use]:
            try:
                await archive.tidy(close=close)
                archive.look_for_room()
            except StorageError as error:
                archive.fail(error)
            except Exception:
                # One archive's trouble must not keep the others from being flushed.
                log.exception("tidying %s failed", archive.key.discovery_key)

    async def close(self) -> None:
        """Flush and close everything. Connections have ended before."""
        for task in self._looking:
            task.cancel()
        if self._looking:
            await asyncio.wait(self._looking)
        await self.tidy(close=True)
        await self._save()

    def _look_soon(self, archives: Sequence[HostedArchive]) -> None:
        if archives:
            task = self._services.spawn(_look_at(archives))
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)

    def _count_room(self) -> None:
        summaries = (archive.record.summary for archive in self._archives.values())
        self._services.room.held = sum(summary.bytes_have for summary in summaries)

    async def _save(self) -> None:
        self._count_room()
        changed = [a for a in self._archives.values() if a.take_changes()]
        if changed:
            try:
                await self._services.catalogue.save([a.record for a in changed])
            except StorageError as error:
                # Only counters are lost, and they will be saved the next time.
                log.error("%s", error)

    # ---- the shelf

    async def add(
        self,
        key: Key,
        *,
        name: str | None = None,
        tags: Sequence[str] = (),
        mode: str = "archive",
        version: int | None = None,
        paused: bool = False,
        peers: Sequence[Address] = (),
        networks: Sequence[str] | None = None,
        shortname: str | None = None,
        domain: str | None = None,
    ) -> tuple[HostedArchive, bool]:
        """Host an archive.

        Args:
            key: Its link.
            name: A name to call it by, not used by another one.
            tags: Words to find it by.
            mode: What to keep: "archive", every block of every version.
            version: Mirror up to this version and no further.
            paused: Only write it down, fetch nothing yet.
            peers: Sources to try at once.
            networks: Discovery networks to use for it; None for all there are, now and later.
            shortname: The name that stood in its link, if it was no key.
            domain: Where `/.well-known/dat` shall name it, in ASCII and lower case.

        Returns:
            The archive, and whether it is new here.

        Raises:
            ArchiveExists: It is hosted with other settings, or the name or domain is taken.
        """
        async with self._adding:
            known = self._archives.get(key.hex)
            if known is not None:
                self._same_settings(known, name, tags, version, paused, networks, domain)
                if shortname is not None and known.record.shortname is None:
                    await known.change(Changes({"shortname": shortname}))
                for address in peers:
                    await known.add_peer(address)
                return known, False
            if name is not None:
                self._check_name(name)
            if domain is not None:
                self._check_domain(domain)
            record = Record(
                key,
                added_at=self._services.wall_clock(),
                name=name,
                tags=list(dict.fromkeys(tags)),
                mode=mode,
                paused=paused,
                pinned=version,
                networks=None if networks is None else sorted(set(networks)),
                shortname=shortname,
                domain=domain,
                peers=list(dict.fromkeys(peers)),
            )
            archive = HostedArchive(record, self._services)
            # Files that lie there already (kept by a removal) are looked over before they are used.
            record.dirty = archive.folder.exists()
            await self._services.catalogue.add(record)
            self._shelve(archive)
            if not paused:
                archive.join()
            if record.dirty:
                self._look_soon([archive])
            return archive, True

    async def change(self, archive: HostedArchive, changes: Changes) -> None:
        """Keep an archive with other settings than before.

        Raises:
            ArchiveExists: Another one has that domain.
            UnknownArchive: It was removed.
            StorageError: The catalogue cannot be written; nothing changed.
        """
        async with self._adding:
            domain = changes.fields.get("domain")
            if domain is not None and self._by_domain.get(domain) is not archive:
                self._check_domain(domain)
            before = archive.record.domain
            await archive.change(changes)
            if before is not None:
                del self._by_domain[before]
            if archive.record.domain is not None:
                self._by_domain[archive.record.domain] = archive

    def of_domain(self, domain: str) -> HostedArchive | None:
        """The archive that has a domain (ASCII, lower case), unless it is paused."""
        archive = self._by_domain.get(domain)
        return None if archive is None or archive.paused else archive

    @property
    def networks(self) -> list[str]:
        """Names of the discovery networks in use."""
        return self._services.networks

    def find(self, reference: str) -> HostedArchive:
        """Look an archive up by key, link, name, or a beginning of its key that only it has.

        A domain or a shortname does as well, as far as it is known here: nobody is asked.

        Raises:
            UnknownArchive: There is none, or more than one.
        """
        archive = self._by_name.get(reference)
        if archive is None:
            try:
                archive = self._archives.get(Key.parse(reference).hex)
            except KeyFormatError:
                archive = self._find_by_host(reference) or self._find_by_beginning(
                    reference.lower()
                )
        if archive is None:
            raise UnknownArchive(f"no archive {reference[:80]!r} is hosted here")
        return archive

    def _find_by_host(self, reference: str) -> HostedArchive | None:
        try:
            named = names.parse(reference)
        except KeyFormatError:
            return None
        if named is None:
            return None
        found = [a for a in self._archives.values() if a.record.shortname == named.host]
        # What was added last is what the name meant last.
        return self._by_domain.get(named.host) or (found[-1] if found else None)

    def _find_by_beginning(self, digits: str) -> HostedArchive | None:
        if len(digits) < MIN_PREFIX:
            return None
        found = [a for name, a in self._archives.items() if name.startswith(digits)]
        if len(found) > 1:
            raise UnknownArchive(f"{len(found)} archives begin with {digits}: give more digits")
        return found[0] if found else None

    def archives(self) -> list[HostedArchive]:
        """All of them, in the order in which they were added."""
        return list(self._archives.values())

    async def remove(self, archive: HostedArchive, *, keep_data: bool = False) -> None:
        """Stop hosting an archive, and delete its files unless they are to be kept.

        Raises:
            UnknownArchive: It was removed before.
            StorageError: The catalogue cannot be written; the archive stays.
        """
        async with self._adding:
            if archive.removed:
                raise UnknownArchive("this archive is not hosted any more")
            self._unshelve(archive)
            try:
                await self._services.catalogue.remove(archive.key)
            except StorageError:
                self._shelve(archive)
                raise
            await archive.retire()
            if not keep_data:
                await asyncio.to_thread(shutil.rmtree, archive.folder, ignore_errors=True)

    # ---- the network's side

    async def serve(self, connection: Connection) -> None:
        """Run one connection, whoever dialled. Errors are for the swarm to judge."""
        peer = PeerConnection(
            connection,
            peer_id=self._peer_id,
            find=self._find_for_peer,
            clock=self._services.clock,
            unfinished=self._unfinished,
            unsent=Share(self._unsent),
        )
        await peer.run()

    def _find_for_peer(self, discovery_key: bytes) -> HostedArchive:
        # T-4: a peer cannot tell a paused archive from an unknown one.
        archive = self._by_discovery.get(discovery_key)
        if archive is None or archive.paused or archive.error is not None:
            raise UnknownArchive("not hosted")
        return archive

    # ---- views

    async def view(self) -> DaemonView:
        """The whole daemon in numbers."""
        services, now = self._services, self._services.clock()
        peers = self.peers()
        summaries = [a.record.summary for a in self._archives.values()]
        return DaemonView(
            version=__version__,
            started_at=self._started_at,
            port=services.port,
            peer_id=self._peer_id.hex(),
            archives=dict(Counter(a.state for a in self._archives.values())),
            peers_connected=sum(peer.state == "connected" for peer in peers),
            peers_known=len(peers),
            download_rate=services.traffic.downloaded.rate(now),
            upload_rate=services.traffic.uploaded.rate(now),
            downloaded=services.traffic.downloaded.total,
            uploaded=services.traffic.uploaded.total,
            blocks_have=sum(summary.blocks_have for summary in summaries),
            bytes_have=sum(summary.bytes_have for summary in summaries),
            networks=services.networks,
            network_views=services.network_views(),
        )

    def peers(self) -> list[PeerView]:
        """The peers of all archives."""
        return [peer for archive in self._archives.values() for peer in archive.peers()]

    # ---- details

    def _shelve(self, archive: HostedArchive) -> HostedArchive:
        self._archives[archive.key.hex] = archive
        self._by_discovery[archive.key.discovery_key.raw] = archive
        if archive.name is not None:
            self._by_name[archive.name] = archive
        if archive.record.domain is not None:
            self._by_domain[archive.record.domain] = archive
        archive.removed = False
        return archive

    def _unshelve(self, archive: HostedArchive) -> None:
        archive.removed = True
        del self._archives[archive.key.hex]
        del self._by_discovery[archive.key.discovery_key.raw]
        if archive.name is not None:
            del self._by_name[archive.name]
        if archive.record.domain is not None:
            del self._by_domain[archive.record.domain]

    def _check_name(self, name: str) -> None:
        if name in self._by_name:
            raise ArchiveExists(f"another archive is called {name!r}: choose another name")

    def _check_domain(self, domain: str) -> None:
        if domain in self._by_domain:
            raise ArchiveExists(
                f"another archive has the domain {domain}: take it away there first"
            )

    @staticmethod
    def _same_settings(
        known: HostedArchive,
        name: str | None,
        tags: Sequence[str],
        version: int | None,
        paused: bool,
        networks: Sequence[str] | None,
        domain: str | None,
    ) -> None:
        record = known.record
        differs = (
            (name is not None and name != record.name)
            or (bool(tags) and set(tags) != set(record.tags))
            or (version is not None and version != record.pinned)
            or (paused and not record.paused)
            or (networks is not None and sorted(set(networks)) != record.networks)
            or (domain is not None and domain != record.domain)
        )
        if differs:
            raise ArchiveExists(
                "this archive is hosted already, with other settings: networks and domain can be "
                "changed; for all else remove it and add it again"
            )


async def _look_at(archives: Sequence[HostedArchive]) -> None:
    """Open archives one after the other, so that it is known what their files hold."""
    for archive in archives:
        try:
            async with archive.opened():
                pass
        except DatdError:
            continue  # removed meanwhile, or its state says why
        except Exception:
            # Nobody waits for this task, and its fault must not end the daemon.
            log.exception("opening %s failed", archive.key.discovery_key)
