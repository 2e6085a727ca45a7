"""Tells the peers of a search at the pace at which they are taken in. Pure; time is given.

The swarm takes a few new candidates of a name in a second (L-20), from three networks. Whoever
answers first, with sixty peers that are none, would fill that second, and the one peer that the
next node knows would be gone: it is named again only in the next search, minutes later.
"""

from collections import deque
from dataclasses import dataclass, field

from datd.discovery.base import NAME_SIZE
from datd.types import Address

# Of one name, by one host, at once and then in each second. Beside them others find room in what
# the swarm takes of a network, be it a third of ten.
AT_ONCE = 2
PACE = 1.0
# An answer has no more, and the swarm keeps 200 of a name.
MAX_OF_A_TELLER = 64
# In all: a minute of answers to as many searches as there are ever at the same time.
MAX_HELD = 8192


@dataclass(frozen=True, slots=True)
class Found:
    """A peer that a node told of, with the discovery key that it is said to have."""

    discovery_key: bytes
    peer: Address
    told_by: Address


@dataclass(slots=True)
class _Queue:
    left: int = AT_ONCE
    held: deque[Found] = field(default_factory=deque)


class Telling:
    """What is to be told now, and what later."""

    def __init__(self) -> None:
        """Nothing."""
        self._queues: dict[tuple[bytes, str], _Queue] = {}
        self._ready: list[Found] = []
        self._held = 0
        self._turn_at = float("inf")

    def add(self, found: Found, now: float) -> None:
        """Take a peer in; one too many is left out."""
        key = (found.discovery_key[:NAME_SIZE], found.told_by.host)
        queue = self._queues.setdefault(key, _Queue())
        self._turn_at = min(self._turn_at, now + PACE)
        if queue.left:
            queue.left -= 1
            self._ready.append(found)
        elif len(queue.held) < MAX_OF_A_TELLER and self._held < MAX_HELD:
            queue.held.append(found)
            self._held += 1

    def due(self, now: float) -> list[Found]:
        """What is to be told now."""
        if now >= self._turn_at:
            self._turn(now)
        ready, self._ready = self._ready, []
        return ready

    def next_time(self) -> float:
        """When `due` has something again; infinity if never."""
        return self._turn_at

    def forget(self, name: bytes) -> None:
        """Tell nothing more of a name of 20 bytes."""
        for key in [one for one in self._queues if one[0] == name]:
            self._held -= len(self._queues.pop(key).held)

    def _turn(self, now: float) -> None:
        for key, queue in list(self._queues.items()):
            if not queue.held:
                del self._queues[key]
                continue
            queue.left = AT_ONCE
            while queue.left and queue.held:
                queue.left -= 1
                self._held -= 1
                self._ready.append(queue.held.popleft())
        self._turn_at = now + PACE if self._queues else float("inf")
