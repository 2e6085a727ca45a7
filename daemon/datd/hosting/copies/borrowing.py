"""Blocks of one archive taken from another one that is hosted here, or from older ones of its own.

What is read there counts for nothing until it fits hashes that are proven here.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from datd.errors import BlockMissing, DatdError
from datd.feed.feed import Feed
from datd.feed.merkle import Proof
from datd.hosting.batches import Known
from datd.hosting.copies.known_blocks import KnownBlocks
from datd.hosting.live_feed import LiveFeed
from datd.hosting.open_archive import OpenArchive
from datd.hosting.stats import Savings

if TYPE_CHECKING:
    from datd.hosting.archive import HostedArchive

T = TypeVar("T")

# Bytes read from another archive at a time: they are in memory until they are written here.
_READ_BYTES: Final = 4 * 2**20
# And blocks: what is known of their hashes is looked up before, some 10 microseconds each.
_READ_BLOCKS: Final = 1024


@dataclass(slots=True)
class Shelf:
    """What all archives share for it.

    Attributes:
        known: Says where blocks may lie.
        find: The archive of a discovery key, if it is hosted.
        spawn: Runs a coroutine in a task.
        savings: Counts for all archives.
    """

    known: KnownBlocks
    find: Callable[[bytes], "HostedArchive | None"]
    spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
    savings: Savings


class Borrower:
    """Takes blocks for one content feed."""

    def __init__(
        self, archive: "HostedArchive", opened: OpenArchive, live: LiveFeed, shelf: Shelf
    ) -> None:
        """Take for a feed.

        Args:
            archive: Whose content it is.
            opened: The same, open.
            live: Its content feed.
            shelf: Where else blocks may be.
        """
        self._archive = archive
        self._opened = opened
        self._live = live
        self._shelf = shelf

    async def take(self, name: bytes, pairs: Sequence[tuple[int, int]]) -> None:
        """Take blocks of another archive, or of this one: pairs of the block here and there."""
        feed, at = self._live.feed, 0
        while at < len(pairs) and self._archive.may_store():
            batch = pairs[at : at + _READ_BLOCKS]
            digests = await self._opened.run(partial(feed.digests, [here for here, _ in batch]))
            wanted = [(*pair, digest) for pair, digest in zip(batch, digests, strict=True)]
            read = await self.read(name, partial(_read, blocks=wanted))
            if not read:
                return
            found = [one for one in read if one is not None]
            known = Known(
                [(index, value) for index, value, _ in found],
                {index: proof for index, _, proof in found},
            )
            stored = await self._opened.take_over(self._live, known)
            self._archive.blocks_taken_over(self._live, stored)
            at += len(read)

    async def read(self, name: bytes, call: Callable[[Feed], list[T]]) -> list[T]:
        """Read the content of an archive, in its lane; nothing if it cannot be used."""
        source = self._shelf.find(name)
        if source is None or source.error is not None:
            return []
        try:
            async with source.opened() as lender:
                if lender.content is None:
                    return []
                return await lender.run(partial(call, lender.content.feed))
        except DatdError:
            return []  # its own state tells why


def _read(
    feed: Feed, blocks: Sequence[tuple[int, int, int]]
) -> list[tuple[int, bytes, Proof] | None]:
    """The first of some blocks, as many as fit into memory; None for those that are not there.

    Args:
        feed: Where they are.
        blocks: Their numbers where they are to go, and here; what is known there of the hashes.

    Returns:
        Number, bytes, and hashes up to what is known, as the other feed numbers them.
    """
    read: list[tuple[int, bytes, Proof] | None] = []
    size = 0
    for index, block, digest in blocks:
        if size >= _READ_BYTES:
            break
        try:
            value, (nodes, _) = feed.serve(block, digest)
        except BlockMissing:
            read.append(None)
            continue
        moved = [node._replace(index=node.index + 2 * (index - block)) for node in nodes]
        read.append((index, value, Proof(moved)))
        size += len(value)
    return read
