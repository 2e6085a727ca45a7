"""Whom we might dial: taken in, brought forward, and forgotten. Pure; time is given.

Discovery networks name candidates, and so does the operator, whose word counts more.
"""

from functools import cache

from datd.swarm import retries
from datd.swarm.archive_peers import ArchivePeers
from datd.swarm.arrivals import Arrivals
from datd.swarm.dialling import DialQueue
from datd.swarm.gate import Gate
from datd.swarm.limits import ARRIVALS, SwarmLimits
from datd.swarm.outage import Outage
from datd.swarm.peer import MANUAL, Peer, State
from datd.swarm.rules import AddressRules
from datd.types import Address


class Candidates:
    """The candidates of all archives. Names are discovery keys of 32 bytes."""

    def __init__(
        self,
        archives: dict[bytes, ArchivePeers],
        *,
        gate: Gate,
        queue: DialQueue,
        outage: Outage,
        limits: SwarmLimits,
    ) -> None:
        """All of these are shared with the table of peers."""
        self._archives = archives
        self._gate = gate
        self._queue = queue
        self._outage = outage
        self._limit = limits.candidates
        self._arrivals = Arrivals(ARRIVALS)

    def found(
        self, name: bytes, address: Address, source: str, told_by: Address, now: float
    ) -> bool:
        """A discovery network named a peer; whether that is news and worth a dial."""
        archive = self._archives.get(name)
        if archive is None or not self._gate.welcome(address, told_by, now):
            return False
        peer = archive.known.get(address)
        if peer is not None:
            return self._found_again(peer, source, now)
        if archive.bans.until(address) > now:
            return False
        if not all(a.take(source, told_by.host, now) for a in (archive.arrivals, self._arrivals)):
            return False
        if len(archive.known) >= self._limit:
            loud = archive.expendable()
            if loud is None:
                return False
            self.forget(loud)
        peer = Peer(name, address, source, told_by.host, first_seen=now, last_seen=now)
        archive.known[address] = peer
        self._queue.put(peer, now)
        return True

    def add(self, name: bytes, address: Address, now: float) -> None:
        """Somebody gave a peer by hand; see `PeerTable.add`."""
        archive = self._archives.get(name)
        if archive is None:
            return
        peer = archive.known.setdefault(address, Peer(name, address, MANUAL, first_seen=now))
        peer.source = MANUAL
        peer.named_by(MANUAL)
        if peer.busy or peer.state is State.COVERED:
            return
        peer.last_error = self._gate.objection(address)
        if peer.last_error is not None:
            self._queue.discard(peer)
            peer.state = State.GONE
            return
        peer.state = State.WAITING
        peer.failures = peer.faults = 0
        archive.bans.lift(address)
        self._queue.put(peer, now)

    def obey(self, rules: AddressRules, now: float) -> None:
        """Other rules: candidates that they keep out are forgotten."""
        self._gate.rules = rules
        # T-27: a host that has one archive has many, and to look it up takes some microseconds.
        refusal_of = cache(rules.refusal)
        for name, archive in self._archives.items():
            concerned = [
                one
                for one in archive.known.values()
                if (one.source == MANUAL or refusal_of(one.address.host) is not None) and one.idle
            ]
            for peer in concerned:
                refusal = refusal_of(peer.address.host)
                if peer.source == MANUAL and (refusal is not None or peer.state is State.GONE):
                    self.add(name, peer.address, now)
                elif refusal is not None:
                    self.forget(peer)

    def own_address(self, host: str | None, port: int | None) -> None:
        """Where others see this daemon, as far as it is known: it is no candidate."""
        address = self._gate.seen_at(host, port)
        for archive in self._archives.values():
            peer = archive.known.get(address) if address is not None else None
            if peer is not None and peer.source != MANUAL and peer.idle:
                self.forget(peer)

    def forget(self, peer: Peer) -> None:
        """Take a candidate out. Nothing else may have to do with it."""
        self._queue.discard(peer)
        self._outage.forget(peer)
        self._archives[peer.name].forget(peer)

    def _found_again(self, peer: Peer, source: str, now: float) -> bool:
        peer.named_by(source)
        peer.last_seen = now
        if peer.state is not State.WAITING or not retries.hasten(peer, now):
            return False
        self._queue.put(peer, now)
        return True
