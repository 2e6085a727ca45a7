"""Queries under way to discovery servers: their ids, when they are sent again, when they are lost.

Pure; time and chance are arguments.

Source: discovery.md sections 3.2 and 9, measured from dns-socket 3.0.0.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from datd.discovery import dns_message
from datd.types import Address

# Seconds after the first sending; at the last of them the query is lost.
QUERY_TIMES = (0.5, 1.5, 3.5, 7.5, 7.75)
PROBE_TIMES = (0.5, 1.5, 1.75)
_MAX_ID = 65535


class Purpose(Enum):
    """What a query is for."""

    PROBE = auto()
    ROUND = auto()  # look a name up, and announce it
    WITHDRAW = auto()


@dataclass(slots=True, eq=False)
class Query:
    """One query.

    Attributes:
        id: By which its answer is known.
        server: Number of the server in the configuration.
        address: Where it goes, and where the answer must come from.
        purpose: What for.
        name: 20 bytes, or nothing for a probe.
        port: What is announced or withdrawn; 0 if nothing is.
        token: With which it is sent.
        repeated: Whether it is the second try, with a newer token.
        started: When it was sent first; later if we were late to send it again.
        resent: How often it was sent again.
    """

    id: int
    server: int
    address: Address
    purpose: Purpose
    name: bytes = b""
    port: int = 0
    token: str = ""
    repeated: bool = False
    started: float = 0.0
    resent: int = 0

    def datagram(self, domain: str) -> bytes:
        """Its bytes; sent again they are the same."""
        id, name, token, port = self.id, self.name, self.token, self.port
        if self.purpose is Purpose.PROBE:
            return dns_message.encode_probe(id, domain)
        if self.purpose is Purpose.WITHDRAW:
            return dns_message.encode_unannounce(id, name, domain, token=token, port=port)
        if port:
            return dns_message.encode_announce(id, name, domain, token=token, port=port)
        return dns_message.encode_lookup(id, name, domain, token=token)

    @property
    def times(self) -> tuple[float, ...]:
        """Seconds at which something has to happen if there is no answer."""
        return PROBE_TIMES if self.purpose is Purpose.PROBE else QUERY_TIMES


@dataclass(slots=True)
class Due:
    """What has to happen now: queries to send again, and queries that are lost."""

    again: list[Query] = field(default_factory=list)
    lost: list[Query] = field(default_factory=list)


class Queries:
    """All queries that wait for an answer."""

    def __init__(self, *, choose: Callable[[int], int]) -> None:
        """None at first.

        Args:
            choose: Gives a random number from 0 to below its argument.
        """
        self._choose = choose
        self._by_id: dict[int, Query] = {}
        self._clock: list[tuple[float, int, Query]] = []
        self._ticket = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Query]:
        return iter(list(self._by_id.values()))

    def fresh_id(self) -> int:
        """An id for a query; it is hard to guess, so that answers are hard to forge.

        The reference counts up from a random start instead; servers repeat what they are sent.
        """
        id = dns_message.next_id(self._choose(_MAX_ID))
        while id in self._by_id:
            id = dns_message.next_id(id)
        return id

    def start(self, query: Query, now: float) -> None:
        """A query was sent for the first time."""
        query.started = now
        self._by_id[query.id] = query
        self._plan(query)

    def find(self, id: int, source: Address) -> Query | None:
        """The query that an answer belongs to, if it comes from where it was sent."""
        query = self._by_id.get(id)
        return query if query is not None and query.address == source else None

    def end(self, query: Query) -> None:
        """It was answered, or is of no interest any more."""
        if self._by_id.get(query.id) is query:
            del self._by_id[query.id]
        if len(self._clock) > 2 * len(self._by_id) + 64:
            self._clock = [entry for entry in self._clock if self._waits(entry[2])]
            heapq.heapify(self._clock)

    def of(self, server: int) -> list[Query]:
        """Those to one server."""
        return [query for query in self._by_id.values() if query.server == server]

    def about(self, name: bytes) -> list[Query]:
        """Those about a name, to all servers."""
        return [query for query in self._by_id.values() if query.name == name]

    def due(self, now: float) -> Due:
        """Take what has to happen now. Lost queries are ended."""
        due = Due()
        while self._clock and self._clock[0][0] <= now:
            time, _, query = heapq.heappop(self._clock)
            if not self._waits(query):
                continue
            # After a long sleep of this host each is sent once, and has its patience before it.
            query.started += now - time
            query.resent += 1
            if query.resent == len(query.times):
                del self._by_id[query.id]
                due.lost.append(query)
            else:
                due.again.append(query)
                self._plan(query)
        return due

    def next_time(self) -> float | None:
        """When something has to happen."""
        while self._clock and not self._waits(self._clock[0][2]):
            heapq.heappop(self._clock)
        return self._clock[0][0] if self._clock else None

    def _waits(self, query: Query) -> bool:
        return self._by_id.get(query.id) is query

    def _plan(self, query: Query) -> None:
        self._ticket += 1
        time = query.started + query.times[query.resent]
        heapq.heappush(self._clock, (time, self._ticket, query))
