"""Names whose search came to nothing: they are searched again long before their next round. Pure.

No answer from anybody means that our line was down or flooded, or that we know no living node: no
reason to be hidden for a quarter of an hour. The names are ours, so their number needs no limit.
"""

import heapq
from dataclasses import dataclass

# Afterwards the pause doubles, as long as nobody answers.
FIRST_PAUSE = 10.0
# Then the rounds of the name come more often.
LAST_PAUSE = 300.0
# Between two names: thousands of them must not take much from the rounds, which are 12 a second.
SPACING = 0.5


@dataclass(slots=True, eq=False)
class _Wait:
    pause: float
    due: float = float("inf")


class Repeats:
    """When to search which name again."""

    def __init__(self) -> None:
        """No search came to nothing yet."""
        self._waits: dict[bytes, _Wait] = {}
        # What is there twice, or belongs to no name any more, is skipped.
        self._queue: list[tuple[float, bytes]] = []
        self._free = float("-inf")

    def __len__(self) -> int:
        return len(self._waits)

    def failed(self, name: bytes, now: float) -> None:
        """A search of a name came to nothing."""
        wait = self._waits.get(name)
        if wait is None:
            wait = self._waits[name] = _Wait(FIRST_PAUSE)
        else:
            wait.pause = min(2 * wait.pause, LAST_PAUSE)
        self._put(name, wait, now + wait.pause)

    def forget(self, name: bytes) -> None:
        """A search of a name came to something, or the name is not ours any more."""
        self._waits.pop(name, None)
        if not self._waits:
            self._queue.clear()

    def soon(self, now: float) -> None:
        """There are nodes again: every name is due. Its next pause is no shorter for that."""
        for name, wait in self._waits.items():
            if now < wait.due < float("inf"):
                self._put(name, wait, now)

    def due(self, now: float) -> bytes | None:
        """The name to search now, if there is one; it is told once."""
        if max(self._head(), self._free) > now:
            return None
        self._free = now + SPACING
        name = heapq.heappop(self._queue)[1]
        self._waits[name].due = float("inf")
        return name

    def next_time(self) -> float:
        """When `due` has something; infinity if never."""
        return max(self._head(), self._free)

    def _put(self, name: bytes, wait: _Wait, due: float) -> None:
        wait.due = due
        heapq.heappush(self._queue, (due, name))
        if len(self._queue) > 2 * len(self._waits) + 64:
            self._queue = [
                (one.due, name) for name, one in self._waits.items() if one.due < float("inf")
            ]
            heapq.heapify(self._queue)

    def _head(self) -> float:
        """When the first is due."""
        while self._queue:
            due, name = self._queue[0]
            wait = self._waits.get(name)
            if wait is not None and wait.due == due:
                return due
            heapq.heappop(self._queue)
        return float("inf")
