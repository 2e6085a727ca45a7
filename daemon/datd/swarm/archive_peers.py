"""The peers of one archive: candidates, callers, and the last that were dropped. Pure."""

from collections import Counter, deque
from collections.abc import Hashable, Iterable, Iterator

from datd.swarm import addresses
from datd.swarm.arrivals import Arrivals
from datd.swarm.bans import Bans
from datd.swarm.gate import Gate
from datd.swarm.limits import KNOWN_GOOD, REMEMBERED_ENDS, SwarmLimits
from datd.swarm.peer import INBOUND, MANUAL, REMEMBERED, KnownPeer, Peer, PeerView, State
from datd.types import Address


class ArchivePeers:
    """Records of one archive, by address.

    Attributes:
        known: Whom we may dial.
        callers: Who called and is connected.
        ended: Who was dropped lately, and is not in `known`.
        parked: Whose time has come while the archive had no room.
        bans: Whom we keep apart from.
        arrivals: How many new candidates are taken in.
        busy: Dials and connections.
        calls: Those of them that others began.
        hungry: Whether blocks are missing.
        talking: Connections that shook hands.
    """

    __slots__ = (
        "arrivals", "bans", "busy", "callers", "calls", "ended", "hungry", "known", "parked",
        "talking",
    )  # fmt: skip

    def __init__(self, limits: SwarmLimits) -> None:
        self.known: dict[Address, Peer] = {}
        self.callers: dict[Peer, None] = {}
        self.ended: deque[Peer] = deque(maxlen=REMEMBERED_ENDS)
        self.parked: list[Peer] = []
        self.bans = Bans()
        self.arrivals = Arrivals(limits.candidates_per_second)
        self.busy = self.calls = 0
        self.hungry = False
        self.talking = 0

    def views(self, now: float) -> list[PeerView]:
        """Show everybody; a peer with a connection to another of its addresses is shown once."""
        for peer in self.ended:
            banned = any(self.bans.until(mark) > now for mark in self.marks(peer))
            peer.state = State.BANNED if banned else State.GONE
        everybody = (*self.callers, *self.known.values(), *self.ended)
        return [PeerView.of(peer) for peer in everybody if peer.state is not State.COVERED]

    def expendable(self) -> Peer | None:
        """The candidate to forget for a new one, if there is one.

        It is the oldest of the source that has most of them, so that no source drives out the
        candidates of others; never one that was given by hand, or is known as good (T-32).
        """
        idle = [
            peer
            for peer in self.known.values()
            if peer.source != MANUAL and peer.last_success is None and peer.idle
        ]
        if not idle:
            return None
        networks = Counter(peer.source for peer in idle)
        loudest = max(networks, key=networks.__getitem__)
        idle = [peer for peer in idle if peer.source == loudest]
        tellers = Counter(peer.told_by for peer in idle)
        teller = max(tellers, key=tellers.__getitem__)
        return next(peer for peer in idle if peer.told_by == teller)

    def praise(self, peer: Peer, now: float) -> None:
        """A peer that can be dialled spoke Dat: it is known as good, before all that were so less.

        Who gave blocks goes before who only shook hands, which costs a stranger nothing.
        """
        peer.last_success = peer.last_seen = now
        good = [one for one in self.known.values() if one.last_success is not None]
        if len(good) > KNOWN_GOOD:
            min(good, key=_worth).last_success = None

    def recollect(
        self, name: bytes, known: Iterable[KnownPeer], gate: Gate, now: float
    ) -> list[Peer]:
        """Take in who was good in an earlier life of this daemon; gives those that are news."""
        taken = []
        latest = sorted(known, key=lambda one: (one.useful, one.last_success), reverse=True)
        for one in latest[:KNOWN_GOOD]:
            if gate.objection(one.address) is not None or gate.is_self(one.address, now):
                continue
            peer = _recollection(name, one, now)
            if peer.good(now) and self.known.setdefault(one.address, peer) is peer:
                taken.append(peer)
        return taken

    def known_good(self) -> list[KnownPeer]:
        """Who was good, best first."""
        good = [one for one in self.known.values() if one.last_success is not None]
        good.sort(key=_worth, reverse=True)
        return [
            KnownPeer(
                peer.address, peer.worked, peer.last_success, tuple(peer.sources), peer.useful
            )
            for peer in good[:KNOWN_GOOD]
            if peer.last_success is not None
        ]

    def forget(self, peer: Peer) -> None:
        """Take a candidate out."""
        self.known.pop(peer.address, None)
        peer.state = State.GONE
        self.remember(peer)

    def remember(self, peer: Peer) -> None:
        """Keep who was dropped and why, for whoever asks; once for each address and reason."""
        if peer.dropped is None:
            return
        for twin in self.twins(peer):
            twin.dropped = twin.last_error = peer.dropped
            twin.marks += peer.marks
            twin.distrusted |= peer.distrusted
            return
        for old in self.ended:
            if (old.address.host, old.dropped) == (peer.address.host, peer.dropped):
                self.ended.remove(old)
                peer.marks += old.marks
                break
        self.ended.append(peer)

    def recall(self, peer: Peer) -> None:
        """Remind a caller of what it did on earlier connections."""
        for old in (*self.ended, *self.known.values()):
            if _same(old, peer):
                peer.distrusted |= old.distrusted

    def twins(self, peer: Peer) -> Iterator[Peer]:
        """Candidates that are the same peer at other addresses."""
        for one in self.known.values():
            if one is not peer and (one in peer.covers or _same(one, peer)):
                yield one

    def marks(self, peer: Peer) -> list[Hashable]:
        """What an offender is known by when it comes back, calling or being dialled."""
        marks = caller_marks(peer.address, peer.remote_id)
        marks += [twin.address for twin in self.twins(peer)]
        if peer.source != INBOUND:
            marks.append(peer.address)
        return marks


def caller_marks(address: Address, remote_id: bytes) -> list[Hashable]:
    """What a caller is known by; `remote_id` is empty before the handshake."""
    # A caller's port says nothing. Behind loopback stand tunnels and proxies, many peers at one
    # address: there the name that it gave itself has to do, if it gave one.
    if not addresses.loopback(address.host):
        return [addresses.neighbourhood(address.host)]
    return [(address.host, remote_id)] if remote_id else []


def _recollection(name: bytes, known: KnownPeer, now: float) -> Peer:
    # One that was given by hand then is so now only if it is given again.
    sources = [one for one in known.sources if one != MANUAL] or [REMEMBERED]
    peer = Peer(name, known.address, sources[0], first_seen=now)
    for source in sources:
        peer.named_by(source)
    peer.worked = known.kind
    peer.useful = known.useful
    peer.last_seen = peer.last_success = known.last_success
    return peer


def _worth(peer: Peer) -> tuple[bool, float]:
    return peer.useful, peer.last_success if peer.last_success is not None else float("-inf")


def _same(one: Peer, other: Peer) -> bool:
    """Whether two records are of one peer, as far as it lets us know."""
    known = bool(one.remote_id) and one.remote_id == other.remote_id
    return known and one.address.host == other.address.host
