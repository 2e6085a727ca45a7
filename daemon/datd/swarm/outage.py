"""Is it the peers that are gone, or we? Notices that the network is away, and when it is back.

The cable is pulled: nobody answers, retries grow rare, and when the cable is back each peer is
tried after its own long pause only. So while those who were good fall silent together, a few of
them are asked again and again, at a small pace over all archives, and the first sign of life makes
all of them due. Pure; time is given.
"""

from collections.abc import Iterable

from datd.swarm.limits import DIAL_TIMEOUT
from datd.swarm.peer import Peer, State

# One probe of this many a second when the network has just gone ...
PROBES_PER_SECOND = 2
# ... and less often later: at most every 60th part of the time that it has been away, ...
_PATIENCE = 60.0
# ... but at least every minute, which is one packet to one peer.
_LONGEST_PAUSE = 60.0
# Some connections may survive, such as those within the house, while the way out is cut. Hosts that
# fell silent within this time are counted against those that talk.
RECENT = 600.0
# Signs of life that help nobody must not have all peers tried again and again: the pauses double.
_FIRST_SPACING = 5.0
_LONGEST_SPACING = 300.0
# Rule 4 of the limits; there are no more connections either.
MAX_LOST = 1024
# So many are looked at for one that can be probed; the next ones have their turn a moment later.
_GLANCES = 16


class Outage:
    """Good peers that do not answer, and what that says.

    It is an outage when none of our peers talks, or when of the hosts that talked lately as many
    fell silent as are left.
    """

    def __init__(self) -> None:
        self._missing: dict[Peer, None] = {}  # in the order in which they are probed
        self._lost: dict[str, float] = {}  # hosts that fell silent, and when; the oldest first
        self._live = 0
        self._was_active = False
        self._since: float | None = None
        self._probe_at = float("-inf")
        self._heed_at = float("-inf")
        self._spacing = _FIRST_SPACING

    # ---- what is told

    def missing(self, peer: Peer) -> None:
        """A good peer does not answer: neither a dial nor on its connection."""
        self._missing.setdefault(peer)

    def silent(self, host: str, now: float) -> None:
        """A host that we talked with fell silent."""
        if host not in self._lost:
            self._lost[host] = now
            if len(self._lost) > MAX_LOST:
                del self._lost[next(iter(self._lost))]

    def forget(self, peer: Peer) -> None:
        """A peer answers, if only to refuse, or is nobody's concern any more."""
        self._missing.pop(peer, None)

    def reached(self, peer: Peer, now: float) -> list[Peer]:
        """A dial was answered. Gives those to dial at once, if that is a sign of life."""
        again = self.life(peer.address.host, now)
        self._missing.pop(peer, None)
        if self._lost.pop(peer.address.host, None) is not None or not self._missing:
            self._since = None
            self._spacing = _FIRST_SPACING
        return [one for one in again if one is not peer]

    def life(self, host: str | None, now: float) -> list[Peer]:
        """Somebody was heard; None: somebody known. Gives those to dial at once, if that helps."""
        if not self.active(now):
            return []
        known = host is None or host in self._lost
        if self._live and not known:
            return []  # those who are not cut off say nothing about the others
        if now < self._heed_at and not known:
            return []
        self._heed_at = now + self._spacing
        self._spacing = min(2 * self._spacing, _LONGEST_SPACING)
        return self._release()

    def pulse(self, talking: Iterable[Peer], now: float) -> list[Peer]:
        """Tell who talks at the moment. Gives those to dial at once, if that is a sign of life."""
        hosts = set[str]()
        for peer in talking:
            hosts.add(peer.address.host)
            self._missing.pop(peer, None)
            self._lost.pop(peer.address.host, None)
        again = self.life(None, now) if hosts and not self._live else []
        self._live = len(hosts)
        active = self.active(now)
        if self._was_active and not active:
            again += self._release()
        self._was_active = active
        return again

    # ---- what follows

    def active(self, now: float) -> bool:
        """Whether the network seems to be away."""
        while self._lost and (oldest := next(iter(self._lost))):
            if now - self._lost[oldest] < RECENT:
                break
            del self._lost[oldest]
        if not self._missing:
            return False
        if self._live and len(self._lost) < self._live:
            return False
        if self._since is None:
            self._since = now
            self._probe_at = now + self._pause(now)
        return True

    def holds(self, peer: Peer, now: float) -> bool:
        """Whether a peer is left to the probes, and to the next sign of life."""
        return peer in self._missing and self.active(now)

    def keeps(self, peer: Peer, now: float) -> bool:
        """Whether a good peer had better wait for the network, too; then it is missing from now."""
        if not peer.good(now) or not self.active(now):
            return False
        self.missing(peer)
        return True

    def probe(self, now: float) -> Peer | None:
        """Whom to ask now whether the network is back, if anybody: they take turns."""
        if now < self._probe_at or not self.active(now):
            return None
        self._probe_at = now + self._pause(now)
        for _ in range(min(len(self._missing), _GLANCES)):
            peer = next(iter(self._missing))
            del self._missing[peer]
            if peer.state is State.GONE:
                continue
            self._missing[peer] = None
            asked = peer.probed_at is not None and now - peer.probed_at <= DIAL_TIMEOUT
            if peer.state in (State.WAITING, State.CONNECTED) and not asked:
                return peer
        return None

    def next_time(self, now: float) -> float | None:
        """When `probe` may give somebody."""
        return max(now, self._probe_at) if self.active(now) else None

    def _pause(self, now: float) -> float:
        away = now - (self._since if self._since is not None else now)
        return min(max(1 / PROBES_PER_SECOND, away / _PATIENCE), _LONGEST_PAUSE)

    def _release(self) -> list[Peer]:
        released = list(self._missing)
        self._missing.clear()
        return released
