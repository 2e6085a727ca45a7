"""Tells the index of known blocks what an archive holds: after it came, in slices, in the lane."""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from bitarray import bitarray
from bitarray.util import zeros

from datd.errors import BlockMissing, DatdError
from datd.feed.feed import Feed
from datd.hosting.copies.known_blocks import KnownBlocks
from datd.hosting.open_archive import OpenArchive

if TYPE_CHECKING:
    from datd.hosting.archive import HostedArchive

# A pair of hashes costs 150 to 600 bytes on the wire, a message each way and a look-up. Smaller
# blocks than this are not noted, and where blocks are smaller on average no hash is asked for.
LEAST_BLOCK: Final = 2048

# L-9: an author may sign a feed of 2^32 blocks, whose bits are half a gigabyte, and give one block.
# Longer feeds than this, 4 TB of usual blocks, are not noted; bits of such a one are 8 MiB.
MOST_BLOCKS: Final = 2**26

# Blocks whose hashes are read in one call into the lane: some 20 ms (T-27: below 200).
SLICE: Final = 4096


async def note(known: KnownBlocks, archive: bytes, opened: OpenArchive) -> None:
    """Bring the index up to date with the content that an archive holds.

    What was noted before costs nothing again; what is not held any more is taken out.

    Args:
        known: The index.
        archive: Discovery key of the archive.
        opened: The same, open.

    Raises:
        StorageError: Its files cannot be read.
        Timeout: It was closed.
    """
    live = opened.content
    if live is None or live.feed.byte_length < LEAST_BLOCK * live.feed.length:
        return
    if live.feed.length > MOST_BLOCKS:
        return
    noted = await known.noted(archive)
    noted += zeros(max(0, live.feed.length - len(noted)), endian="big")
    if live.picker.have.window(0, len(noted)) == noted:
        return
    for start in range(0, live.feed.length, SLICE):
        stop = min(start + SLICE, live.feed.length)
        before = noted[start:stop]
        have = live.picker.have.window(start, stop)
        for change, chosen in ((known.note, have & ~before), (known.drop, before & ~have)):
            if chosen.any():
                read = partial(_hashes, live.feed, start, chosen)
                await change(archive, start, await opened.run(read))


async def catch_up(known: KnownBlocks, archives: Sequence["HostedArchive"]) -> None:
    """Make the index fit what is hosted, after the daemon's start.

    What is not hosted any more is forgotten. If the index had to be begun anew, all archives are
    looked at, one after the other; others are when they are used.
    """
    hosted = {archive.key.discovery_key.raw for archive in archives}
    for name in await known.archives() - hosted:
        await known.forget(name)
    if not known.made:
        return
    for archive in archives:
        if not archive.record.summary.blocks_have:
            continue
        with suppress(DatdError):  # removed meanwhile, or its own state tells why
            async with archive.opened() as opened:
                await note(known, archive.key.discovery_key.raw, opened)


def _hashes(feed: Feed, start: int, chosen: bitarray) -> Sequence[bytes | None]:
    """Hashes of the chosen blocks from `start` on, b"" for small ones; None for all others."""
    hashes: list[bytes | None] = [None] * len(chosen)
    for at in chosen.search(1):
        try:
            small = feed.block_size(start + at) < LEAST_BLOCK
            hashes[at] = b"" if small else feed.leaf_hash(start + at)
        except BlockMissing:
            continue  # a damaged node: the next proof brings it again
    return hashes
