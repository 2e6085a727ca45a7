"""Counting bytes and how fast they come, without a timer."""

import math
from dataclasses import dataclass

# A rate follows changes within seconds and does not jump with each block.
_HALF_LIFE = 5.0
_TIME_CONSTANT = _HALF_LIFE / math.log(2)


class Meter:
    """Sums an amount and tells its rate, an average over the last seconds.

    Attributes:
        total: All that was added.
    """

    __slots__ = ("_at", "_level", "total")

    def __init__(self, total: int = 0) -> None:
        self.total = total
        self._level = 0.0
        self._at = 0.0

    def add(self, amount: int, now: float) -> None:
        """Count an amount at a time."""
        self._level = self._decayed(now) + amount
        self._at = now
        self.total += amount

    def rate(self, now: float) -> float:
        """Amount a second at a time; exactly 0 once it would be below one."""
        rate = self._decayed(now) / _TIME_CONSTANT
        return rate if rate >= 1 else 0.0

    def _decayed(self, now: float) -> float:
        return self._level * math.exp((self._at - now) / _TIME_CONSTANT) if self._level else 0.0


@dataclass(slots=True)
class Savings:
    """What was found on this host instead of being fetched, since the daemon's start.

    Attributes:
        asked: Hashes asked for, before content, to find blocks in other archives.
        blocks: Blocks taken over from those, or from folders that somebody named.
        bytes: Their bytes.
    """

    asked: int = 0
    blocks: int = 0
    bytes: int = 0

    def add(self, other: "Savings") -> None:
        """Count what another one counted."""
        self.asked += other.asked
        self.blocks += other.blocks
        self.bytes += other.bytes


class Traffic:
    """Bytes of block values, both ways, and what need not go over the network.

    Attributes:
        damaged: Blocks that turned out to be damaged on the disk.
    """

    __slots__ = ("damaged", "downloaded", "saved", "uploaded")

    def __init__(self, downloaded: int = 0, uploaded: int = 0) -> None:
        self.downloaded = Meter(downloaded)
        self.uploaded = Meter(uploaded)
        self.saved = Savings()
        self.damaged = 0
