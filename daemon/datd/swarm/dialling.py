"""Whom to dial next: a queue over all archives. Pure; time and chance are given."""

import heapq
from collections import deque
from collections.abc import Callable

from datd.discovery.budget import Budget
from datd.swarm.addresses import neighbourhood
from datd.swarm.fair_pool import Entry, FairPool, draw
from datd.swarm.limits import DIAL_SPACING, LONG_GONE
from datd.swarm.peer import MANUAL, Peer
from datd.types import Address

# Rule 4 of the limits: so many addresses that spoke Dat to us, and so many hosts that
# were dialled at others, are remembered. Of the latter, those of the last five seconds matter, and
# there are 20 dials a second.
MAX_PROVEN = 4096
MAX_RECENT = 1024
# One dial in so many goes to those who come last, while there are any: even if thousands of known
# good peers wait, new ones are not shut out, nor the other way round. Every other one of these goes
# to those who had their turn.
TURN_OF_THE_LAST = 4
_NEXT, _FIRST, _GOOD, _REST, _TURNS, _SPARE = range(6)
_RANKS = (_NEXT, _FIRST, _GOOD, _REST, _TURNS)
_LAST_RANKS = ((_NEXT, _REST, _GOOD, _FIRST, _TURNS), (_NEXT, _TURNS, _REST, _GOOD, _FIRST))


