"""Who sent what does not verify, and for how long that keeps us apart. Pure; time is given.

A day after the last offence or the end of the last ban everything is forgiven.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from datd.swarm.limits import BAD_BLOCKS, BAN_MEMORY, BAN_TIMES

# Rule 4 of the limits: strangers choose their addresses. The oldest record goes first.
MAX_OFFENDERS = 256


@dataclass(slots=True)
class _Offender:
    bad_blocks: set[int] = field(default_factory=set)
    bans: int = 0
    until: float = float("-inf")
    forgotten_at: float = float("-inf")


class Bans:
    """The record of one archive. An offender is known by one or more marks, such as its address."""

    __slots__ = ("_offenders",)

    def __init__(self) -> None:
        self._offenders: dict[Hashable, _Offender] = {}

    def bad_block(
        self, marks: Sequence[Hashable], index: int, good: bool, now: float
    ) -> float | None:
        """Note a bad block. If it was one too many, give the end of the ban.

        Args:
            marks: What the sender is known by.
            index: Which block; the same one again says nothing new.
            good: Whether the sender ever sent a good one.
            now: Seconds.
        """
        for mark in marks:
            self._offender(mark, now).bad_blocks.add(index)
        worst = max((len(self._offender(mark, now).bad_blocks) for mark in marks), default=0)
        if good or worst < BAD_BLOCKS:
            return None
        return self.ban(marks, now)

    def ban(self, marks: Sequence[Hashable], now: float) -> float:
        """Keep apart from somebody: the first time for an hour, then for a day. Gives the end."""
        until = now
        for mark in marks:
            offender = self._offender(mark, now)
            offender.until = now + BAN_TIMES[min(offender.bans, len(BAN_TIMES) - 1)]
            offender.bans += 1
            offender.bad_blocks.clear()
            offender.forgotten_at = offender.until + BAN_MEMORY
            until = max(until, offender.until)
        return until

    def until(self, mark: Hashable) -> float:
        """When the ban of somebody ends, or ended; long ago if there was none."""
        offender = self._offenders.get(mark)
        return offender.until if offender is not None else float("-inf")

    def lift(self, mark: Hashable) -> None:
        """Forget what somebody did."""
        self._offenders.pop(mark, None)

    def _offender(self, mark: Hashable, now: float) -> _Offender:
        offender = self._offenders.get(mark)
        if offender is not None and now >= offender.forgotten_at:
            del self._offenders[mark]
            offender = None
        if offender is None:
            if len(self._offenders) >= MAX_OFFENDERS:
                del self._offenders[next(iter(self._offenders))]
            offender = self._offenders[mark] = _Offender()
        offender.forgotten_at = max(offender.forgotten_at, now + BAN_MEMORY)
        return offender
