"""Finds the content blocks that hold some bytes of a file, also while few sizes are known.

Blocks may have any length: where one starts is told by the content feed's tree alone, and what the
entry claims is checked against it. Source: archives.md section 8, feeds.md section 6.
"""

from collections.abc import Sequence
from typing import NamedTuple

from datd.archive.entries import Stat
from datd.errors import ArchiveFormatError, BlockMissing
from datd.feed.feed import Feed
from datd.types import Seek

# What every known writer cuts files into; only a guess, to be verified by the sizes in proofs.
USUAL_BLOCK_SIZE = 65_536
# 64 MiB of usual blocks: more than is fetched ahead, and nothing grows with a claimed size.
MAX_SPANS = 1024
# Programs that cut by content make no block larger than so many times their average.
_LARGEST = 4


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


class Plan(NamedTuple):
    """What to ask peers for before any of it is read.

    Attributes:
        blocks: Blocks that hold bytes of the range, from its start on.
        seeks: Bytes of the range whose blocks nothing but a peer can tell, the first one first.
    """

    blocks: range
    seeks: Sequence[Seek]


def plan(content: Feed, stat: Stat, start: int, stop: int, most: int) -> Plan:
    """Tell what to fetch for the bytes `start` to `stop` of a file, as far as that is known.

    Blocks of the usual size lie where one expects them, as long as no signed size says otherwise.
    For others the ends of the range are to be sought; while only its start is known, no more blocks
    are named than surely lie in it.

    Args:
        content: The content feed.
        stat: Of a file.
        start: First byte of the file wanted.
        stop: Byte behind the last one wanted.
        most: Blocks to name.

    Raises:
        ArchiveFormatError: A byte lies outside of the blocks that the entry claims.
    """
    stop = min(stop, stat.size)
    if start >= stop or not stat.blocks:
        return Plan(range(0), ())
    first, last = _block_of(content, stat, start), _block_of(content, stat, stop - 1)
    guesses = [_usual(stat, start), _usual(stat, stop - 1)]
    if (first is None or last is None) and _is_usual(content, stat, guesses):
        first, last = guesses
    else:
        guesses = [_in_proportion(stat, start), _in_proportion(stat, stop - 1)]
    seeks = [
        Seek(stat.byte_offset + byte, guess, stat.offset, stat.offset + stat.blocks)
        for byte, guess, known in zip((start, stop - 1), guesses, (first, last), strict=True)
        if known is None
    ]
    if first is None:
        return Plan(range(0), seeks)
    if last is None:
        last = first + (stop - start) * stat.blocks // (stat.size * _LARGEST)
    return Plan(range(first, min(last + 1, first + most)), seeks)


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
            if not found:
                raise  # empty blocks were all that is known: nobody could go on from there
            break
    if not found:
        raise ArchiveFormatError(f"the file has more than {MAX_SPANS:,} empty blocks in a row")
    return found


def _block_of(content: Feed, stat: Stat, byte: int) -> int | None:
    behind = stat.offset + stat.blocks
    if byte == 0:
        return stat.offset
    if byte == stat.size - 1:
        return behind - 1
    block = _resolve(content, stat.byte_offset + byte)
    if block is not None and not stat.offset <= block < behind:
        raise ArchiveFormatError(f"byte {byte} of the file lies in block {block}, not one of its")
    return block


def _resolve(content: Feed, position: int) -> int | None:
    block = content.resolve_bytes(position)
    if block is None:
        # Who reads on stands behind a block that is known, before one that is not.
        before = content.resolve_bytes(position - 1)
        block = None if before is None else before + 1
    return block


def _usual(stat: Stat, byte: int) -> int:
    return stat.offset + min(byte // USUAL_BLOCK_SIZE, stat.blocks - 1)


def _in_proportion(stat: Stat, byte: int) -> int:
    return stat.offset + min(byte * stat.blocks // stat.size, stat.blocks - 1)


def _is_usual(content: Feed, stat: Stat, blocks: Sequence[int]) -> bool:
    if -(-stat.size // USUAL_BLOCK_SIZE) != stat.blocks:
        return False
    starts = [(block - stat.offset, _known_start(content, block)) for block in blocks]
    usual = [(known, stat.byte_offset + n * USUAL_BLOCK_SIZE) for n, known in starts]
    return all(known is None or known == expected for known, expected in usual)


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
    block = _resolve(content, position)
    if block is not None and stat.offset <= block < stat.offset + stat.blocks:
        return block, *_extent(content, block)
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
