"""The rounds of all names on one network: evenly paced, within a budget. Pure.

A round is one look-up, which announces as well. Names stand in a ring; whoever had its round goes
to the end. The head of the ring has its turn in slots that divide the interval evenly among all
names, so whatever was joined, left or restored at once spreads out by itself within one turn.

Beside the ring, and never in its way: fresh names that somebody waits for, and extra rounds for
names in need, sooner than their turn, fewer and fewer while nothing comes of them.

Source: discovery.md section 7, "Ours".
"""

import heapq
from collections import OrderedDict, deque
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple


class Pace(NamedTuple):
    """What one network bears.

    Attributes:
        name: Of the network.
        interval: Seconds; no name waits longer for its next round, unless the budget stretches it,
            as 10 rounds a second do from 540 names on with 60 s. Short enough that nobody forgets
            what is announced, as long as it holds: servers of ours forget after 5 minutes (so from
            about 2,700 names on there are gaps, in which the others still find peers by our
            look-ups), subscriptions end after 3 (with the reference's servers after one), DHT
            nodes forget after 30 to 45 (some 20,000 names).
        per_second: Rounds a second, whatever caused them; above 0.
    """

    name: str
    interval: float
    per_second: float


class Need(IntEnum):
    """How much more often than its turn a name should be looked up."""

    CALM = 0  # complete, and with peers: its turn is enough
    SOME = 1  # either of them is missing
    MUCH = 2  # blocks are missing and nobody is there who could bring them


# A slot is this share of an even division at most shorter: neighbours do not stay in step, and no
# name waits longer than the interval. The reference's 60 to 70 s are of that kind.
JITTER = 1 / 6
_STEPS = 1024
# Of the budget. The rest is for the rounds that a user causes, which are due at once.
RING_SHARE = 0.9
RING_SHARE_BESIDE_EXTRAS = 0.7
EXTRA_SHARE = 0.2
# Extra rounds may come this much on top of the ring's: together they stay below twice the mean.
EXTRA_RATIO = 1 / 3
# With few names that would be next to none: one every 4 seconds hurts nobody.
EXTRA_RATE = 0.25
# The first extra round of a name without peers and blocks comes after this share of the interval,
# after so many without success the gap doubles, up to the interval: then its turn is enough.
FIRST_GAP = 1 / 4
TRIES_FOR_EACH_GAP = 4
_ENOUGH_TRIES = 3 * TRIES_FOR_EACH_GAP
# Restored names need not wait for a quarter of an hour when there are only few: one a second.
FIRST_STEP = 1.0
# Slots that were slept through are made up for within this time; older ones are lost (a suspend).
GRACE = 1.0
# After a suspend, or when the budget was short, all names are late: the ring turns faster by this.
CATCH_UP = 1.5
_NEVER = float("-inf")


class _Turn:
    """What is known of a name on this network; `extra`: its valid entry in the heap, or 0."""

    __slots__ = ("extra", "last", "need", "tries")

    def __init__(self, need: Need) -> None:
        self.last = _NEVER
        self.need = need
        self.tries = 0
        self.extra = 0


