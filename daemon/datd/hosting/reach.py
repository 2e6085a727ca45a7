"""What the swarm is told about one archive, and what it tells: where to look, and whom it knows."""

from datd.catalogue import MAX_GOOD_PEERS
from datd.hosting.services import Services
from datd.records import GoodPeer, Record
from datd.swarm.limits import GOOD_FOR
from datd.swarm.peer import KnownPeer, PeerView
from datd.types import Address


class Reach:
    """One archive in the swarm. Its record says how, and keeps the peers that were of use."""

    def __init__(self, record: Record, services: Services) -> None:
        self._record = record
        self._services = services
        self._name = record.key.discovery_key.raw
        self._hungry: bool | None = None

    @property
    def networks(self) -> list[str]:
        """Networks on which it is looked up and announced: of those there are, in their order."""
        chosen = self._record.networks
        return [name for name in self._services.networks if chosen is None or name in chosen]

    def join(self, *, hungry: bool, at_once: bool) -> None:
        """Look for peers and be found, on the networks that the record names now.

        Args:
            hungry: Whether blocks are missing.
            at_once: Somebody waits for it; else its first look-up is spread out with all others.
        """
        chosen, since_epoch = self._record.networks, self._since_epoch()
        self._services.swarm.join(
            self._name,
            networks=frozenset(chosen) if chosen is not None else None,
            at_once=at_once,
            known=[
                KnownPeer(
                    address=one.address,
                    kind=one.kind,
                    last_success=one.last_success - since_epoch,
                    sources=one.sources,
                    useful=one.useful,
                )
                for one in self._record.good_peers
            ],
        )
        if self._services.web is not None:
            self._services.web.join(self._name, self._record.web_sources, at_once=at_once)
        self._hungry = hungry
        self._services.swarm.hungry(self._name, hungry)
        if hungry and at_once:
            self.wanted()
        for address in self._record.peers:
            self._services.swarm.add_peer(self._name, address)

    async def leave(self) -> None:
        """Be found no more. When it returns, the talks about it are over."""
        if self._services.web is not None:
            await self._services.web.leave(self._name)
        await self._services.swarm.leave(self._name)

    def hungry(self, hungry: bool) -> None:
        """Say whether blocks are missing: then peers are looked for more often."""
        if hungry is not self._hungry:
            self._hungry = hungry
            self._services.swarm.hungry(self._name, hungry)
            if hungry:
                self.wanted()

    def wanted(self) -> None:
        """Somebody waits for what is missing: sources that are seldom talked with hear of it."""
        if self._services.web is not None and self._record.web_sources:
            self._services.web.wanted(self._name)

    def add_peer(self, address: Address) -> None:
        """Dial a source now, and again whenever it is lost."""
        self._services.swarm.add_peer(self._name, address)

    def peers(self) -> list[PeerView]:
        """Everybody who is known to have it, connected or not."""
        web = self._services.web
        return self._services.swarm.peers(self._name) + (web.peers(self._name) if web else [])

    def note_good_peers(self) -> None:
        """Put the peers that were good into the record; earlier ones stay as long as there is room.

        The swarm may know fewer: it forgets who cannot be reached, as nobody can in an outage.
        """
        since_epoch = self._since_epoch()
        good = {one.address: one for one in self._record.good_peers}
        for one in self._services.swarm.known_good(self._name):
            good[one.address] = GoodPeer(
                one.address, one.kind, one.last_success + since_epoch, one.sources, one.useful
            )
        oldest = self._services.wall_clock() - GOOD_FOR
        recent = [one for one in good.values() if one.last_success >= oldest]
        # Who gave blocks goes before who only shook hands, which costs a stranger nothing.
        recent.sort(key=lambda one: (not one.useful, -one.last_success, one.address))
        self._record.good_peers = recent[:MAX_GOOD_PEERS]

    def _since_epoch(self) -> float:
        return self._services.wall_clock() - self._services.clock()
