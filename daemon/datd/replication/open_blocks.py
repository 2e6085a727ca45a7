"""Blocks that may be asked for: wanted, not here, not held back, not asked of anybody just now.

Kept as bits for the regions that were lately asked about, and worked out anew for others: so it
costs memory neither for what a peer merely claims, nor for a feed of any length.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from bitarray import bitarray
from bitarray.util import intervals

from datd.replication.block_map import FULL, REGION, REGION_BITS, BlockMap
from datd.replication.remote_blocks import RemoteBlocks

# Regions kept at a time, 128 KiB each: 4 MiB a feed, and 32 million blocks in which peers may be
# busy at once before anything is worked out twice.
_REGIONS_KEPT: Final = 32

# Blocks compared at once with what a peer has: 4 KiB of bits, a third of a microsecond.
_WINDOW: Final = 1 << 15

_MASK: Final = REGION - 1


class OpenBlocks:
    """The open blocks of one feed.

    Attributes:
        wanted: The set they are taken from; change it with `want`.
        held: Blocks that are not open, whatever is wanted; change it with `hold`.
        length: Blocks from here on are not open, whatever is wanted.
    """

    def __init__(self, have: BlockMap, in_flight: Collection[int], length: int) -> None:
        self.wanted = BlockMap()
        self.held = BlockMap()
        self.length = length
        self._have = have
        self._in_flight = in_flight
        self._parts: dict[int, bitarray] = {}

    def want(self, wanted: BlockMap) -> None:
        """Take open blocks from this set from now on."""
        self.wanted = wanted
        self._parts.clear()

    def hold(self, index: int) -> None:
        """A block is not to be open until it is taken out of `held`, and opened."""
        self.held.add(index)
        self.close(index)

    def hold_run(self, start: int, stop: int) -> None:
        """Hold all blocks of a run out of `runs`, or of a part of it."""
        self.held.add_range(start, stop)
        self.close_run(start, stop)

    def release_run(self, start: int, stop: int) -> None:
        """Hold none of the blocks from start to stop: which are open is worked out anew."""
        self.held.discard_range(start, stop)
        for region in range(start >> REGION_BITS, ((stop - 1) >> REGION_BITS) + 1):
            self._parts.pop(region, None)

    def any_held(self, remote: RemoteBlocks) -> bool:
        """Whether a peer has a block that is held."""
        for region in range(-(-min(self.held.end(), remote.reach) >> REGION_BITS)):
            part, claimed = self.held.part(region), remote.part(region)
            if part is not None and claimed is not None:
                for _ in _common_runs(part, claimed, 0, REGION):
                    return True
        return False

    def open(self, index: int) -> None:
        """A block is missing and nobody is asked for it: it is open if it is wanted."""
        part = self._parts.get(index >> REGION_BITS)
        if part is None or index & _MASK >= len(part) or index in self.held:
            return
        if index in self.wanted:
            part[index & _MASK] = 1

    def close(self, index: int) -> None:
        """A block is here, or was asked for."""
        part = self._parts.get(index >> REGION_BITS)
        if part is not None and index & _MASK < len(part):
            part[index & _MASK] = 0

    def close_run(self, start: int, stop: int) -> None:
        """All blocks of a run out of `runs` were asked for."""
        base = start >> REGION_BITS << REGION_BITS
        self._parts[start >> REGION_BITS][start - base : stop - base] = 0

    def any_in(self, region: int) -> bool:
        """Whether a region has an open block."""
        if self._have.part(region) is FULL:
            return False
        part = self._part(region)
        return part is not None and part.any()

    def runs(self, remote: RemoteBlocks, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Runs `(start, stop)` of open blocks that a peer has, in order, none across regions.

        The reader may close each run before it takes the next one.
        """
        stop = min(stop, remote.reach)
        while start < stop:
            region = start >> REGION_BITS
            base = region << REGION_BITS
            end = min(stop, base + REGION)
            claimed = remote.part(region)
            if claimed is not None:
                part = self._part(region)
                if part is not None:
                    for low, high in _common_runs(part, claimed, start - base, end - base):
                        yield base + low, base + high
            start = end

    def _part(self, region: int) -> bitarray | None:
        base = region << REGION_BITS
        extent = min(REGION, self.length - base)
        if extent <= 0 or self.wanted.part(region) is None:
            return None
        part = self._parts.get(region)
        if part is None:
            if len(self._parts) >= _REGIONS_KEPT:
                self._parts.pop(next(iter(self._parts)))
            part = self._parts[region] = self._worked_out(base, base + extent)
        elif len(part) < extent:
            part += self._worked_out(base + len(part), base + extent)
        return part

    def _worked_out(self, start: int, stop: int) -> bitarray:
        bits = self.wanted.window(start, stop)
        bits &= ~self._have.window(start, stop)
        bits &= ~self.held.window(start, stop)
        flying: Iterable[int] = self._in_flight
        if stop - start < len(self._in_flight):
            flying = (index for index in range(start, stop) if index in self._in_flight)
        for index in flying:
            if start <= index < stop:
                bits[index - start] = 0
        return bits


def _common_runs(
    part: bitarray, claimed: bitarray, low: int, high: int
) -> Iterator[tuple[int, int]]:
    high = min(high, len(part), len(claimed))
    at = part.find(1, low, high) if low < high else -1
    while at >= 0:
        if claimed is FULL:
            limit = part.find(0, at, high)
            limit = high if limit < 0 else limit
            yield at, limit
        else:
            limit = min(high, at + _WINDOW)
            for value, start, stop in intervals(part[at:limit] & claimed[at:limit]):
                if value:
                    yield at + start, at + stop
        at = part.find(1, limit, high)
