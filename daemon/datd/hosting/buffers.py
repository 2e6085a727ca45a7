"""What all connections together hold of messages that are not whole yet (L-17)."""

from collections.abc import Hashable
from typing import Generic, TypeVar

# L-17. One message may have 8 MiB, so a thousand peers that each keep one unfinished would hold 8
# GiB. Honest peers finish a message of 64 KiB at once: thousands of them fit in here.
MAX_UNFINISHED = 256 * 2**20

T = TypeVar("T", bound=Hashable)


class Unfinished(Generic[T]):
    """Counts by connection, and names who has to go when it is too much.

    Attributes:
        total: Bytes held over all connections.
    """

    def __init__(self, limit: int = MAX_UNFINISHED) -> None:
        self.total = 0
        self._limit = limit
        self._held: dict[T, int] = {}

    def report(self, who: T, size: int) -> T | None:
        """A connection holds so many bytes now.

        Returns:
            The connection to cut off, the one that holds most; None while all is well. A mere pause
            would not free what it holds.
        """
        self.total += size - self._held.pop(who, 0)
        if size:
            self._held[who] = size
        if self.total <= self._limit:
            return None
        return max(self._held, key=lambda one: self._held[one])

    def forget(self, who: T) -> None:
        """A connection is over."""
        self.total -= self._held.pop(who, 0)
