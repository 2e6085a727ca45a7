"""Pushes of a discovery server: subscribers are told of a new peer until they say that they heard.

Pure: datagrams go in and out, time is an argument.

Source: discovery.md sections 3.2 and 4.
"""

import heapq
import itertools
from dataclasses import dataclass
from typing import NamedTuple

from datd.discovery.dns_message import encode_push, next_id
from datd.discovery.rates import MAX_ASKERS, Window
from datd.types import Address

# Seconds until the same bytes are sent again, and again, and until that is the end of it.
_WAITS = (0.5, 1.0, 0.25)
# Pushes to a host in a second: more new peers than that, and it asks anyway within a minute.
PER_HOST = 20
# Pushes remembered at a time, half a kilobyte each.
MAX_PUSHES = 10_000


class Outgoing(NamedTuple):
    """A datagram to be sent.

    Attributes:
        datagram: Its bytes.
        address: To whom.
        door: From which of the server's sockets: a NAT lets in only what comes from the one that
            the host behind it has spoken to.
    """

    datagram: bytes
    address: Address
    door: int


@dataclass(slots=True)
class PushCounts:
    """What became of pushes, since the start."""

    sent: int = 0
    heard: int = 0
    failed: int = 0
    refused: int = 0


class Pushes:
    """Those under way."""

    def __init__(self, *, domain: str, first_id: int) -> None:
        """None yet.

        Args:
            domain: Such as `dat.local`.
            first_id: At random: ids count up from here.
        """
        self.counts = PushCounts()
        self._domain = domain
        self._id = first_id
        self._rates = Window(PER_HOST, 1.0, MAX_ASKERS)
        self._waiting: dict[tuple[Address, int], Outgoing] = {}
        # When to look at a push again, and how often it was sent by now. Those that were heard
        # meanwhile are passed over then.
        self._clock: list[tuple[float, int, int, tuple[Address, int]]] = []
        self._order = itertools.count()

    def send(
        self, name: bytes, peer: Address, subscriber: Address, door: int, now: float
    ) -> list[Outgoing]:
        """Tell a subscriber of a new peer of a name: what to send now, if it may be told."""
        if len(self._clock) >= MAX_PUSHES or not self._rates.count(subscriber.host, now):
            self.counts.refused += 1
            return []
        self._id = next_id(self._id)
        push = Outgoing(encode_push(self._id, name, self._domain, peer), subscriber, door)
        self._waiting[subscriber, self._id] = push
        self._remind(now, 0, (subscriber, self._id))
        self.counts.sent += 1
        return [push]

    def acknowledge(self, subscriber: Address, id: int) -> None:
        """Somebody answered; it counts if they were asked."""
        if self._waiting.pop((subscriber, id), None) is not None:
            self.counts.heard += 1

    def next_timer(self) -> float | None:
        """When to call `handle_timer`."""
        return self._clock[0][0] if self._clock else None

    def handle_timer(self, now: float) -> list[Outgoing]:
        """What is to be sent again."""
        again = []
        while self._clock and self._clock[0][0] <= now:
            _, _, times, key = heapq.heappop(self._clock)
            push = self._waiting.get(key)
            if push is None:
                continue
            if times == len(_WAITS):
                del self._waiting[key]
                self.counts.failed += 1
                continue
            again.append(push)
            self._remind(now, times, key)
        return again

    def _remind(self, now: float, times: int, key: tuple[Address, int]) -> None:
        due = now + _WAITS[times]
        heapq.heappush(self._clock, (due, next(self._order), times + 1, key))
