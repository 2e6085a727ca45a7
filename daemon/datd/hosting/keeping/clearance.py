"""Drops content blocks that an archive does not want any more, and tells its peers.

Which ones is settled by looking at what is here and what is wanted, never at what was done before:
cut short at any point, the next time goes on where this one ended.

Source: archives.md section 8, wire.md section 6 (Unhave).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from bitarray.util import intervals

from datd.replication.block_map import REGION, BlockMap

if TYPE_CHECKING:
    from datd.hosting.open_archive import OpenArchive

# T-27: one call into the lane drops at most so many blocks, in so many runs, before others have
# their turn. Each call flushes once.
BLOCKS: Final = 4096
RUNS: Final = 128

Run = tuple[int, int]


async def sweep(
    opened: "OpenArchive", keep: Sequence[BlockMap], stop: int, still: Callable[[], bool]
) -> int:
    """Drop the content blocks that are in none of some sets.

    Args:
        opened: The archive.
        keep: What to keep.
        stop: Look at blocks below this one only.
        still: Whether to go on: the operator may have thought better of it.

    Returns:
        Bytes that were in them.

    Raises:
        StorageError: The disk refused.
        Timeout: The archive was closed meanwhile.
    """
    content = opened.content
    if content is None:
        return 0
    freed = 0
    length = min(stop, content.picker.length)
    for runs in slices(surplus(content.picker.have, keep, length)):
        if not still():
            break
        freed += await opened.clear(content, runs)
    return freed


def surplus(have: BlockMap, keep: Sequence[BlockMap], length: int) -> Iterator[Run]:
    """Runs of blocks that are here and in none of the sets. Looks at each region when it comes."""
    for base in range(0, length, REGION):
        end = min(base + REGION, length)
        if have.part(base // REGION) is None:
            continue
        bits = have.window(base, end)
        for blocks in keep:
            bits &= ~blocks.window(base, end)
        for value, low, high in intervals(bits):
            if value:
                yield base + low, base + high


def slices(runs: Iterator[Run]) -> Iterator[list[Run]]:
    """The same runs, cut where needed, in portions for one call each."""
    chosen: list[Run] = []
    count = 0
    for low, high in runs:
        while low < high:
            stop = min(high, low + BLOCKS - count)
            chosen.append((low, stop))
            count += stop - low
            low = stop
            if count == BLOCKS or len(chosen) == RUNS:
                yield chosen
                chosen, count = [], 0
    if chosen:
        yield chosen
