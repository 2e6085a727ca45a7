"""The peers of one archive: candidates, callers, and the last that were dropped. Pure."""

from collections import deque
from collections.abc import Hashable, Iterator

from datd.discovery.budget import Budget
from datd.swarm import addresses
from datd.swarm.bans import Bans
from datd.swarm.limits import REMEMBERED_ENDS, SwarmLimits
from datd.swarm.peer import INBOUND, MANUAL, Peer, PeerView, State
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
    """

    __slots__ = ("arrivals", "bans", "busy", "callers", "ended", "known", "parked")

    def __init__(self, limits: SwarmLimits) -> None:
        rate = limits.candidates_per_second
        self.known: dict[Address, Peer] = {}
        self.callers: dict[Address, Peer] = {}
        self.ended: deque[Peer] = deque(maxlen=REMEMBERED_ENDS)
        self.parked: list[Peer] = []
        self.bans = Bans()
        self.arrivals = Budget(rate, rate)
        self.busy = 0

    def views(self, now: float) -> list[PeerView]:
        """Show everybody; a peer with a connection to another of its addresses is shown once."""
        for peer in self.ended:
            banned = any(self.bans.until(mark) > now for mark in self.marks(peer))
            peer.state = State.BANNED if banned else State.GONE
        everybody = (*self.callers.values(), *self.known.values(), *self.ended)
        return [PeerView.of(peer) for peer in everybody if peer.state is not State.COVERED]

    def expendable(self) -> Peer | None:
        """The candidate to forget for a new one: the oldest that nobody gave by hand."""
        for peer in self.known.values():
            if peer.source != MANUAL and peer.state in (State.WAITING, State.BANNED):
                return peer
        return None

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
        return [address.host]
    return [(address.host, remote_id)] if remote_id else []


def _same(one: Peer, other: Peer) -> bool:
    """Whether two records are of one peer, as far as it lets us know."""
    known = bool(one.remote_id) and one.remote_id == other.remote_id
    return known and one.address.host == other.address.host
