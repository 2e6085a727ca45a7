"""An archive while somebody uses it: its feeds open, its connections, its lane.

Made when a peer connects or a reader comes, closed when the last of them has gone: a quiet archive
has none of this.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

from datd.archive.archive import Archive
from datd.archive.content_key import content_secret
from datd.errors import (
    ArchiveFormatError,
    BlockMissing,
    NoRoom,
    ReadOnlyError,
    StorageError,
    Timeout,
)
from datd.feed.feed import Feed
from datd.hosting import batches
from datd.hosting.batches import Known, Served, Stored
from datd.hosting.folders.opening import open_live
from datd.hosting.folders.place import OpenPlace, Place
from datd.hosting.keeping.wants import Wants
from datd.hosting.lane import Lane
from datd.hosting.live_feed import LiveFeed
from datd.hosting.own.growing import Growing, Grown
from datd.keys import Key
from datd.storage.base import DescriptorPool
from datd.storage.faults import is_full
from datd.wire import messages

if TYPE_CHECKING:
    from datd.hosting.copies.dedup import Dedup
    from datd.hosting.own.publishing import Desk
    from datd.hosting.peer import PeerConnection

T = TypeVar("T")
Told = Callable[[Stored], None]
Passes = Callable[[StorageError], bool]
log = logging.getLogger(__name__)

# Reliability 3.2: what is verified and written becomes durable after at most this much more.
FLUSH_BYTES = 64 * 2**20
FLUSH_BLOCKS = 4096

CLOSED = "the archive was closed while this went on: try again"
NO_CONTENT = "no peer has told yet where the files of this archive are"
FAILED = "a file of this archive could not be written before: it is opened anew"


class OpenArchive:
    """The feeds of one archive, and all who share them.

    Attributes:
        metadata: The feed that the link names.
        content: The feed that block 0 of metadata names; None until that block is here.
        content_known: Set once it is.
        wants: What is to be fetched, and what not to be kept.
        format_error: Why this is no archive but a plain feed, if so.
        no_room: Why nothing more may be stored, if so.
        archive: Files and folders over both.
        connections: Peers connected just now.
        dedup: Takes over content that is known here, where that is looked for.
        desk: Where it is written, once somebody does.
        place: Its files.
        wanted: Called when somebody waits for what is missing.
        broken: Whether a file failed: nothing is written any more, and it is to be opened anew.
    """

    def __init__(
        self,
        lane: Lane,
        place: OpenPlace,
        metadata: LiveFeed,
        *,
        choose: Callable[[int], int],
        before_write: Callable[[], Awaitable[None]],
        on_damage: Callable[["OpenArchive", LiveFeed, list[int]], None],
        wants: Wants,
        secret: bytes | None = None,
    ) -> None:
        self.lane = lane
        self.metadata = metadata
        self.content: LiveFeed | None = None
        self.content_known = asyncio.Event()
        self.archive = Archive(metadata.feed)
        self.connections: set[PeerConnection] = set()
        self.format_error: str | None = None
        self.wants = wants
        self.no_room: str | None = None
        self.dedup: Dedup | None = None
        self.broken = False
        self.wanted: Callable[[], None] | None = None
        self.desk: Desk | None = None
        self._closed = False
        self.place = place
        self._secret = secret
        self._choose = choose
        self._before_write = before_write
        self._on_damage = on_damage
        self._flushing = asyncio.Lock()
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def open(
        cls,
        lane: Lane,
        place: Place,
        pool: DescriptorPool,
        key: Key,
        *,
        clean: bool,
        choose: Callable[[int], int],
        before_write: Callable[[], Awaitable[None]],
        on_damage: Callable[["OpenArchive", LiveFeed, list[int]], None],
        wants: Wants,
        secret: bytes | None = None,
    ) -> "OpenArchive":
        """Open the files of an archive; nothing is written by that unless they need mending.

        Args:
            lane: The archive's queue.
            place: Where its files lie, or will lie.
            pool: Lends descriptors.
            key: The archive's key.
            clean: Whether it was closed in order; if not, the files are looked over.
            choose: Gives a random number below its argument.
            before_write: Awaited before the first write of a batch.
            on_damage: Told of blocks of a feed of it that turned out to be damaged on disk.
            wants: What its mode wants.
            secret: The archive's 64-byte secret key, if it is ours to write.

        Raises:
            StorageError: A file cannot be read or belongs to another key.
        """
        places: list[OpenPlace] = []  # filled in the lane: who is cancelled is given no result
        try:
            await lane.run(lambda: places.append(place.open(pool)))
            held = places[0]
            metadata = await open_live(
                lane, held, held.files.metadata, key, clean=clean, choose=choose, secret=secret
            )
            opened = cls(
                lane,
                held,
                metadata,
                choose=choose,
                before_write=before_write,
                on_damage=on_damage,
                wants=wants,
                secret=secret,
            )
            await opened.open_content(clean=clean)
            if any(live.feed.recovered is not None for live in opened.live_feeds):
                wants.damaged()
            wants.note_rest(opened)
        except BaseException:
            # The lane may still be opening them: this comes behind.
            await lane.run(lambda: places[0].close(sound=False) if places else None)
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
        self.content = await open_live(
            self.lane,
            self.place,
            self.place.files.content,
            key,
            clean=clean,
            choose=self._choose,
            secret=self._secret and content_secret(self._secret, key),
        )
        self.archive = Archive(self.metadata.feed, self.content.feed)
        self.content_known.set()
        return True

    @property
    def live_feeds(self) -> list[LiveFeed]:
        """Metadata, and content where it is known."""
        return [self.metadata] if self.content is None else [self.metadata, self.content]

    def live_feed(self, discovery_key: bytes) -> LiveFeed | None:
        """The feed of this archive with that name."""
        found = (live for live in self.live_feeds if live.feed.discovery_key == discovery_key)
        return next(found, None)

    async def store(
        self,
        live: LiveFeed,
        blocks: Sequence[messages.Data],
        ask: Sequence[int],
        told: Told = lambda _: None,
    ) -> Stored:
        """Verify and write a batch of blocks, then look up the digests of the next ones to ask for.

        One hop into the lane for all of it (decision 9). Who shares the feed hears of the blocks
        also if the connection that brought them is cut off meanwhile, and so does `told`.

        Raises:
            StorageError: The disk refused. If it is not just full, all is broken from then on.
            Timeout: The archive was closed.
        """
        return await self._write(live, partial(batches.store_batch, live.feed, blocks, ask), told)

    async def take_over(self, live: LiveFeed, known: Known) -> Stored:
        """Store blocks found on this machine, as far as they are proven; see `store`."""
        return await self._write(live, partial(known.store, live.feed), lambda _: None)

    async def _write(self, live: LiveFeed, call: Callable[[], Stored], told: Told) -> Stored:
        tell: Told = partial(self._stored, live, told)
        stored = await self._change(call, tell, is_full)
        if live.feed.dirty >= FLUSH_BYTES or live.feed.dirty_blocks >= FLUSH_BLOCKS:
            await self.flush()
        return stored

    def _stored(self, live: LiveFeed, told: Told, stored: Stored) -> None:
        live.present_bytes = stored.present_bytes
        if not self._closed:
            live.stored(stored.here)
            live.hashes_arrived(stored.hashes)
        told(stored)

    async def grow(self, growing: Growing, call: Callable[[], T]) -> T:
        """Run a call in the lane that appends to our own feeds; peers hear of what it sealed.

        Raises:
            StorageError: The disk refused: all is broken, and to be opened anew (D-4, D-12).
            Timeout: The archive was closed.
        """
        if self.broken:
            raise StorageError(FAILED)
        tell = partial(self._tell_of, self.live_feeds)
        grown = await self._change(partial(growing.grow, call), tell, lambda _: False)
        if grown.error is not None:
            raise grown.error
        return cast(T, grown.result)

    def _tell_of(self, lives: list[LiveFeed], grown: Grown[T]) -> None:
        # Content before the entries that name it.
        for live, growth in reversed(list(zip(lives, grown.feeds, strict=True))):
            live.present_bytes = growth.present_bytes
            if growth.blocks and not self._closed:
                live.stored(list(growth.blocks))

    async def clear(self, live: LiveFeed, ranges: Sequence[tuple[int, int]]) -> int:
        """Drop blocks, and tell the peers. Returns the bytes that were in them.

        Raises:
            StorageError: The disk refused; all is broken from then on.
            Timeout: The archive was closed.
        """

        def tell(cleared: batches.Cleared) -> None:
            live.present_bytes = cleared.present_bytes
            if not self._closed:
                live.lost(cleared.gone)

        call = partial(batches.clear_batch, live.feed, ranges)
        cleared = await self._change(call, tell, lambda error: isinstance(error, ReadOnlyError))
        return cleared.size

    async def _change(self, call: Callable[[], T], tell: Callable[[T], None], passes: Passes) -> T:
        """Run a call in the lane that writes; unless the error passes, all is broken then."""
        self._require_open()
        await self._before_write()
        self._require_open()  # it may have been closed meanwhile
        return await self.lane.run_and_tell(tell, partial(self._do, call, passes))

    def _do(self, call: Callable[[], T], passes: Passes) -> T:
        """In the lane: a failure counts also if nobody waits for it any more (D-4)."""
        try:
            return call()
        except StorageError as error:
            if not passes(error):
                self.broken = True
            raise

    async def digests(self, live: LiveFeed, ask: Sequence[int]) -> list[int]:
        """What is held above each of some blocks."""
        return await self.run(partial(batches.digests, live.feed, ask))

    async def serve(
        self,
        live: LiveFeed,
        channel: int,
        requests: Sequence[messages.Request],
        remote_nodes: set[int] | None,
        max_bytes: int,
    ) -> Served:
        """Read, prove and encode the answers to some requests, in one hop; see `serve_batch`."""

        def work() -> Served:
            if self.desk is not None:
                self.desk.growing.seal()
            return batches.serve_batch(live.feed, channel, requests, remote_nodes, max_bytes)

        return await self.run(work)

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
            Gone: A block is needed that was dropped, or will not be fetched, as the mode says.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        while True:
            try:
                return await self.run(call)
            except BlockMissing as missing:
                self._require_open()  # else nobody would wake who waits from here on
                live = self.live_feed(missing.discovery_key)
                if live is None:
                    raise Timeout(NO_CONTENT) from None
                self.wants.refuse_old(self, live, missing.index)
                if self.no_room is not None:
                    raise NoRoom(self.no_room) from None
                self.want()
                await self._arrival(live, missing, deadline - loop.time())

    def want(self) -> None:
        """Say that somebody waits for what is missing here."""
        if self.wanted is not None:
            self.wanted()

    async def _arrival(self, live: LiveFeed, missing: BlockMissing, wait: float) -> None:
        index = missing.index
        try:
            async with asyncio.timeout(max(0.0, wait)):
                if live.feed.has(index):
                    # The block is here, but hashes that say where it lies are damaged. Reading it
                    # finds that out; then it counts as missing, and comes again with its hashes.
                    await self.run(partial(live.feed.audit, index, index + 1))
                await live.fetch(missing)
        except TimeoutError:
            block = f"{'metadata' if live is self.metadata else 'content'} block {index}"
            text = f"no peer gave {block} in time: {len(self.connections)} connected"
            raise Timeout(text) from None

    def _damaged(self, live: LiveFeed, blocks: list[int]) -> None:
        name, text = live.feed.discovery_key.hex(), "damaged blocks on disk, first"
        log.warning("%s: %d %s %d: they are fetched again", name, len(blocks), text, blocks[0])
        self.wants.damaged()
        if not self._closed:
            live.lost(blocks)
            self._on_damage(self, live, blocks)

    @property
    def dirty(self) -> bool:
        """Whether something was written that may not be on the disk yet, and is to be before long.

        What a writer of ours has not committed is its own business, and is not.
        """
        if self.desk is not None and self.desk.growing.waits:
            return False
        return any(live.feed.dirty for live in self.live_feeds)

    async def flush(self) -> None:
        """Return when all that was stored before is durable.

        Raises:
            StorageError: The disk failed, now or before: then it is not tried again, since the
                system may have dropped what it could not write (D-4).
        """
        async with self._flushing:
            for live in self.live_feeds:
                if live.feed.dirty:
                    call = partial(self._flush, live.feed)
                    await self.lane.run(partial(self._do, call, lambda _: False))

    def _flush(self, feed: Feed) -> None:
        if self.broken:
            raise StorageError(FAILED)
        feed.flush()

    async def close(self) -> None:
        """Flush and close the files. Who still uses them gets an error.

        Of a broken archive nothing is flushed: its files are looked over when it is opened again.
        """
        self._closed = True
        self.content_known.set()  # it will not be: who waits for it learns why
        try:
            if self.dedup is not None:
                await self.dedup.close()
        finally:
            for live in self.live_feeds:
                live.refuse(Timeout(CLOSED))
            for peer in self.connections:
                peer.connection.cut()
            # One call: who is cancelled here leaves nothing open.
            await self.lane.run(self._close_files)

    def _close_files(self) -> None:
        sound = False
        try:
            for live in self.live_feeds if not self.broken else ():
                live.feed.close()
            sound = not self.broken
        finally:
            self.place.close(sound=sound)

    def _require_open(self) -> None:
        if self._closed:
            raise Timeout(CLOSED)
