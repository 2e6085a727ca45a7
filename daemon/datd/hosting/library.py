"""All archives that this daemon hosts, by key, by name and by discovery key."""

import asyncio
import logging
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from datd import __version__
from datd.catalogue import Record
from datd.errors import ArchiveExists, KeyFormatError, StorageError, UnknownArchive
from datd.hosting.archive import HostedArchive
from datd.hosting.buffers import Unfinished
from datd.hosting.peer import PeerConnection
from datd.hosting.services import Services
from datd.hosting.views import DaemonView, PeerView
from datd.keys import Key
from datd.swarm.roster import Connection
from datd.types import Address

log = logging.getLogger(__name__)

# Reliability 3.2: written blocks become durable within this time; unused feeds are closed with it.
TIDY_SECONDS = 5.0
# Decision 17: counters go into the catalogue this often, never for each block.
SAVE_SECONDS = 30.0
# The beginning of a key that is enough to mean it, if only one archive has it.
MIN_PREFIX = 6


class Library:
    """The shelf. Peers find archives in it by discovery key, people by key, link or name."""

    def __init__(self, services: Services, *, peer_id: bytes) -> None:
        self._services = services
        self._peer_id = peer_id
        self._archives: dict[str, HostedArchive] = {}
        self._by_discovery: dict[bytes, HostedArchive] = {}
        self._started_at = services.wall_clock()
        self._adding = asyncio.Lock()
        self._unfinished: Unfinished[Connection] = Unfinished()

    # ---- life

    async def start(self, records: Sequence[Record]) -> None:
        """Host everything that the catalogue tells of. No archive is opened by that."""
        for record in records:
            archive = self._shelve(HostedArchive(record, self._services))
            if not archive.paused:
                archive.join()
        self._count_room()
        # After a crash the files know more than the catalogue. READY does not wait for that.
        self._services.spawn(_look_at([a for a in self._archives.values() if a.record.dirty]))

    async def keep_tidy(self) -> None:
        """Flush and close what is not used, for ever: the one clock of all archives."""
        since_saved = 0.0
        while True:
            await asyncio.sleep(TIDY_SECONDS)
            since_saved += TIDY_SECONDS
            await self._tidy(close=False)
            if since_saved >= SAVE_SECONDS:
                since_saved = 0.0
                await self._save()

    async def close(self) -> None:
        """Flush and close everything. Connections have ended before."""
        await self._tidy(close=True)
        await self._save()

    async def _tidy(self, *, close: bool) -> None:
        for archive in [a for a in self._archives.values() if a.in_use]:
            try:
                await archive.tidy(close=close)
                archive.look_for_room()
            except StorageError as error:
                archive.fail(error)

    def _count_room(self) -> None:
        summaries = (archive.record.summary for archive in self._archives.values())
        self._services.room.held = sum(summary.bytes_have for summary in summaries)

    async def _save(self) -> None:
        self._count_room()
        changed = [a for a in self._archives.values() if a.take_changes()]
        if changed:
            await self._services.catalogue.save([a.record for a in changed])

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

        Returns:
            The archive, and whether it is new here.

        Raises:
            ArchiveExists: It is hosted with other settings, or the name is taken.
        """
        async with self._adding:
            known = self._archives.get(key.hex)
            if known is not None:
                self._same_settings(known, name, tags, version, paused)
                for address in peers:
                    await known.add_peer(address)
                return known, False
            if name is not None:
                self._check_name(name)
            record = Record(
                key,
                added_at=self._services.wall_clock(),
                name=name,
                tags=list(dict.fromkeys(tags)),
                mode=mode,
                paused=paused,
                pinned=version,
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
                self._services.spawn(_look_at([archive]))
            return archive, True

    def find(self, reference: str) -> HostedArchive:
        """Look an archive up by key, link, name, or a beginning of its key that only it has.

        Raises:
            UnknownArchive: There is none, or more than one.
        """
        for archive in self._archives.values():
            if archive.name == reference:
                return archive
        try:
            key = Key.parse(reference).hex
        except KeyFormatError:
            key = reference.lower()
            if len(key) < MIN_PREFIX:
                raise UnknownArchive(f"no archive is called {reference[:80]!r}") from None
        found = [a for name, a in self._archives.items() if name.startswith(key)]
        if len(found) == 1:
            return found[0]
        if found:
            raise UnknownArchive(f"{len(found)} archives begin with {key}: give more digits")
        raise UnknownArchive(f"no archive {reference[:80]!r} is hosted here")

    def archives(self) -> list[HostedArchive]:
        """All of them, in the order in which they were added."""
        return list(self._archives.values())

    async def remove(self, archive: HostedArchive, *, keep_data: bool = False) -> None:
        """Stop hosting an archive, and delete its files unless they are to be kept."""
        async with self._adding:
            self._archives.pop(archive.key.hex, None)
            self._by_discovery.pop(archive.key.discovery_key.raw, None)
            await self._services.swarm.leave(archive.key.discovery_key.raw)
            await archive.retire()
            await self._services.catalogue.remove(archive.key)
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
        )

    def peers(self) -> list[PeerView]:
        """The peers of all archives."""
        return [peer for archive in self._archives.values() for peer in archive.peers()]

    # ---- details

    def _shelve(self, archive: HostedArchive) -> HostedArchive:
        self._archives[archive.key.hex] = archive
        self._by_discovery[archive.key.discovery_key.raw] = archive
        return archive

    def _check_name(self, name: str) -> None:
        if any(archive.name == name for archive in self._archives.values()):
            raise ArchiveExists(f"another archive is called {name!r}: choose another name")

    @staticmethod
    def _same_settings(
        known: HostedArchive,
        name: str | None,
        tags: Sequence[str],
        version: int | None,
        paused: bool,
    ) -> None:
        record = known.record
        differs = (
            (name is not None and name != record.name)
            or (bool(tags) and set(tags) != set(record.tags))
            or (version is not None and version != record.pinned)
            or (paused and not record.paused)
        )
        if differs:
            raise ArchiveExists(
                "this archive is hosted already, with other settings: remove it and add it again"
            )


async def _look_at(archives: Sequence[HostedArchive]) -> None:
    """Open archives one after the other, so that it is known what their files hold."""
    for archive in archives:
        with suppress(StorageError):  # the archive's state says why
            async with archive.opened():
                pass
