"""Which content blocks the files of a version claim, however much they lie about it.

Entries may claim the same blocks, or blocks that no feed will ever have: what one file gives up
another may still need, and no claim costs more memory than an honest archive of that size.

Source: archives.md section 12.
"""

from collections.abc import Iterator
from typing import Final

from bitarray import bitarray
from bitarray.util import intervals, zeros

from datd.replication.block_map import (
    FULL,
    INDEX_LIMIT,
    REGION,
    REGION_BITS,
    BlockMap,
    edges_and_middle,
)

# Regions of 2^20 blocks that are kept bit by bit, 128 KiB each: 4 TB of usual blocks. Beyond that a
# region is wanted whole as soon as one block of it is: more than needed, and never less.
_PRECISE_REGIONS: Final = 64

_MASK: Final = REGION - 1


class Claims:
    """A set of claimed blocks from which claims can be taken back.

    Each block counts up to two. A block that two files claimed stays until all is counted anew.

    Attributes:
        disjoint: Whether no block was ever claimed twice, and each is known by itself.
    """

    def __init__(self) -> None:
        """No file claims anything."""
        self.disjoint = True
        self._once = BlockMap()
        self._twice = BlockMap()
        self._coarse = BlockMap()  # whole regions, of which nothing is taken back

    @classmethod
    def of(cls, blocks: BlockMap) -> "Claims":
        """Claims on these blocks, none of them twice."""
        made = cls()
        made._once = joined(blocks)
        return made

    def __contains__(self, index: int) -> bool:
        return index in self._once or index in self._coarse

    def add(self, start: int, stop: int) -> None:
        """A file claims the blocks from `start` up to `stop`."""
        for low, high in edges_and_middle(start, stop):
            if high - low > _PRECISE_REGIONS * REGION:
                self._claim_coarsely(low, high)
                continue
            for at, end in _by_region(low, high):
                self._add_within(at, end)

    def remove(self, start: int, stop: int) -> None:
        """A file that claimed these blocks is gone."""
        for low, high in edges_and_middle(start, stop):
            if high - low > _PRECISE_REGIONS * REGION:
                continue
            for at, end in _by_region(low, high):
                for first, last in _runs(self._once, at, end, but=self._twice):
                    self._once.discard_range(first, last)

    def wanted(self) -> BlockMap:
        """All claimed blocks, as a set of its own."""
        return joined(self._once, self._coarse)

    def _add_within(self, start: int, stop: int) -> None:
        region = start >> REGION_BITS
        part = self._once.part(region)
        if part is None:
            if self._once.partial >= _PRECISE_REGIONS:
                base = region << REGION_BITS
                self._claim_coarsely(base, base + REGION)
                return
        else:
            for low, high in _runs(self._once, start, stop):
                self.disjoint = False
                self._twice.add_range(low, high)
        self._once.add_range(start, stop)

    def _claim_coarsely(self, start: int, stop: int) -> None:
        self.disjoint = False
        self._coarse.add_range(start, stop)


def joined(*sets: BlockMap) -> BlockMap:
    """The blocks of all sets."""
    made = BlockMap()
    for region, base in enumerate(range(0, INDEX_LIMIT, REGION)):
        parts = [part for blocks in sets if (part := blocks.part(region)) is not None]
        if any(part is FULL for part in parts):
            made.add_range(base, base + REGION)
        elif parts:
            whole = parts[0].copy()
            for part in parts[1:]:
                short = len(part) - len(whole)
                if short > 0:
                    whole += zeros(short, endian="big")
                whole[: len(part)] |= part
            made.write(base, whole, base + REGION)
    return made


def without(blocks: BlockMap, other: BlockMap) -> BlockMap:
    """The blocks of one set that are not in another."""
    made = BlockMap()
    for region, base in enumerate(range(0, INDEX_LIMIT, REGION)):
        part = blocks.part(region)
        if part is None or other.part(region) is FULL:
            continue
        if other.part(region) is None:
            made.write(base, part, base + REGION)
        else:
            end = base + len(part)
            made.write(base, part & ~other.window(base, end), base + REGION)
    return made


def _by_region(start: int, stop: int) -> Iterator[tuple[int, int]]:
    while start < stop:
        border = min(stop, (start | _MASK) + 1)
        yield start, border
        start = border


def _runs(
    blocks: BlockMap, start: int, stop: int, *, but: BlockMap | None = None
) -> list[tuple[int, int]]:
    """Runs of blocks of one set, within one region, that are not in another."""
    if blocks.part(start >> REGION_BITS) is None:
        return []
    bits: bitarray = blocks.window(start, stop)
    if but is not None and but.part(start >> REGION_BITS) is not None:
        bits &= ~but.window(start, stop)
    return [(start + low, start + high) for value, low, high in intervals(bits) if value]
