"""A rate that many connections share: what each of them owes is paid in turns. Pure.

Bytes a second fill the bucket. Whoever used some, or wants to, owes them; while several owe, each
in its turn is paid a little, so that nobody waits for all of what somebody else owes. Time is
given, in seconds.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

# Whoever takes little at a time gets as much as others as long as it takes this much.
QUANTUM: Final = 16 * 1024
# What nobody used is there later, but not more than of one second: others of the host's network
# would notice more. At rates below a quantum a second it is one quantum, or nothing were ever paid.
BURST_SECONDS: Final = 1.0
# Payments come together: a timer for each block of a fast line would cost more than the block. In
# between, who owed little and is clear gets nothing more, so that they are not far apart.
_TICK: Final = 0.005
# What those used who are gone is paid as well, but not for ever: whom strangers flooded with
# connections does not undo that by taking less from others for hours.
_GONE_SECONDS: Final = 60.0


class Account:
    """What one connection owes.

    Attributes:
        owed: Bytes.
        cleared: Called when all of it was paid.
    """

    __slots__ = ("cleared", "owed")

    def __init__(self, cleared: Callable[[], object]) -> None:
        self.owed = 0
        self.cleared = cleared


class Bucket:
    """Bytes a second, and who waits for some.

    Attributes:
        rate: Bytes a second; None: as many as anybody wants, and nobody owes anything.
    """

    def __init__(self) -> None:
        """Without a limit."""
        self.rate: int | None = None
        self._level = 0.0
        self._at = 0.0
        self._paid_at = float("-inf")
        self._turns: deque[Account] = deque()
        self._gone = Account(lambda: None)

    @property
    def waiting(self) -> int:
        """How many owe something."""
        return len(self._turns)

    def limit(self, rate: int | None, now: float) -> list[Account]:
        """Set the rate; gives those that owe nothing any more."""
        self._fill(now)
        full = self.rate is None
        self.rate = rate
        self._paid_at = float("-inf")
        if rate is not None:
            self._level = self._capacity if full else min(self._level, self._capacity)
            return []
        freed = list(self._turns)
        self._turns.clear()
        for account in freed:
            account.owed = 0
        return freed

    def owe(self, account: Account, size: int, now: float) -> None:
        """So many bytes were used, or are to be.

        They are paid at once if they can be and nobody waits; `cleared` is not called for that.
        """
        if self.rate is None or size <= 0:
            return
        account.owed += size
        if account.owed > size:
            return  # it waits for its turn already
        self._fill(now)
        if not self._turns and self._level >= size:
            self._level -= size
            account.owed = 0
        else:
            self._turns.append(account)

    def close(self, account: Account, now: float, *, unused: int = 0) -> None:
        """A connection has ended. All who are gone have one turn, in which their debts are paid.

        Without that, whoever came, used much and went would make all others wait for all of it.

        Args:
            account: Its.
            now: Seconds.
            unused: Bytes among those that it owed or paid that never went over the network.
        """
        if self.rate is None or not (account.owed or unused):
            return
        self._fill(now)
        owed = account.owed - unused
        if account.owed:
            account.owed = 0
            self._turns.remove(account)
        if owed > 0:
            most = max(0, int(self.rate * _GONE_SECONDS) - self._gone.owed)
            self.owe(self._gone, min(owed, most), now)
        else:
            self._level = min(self._level - owed, self._capacity)

    def next_timer(self) -> float | None:
        """When to call `handle_timer`; None while nobody waits."""
        if self.rate is None or not self._turns:
            return None
        lacking = self._turn(self._turns[0]) - self._level
        return max(self._at + lacking / self.rate, self._paid_at + _TICK)

    def handle_timer(self, now: float) -> list[Account]:
        """Pay, in turns, what there is; gives those that owe nothing any more."""
        self._fill(now)
        self._paid_at = now
        freed: list[Account] = []
        turns = self._turns
        # Half a byte: the time of the timer is not exact.
        while turns and self._level + 0.5 >= (paid := self._turn(turns[0])):
            account = turns.popleft()
            self._level -= paid
            account.owed -= paid
            if account.owed:
                turns.append(account)
            else:
                freed.append(account)
        return freed

    def _turn(self, account: Account) -> int:
        return min(account.owed, QUANTUM)

    @property
    def _capacity(self) -> float:
        return max((self.rate or 0) * BURST_SECONDS, QUANTUM)

    def _fill(self, now: float) -> None:
        if self.rate is not None and now > self._at:
            self._level = min(self._level + self.rate * (now - self._at), self._capacity)
        self._at = max(self._at, now)
