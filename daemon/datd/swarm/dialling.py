"""Whom to dial next: a queue over all archives. Pure; time and chance are given."""

import heapq
from collections.abc import Callable

from datd.discovery.budget import Budget
from datd.swarm.limits import DIAL_SPACING
from datd.swarm.peer import MANUAL, Peer
from datd.types import Address

# Rule 4 of the limits: so many addresses that spoke Dat to us, and times of dials, are remembered.
MAX_PROVEN = 4096
MAX_RECENT = 1024


class DialQueue:
    """Peers by the time at which they may be dialled.

    Of those whose time has come, the ones given by hand go first, then those that were good before,
    then the rest; at random among equals, so that no peer's place in an answer is worth anything.
    """

    def __init__(self, *, choose: Callable[[int], int], dials_per_second: int) -> None:
        self._choose = choose
        self._budget = Budget(dials_per_second, dials_per_second)
        self._later: list[tuple[float, int, Peer]] = []
        self._manual: list[tuple[int, Peer]] = []
        self._good: list[tuple[int, Peer]] = []
        self._rest: list[tuple[int, Peer]] = []
        self._ticket = 0
        self._stale = 0
        self._proven: dict[Address, None] = {}
        self._recent: dict[Address, float] = {}

    def put(self, peer: Peer, due: float) -> None:
        """Have a peer dialled at some time; what was planned for it before is forgotten."""
        self.discard(peer)
        self._ticket += 1
        peer.ticket = self._ticket
        heapq.heappush(self._later, (due, peer.ticket, peer))

    def discard(self, peer: Peer) -> None:
        """Forget what was planned for a peer."""
        if peer.ticket:
            peer.ticket = 0
            self._stale += 1
            if self._stale > 64 + len(self._later) // 2:
                self._sweep()

    def prove(self, address: Address) -> None:
        """An address spoke Dat to us: it need not be protected from us."""
        self._proven.pop(address, None)
        self._proven[address] = None
        if len(self._proven) > MAX_PROVEN:
            del self._proven[next(iter(self._proven))]

    def take(self, now: float) -> Peer | None:
        """Take out the best of those whose time has come. Ask `may_dial` before."""
        self._ripen(now)
        for pool in (self._manual, self._good, self._rest):
            while pool:
                ticket, peer = self._draw(pool)
                if peer.ticket != ticket:
                    self._stale -= 1
                elif pool is self._rest and now < (free := self._free_at(peer.address)):
                    heapq.heappush(self._later, (free, ticket, peer))
                else:
                    peer.ticket = 0
                    return peer
        return None

    def may_dial(self, now: float) -> bool:
        """Whether there is a dial left in this moment."""
        return self._budget.available(now) >= 1

    def dialled(self, peer: Peer, now: float) -> None:
        """Count a dial."""
        self._budget.take(now)
        self._recent.pop(peer.address, None)
        self._recent[peer.address] = now
        if len(self._recent) > MAX_RECENT:
            del self._recent[next(iter(self._recent))]

    def next_time(self, now: float) -> float | None:
        """When `take` may give somebody next; None if nobody waits."""
        ready = self._budget.ready_at(now)
        if self._manual or self._good or self._rest:
            return ready
        return max(ready, self._later[0][0]) if self._later else None

    def _free_at(self, address: Address) -> float:
        return self._recent.get(address, float("-inf")) + DIAL_SPACING

    def _ripen(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            _, ticket, peer = heapq.heappop(self._later)
            if peer.ticket != ticket:
                self._stale -= 1
            elif peer.source == MANUAL:
                self._manual.append((ticket, peer))
            elif peer.address in self._proven:
                self._good.append((ticket, peer))
            else:
                self._rest.append((ticket, peer))

    def _draw(self, pool: list[tuple[int, Peer]]) -> tuple[int, Peer]:
        place = self._choose(len(pool))
        pool[place], pool[-1] = pool[-1], pool[place]
        return pool.pop()

    def _sweep(self) -> None:
        self._later = [entry for entry in self._later if entry[2].ticket == entry[1]]
        heapq.heapify(self._later)
        for pool in (self._manual, self._good, self._rest):
            pool[:] = [entry for entry in pool if entry[1].ticket == entry[0]]
        self._stale = 0
