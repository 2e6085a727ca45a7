"""When to look up which name again: one clock for all names, whatever their number. Pure."""

import heapq
from collections.abc import Callable

# The reference asks every 60 s and up to 10 s more (discovery.md section 7).
INTERVAL = 60.0
SPREAD = 10.0
# Steps into which the spread is cut.
_STEPS = 1000


class LookupSchedule:
    """Names in the order in which they are due.

    A fresh name is due at once and goes before all others, the latest first: somebody waits for it,
    while ten thousand names that were joined at the start can wait a while longer. When more names
    are due than may be looked up, the one that waited longest comes first: all rounds grow alike.
    """

    def __init__(self, *, choose: Callable[[int], int]) -> None:
        """An empty schedule.

        Args:
            choose: Gives a random number from 0 to below its argument.
        """
        self._choose = choose
        self._fresh: list[bytes] = []
        self._rounds: list[tuple[float, int, bytes]] = []
        self._tickets: dict[bytes, int] = {}
        self._ticket = 0

    def __len__(self) -> int:
        return len(self._tickets)

    def add(self, name: bytes) -> None:
        """Take a name in, due at once; one that is there becomes due at once."""
        self._tickets[name] = 0
        self._fresh.append(name)

    def remove(self, name: bytes) -> None:
        """Forget a name."""
        self._tickets.pop(name, None)
        # What is left of it in the lists is skipped when its time comes, or swept out here.
        if len(self._rounds) + len(self._fresh) > 2 * len(self._tickets) + 64:
            self._sweep()

    def due(self, now: float, budget: int) -> list[bytes]:
        """Up to `budget` names to look up now; each is scheduled for its next round."""
        names: list[bytes] = []
        while self._fresh and len(names) < budget:
            name = self._fresh.pop()
            if self._tickets.get(name) == 0:
                self._plan(name, now)
                names.append(name)
        while self._rounds and len(names) < budget and self._rounds[0][0] <= now:
            _, ticket, name = heapq.heappop(self._rounds)
            if self._tickets.get(name) == ticket:
                self._plan(name, now)
                names.append(name)
        return names

    def next_time(self) -> float | None:
        """When the next name is due; long ago if one is waiting, None if there is none."""
        if self._fresh:
            return float("-inf")
        return self._rounds[0][0] if self._rounds else None

    def _plan(self, name: bytes, now: float) -> None:
        self._ticket += 1
        self._tickets[name] = self._ticket
        later = INTERVAL + SPREAD * self._choose(_STEPS) / _STEPS
        heapq.heappush(self._rounds, (now + later, self._ticket, name))

    def _sweep(self) -> None:
        self._fresh = [name for name in self._fresh if self._tickets.get(name) == 0]
        self._rounds = [entry for entry in self._rounds if self._tickets.get(entry[2]) == entry[1]]
        heapq.heapify(self._rounds)
