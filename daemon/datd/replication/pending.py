"""The requests to one peer that have no answer yet, and how long they may wait.

Knows block numbers and times; who else has a block is asked of the caller.
Source: reliability.md T-23, L-13, L-16.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from datd.replication.window import RequestWindow

# L-16: a request may wait so long, in seconds, and less if another peer has the block.
PATIENCE: Final = 20.0
PATIENCE_WITH_OTHERS: Final = 5.0

# L-16: times in a row that a peer lets us wait before its claims count for nothing.
_MISSES: Final = 3

# Requests given up that may still be answered; the oldest are forgotten first.
_LATE: Final = 1024


class PendingRequests:
    """What one peer was asked for.

    Attributes:
        window: How many requests it may have at a time.
    """

    def __init__(self, now: float) -> None:
        self.window = RequestWindow()
        self._asked: dict[int, float] = {}  # block -> when; oldest first
        self._late: dict[int, None] = {}  # asked and given up; oldest first
        self._delivered_at = now
        self._checked_at = now
        self._misses = 0

    def __len__(self) -> int:
        return len(self._asked)

    def __contains__(self, index: int) -> bool:
        return index in self._asked

    @property
    def hopeless(self) -> bool:
        """Whether the peer let us wait three times and delivered nothing since."""
        return self._misses >= _MISSES

    def add(self, indexes: Iterable[int], now: float) -> None:
        """These blocks have just been asked for."""
        self._asked.update(dict.fromkeys(indexes, now))

    def answered(self, index: int, now: float, *, delivered: bool) -> bool:
        """An answer came; whether it was to a request of ours, a late one included.

        Args:
            index: Block it is about.
            now: Seconds.
            delivered: Whether it brought the block.
        """
        asked_at = self._asked.pop(index, None)
        if asked_at is None:
            if index not in self._late:
                return False
            del self._late[index]
        elif delivered:
            self.window.answered(now - asked_at, len(self._asked))
        if delivered:
            self._delivered_at = now
            self._misses = 0
        return True

    def give_up(self, indexes: Iterable[int]) -> None:
        """These requests count as answered; should the answer still come, it is welcome."""
        for index in indexes:
            del self._asked[index]
            self._late[index] = None
        while len(self._late) > _LATE:
            del self._late[next(iter(self._late))]

    def withdraw(self, indexes: Iterable[int]) -> None:
        """These were not sent after all."""
        for index in indexes:
            self._asked.pop(index, None)

    def progressed(self, now: float) -> None:
        """The peer answered something else: what waits behind that is not late yet."""
        self._delivered_at = now

    def within(self, start: int, stop: int) -> list[int]:
        """The blocks asked for from start up to, not including, stop."""
        return [index for index in self._asked if start <= index < stop]

    def clear(self) -> None:
        """Forget all; the peer is gone."""
        self._asked.clear()
        self._late.clear()

    def next_timer(self) -> float | None:
        """When `overdue` may have something to say; None while nothing is asked for."""
        if not self._asked:
            return None
        oldest = next(iter(self._asked.values()))
        first = min(max(oldest, self._delivered_at) + PATIENCE_WITH_OTHERS, oldest + PATIENCE)
        return max(first, self._checked_at + PATIENCE_WITH_OTHERS)

    def overdue(
        self, now: float, offered_elsewhere: Callable[[int], bool]
    ) -> tuple[Sequence[int], Sequence[int]]:
        """Requests that waited too long: for blocks nobody else has, and for those others have.

        Nothing is found again within five seconds. What is found counts as one miss, and is to be
        given up by the caller.
        """
        silent: list[int] = []
        elsewhere: list[int] = []
        if not self._asked or now < self._checked_at + PATIENCE_WITH_OTHERS:
            return silent, elsewhere
        self._checked_at = now
        for index, asked_at in self._asked.items():
            if now < asked_at + PATIENCE_WITH_OTHERS:
                break
            # Blocks come one after the other: what waits behind one that came is not late yet.
            waited = now - max(asked_at, self._delivered_at)
            impatient = waited >= PATIENCE_WITH_OTHERS or now >= asked_at + PATIENCE
            if impatient and offered_elsewhere(index):
                elsewhere.append(index)
            elif waited >= PATIENCE:
                silent.append(index)
        if silent or elsewhere:
            self.window.missed()
            self._misses += 1
        return silent, elsewhere
