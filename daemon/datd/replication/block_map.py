"""A set of blocks as bits. Knows numbers only: no peer, no feed.

Blocks are grouped in regions of 2^20, the unit in which peers ask one another what they have. A
region that is empty or full costs nothing, so a range of 2^32 blocks is as cheap as one block.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from bitarray import bitarray
from bitarray.util import ones, zeros

REGION_BITS: Final = 20
REGION: Final = 1 << REGION_BITS

# L-9: a peer may name larger numbers, nobody keeps them. 2^32 blocks of 64 KiB are 256 TiB.
INDEX_LIMIT: Final = 1 << 32
REGIONS: Final = INDEX_LIMIT >> REGION_BITS

# Stands for every full region: `is FULL` answers without looking at the bits. Never written to.
FULL: Final = ones(REGION, endian="big")

_MASK: Final = REGION - 1


class BlockMap:
    """Which blocks, of 2^32 possible ones, are in the set.

    The bits of a region may be fewer than 2^20: what lies beyond their end is not in the set.
    """

    __slots__ = ("_full", "_parts")

    def __init__(self) -> None:
        self._full = zeros(REGIONS, endian="big")
        self._parts: dict[int, bitarray] = {}

    @classmethod
    def of_bits(cls, bits: bitarray) -> "BlockMap":
        """The set whose members are the set bits, the first bit being block 0."""
        made = cls()
        made.write(0, bits, len(bits))
        return made

    @classmethod
    def of_ranges(cls, ranges: Iterable[tuple[int, int]]) -> "BlockMap":
        """The set of all blocks within ranges `(start, stop)`; stop is not included."""
        made = cls()
        for start, stop in ranges:
            made.add_range(start, stop)
        return made

    def __contains__(self, index: int) -> bool:
        part = self._parts.get(index >> REGION_BITS)
        if part is not None:
            at = index & _MASK
            return at < len(part) and bool(part[at])
        return 0 <= index < INDEX_LIMIT and bool(self._full[index >> REGION_BITS])

    @property
    def partial(self) -> int:
        """How many regions are kept bit by bit, at most 128 KiB each."""
        return len(self._parts)

    def is_partial(self, region: int) -> bool:
        """Whether a region is kept bit by bit."""
        return region in self._parts

    def part(self, region: int) -> bitarray | None:
        """The bits of a region, not to be changed: FULL, fewer than 2^20 bits, or None if empty."""
        part = self._parts.get(region)
        if part is not None:
            return part
        return FULL if self._full[region] else None

    def window(self, start: int, stop: int) -> bitarray:
        """A copy of the bits from start to stop, exactly `stop - start` of them."""
        first = start >> REGION_BITS
        if first == (stop - 1) >> REGION_BITS:
            return self._cut(first, start & _MASK, (start & _MASK) + stop - start)
        bits = bitarray(endian="big")
        for low, high in _by_region(start, stop):
            bits += self._cut(low >> REGION_BITS, low & _MASK, (low & _MASK) + high - low)
        return bits

    def add(self, index: int) -> bool:
        """Put a block in, and say whether it was not there yet."""
        region, at = index >> REGION_BITS, index & _MASK
        part = self._parts.get(region)
        if part is None or at >= len(part):
            if part is None and self._full[region]:
                return False
            part = self._grown(region, at + 1)
        elif part[at]:
            return False
        part[at] = 1
        return True

    def discard(self, index: int) -> bool:
        """Take a block out, and say whether it was there."""
        if index not in self:
            return False
        self._grown(index >> REGION_BITS, 0)[index & _MASK] = 0
        return True

    def add_range(self, start: int, stop: int) -> None:
        """Put all blocks from start up to, not including, stop in."""
        for low, high in edges_and_middle(start, stop):
            region = low >> REGION_BITS
            if high - low >= REGION:
                self._set_whole(region, high >> REGION_BITS, True)
            elif not self._full[region]:
                at, end = low & _MASK, (low & _MASK) + high - low
                self._grown(region, end)[at:end] = 1
                self._settle(region)

    def discard_range(self, start: int, stop: int) -> None:
        """Take all blocks from start up to, not including, stop out."""
        for low, high in edges_and_middle(start, stop):
            region = low >> REGION_BITS
            if high - low >= REGION:
                self._set_whole(region, high >> REGION_BITS, False)
            elif self._full[region] or region in self._parts:
                part = self._grown(region, 0)
                part[low & _MASK : min(len(part), (low & _MASK) + high - low)] = 0
                self._settle(region)

    def write(self, start: int, bits: bitarray, stop: int) -> None:
        """Make the blocks from start to stop what `bits` says; beyond its end they are out."""
        for low, high in _by_region(start, stop):
            region, at = low >> REGION_BITS, low & _MASK
            piece = bits[low - start : high - start]
            if at == 0 and high - low == REGION:
                self._set_whole(region, region + 1, False)
            else:
                self.discard_range(low, high)
            if piece.any():
                end = at + len(piece)
                self._grown(region, end)[at:end] = piece
                self._settle(region)

    def forget_parts(self) -> list[int]:
        """Drop all regions that are kept bit by bit, and name them."""
        dropped = list(self._parts)
        self._parts.clear()
        return dropped

    def first(self, start: int, stop: int) -> int | None:
        """The lowest block of the set from start up to, not including, stop.

        Empty regions cost nothing: a peer may claim a single block far away.
        """
        stop = min(stop, INDEX_LIMIT)
        if start >= stop:
            return None
        region, last = start >> REGION_BITS, (stop - 1) >> REGION_BITS
        whole = self._full.find(1, region, last + 1)
        for partial in sorted(self._parts):
            base = partial << REGION_BITS
            if partial > last or 0 <= whole < partial:
                break
            if partial >= region:
                at = self._parts[partial].find(1, max(0, start - base), min(REGION, stop - base))
                if at >= 0:
                    return base + at
        return max(start, whole << REGION_BITS) if whole >= 0 else None

    def count(self) -> int:
        """How many blocks are in the set."""
        return self._full.count() * REGION + sum(part.count() for part in self._parts.values())

    def end(self) -> int:
        """One more than the highest block, or 0."""
        whole = self._full.find(1, right=True)
        highest = (whole + 1) * REGION
        for region, part in self._parts.items():
            if region > whole:
                highest = max(highest, region * REGION + part.find(1, right=True) + 1)
        return highest

    def _cut(self, region: int, low: int, high: int) -> bitarray:
        part = self.part(region)
        if part is None:
            return zeros(high - low, endian="big")
        piece = part[low:high]
        if len(piece) < high - low:
            piece += zeros(high - low - len(piece), endian="big")
        return piece

    def _grown(self, region: int, length: int) -> bitarray:
        part = self._parts.get(region)
        if part is None:
            whole = self._full[region]
            part = FULL.copy() if whole else bitarray(endian="big")
            self._full[region] = 0
            self._parts[region] = part
        if len(part) < length:
            part += zeros(length - len(part), endian="big")
        return part

    def _settle(self, region: int) -> None:
        part = self._parts[region]
        if len(part) == REGION and part.all():
            self._set_whole(region, region + 1, True)
        elif not part.any():
            del self._parts[region]

    def _set_whole(self, first: int, last: int, value: bool) -> None:
        self._full[first:last] = value
        for region in [region for region in self._parts if first <= region < last]:
            del self._parts[region]


def edges_and_middle(start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Cut a range at region borders into at most three: a part, many whole regions, a part."""
    stop = min(stop, INDEX_LIMIT)
    first_whole = -(-start >> REGION_BITS) << REGION_BITS
    last_whole = stop >> REGION_BITS << REGION_BITS
    if first_whole > last_whole:
        if start < stop:
            yield start, stop
        return
    for low, high in ((start, first_whole), (first_whole, last_whole), (last_whole, stop)):
        if low < high:
            yield low, high


def _by_region(start: int, stop: int) -> Iterator[tuple[int, int]]:
    stop = min(stop, INDEX_LIMIT)
    while start < stop:
        border = min(stop, (start | _MASK) + 1)
        yield start, border
        start = border
