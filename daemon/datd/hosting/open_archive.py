"""An archive while somebody uses it: its feeds open, its connections, its lane.

Made when a peer connects or a reader comes, closed when the last of them has gone: a quiet archive
has none of this.
"""

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bitarray import bitarray

from datd.archive.archive import Archive
from datd.errors import (
    ArchiveFormatError,
    BlockMissing,
    NoRoom,
    ReadOnlyError,
    StorageError,
    Timeout,
)
from datd.feed.feed import Feed
from datd.hosting.batches import Served, Stored, digests, serve_batch, store_batch
from datd.hosting.lane import Lane
from datd.hosting.live_feed import LiveFeed
from datd.hosting.tally import Extent, Tally
from datd.keys import Key
from datd.storage import layout
from datd.storage.base import DescriptorPool, FeedStorage
from datd.wire import messages

if TYPE_CHECKING:
    from datd.hosting.peer import PeerConnection

T = TypeVar("T")
log = logging.getLogger(__name__)

# Reliability 3.2: what is verified and written becomes durable after at most this much more.
FLUSH_BYTES = 64 * 2**20
FLUSH_BLOCKS = 4096

CLOSED = "the archive was closed while this went on: try again"


class OpenArchive:
    """The feeds of one archive, and all who share them.

    Attributes:
        metadata: The feed that the link names.
        content: The feed that block 0 of metadata names; None until that block is here.
        tally: The last count of the files.
        extent: What the pinned version takes of content, as far as it is known.
        format_error: Why this is no archive but a plain feed, if so.
        no_room: Why nothing more may be stored, if so.
        archive: Files and folders over both.
        connections: Peers connected just now.
        broken: Whether a file failed: nothing is written any more, and it is to be opened anew.
    """

    def __init__(
        self,
        lane: Lane,
        files: layout.ArchiveFiles,
        metadata: LiveFeed,
        *,
        choose: Callable[[int], int],
        before_write: Callable[[], Awaitable[None]],
        on_damage: Callable[[], None],
    ) -> None:
        self.lane = lane
        self.metadata = metadata
        self.content: LiveFeed | None = None
        self.archive = Archive(metadata.feed)
        self.connections: set[PeerConnection] = set()
        self.format_error: str | None = None
        self.tally: Tally | None = None
        self.extent = Extent()
        self.no_room: str | None = None
        self.broken = False
        self._closed = False
        self._files = files
        self._choose = choose
        self._before_write = before_write
        self._on_damage = on_damage
        self._flushing = asyncio.Lock()
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def open(
        cls,
        lane: Lane,
        folder: Path,
        pool: DescriptorPool,
        key: Key,
        *,
        clean: bool,
        choose: Callable[[int], int],
        before_write: Callable[[], Awaitable[None]],
        on_damage: Callable[[], None],
    ) -> "OpenArchive":
        """Open the files of an archive in layout `flat`; nothing is written by that.

        Args:
            lane: The archive's queue.
            folder: Where its files lie, or will lie.
            pool: Lends descriptors.
            key: The archive's key.
            clean: Whether it was closed in order; if not, the files are looked over.
            choose: Gives a random number below its argument.
            before_write: Awaited before the first write of a batch.
            on_damage: Called when blocks turned out to be damaged on disk.

        Raises:
            StorageError: A file cannot be read or belongs to another key.
        """
        files = layout.flat(folder, pool)
        try:
            metadata = await _open_feed(lane, files.metadata, key, clean=clean, choose=choose)
            opened = cls(
                lane, files, metadata, choose=choose, before_write=before_write, on_damage=on_damage
            )
            await opened.open_content(clean=clean)
        except BaseException:
            # The lane may still be opening them: this comes behind.
            await lane.run(files.close)
            raise
        return opened

    async def open_content(self, *, clean: bool = True) -> bool:
        """Open the content feed if metadata names it by now. Returns whether it is new."""
        if self.content is not None or self.format_error or not self.metadata.feed.has(0):
            return False
        try:
            key = await self.run(self.archive.content_key)
        except ArchiveFormatError as error:
            # A plain feed is hosted all the same; it just has no files.
            self.format_error = str(error)
            return False
        except BlockMissing:
            return False
        self.content = await _open_feed(
            self.lane, self._files.content, key, clean=clean, choose=self._choose
        )
        self.archive = Archive(self.metadata.feed, self.content.feed)
        return True

    @property
    def live_feeds(self) -> list[LiveFeed]:
        """Metadata, and content where it is known."""
        return [self.metadata] if self.content is None else [self.metadata, self.content]

    def live_feed(self, discovery_key: bytes) -> LiveFeed | None:
        """The feed of this archive with that name."""
        for live in self.live_feeds:
            if live.feed.discovery_key == discovery_key:
                return live
        return None

    async def store(
        self, live: LiveFeed, blocks: Sequence[messages.Data], ask: Sequence[int]
    ) -> Stored:
        """Verify and write a batch of blocks, then look up the digests of the next ones to ask for.

        One hop into the lane for all of it (decision 9). Who shares the feed hears of the blocks
        also if the connection that brought them is cut off meanwhile.

        Raises:
            StorageError: The disk refused. If it is not just full, all is broken from then on.
            Timeout: The archive was closed.
        """
        self._require_open()
        await self._before_write()
        try:
            stored = await self.lane.run_and_tell(
                partial(self._stored, live), store_batch, live.feed, blocks, ask
            )
        except StorageError as error:
            self.broken = self.broken or not _takes_no_more(error)
            raise
        if live.feed.dirty >= FLUSH_BYTES or live.feed.dirty_blocks >= FLUSH_BLOCKS:
            await self.flush()
        return stored

    def _stored(self, live: LiveFeed, stored: Stored) -> None:
        live.present_bytes = stored.present_bytes
        if not self._closed:
            live.stored(stored.here)

    async def digests(self, live: LiveFeed, ask: Sequence[int]) -> list[int]:
        """What is held above each of some blocks."""
        return await self.run(partial(digests, live.feed, ask))

    async def serve(
        self,
        live: LiveFeed,
        channel: int,
        requests: Sequence[messages.Request],
        remote_nodes: set[int] | None,
        max_bytes: int,
    ) -> Served:
        """Read, prove and encode the answers to some requests, in one hop.

        Args:
            live: The feed.
            channel: Its number on the connection.
            requests: What the peer wants.
            remote_nodes: What a peer has that keeps every hash; only the lane touches it.
            max_bytes: Stop behind the block that exceeds it.
        """
        return await self.run(
            partial(serve_batch, live.feed, channel, requests, remote_nodes, max_bytes)
        )

    async def run(self, call: Callable[[], T]) -> T:
        """Run a read in the lane. Blocks that it finds damaged are fetched again.

        Raises:
            Timeout: The archive was closed.
        """
        self._require_open()
        feeds = self.live_feeds

        def work() -> T:
            try:
                return call()
            finally:
                for live in feeds:
                    damaged = live.feed.take_damaged()
                    if damaged:
                        self._loop.call_soon_threadsafe(self._damaged, live, damaged)

        return await self.lane.run(work)

    async def call(self, call: Callable[[], T], *, wait: float) -> T:
        """Run a read in the lane; blocks it misses are asked of the peers first.

        Args:
            call: Reads the archive; may raise BlockMissing any number of times.
            wait: Seconds to wait for peers, in all.

        Raises:
            Timeout: No peer gave a needed block in time.
            NoRoom: A block is needed that may not be stored.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        while True:
            try:
                return await self.run(call)
            except BlockMissing as missing:
                live = self.live_feed(missing.discovery_key)
                if live is None:
                    raise Timeout(
                        "no peer has told yet where the files of this archive are"
                    ) from None
                if self.no_room is not None:
                    raise NoRoom(self.no_room) from None
                await self._arrival(live, missing, deadline - loop.time())

    async def _arrival(self, live: LiveFeed, missing: BlockMissing, wait: float) -> None:
        index = missing.index
        try:
            async with asyncio.timeout(max(0.0, wait)):
                if live.feed.has(index):
                    # The block is here, but hashes that say where it lies are damaged. Reading it
                    # finds that out; then it counts as missing, and comes again with its hashes.
                    await self.run(partial(live.feed.audit, index, index + 1))
                await live.arrival([index, *missing.also])
        except TimeoutError:
            name = "metadata" if live is self.metadata else "content"
            raise Timeout(
                f"no peer gave {name} block {index} in time: {len(self.connections)} connected"
            ) from None

    def _damaged(self, live: LiveFeed, blocks: list[int]) -> None:
        log.warning(
            "%s: %d damaged blocks on disk, first %d: they are fetched again",
            live.feed.discovery_key.hex(),
            len(blocks),
            blocks[0],
        )
        if not self._closed:
            live.lost(blocks)
            self._on_damage()

    @property
    def dirty(self) -> bool:
        """Whether something was written that may not be on the disk yet."""
        return any(live.feed.dirty for live in self.live_feeds)

    async def flush(self) -> None:
        """Return when all that was stored before is durable.

        Raises:
            StorageError: The disk failed, now or before: then it is not tried again, since the
                system may have dropped what it could not write (D-4).
        """
        async with self._flushing:
            for live in self.live_feeds:
                if not live.feed.dirty:
                    continue
                if self.broken:
                    raise StorageError("a file of this archive could not be written before")
                try:
                    await self.lane.run(live.feed.flush)
                except StorageError:
                    self.broken = True
                    raise

    async def close(self) -> None:
        """Flush and close the files. Who still uses them gets an error.

        Of a broken archive nothing is flushed: its files are looked over when it is opened again.
        """
        self._closed = True
        for live in self.live_feeds:
            live.refuse(Timeout(CLOSED))
        for peer in self.connections:
            peer.connection.cut()
        try:
            for live in self.live_feeds if not self.broken else ():
                await self.lane.run(live.feed.close)
        finally:
            await self.lane.run(self._files.close)

    def _require_open(self) -> None:
        if self._closed:
            raise Timeout(CLOSED)


async def _open_feed(
    lane: Lane,
    files: FeedStorage,
    key: Key,
    *,
    clean: bool,
    choose: Callable[[int], int],
) -> LiveFeed:
    def opened() -> tuple[Feed, bitarray, int]:
        feed = Feed.open(files, key, clean=clean)
        return feed, feed.have, feed.present_bytes

    return LiveFeed(*await lane.run(opened), choose)


def _takes_no_more(error: StorageError) -> bool:
    # Then nothing of the batch counts as written, and what is here is as good as before.
    cause = error.__cause__
    full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return full or isinstance(error, ReadOnlyError)
