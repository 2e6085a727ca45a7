"""Queries under way: what was asked of whom, and who takes too long. Pure.

Source: discovery.md section 6: 16 queries at once in the whole node, 4 of them for background work
at most, 2.5 s to answer, no second try.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass

from datd.discovery.dht.search import Ask, Search

TIMEOUT = 2.5
# Most answers that ever come are here by then; what takes longer no longer holds up others. With
# a third of all nodes dead, as on the public network, this triples what 16 queries at once can do.
LATE = 0.8
MAX_QUERIES = 16
MAX_BACKGROUND = 4
# With thousands of names and a third of all nodes dead, 16 cannot keep up: one more for each eight
# names that wait. That is no burst, since the queries of a second are limited too.
MAX_QUERIES_BUSY = 64
_NAMES_FOR_ANOTHER = 8
# Late ones included: a bound for the memory if nobody answers at all.
MAX_PENDING = 256
_TRANSACTION_SIZE = 4


@dataclass(slots=True, eq=False)
class Pending:
    """One query.

    Attributes:
        ask: What was asked, of whom.
        search: What it was asked for; None for a mere ping.
        background: Whether it is upkeep of the table.
        sent: When.
        late: Whether it has been under way for long.
    """

    ask: Ask
    search: Search | None
    background: bool
    sent: float
    late: bool = False


def at_once(waiting: int) -> int:
    """How many queries may be under way while so many names wait."""
    return min(MAX_QUERIES_BUSY, MAX_QUERIES + waiting // _NAMES_FOR_ANOTHER)


class Queries:
    """All of them, oldest first."""

    def __init__(self, secret: bytes) -> None:
        """Take random bytes, up to 64, which make the transaction ids unforeseeable."""
        self._secret = secret
        self._number = 0
        self._pending: dict[bytes, Pending] = {}
        self._young: dict[bytes, Pending] = {}
        self._hosts: Counter[str] = Counter()
        self._background = 0

    def __len__(self) -> int:
        return len(self._pending)

    def room(self, *, background: bool, waiting: int = 0) -> bool:
        """Whether another query may be sent.

        Args:
            background: Whether it is upkeep.
            waiting: Names that are still to be searched.
        """
        if len(self._pending) >= MAX_PENDING or len(self._young) >= at_once(waiting):
            return False
        return not background or self._background < MAX_BACKGROUND

    def add(self, query: Pending) -> bytes:
        """Take in what is sent now; gives its transaction id."""
        while True:
            self._number += 1
            # Whoever cannot see our queries cannot forge answers to them.
            made = hashlib.blake2b(
                self._number.to_bytes(8, "big"), key=self._secret, digest_size=_TRANSACTION_SIZE
            )
            transaction = made.digest()
            if transaction not in self._pending:
                break
        self._pending[transaction] = self._young[transaction] = query
        self._hosts[query.ask.address.host] += 1
        self._background += query.background
        return transaction

    def asked(self, host: str) -> bool:
        """Whether an answer of a host is expected."""
        return host in self._hosts

    def take(self, transaction: bytes, host: str) -> Pending | None:
        """What an answer belongs to; the port does not matter (NATs change it)."""
        query = self._pending.get(transaction)
        if query is None or query.ask.address.host != host:
            return None
        self._end(transaction)
        return query

    def grown_late(self, now: float) -> list[Pending]:
        """Those that have been under way for long since just now."""
        found: list[Pending] = []
        while self._young:
            transaction, query = next(iter(self._young.items()))
            if now < query.sent + LATE:
                break
            del self._young[transaction]
            self._background -= query.background
            query.late = True
            found.append(query)
        return found

    def expired(self, now: float) -> list[Pending]:
        """Those that will not be answered any more."""
        found: list[Pending] = []
        while self._pending:
            transaction, query = next(iter(self._pending.items()))
            if now < query.sent + TIMEOUT:
                break
            self._end(transaction)
            found.append(query)
        return found

    def next_timer(self) -> float | None:
        """When one grows late or expires next."""
        times = [
            query.sent + after
            for queries, after in ((self._young, LATE), (self._pending, TIMEOUT))
            for query in list(queries.values())[:1]
        ]
        return min(times, default=None)

    def _end(self, transaction: bytes) -> None:
        query = self._pending.pop(transaction)
        if self._young.pop(transaction, None) is not None:
            self._background -= query.background
        self._hosts[query.ask.address.host] -= 1
        if not self._hosts[query.ask.address.host]:
            del self._hosts[query.ask.address.host]