class Rounds:
    """Names on one network, and when each has its next round. O(log n) for everything."""

    def __init__(self, pace: Pace, choose: Callable[[int], int]) -> None:
        """No names yet.

        Args:
            pace: What the network bears.
            choose: Gives a random number from 0 to below its argument.
        """
        self.pace = pace
        self._choose = choose
        self._ring: OrderedDict[bytes, _Turn] = OrderedDict()
        self._fresh: dict[bytes, _Turn] = {}
        self._restored: dict[bytes, _Turn] = {}
        self._restored_in_need: dict[bytes, _Turn] = {}
        self._extras: list[tuple[float, int, bytes]] = []
        self._ticket = 0
        # Any window of this many seconds sees at most `_most` rounds: that is the budget.
        self._most = max(1, int(pace.per_second))
        self._window = self._most / pace.per_second
        self._recent: deque[float] = deque(maxlen=self._most)
        self._slot: float | None = None
        self._extra_slot = _NEVER
        self._share = self._draw()
        self._fresh_was_last = False

    def __len__(self) -> int:
        """How many names there are."""
        restored = len(self._restored) + len(self._restored_in_need)
        return len(self._ring) + len(self._fresh) + restored

    def __contains__(self, name: bytes) -> bool:
        return self._turn(name) is not None

    # ---- names

    def add(self, name: bytes, need: Need, at_once: bool) -> None:
        """Take a name in; with `at_once` it goes before all others, also if it was here."""
        turn = self._turn(name)
        if turn is None:
            turn = _Turn(need)
        elif not at_once:
            return
        self.remove(name)
        if at_once:
            turn.tries = turn.extra = 0
            self._fresh[name] = turn
        else:
            self._restored_by(need)[name] = turn

    def remove(self, name: bytes) -> None:
        """Forget a name."""
        for place in self._places():
            place.pop(name, None)
        # What is left of it in the heap is skipped when its time comes, or swept out here.
        if len(self._extras) > 2 * len(self._ring) + 64:
            self._sweep()

    def set_need(self, name: bytes, need: Need) -> None:
        """Note how much a name needs rounds."""
        turn = self._turn(name)
        if turn is None or turn.need is need:
            return
        turn.need = need
        for restored in (self._restored, self._restored_in_need):
            if restored.pop(name, None) is not None:
                self._restored_by(need)[name] = turn
        if name in self._ring:
            self._plan_extra(name, turn)

    def _turn(self, name: bytes) -> _Turn | None:
        for place in self._places():
            turn = place.get(name)
            if turn is not None:
                return turn
        return None

    def _places(self) -> tuple[dict[bytes, _Turn], ...]:
        return self._ring, self._fresh, self._restored, self._restored_in_need

    def _restored_by(self, need: Need) -> dict[bytes, _Turn]:
        return self._restored_in_need if need is Need.MUCH else self._restored

    # ---- time

    def due(self, now: float) -> list[bytes]:
        """The names to look up now; the budget is taken for them."""
        if self._slot is None:
            self._slot = now
        names: list[bytes] = []
        while self._ready_at(now) <= now:
            slot, extra = self._slot_time(), self._extra_time()
            in_turn = slot is not None and slot <= now
            # In turns, so that neither a user with many wishes nor the ring can starve the other.
            if self._fresh and not (in_turn and self._fresh_was_last):
                if not self._ring:
                    self._slot = now
                name, turn = self._fresh.popitem()  # the latest: for that one somebody waits
                self._fresh_was_last = True
            elif slot is not None and slot <= now:
                self._slot = max(slot, now - GRACE)
                self._share = self._draw()
                name, turn = self._next_in_turn()
                self._fresh_was_last = False
            elif extra is not None and extra <= now:
                self._extra_slot = max(extra, now - GRACE)
                name = heapq.heappop(self._extras)[2]
                turn = self._ring[name]
            else:
                break
            self._note(name, turn, now)
            names.append(name)
        return names

    def next_time(self, now: float) -> float | None:
        """When `due` has something, if nothing changes; None without names."""
        if self._slot is None:
            self._slot = now
        if self._fresh:
            return self._ready_at(now)
        times = [time for time in (self._slot_time(), self._extra_time()) if time is not None]
        return max(min(times), self._ready_at(now)) if times else None

    def _ready_at(self, now: float) -> float:
        if len(self._recent) < self._most:
            return now
        return max(now, self._recent[0] + self._window)

    def _slot_time(self) -> float | None:
        """When the next name of the ring, or of those restored, has its turn."""
        restored = self._restored or self._restored_in_need
        if self._slot is None or not (self._ring or restored):
            return None
        step = self.pace.interval / len(self)
        time = self._slot + self._share * min(step, FIRST_STEP if restored else step)
        if self._ring:
            deadline = next(iter(self._ring.values())).last + self.pace.interval
            # Those who left took slots with them: who had its round long ago must not wait longer.
            # Where many are late already, their deadlines are worth nothing, and would be a storm.
            time = min(time, deadline if deadline >= self._slot else self._slot + step / CATCH_UP)
        share = RING_SHARE_BESIDE_EXTRAS if self._extras else RING_SHARE
        return max(time, self._slot + 1 / (share * self.pace.per_second))

    def _next_in_turn(self) -> tuple[bytes, _Turn]:
        # Those restored had no round yet: they waited longest, however late the ring is.
        restored = self._restored_in_need or self._restored
        return restored.popitem() if restored else next(iter(self._ring.items()))

    def _note(self, name: bytes, turn: _Turn, now: float) -> None:
        self._recent.append(now)
        turn.last = now
        turn.tries = min(turn.tries + 1, _ENOUGH_TRIES) if turn.need else 0
        self._ring[name] = turn
        self._ring.move_to_end(name)
        self._plan_extra(name, turn)

    def _draw(self) -> float:
        return 1 - JITTER * self._choose(_STEPS) / _STEPS

    # ---- extra rounds

    def _plan_extra(self, name: bytes, turn: _Turn) -> None:
        turn.extra = 0
        gap = FIRST_GAP * 2 ** (turn.tries // TRIES_FOR_EACH_GAP)
        gap *= 1 if turn.need is Need.MUCH else 2
        if turn.need is Need.CALM or gap >= 1:
            return
        self._ticket += 1
        turn.extra = self._ticket
        heapq.heappush(self._extras, (turn.last + gap * self.pace.interval, self._ticket, name))
        if len(self._extras) > 2 * len(self._ring) + 64:
            self._sweep()

    def _extra_time(self) -> float | None:
        while self._extras and not self._is_valid(self._extras[0]):
            heapq.heappop(self._extras)
        if not self._extras:
            return None
        rate = max(EXTRA_RATE, EXTRA_RATIO * len(self) / self.pace.interval)
        rate = min(rate, EXTRA_SHARE * self.pace.per_second)
        return max(self._extras[0][0], self._extra_slot + 1 / rate)

    def _is_valid(self, entry: tuple[float, int, bytes]) -> bool:
        _, ticket, name = entry
        turn = self._ring.get(name)
        return turn is not None and turn.extra == ticket

    def _sweep(self) -> None:
        self._extras = [entry for entry in self._extras if self._is_valid(entry)]
        heapq.heapify(self._extras)
