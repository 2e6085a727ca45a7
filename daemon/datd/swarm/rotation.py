"""Who has the next place while places are short: archives without any connection go first. Pure.

One connection is about one archive. A mirror of 5,000 archives that it shares with one other has
1,024 places, so the archives take turns: an idle connection makes room for an archive without any.
"""

from collections.abc import Callable, Collection

from datd.swarm.archive_peers import ArchivePeers
from datd.swarm.dialling import DialQueue
from datd.swarm.limits import (
    CLOSINGS,
    COURTESY,
    LEFT_TO_HUNGRY,
    MOST_LEFT_TO_HUNGRY,
    TURNED_AWAY,
    SwarmLimits,
)
from datd.swarm.peer import MANUAL, Peer, State
from datd.swarm.places import Places

# Candidates that are looked at for one that can be dialled; the others a moment later.
_GLANCES = 256
# An archive that misses blocks is tried so often before it waits like all others.
_HUNGRY_TRIES = 3
_STEPS = 1024


class Rotation:
    """Chooses whom to dial, and whose connections end for that."""

    def __init__(
        self,
        archives: dict[bytes, ArchivePeers],
        *,
        queue: DialQueue,
        places: Places,
        limits: SwarmLimits,
        choose: Callable[[int], int],
    ) -> None:
        """All of these are shared with the table of peers."""
        self._choose = choose
        self._archives = archives
        self._queue = queue
        self._places = places
        self._limits = limits
        # Archives that miss blocks and had no connection when that was told, in that order.
        self._starving: dict[bytes, None] = {}
        self._refill_at = self._full_until = float("-inf")

    def starves(self, name: bytes) -> None:
        """An archive misses blocks, or has its first candidate: it is the next, if it may be."""
        if self._archives[name].hungry and not self._archives[name].busy:
            self._starving[name] = None

    def turned_away(self, peer: Peer, now: float) -> None:
        """A dial was answered, and the connection ended without a word.

        More likely than not there is no place for us. If few are free here, too, the two ends may
        be at odds about the last ones: by chance, one of them tries again before the other.
        """
        if self._places.crowded:
            pause = TURNED_AWAY * (1 + self._choose(_STEPS)) / _STEPS
            self._refill_at = self._full_until = now + pause
            if peer.failures < _HUNGRY_TRIES:
                self.starves(peer.name)

    def freed(self, now: float) -> None:
        """The other end has closed a connection in order."""
        self._refill_at = max(self._refill_at, now + COURTESY)

    def full(self, now: float) -> bool:
        """Whether somebody must go before others can come."""
        return not self._places.free or (self._places.crowded and now < self._full_until)

    def forget(self, name: bytes) -> None:
        """An archive is left."""
        self._starving.pop(name, None)

    def next(self, now: float) -> Peer | None:
        """Whom to dial now that a place is free. It is out of the queue."""
        if not self._places.crowded:
            return self._queue.take(now) or self._queue.take_spare(now)
        if now < self._refill_at or not self._may_fill:
            return self._queue.take_first(now)
        if (peer := self._hungry(now, ())) is not None:
            return peer
        for _ in range(_GLANCES):
            peer = self._queue.take(now)
            if peer is None:
                return self._queue.take_spare(now)
            wanted = peer.source == MANUAL or peer.urgent or peer.state is State.CONNECTED
            if wanted or not self._archives[peer.name].busy:
                return peer
            self._queue.put_aside(peer)
        return None

    def bare(self, archive: ArchivePeers, now: float, *, had_turn: bool) -> None:
        """An archive has lost its last connection: its candidates stand aside no more."""
        later = had_turn and self._places.crowded
        for peer in archive.known.values():
            if later and peer.ticket and not peer.failures and peer.source != MANUAL:
                self._queue.put_in_turn(peer)
            elif peer.spare:
                self._queue.put(peer, now)

    def wanted(self, now: float) -> bool:
        """Whether all places are taken, and somebody may wait for one."""
        waiting = self._queue.next_time(now)
        return self.full(now) and waiting is not None and waiting <= now

    def next_time(self, now: float) -> float | None:
        """When `next` may have somebody else; None: when something else has changed."""
        time = self._queue.next_time(now)
        if time is None or not self._places.crowded:
            return time
        return max(time, self._refill_at) if self._may_fill else None

    @property
    def _may_fill(self) -> bool:
        """Whether so many places are free that we may take one and leave as many to callers."""
        return self._places.dialling < self._places.free

    def leavers(self, idle: list[Peer], now: float) -> list[Peer]:
        """Choose connections to end, one for each archive that waits; those are dialled next.

        Of idle ones those of archives with others go first, then the oldest. The last few are left
        to archives that miss blocks.
        """
        idle = sorted(idle, key=_age)
        leaving, heirs = list[Peer](), dict[bytes, Peer]()
        left = {peer.name: self._archives[peer.name].busy for peer in idle}
        while idle and len(leaving) < min(CLOSINGS, self._places.dials_left):
            heir = self._hungry(now, heirs)
            reserve = min(MOST_LEFT_TO_HUNGRY, self._limits.connections // LEFT_TO_HUNGRY)
            if heir is None and len(idle) > reserve:
                heir = self._without_any(now, heirs)
            if heir is None:
                break
            heirs[heir.name] = heir
            # Of connections with the same host, that end may have waited for this as well.
            there = [one for one in idle if one.address == heir.address] or idle
            leaver = next((one for one in idle if left[one.name] > 1), there[0])
            left[leaver.name] -= 1
            idle.remove(leaver)
            leaving.append(leaver)
        for heir in heirs.values():
            self._queue.put_next(heir)
        return leaving

    def _hungry(self, now: float, heirs: Collection[bytes]) -> Peer | None:
        """Somebody of an archive that misses blocks and has no connection."""
        while self._starving:
            name = next(iter(self._starving))
            del self._starving[name]
            archive = self._archives[name]
            if not archive.hungry or archive.busy or name in heirs:
                continue
            for peer in sorted(archive.known.values(), key=lambda one: not one.good(now)):
                # A stranger that failed waits for its own time; all others are worth a dial now.
                worth = not peer.failures or self._queue.known(peer)
                waits = peer.state is State.WAITING and not peer.faults
                if worth and waits and self._queue.take_out(peer, now):
                    return peer
        return None

    def _without_any(self, now: float, heirs: Collection[bytes]) -> Peer | None:
        for _ in range(_GLANCES):
            peer = self._queue.take(now)
            if peer is None:
                return None
            if not self._archives[peer.name].busy and peer.name not in heirs:
                return peer
            self._queue.put_aside(peer)
        return None


def _age(peer: Peer) -> float:
    return peer.connected_at if peer.connected_at is not None else 0.0