class DialQueue:
    """Peers by the time at which they may be dialled.

    Of those whose time has come, the ones given by hand and the urgent ones go first, then those
    that were good before, then the rest, sources taking turns; at random among equals, so that no
    peer's place in an answer is worth anything. Then come those who made room for others, one after
    the other. Aside stand the spare ones, which are taken when nobody else waits.
    """

    def __init__(self, *, choose: Callable[[int], int], dials_per_second: int) -> None:
        self._choose = choose
        self._budget = Budget(dials_per_second, dials_per_second)
        self._later: list[tuple[float, int, Peer]] = []
        self._first: list[Entry] = []
        self._good: list[Entry] = []
        self._rest = FairPool()
        self._next: deque[Entry] = deque()
        self._turns: deque[Entry] = deque()
        self._spare: list[Entry] = []
        # Behind each host that was dialled a moment ago: who waits for it. One goes at a time, so a
        # host that is named under all ports and names costs no work while it rests (T-32); sources
        # take turns, so nobody can hide the one port that is true behind thousands of others.
        self._held: dict[str, FairPool] = {}
        self._rests: list[tuple[float, str]] = []
        self._ticket = 0
        self._dials = 0
        self._stale = 0
        self._proven: dict[Address, None] = {}
        self._recent: dict[str, float] = {}

    def put(self, peer: Peer, due: float) -> None:
        """Have a peer dialled at some time; what was planned for it before is forgotten."""
        ticket, _ = self._entry(peer)
        heapq.heappush(self._later, (due, ticket, peer))

    def put_next(self, peer: Peer) -> None:
        """Have a peer dialled next, before all others."""
        self._next.append(self._entry(peer))

    def put_in_turn(self, peer: Peer) -> None:
        """Have a peer dialled once all others had their turn."""
        self._turns.append(self._entry(peer))

    def put_aside(self, peer: Peer) -> None:
        """Have a peer dialled when there are places that nobody else wants."""
        self._spare.append(self._entry(peer))
        peer.spare = True

    def _entry(self, peer: Peer) -> Entry:
        self.discard(peer)
        self._ticket += 1
        peer.ticket = self._ticket
        return peer.ticket, peer

    def discard(self, peer: Peer) -> None:
        """Forget what was planned for a peer."""
        peer.spare = False
        if peer.ticket:
            peer.ticket = 0
            self._stale += 1
            if self._stale > 64 + len(self._later) // 2:
                self._sweep()

    def prove(self, address: Address) -> None:
        """An address spoke Dat to us: it need not be protected from us."""
        news = address not in self._proven
        self._proven.pop(address, None)
        self._proven[address] = None
        if len(self._proven) > MAX_PROVEN:
            del self._proven[next(iter(self._proven))]
        if news:
            self._let_go(address)

    def doubt(self, address: Address) -> None:
        """Nobody answers there, time and again: that it once spoke Dat is worth nothing now."""
        self._proven.pop(address, None)

    def take(self, now: float) -> Peer | None:
        """Take out the best of those whose time has come. Ask `may_dial` before."""
        self._ripen(now)
        ranks = _RANKS
        turn, place = divmod(self._dials, TURN_OF_THE_LAST)
        if place == TURN_OF_THE_LAST - 1:
            ranks = _LAST_RANKS[turn % 2]
        for rank in ranks:
            if (peer := self._take(rank, now)) is not None:
                return peer
        return None

    def take_first(self, now: float) -> Peer | None:
        """Take out one that goes before all others, if there is one."""
        self._ripen(now)
        return self._take(_NEXT, now) or self._take(_FIRST, now)

    def take_spare(self, now: float) -> Peer | None:
        """Take out one that was put aside."""
        return self._take(_SPARE, now)

    def take_out(self, peer: Peer, now: float) -> bool:
        """Take a certain one out, if it may be dialled now."""
        if not peer.ticket or now < self._free_at(peer):
            return False
        self.discard(peer)
        return True

    def _take(self, rank: int, now: float) -> Peer | None:
        while (entry := self._draw(rank)) is not None:
            ticket, peer = entry
            if peer.ticket != ticket:
                self._stale -= 1
            elif now < self._free_at(peer):
                peer.spare = False
                self._hold(entry)
            else:
                peer.ticket, peer.spare = 0, False
                return peer
        return None

    def may_dial(self, now: float) -> bool:
        """Whether there is a dial left in this moment."""
        return self._budget.available(now) >= 1

    def dialled(self, peer: Peer, now: float) -> None:
        """Count a dial."""
        self._budget.take(now)
        self._dials += 1
        if self.known(peer):
            return  # it must not keep others of that host from their turn
        host = neighbourhood(peer.address.host)
        self._recent.pop(host, None)
        self._recent[host] = now
        if len(self._recent) > MAX_RECENT:
            del self._recent[next(iter(self._recent))]

    def next_time(self, now: float) -> float | None:
        """When `take` may give somebody next; None if nobody waits."""
        ready = self._budget.ready_at(now)
        now_due = (self._next, self._first, self._good, self._rest, self._turns, self._spare)
        if any(now_due):
            return ready
        times = [heap[0][0] for heap in (self._later, self._rests) if heap]
        return max(ready, min(times)) if times else None

    def _free_at(self, peer: Peer) -> float:
        if self.known(peer):
            return float("-inf")
        host = neighbourhood(peer.address.host)
        return self._recent.get(host, float("-inf")) + DIAL_SPACING

    def known(self, peer: Peer) -> bool:
        """Whether it is free of the spacing: given by hand, or it spoke Dat to us.

        A host that is gone is not, though a thousand archives know it as good: it would cost all
        the dials that there are. The first of them that is answered frees the others.
        """
        good = peer.last_success is not None and peer.failures < LONG_GONE
        return good or peer.source == MANUAL or peer.address in self._proven

    def _ripen(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            _, ticket, peer = heapq.heappop(self._later)
            self._sort_in((ticket, peer))
        while self._rests and self._rests[0][0] <= now:
            _, host = heapq.heappop(self._rests)
            held = self._held.pop(host)
            waits = len(self._rest) + len(self._good)
            while held and len(self._rest) + len(self._good) == waits:
                self._sort_in(held.draw(self._choose))
            if held:
                self._held[host] = held
                heapq.heappush(self._rests, (now + DIAL_SPACING, host))

    def _sort_in(self, entry: Entry) -> None:
        ticket, peer = entry
        if peer.ticket != ticket:
            self._stale -= 1
        elif peer.source == MANUAL or peer.urgent:
            self._first.append(entry)
        elif self.known(peer) and peer.failures < LONG_GONE:
            self._good.append(entry)
        elif (held := self._held.get(neighbourhood(peer.address.host))) is not None:
            # Behind the others of that host: what comes later must not take their turns.
            held.add(entry)
        else:
            self._rest.add(entry)

    def _hold(self, entry: Entry) -> None:
        host = neighbourhood(entry[1].address.host)
        if host not in self._held:
            self._held[host] = FairPool()
            heapq.heappush(self._rests, (self._free_at(entry[1]), host))
        self._held[host].add(entry)

    def _let_go(self, address: Address) -> None:
        """Nobody waits any more behind its host for this address, be it for a thousand archives."""
        host = neighbourhood(address.host)
        held = self._held.pop(host, None)
        if held is None:
            return
        others = FairPool()
        for entry in held:
            if entry[1].address == address:
                self._sort_in(entry)
            else:
                others.add(entry)
        self._held[host] = others

    def _draw(self, rank: int) -> Entry | None:
        if rank == _REST:
            return self._rest.draw(self._choose) if self._rest else None
        if rank in (_NEXT, _TURNS):
            line = self._next if rank == _NEXT else self._turns
            return line.popleft() if line else None
        pool = {_FIRST: self._first, _GOOD: self._good, _SPARE: self._spare}[rank]
        return draw(pool, self._choose) if pool else None

    def _sweep(self) -> None:
        self._later = [entry for entry in self._later if entry[2].ticket == entry[1]]
        heapq.heapify(self._later)
        for pool in (self._first, self._good, self._spare):
            pool[:] = [entry for entry in pool if entry[1].ticket == entry[0]]
        self._next = deque(entry for entry in self._next if entry[1].ticket == entry[0])
        self._turns = deque(entry for entry in self._turns if entry[1].ticket == entry[0])
        for held in self._held.values():
            held.sweep()
        self._rest.sweep()
        self._stale = 0
