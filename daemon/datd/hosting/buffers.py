"""What all connections together hold: messages that are not whole yet, and answers not taken."""

from collections.abc import Hashable
from typing import Generic, TypeVar

# L-17. One message may have 8 MiB, so a thousand peers that each keep one unfinished would hold 8
# GiB. Honest peers finish a message of 64 KiB at once: thousands of them fit in here.
MAX_UNFINISHED = 256 * 2**20
# L-12. A peer that asks and does not listen holds about a megabyte of answers; a thousand of them
# must not hold a gigabyte. Peers that listen need theirs for a moment only.
MAX_UNSENT = 128 * 2**20

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


class Unsent:
    """Counts the answers that are being made, or were made and not taken.

    Attributes:
        total: Bytes over all connections.
    """

    def __init__(self, limit: int = MAX_UNSENT) -> None:
        self.total = 0
        self._limit = limit

    @property
    def full(self) -> bool:
        """Whether no further answers may be made at the moment."""
        return self.total >= self._limit


class Share:
    """What one connection has of it."""

    def __init__(self, unsent: Unsent) -> None:
        self._unsent = unsent
        self._making = 0
        self._made = 0

    def take(self, size: int) -> bool:
        """Begin to make answers of about so many bytes, if there is room for them."""
        if self._unsent.full:
            return False
        self._unsent.total += size
        self._making += size
        return True

    def made(self, size: int) -> None:
        """Those answers are made, and wait for the peer."""
        self._making -= size
        self._made += size

    def sent(self) -> None:
        """The peer has taken all that was made."""
        self._unsent.total -= self._made
        self._made = 0

    def close(self) -> None:
        """The connection is over."""
        self._unsent.total -= self._making + self._made
        self._making = self._made = 0
