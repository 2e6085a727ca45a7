"""Counting what is missing, and what of it nobody offers.

For people, and for deciding what counts as complete; what to ask for is not chosen here.
"""

from collections.abc import Iterator, Sequence

from bitarray import bitarray
from bitarray.util import zeros

from datd.replication.block_map import FULL, REGION, REGION_BITS, REGIONS, BlockMap
from datd.replication.remote_blocks import RemoteBlocks


def count_missing(among: BlockMap, have: BlockMap) -> int:
    """Blocks of one set that are not in another."""
    return sum(_size(missing) for _, missing in _missing_parts(among, have, REGIONS * REGION))


def count_unoffered(
    among: BlockMap, have: BlockMap, stop: int, peers: Sequence[RemoteBlocks]
) -> int:
    """Blocks below `stop` of a set that are neither here nor offered by a peer.

    A region counts as offered while a peer has yet to say what it has there.
    """
    total = 0
    for region, missing in _missing_parts(among, have, stop):
        if any(peer.unknown[region] for peer in peers):
            continue
        claims = [part for peer in peers if (part := peer.part(region)) is not None]
        if not any(part is FULL for part in claims):
            total += _size(_without(missing, claims))
    return total


def _missing_parts(among: BlockMap, have: BlockMap, stop: int) -> Iterator[tuple[int, bitarray]]:
    # A region that is wanted whole and held not at all is given as it is: an author can sign a feed
    # of 2^32 blocks in a few bytes, and looking at each of its bits takes a second.
    for region in range(min(REGIONS, -(-stop >> REGION_BITS))):
        wanted = among.part(region)
        held = have.part(region)
        if wanted is None or held is FULL:
            continue
        base = region << REGION_BITS
        end = min(len(wanted), stop - base)
        if end < len(wanted):
            wanted = wanted[:end]
        yield region, wanted if held is None else wanted & ~have.window(base, base + end)


def _without(bits: bitarray, parts: Sequence[bitarray]) -> bitarray:
    for part in parts:
        short = len(bits) - len(part)
        other = part + zeros(short, endian="big") if short > 0 else part[: len(bits)]
        bits = bits & ~other
    return bits


def _size(bits: bitarray) -> int:
    return REGION if bits is FULL else bits.count()
