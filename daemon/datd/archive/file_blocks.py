"""Finds the content blocks that hold some bytes of a file, also while few sizes are known.

Blocks may have any length: where one starts is told by the content feed's tree alone, and what the
entry claims is checked against it. Source: archives.md section 8, feeds.md section 6.
"""

from typing import NamedTuple

from datd.archive.entries import Stat
from datd.errors import ArchiveFormatError, BlockMissing
from datd.feed.feed import Feed

# What every known writer cuts files into; only a guess, to be verified by the sizes in proofs.
USUAL_BLOCK_SIZE = 65_536
# 64 MiB of usual blocks: more than is fetched ahead, and nothing grows with a claimed size.
MAX_SPANS = 1024


class Span(NamedTuple):
    """Bytes of one content block.

    Attributes:
        block: Its index.
        start: First byte within the block.
        stop: Byte behind the last one within the block.
    """

    block: int
    start: int
    stop: int


def spans(content: Feed, stat: Stat, start: int, stop: int) -> list[Span]:
    """Tell where the bytes `start` to `stop` of a file begin to lie.

    Args:
        content: The content feed.
        stat: Of a file.
        start: First byte of the file wanted.
        stop: Byte behind the last one wanted; beyond the file's end counts as its end.

    Returns:
        Neighbouring spans from `start` on: at least one if anything is wanted, but no more than
        are known without asking for further blocks, and at most `MAX_SPANS`. Whoever wants the
        rest calls again with `start` moved by the bytes that these spans hold.

    Raises:
        BlockMissing: Where `start` lies is not known: fetch that block and call again. A few
            rounds suffice, however the file is cut.
        ArchiveFormatError: The entry's claims do not fit the signed sizes.
    """
    stop = min(stop, stat.size)
    if start >= stop:
        return []
    _check_claims(content, stat)
    block, block_start, size = _find(content, stat, stat.byte_offset + start)
    position = stat.byte_offset + start
    end = stat.byte_offset + stop
    behind = stat.offset + stat.blocks
    found: list[Span] = []
    for _ in range(MAX_SPANS):
        if size:
            until = min(size, end - block_start)
            found.append(Span(block, position - block_start, until))
        block, block_start = block + 1, block_start + size
        position = block_start
        if position >= end:
            break
        if block >= behind:
            raise ArchiveFormatError(f"the file's {stat.blocks} blocks are shorter than its size")
        try:
            size = content.block_size(block)
        except BlockMissing:
            break
    return found


def _check_claims(content: Feed, stat: Stat) -> None:
    if stat.blocks == 0:
        raise ArchiveFormatError(f"the file claims {stat.size} bytes in no block")
    start = _known_start(content, stat.offset)
    if start is not None and start != stat.byte_offset:
        raise ArchiveFormatError(
            f"the file's first block starts at byte {start}, its entry claims {stat.byte_offset}"
        )
    end = _known_start(content, stat.offset + stat.blocks)
    claimed = stat.byte_offset + stat.size
    if end is not None and end != claimed:
        raise ArchiveFormatError(f"the file's blocks end at byte {end}, its entry claims {claimed}")


def _known_start(content: Feed, block: int) -> int | None:
    if block >= content.length:
        return content.byte_length if block == content.length else None
    try:
        return content.block_offset(block)
    except BlockMissing:
        return None


def _find(content: Feed, stat: Stat, position: int) -> tuple[int, int, int]:
    # Guess, look, narrow. Each guess follows from the ones before, so a caller that fetched the
    # block we lacked comes back here along the same way and one step further. Guesses in
    # proportion are right at once for even blocks; halving in between bounds uneven ones.
    low, low_start = stat.offset, stat.byte_offset
    high, high_start = low + stat.blocks, low_start + stat.size
    usual = -(-stat.size // USUAL_BLOCK_SIZE) == stat.blocks
    halve = False
    while low < high and low_start <= position < high_start:
        if usual:
            guess = low + (position - low_start) // USUAL_BLOCK_SIZE
            usual = False
        elif halve:
            guess = (low + high) // 2
        else:
            guess = low + (position - low_start) * (high - low) // (high_start - low_start)
        halve = not halve
        guess = min(guess, high - 1)
        start, size = _extent(content, guess)
        if start < low_start or start + size > high_start:
            break
        if start > position:
            high, high_start = guess, start
        elif start + size > position:
            return guess, start, size
        else:
            low, low_start = guess + 1, start + size
    raise ArchiveFormatError("the sizes of the file's blocks do not add up to its entry's claims")


def _extent(content: Feed, block: int) -> tuple[int, int]:
    if block < content.length:
        try:
            return content.block_offset(block), content.block_size(block)
        except BlockMissing:
            pass
    raise BlockMissing(content.discovery_key, block)
