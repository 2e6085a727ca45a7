"""Telling one peer which blocks are here: answers to its Wants, and news after them.

Source: wire.md section 6, reliability.md T-16.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from datd.errors import ProtocolError
from datd.replication.block_map import INDEX_LIMIT, REGION
from datd.replication.picker import BlockPicker
from datd.wire.messages import Have, Unhave, Unwant, Want

# L-11: Wants that are remembered, and Wants a second, of one peer. The reference has at most 16
# unanswered and sends one for each million blocks.
_ACTIVE: Final = 64
_RATE: Final = 100

# One answer covers at most this many blocks (T-16), and a Want gets at most this many answers.
_ANSWER: Final = REGION
_ANSWERS: Final = 16

# Wants start and end on multiples of this; bitfields of news do too.
WANT_UNIT: Final = 8192

# In one unit, more separate runs than this are told by a bitfield rather than one by one.
_SCATTERED: Final = 4


class Announcements:
    """What one peer asked to be told about a feed, and the messages that tell it."""

    def __init__(self, picker: BlockPicker, now: float) -> None:
        self._picker = picker
        self._wants: set[tuple[int, int]] = set()
        self._greeted = False
        self._allowance = float(_RATE)
        self._counted_at = now
        self._told_until = 0  # one more than the highest block that the peer knows we have

    @property
    def active(self) -> bool:
        """Whether the peer wants to be told at all."""
        return bool(self._wants)

    def want(self, want: Want, now: float) -> list[Have]:
        """Answer a Want, and tell about new blocks from now on.

        Raises:
            ProtocolError: More than 100 Wants a second.
        """
        self._count(now)
        start, length = want.start, want.length
        if start % WANT_UNIT or length % WANT_UNIT or (start and not length):
            return []
        if (start, length) not in self._wants and len(self._wants) >= _ACTIVE:
            return []
        self._wants.add((start, length))
        return [*self._greeting(), *self._answers(start, length)]

    def unwant(self, unwant: Unwant) -> None:
        """The peer wants no more news of a range; 0 and 0 is the whole feed."""
        if unwant.start == 0 and unwant.length == 0:
            self._wants.clear()
        else:
            self._wants.discard((unwant.start, unwant.length))

    def stored(self, indexes: Iterable[int]) -> list[Have]:
        """News of blocks that are here now, in few messages; none if the peer wants none."""
        if not self._wants:
            return []
        runs = list(merged(indexes))
        if not runs:
            return []
        messages = [
            message
            for piece in _by_unit(runs)
            for message in (_ranges(piece) if len(piece) <= _SCATTERED else self._bitfields(piece))
        ]
        highest = runs[-1][1]
        if highest > self._told_until:
            # The reference learns how far we reach from ranges only, not from these bitfields.
            if messages[-1].bitfield is not None:
                messages.append(Have(highest - 1))
            self._told_until = highest
        return messages

    def lost(self, indexes: Iterable[int]) -> list[Unhave]:
        """News of blocks that are no longer here; none if the peer wants none."""
        if not self._wants:
            return []
        return [Unhave(start, stop - start) for start, stop in merged(indexes)]

    def _count(self, now: float) -> None:
        refill = (now - self._counted_at) * _RATE
        self._allowance = min(_RATE, self._allowance + refill) - 1
        self._counted_at = now
        if self._allowance < 0:
            raise ProtocolError(f"sent more than {_RATE} Want messages in a second")

    def _greeting(self) -> list[Have]:
        """Where our feed ends; the reference never asks beyond its first million blocks without."""
        length = self._picker.length
        if self._greeted or length == 0 or length - 1 not in self._picker.have:
            self._greeted = True
            return []
        self._greeted = True
        self._told_until = length
        return [Have(length - 1)]

    def _answers(self, start: int, length: int) -> list[Have]:
        end = min(start + length if length else INDEX_LIMIT, max(self._picker.length, start + 1))
        answers = []
        for piece in range(start, end, _ANSWER)[:_ANSWERS]:
            covered = length - (piece - start) if length else _ANSWER
            said = min(_ANSWER, covered)
            coded = self._picker.coded_have(piece, piece + said)
            # An old peer that asks for the whole feed knows its answer by the length of 0.
            answers.append(Have(piece, said if length or piece else 0, coded))
        return answers

    def _bitfields(self, runs: Sequence[tuple[int, int]]) -> list[Have]:
        base = runs[0][0] // WANT_UNIT * WANT_UNIT
        bits = self._picker.coded_have(base, base + WANT_UNIT)
        return [Have(base, WANT_UNIT, bits)]


def merged(indexes: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The runs `(start, stop)` that block numbers, in any order, make up."""
    start = stop = -1
    for index in sorted(indexes):
        if index > stop:
            if stop > start:
                yield start, stop
            start = index
        stop = index + 1
    if stop > start:
        yield start, stop


def _by_unit(runs: Sequence[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Group runs by the unit they begin in. Long ones stay whole, as a group of their own."""
    group: list[tuple[int, int]] = []
    for start, stop in runs:
        alone = start // WANT_UNIT != (stop - 1) // WANT_UNIT
        if group and (alone or group[0][0] // WANT_UNIT != start // WANT_UNIT):
            yield group
            group = []
        if alone:
            # A range makes the reference loop over its blocks: never a longer one than it asks for.
            yield from ([(low, min(stop, low + REGION))] for low in range(start, stop, REGION))
        else:
            group.append((start, stop))
    if group:
        yield group


def _ranges(runs: Iterable[tuple[int, int]]) -> list[Have]:
    return [Have(start, stop - start) for start, stop in runs]
