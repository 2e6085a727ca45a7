"""An archive while somebody uses it: its feeds open, its connections, its lane.

Made when a peer connects or a reader comes, closed when the last of them has gone: a quiet archive
has none of this.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from bitarray import bitarray

from datd.archive.archive import Archive
from datd.errors import ArchiveFormatError, BlockMissing, IntegrityError, NoRoom, Timeout
from datd.feed.feed import Feed
from datd.feed.merkle import Proof
from datd.hosting.lane import Lane
from datd.hosting.live_feed import LiveFeed
from datd.hosting.tally import Tally
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


class Stored(NamedTuple):
    """What came of a batch of blocks.

    Attributes:
        here: Blocks of the batch that are here now, those that were before included.
        size: Bytes of the new ones.
        present_bytes: Bytes of all blocks held.
        digests: What is held above each of the blocks to ask for next.
        error: Why the batch was cut short, if it was.
    """

    here: list[int]
    size: int
    present_bytes: int
    digests: list[int]
    error: IntegrityError | None


@dataclass(slots=True)
class Served:
    """Answers to a batch of requests: encoded frames, and blocks that turned out not to be here."""

    frames: bytes = b""
    size: int = 0
    count: int = 0
    lost: list[int] = field(default_factory=list)


class OpenArchive:
    """The feeds of one archive, and all who share them.

    Attributes:
        metadata: The feed that the link names.
        content: The feed that block 0 of metadata names; None until that block is here.
        tally: The last count of the files.
        format_error: Why this is no archive but a plain feed, if so.
        no_room: Why nothing more may be stored, if so.
        archive: Files and folders over both.
        connections: Peers connected just now.
    """

    def __init__(
        self,
        lane: Lane,
        files: layout.ArchiveFiles,
        metadata: LiveFeed,
        *,
        choose: Callable[[int], int],
        before_write: Callable[[], Awaitable[None]],
    ) -> None:
        self.lane = lane
        self.metadata = metadata
        self.content: LiveFeed | None = None
        self.archive = Archive(metadata.feed)
        self.connections: set[PeerConnection] = set()
        self.format_error: str | None = None
        self.tally: Tally | None = None
        self.no_room: str | None = None
        self._files = files
        self._choose = choose
        self._before_write = before_write
        self._flushing = asyncio.Lock()

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

        Raises:
            StorageError: A file cannot be read or belongs to another key.
        """
        files = layout.flat(folder, pool)
        metadata = await _open_feed(lane, files.metadata, key, clean=clean, choose=choose)
        opened = cls(lane, files, metadata, choose=choose, before_write=before_write)
        await opened.open_content(clean=clean)
        return opened

    async def open_content(self, *, clean: bool = True) -> bool:
        """Open the content feed if metadata names it by now. Returns whether it is new."""
        if self.content is not None or not self.metadata.feed.has(0):
            return False
        try:
            key = await self.lane.run(self.archive.content_key)
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

        One hop into the lane for all of it (decision 9).
        """
        await self._before_write()
        stored = await self.lane.run(_store, live.feed, blocks, ask)
        live.present_bytes = stored.present_bytes
        if live.feed.dirty >= FLUSH_BYTES or live.feed.dirty_blocks >= FLUSH_BLOCKS:
            await self.flush()
        return stored

    async def digests(self, live: LiveFeed, ask: Sequence[int]) -> list[int]:
        """What is held above each of some blocks."""
        return await self.lane.run(_digests, live.feed, ask)

    async def serve(
        self,
        live: LiveFeed,
        channel: int,
        requests: Sequence[messages.Request],
        remote_nodes: set[int] | None,
    ) -> Served:
        """Read, prove and encode the answers to some requests, in one hop.

        Args:
            live: The feed.
            channel: Its number on the connection.
            requests: What the peer wants.
            remote_nodes: What a peer has that keeps every hash; only the lane touches it.
        """
        served = await self.lane.run(_serve, live.feed, channel, requests, remote_nodes)
        self._report_damage(live)
        return served

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
                return await self.lane.run(call)
            except BlockMissing as missing:
                live = self.live_feed(missing.discovery_key)
                if live is None:
                    raise Timeout(
                        "no peer has told yet where the files of this archive are"
                    ) from None
                self._report_damage(live)
                if self.no_room is not None:
                    raise NoRoom(self.no_room) from None
                await self._arrival(live, missing, deadline - loop.time())

    async def _arrival(self, live: LiveFeed, missing: BlockMissing, wait: float) -> None:
        wanted = [missing.index, *missing.also]
        arrived = live.wait_for(wanted)
        try:
            async with asyncio.timeout(max(0.0, wait)):
                await arrived
        except TimeoutError:
            name = "metadata" if live is self.metadata else "content"
            raise Timeout(
                f"no peer gave {name} block {missing.index} in time: "
                f"{len(self.connections)} connected"
            ) from None
        finally:
            live.give_up(wanted)

    def _report_damage(self, live: LiveFeed) -> None:
        damaged = live.feed.take_damaged()
        if damaged:
            log.warning(
                "%s: %d damaged blocks on disk, first %d: they are fetched again",
                live.feed.discovery_key.hex(),
                len(damaged),
                damaged[0],
            )
            live.lost(damaged)

    @property
    def dirty(self) -> bool:
        """Whether something was written that may not be on the disk yet."""
        return any(live.feed.dirty for live in self.live_feeds)

    async def flush(self) -> None:
        """Return when all that was stored before is durable."""
        async with self._flushing:
            for live in self.live_feeds:
                if live.feed.dirty:
                    await self.lane.run(live.feed.flush)

    async def close(self) -> None:
        """Flush and close the files."""
        for live in self.live_feeds:
            await self.lane.run(live.feed.close)
        await self.lane.run(self._files.close)


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


def _store(feed: Feed, blocks: Sequence[messages.Data], ask: Sequence[int]) -> Stored:
    error: IntegrityError | None = None
    try:
        indexes = feed.put_many(
            [(data.index, data.value or b"", Proof(data.nodes, data.signature)) for data in blocks]
        )
    except IntegrityError as raised:
        error = raised
        indexes = raised.stored
    new = set(indexes)
    size = sum(len(data.value or b"") for data in blocks if data.index in new)
    # A connection may have been cut off after its last batch was stored, and before anybody heard
    # of it: then a block comes again, and is here already.
    here = [data.index for data in blocks if data.index in new or feed.has(data.index)]
    return Stored(here, size, feed.present_bytes, _digests(feed, ask), error)


def _digests(feed: Feed, ask: Sequence[int]) -> list[int]:
    return [feed.digest(index) for index in ask]


def _serve(
    feed: Feed,
    channel: int,
    requests: Sequence[messages.Request],
    remote_nodes: set[int] | None,
) -> Served:
    served = Served()
    frames: list[bytes] = []
    for request in requests:
        index, digest = request.index, request.nodes
        if request.bytes:
            resolved = feed.resolve_bytes(request.bytes)
            if resolved is not None:
                index, digest = resolved, 0
        try:
            if request.hash:
                value, proof = None, feed.proof(index, digest=digest, hash_only=True)
            else:
                value, proof = feed.serve(index, digest, remote_nodes)
        except BlockMissing:
            served.lost.append(index)
            continue
        frames.append(
            messages.encode(channel, messages.Data(index, value, proof.nodes, proof.signature))
        )
        served.size += len(value or b"")
        served.count += 1
    served.frames = b"".join(frames)
    return served
