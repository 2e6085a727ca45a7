"""What one peer says it has of one feed. Claims only: nothing here is proven.

Source: wire.md section 6, reliability.md T-13 to T-15.
"""

from typing import Final

from bitarray import bitarray
from bitarray.util import zeros

from datd.feed import rle
from datd.replication.block_map import (
    FULL,
    INDEX_LIMIT,
    REGION,
    REGION_BITS,
    REGIONS,
    BlockMap,
    edges_and_middle,
)

# L-10: 1 MiB a peer and feed, that is eight regions bit by bit; full and empty ones cost nothing.
_PARTIAL_REGIONS: Final = 8

# L-8: a bitfield covers at most what one Want asks for, 2^20 blocks.
BITFIELD_LIMIT: Final = REGION // 8

# Each bad block ends a connection, so an honest hub never comes near this.
_REFUSED_LIMIT: Final = 256


class RemoteBlocks:
    """The announced blocks of a peer, for one feed.

    Attributes:
        reach: One more than the highest block announced, at most 2^32.
        has_more: Whether the peer also named blocks that we do not keep count of (2^32 and above).
        unknown: A bit for each region of 2^20 blocks, set where the peer may have blocks that it
            has not told us about, or told more than we can remember: a Want brings them (again).
        trusted: False once the peer let us wait too often: until it delivers, it offers nothing.
    """

    def __init__(self) -> None:
        self.reach = 0
        self.has_more = False
        self.unknown: bitarray = zeros(REGIONS, endian="big")
        self.trusted = True
        self._claimed = BlockMap()
        self._refused: set[int] = set()

    def __contains__(self, index: int) -> bool:
        return self.trusted and index in self._claimed

    def part(self, region: int) -> bitarray | None:
        """The bits of one region as in `BlockMap.part`; None if the peer offers nothing there."""
        return self._claimed.part(region) if self.trusted else None

    def first_of(self, start: int, stop: int) -> int | None:
        """The lowest block that the peer offers from start up to, not including, stop."""
        return self._claimed.first(start, stop) if self.trusted else None

    @property
    def crowded(self) -> bool:
        """Whether another region can only be remembered after `make_room`."""
        return self._claimed.partial >= _PARTIAL_REGIONS

    def have(self, start: int, length: int) -> None:
        """The peer has all blocks of a range. Its size does not matter: T-14."""
        if length == 1 and start < self.reach and self._has_room(start >> REGION_BITS):
            if start not in self._refused:
                self._claimed.add(start)
            return
        if start + length > INDEX_LIMIT:
            self.has_more = True
        stop = min(start + length, INDEX_LIMIT)
        if start >= stop:
            return
        self._reach_out(stop)
        for low, high in edges_and_middle(start, stop):
            region = low >> REGION_BITS
            if high - low >= REGION:
                self._claimed.add_range(low, high)
                self.unknown[region : high >> REGION_BITS] = 0
            elif self._has_room(region):
                self._claimed.add_range(low, high)
            elif self._claimed.part(region) is not FULL:
                self.unknown[region] = 1
        self._withdraw_refused()

    def have_bitfield(self, start: int, length: int, coded: bytes) -> None:
        """The peer has, of a range, exactly the blocks whose bits are set.

        Args:
            start: Block of the first bit.
            length: Blocks spoken of. 0 and 1 are what old peers write: it is all of the feed.
            coded: Run-length coded bitfield.

        Raises:
            ProtocolError: Malformed, or larger than the range or 128 KiB; found before decoding.
        """
        old_form = length <= 1
        limit = BITFIELD_LIMIT if old_form else min(BITFIELD_LIMIT, (length + 7) // 8)
        decoded = rle.decode(coded, limit=limit)
        if start >= INDEX_LIMIT:
            self.has_more = True
            return
        bits = bitarray(endian="big")
        bits.frombytes(decoded)
        if old_form:
            length = len(bits)
            self.unknown.setall(0)
        stop = min(start + min(length, REGION), INDEX_LIMIT)
        del bits[stop - start :]
        if bits.any():
            self._reach_out(start + bits.find(1, right=True) + 1)
        self._write(start, bits, stop)
        self._withdraw_refused()

    def unhave(self, start: int, length: int) -> None:
        """The peer has none of a range (any more). All that was known from 0 on: it starts anew."""
        if start == 0 and length >= self.reach:
            self.reach = 0
            self.has_more = False
        for low, high in edges_and_middle(start, start + length):
            self._retract(low, high)

    def doubt(self, index: int) -> None:
        """The peer did not deliver this block: do not count on it before it claims it again."""
        self.unhave(index, 1)
        self.unknown[index >> REGION_BITS] = 1

    def refuse(self, index: int) -> None:
        """Never ask this peer for that block, whatever it announces from now on."""
        self._refused.add(index)
        self.unhave(index, 1)
        if len(self._refused) > _REFUSED_LIMIT:
            self.trusted = False

    def make_room(self) -> None:
        """Forget regions known bit by bit, to learn others. They can be asked for again."""
        for region in self._claimed.forget_parts():
            self.unknown[region] = 1

    def _write(self, start: int, bits: bitarray, stop: int) -> None:
        for region in range(start >> REGION_BITS, (stop - 1 >> REGION_BITS) + 1):
            base = region << REGION_BITS
            low, high = max(start, base), min(stop, base + REGION)
            piece = bits[low - start : high - start]
            if not self._has_room(region) and piece.any():
                self.unknown[region] = 1
                continue
            self._claimed.write(low, piece, high)
            if high - low == REGION:
                self.unknown[region] = 0

    def _has_room(self, region: int) -> bool:
        return not self.crowded or self._claimed.is_partial(region)

    def _reach_out(self, stop: int) -> None:
        if stop > self.reach:
            known = (self.reach - 1 >> REGION_BITS) + 1
            self.unknown[max(known, 1) : (stop - 1 >> REGION_BITS) + 1] = 1
            self.reach = stop

    def _withdraw_refused(self) -> None:
        for index in self._refused:
            if index in self._claimed:
                self._retract(index, index + 1)

    def _retract(self, low: int, high: int) -> None:
        region = low >> REGION_BITS
        # A hole in a full region makes it a partial one, which needs room like any other.
        if high - low < REGION and not self._has_room(region):
            if self._claimed.part(region) is None:
                return
            low, high = region << REGION_BITS, (region + 1) << REGION_BITS
            self.unknown[region] = 1
        self._claimed.discard_range(low, high)
