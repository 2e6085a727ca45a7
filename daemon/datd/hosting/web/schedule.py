"""When to look at which web source again: one agenda for all of them. Pure: time is given.

An archive whose web source is quiet costs an entry here, and a request every few minutes.
"""

import heapq
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

S = TypeVar("S", bound=Hashable)

# A server that does not answer is asked again after so many seconds, then twice as many.
FIRST_RETRY: Final = 10.0
# Reliability L-19: who sent what does not hold is left alone for an hour.
AFTER_A_LIE: Final = 3600.0
_CHANCE: Final = 1000


class Agenda(Generic[S]):
    """Who is due when; each has one time."""

    def __init__(self) -> None:
        self._times: dict[S, float] = {}
        self._queue: list[tuple[float, int, S]] = []
        self._number = 0

    def put(self, who: S, time: float) -> None:
        """Make somebody due then, in place of when it was."""
        self._times[who] = time
        self._number += 1
        heapq.heappush(self._queue, (time, self._number, who))

    def remove(self, who: S) -> None:
        """Somebody is not to be looked at any more."""
        self._times.pop(who, None)

    def due(self, now: float) -> list[S]:
        """Take out who is due."""
        found: list[S] = []
        while (time := self.next_time()) is not None and time <= now:
            _, _, who = heapq.heappop(self._queue)
            del self._times[who]
            found.append(who)
        return found

    def next_time(self) -> float | None:
        """When somebody is due; None if nobody is."""
        while self._queue and self._times.get(self._queue[0][2]) != self._queue[0][0]:
            heapq.heappop(self._queue)
        return self._queue[0][0] if self._queue else None


def next_poll(now: float, interval: float, choose: Callable[[int], int]) -> float:
    """When to look again at one that answers: a tenth sooner or later, so that all spread out."""
    return now + interval * (0.9 + 0.2 * choose(_CHANCE) / _CHANCE)


def first_poll(now: float, interval: float, choose: Callable[[int], int]) -> float:
    """When to look first, where nobody waits for it: somewhere within an interval."""
    return now + interval * choose(_CHANCE) / _CHANCE


def next_retry(now: float, failures: int, interval: float, choose: Callable[[int], int]) -> float:
    """When to look again at one that has failed so often in a row; spread out like all looks."""
    return next_poll(now, min(interval, FIRST_RETRY * (1 << min(failures - 1, 20))), choose)
