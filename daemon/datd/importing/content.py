"""Compares a file with blocks that are in the content feed already, by their hashes alone."""

import os
from collections.abc import Generator

from datd.archive.archive import Archive
from datd.archive.entries import Stat
from datd.archive.writer import Draft
from datd.crypto import leaf_hash
from datd.errors import BlockMissing
from datd.feed.feed import Feed

# Entries that are looked at together for what the newest of them claims; deletions claim nothing.
_ENTRIES = 64
# After so many deletions in a row it is not worth to look further back.
_MOST_ENTRIES = 10_000


def equals(content: Feed, stat: Stat, descriptor: int) -> Generator[int, None, bool]:
    """Whether a file holds what an entry of the same size says.

    A generator, so that somebody else may have a turn: yields the bytes of each block it read.
    """
    matched, size = yield from _matching(
        content, stat.offset, stat.offset + stat.blocks, descriptor
    )
    return matched == stat.blocks and size == stat.size


class UnusedBlocks:
    """What lies at the end of a content feed and belongs to no entry.

    An import that was killed leaves such blocks, and so does a file that changed while it was read.
    A file that begins with exactly them, which it does when an import is done again, takes them up
    and is not stored twice.
    """

    def __init__(self, archive: Archive) -> None:
        assert archive.content is not None
        self._content: Feed = archive.content
        self._claimed = _claimed(archive, self._content.length)

    def take_up(self, draft: Draft, descriptor: int) -> Generator[int, None, None]:
        """Let a new draft begin with them, as far as they are the beginning of its file.

        Either all of them are, or the file ends within them; else none is taken, since the blocks
        of a file must not have others in between.
        """
        start, end = self._claimed, self._content.length
        if draft.offset != end or start >= end:
            return  # other blocks wait to be written behind them, or there are none
        blocks, size = yield from _matching(self._content, start, end, descriptor)
        if blocks and (start + blocks == end or size == os.fstat(descriptor).st_size):
            draft.offset, draft.byte_offset = start, self._content.block_offset(start)
            draft.blocks, draft.size = blocks, size

    def claim(self, draft: Draft) -> None:
        """Note that an entry names the blocks of a draft."""
        if draft.blocks:
            self._claimed = draft.offset + draft.blocks


def _matching(
    content: Feed, start: int, end: int, descriptor: int
) -> Generator[int, None, tuple[int, int]]:
    """How many blocks from `start` on are what the file holds, and their bytes."""
    size = 0
    for block in range(start, end):
        try:
            wanted = content.block_size(block)
        except BlockMissing:
            return block - start, size
        data = os.pread(descriptor, wanted, size)
        known = content.leaf_hash(block) if content.has(block) else None
        if len(data) != wanted or leaf_hash(data) != known:
            return block - start, size
        size += wanted
        yield wanted
    return end - start, size


def _claimed(archive: Archive, length: int) -> int:
    """The block behind the last one that an entry names; `length` if that is hard to say."""
    end = archive.version
    while end > max(0, archive.version - _MOST_ENTRIES):
        start = max(0, end - _ENTRIES)
        page = archive.history(start, end - start)
        ends = [entry.stat.offset + entry.stat.blocks for entry in page.entries if entry.stat]
        if ends:
            return max(ends)
        end = start
    return 0 if end == 0 else length
