"""A folder with an archive that is only read: its blocks are taken over as from a peer.

Nothing in it is believed: each block comes with its proof, and counts when that holds. Nothing in
it is changed, not even mended.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from datd.archive.archive import Archive
from datd.archive.plain_files import PlainFiles
from datd.errors import ArchiveFormatError, BlockMissing, NoRoom
from datd.feed.feed import Feed
from datd.hosting.archive import HostedArchive
from datd.hosting.folders.place import without_secret
from datd.hosting.jobs import Job
from datd.hosting.live_feed import LiveFeed
from datd.hosting.open_archive import OpenArchive
from datd.keys import Key
from datd.storage import layout
from datd.storage.base import DescriptorPool, FeedStorage
from datd.storage.guarded import GuardedFile
from datd.storage.layout import ArchiveFiles, LayoutName
from datd.wire import messages
from datd.words import counted

# Read, proven and written in one call into the lane (T-27: below 200 ms).
_BYTES: Final = 4 * 2**20
_BLOCKS: Final = 256


class Lender:
    """The feeds of an archive in a folder. Belongs to the lane of who takes from it."""

    def __init__(self, folder: Path, how: LayoutName, key: Key, pool: DescriptorPool) -> None:
        """Open nothing yet.

        Args:
            folder: Where it lies.
            how: In which layout.
            key: Its key.
            pool: Lends descriptors.
        """
        self._folder = folder
        self._how = how
        self._key = key
        self._pool = pool
        self._files: ArchiveFiles | None = None
        self.metadata: Feed | None = None
        self.content: Feed | None = None

    def open(self) -> None:
        """Open what is there.

        Raises:
            StorageError: It cannot be read.
        """
        plain = PlainFiles()
        if self._how == "dat":
            files = layout.dat(self._folder, self._pool, secret_keys=None, locate=plain.place)
        else:
            make = layout.flat if self._how == "flat" else layout.hyperdrive
            files = make(self._folder, self._pool)
        files = without_secret(files)
        self._files = ArchiveFiles(_only_read(files.metadata), _only_read(files.content))
        self.metadata = plain.metadata = Feed.open(self._files.metadata, self._key)
        try:
            content_key = Archive(self.metadata).content_key()
        except (ArchiveFormatError, BlockMissing):
            return
        self.content = Feed.open(self._files.content, content_key)

    def close(self) -> None:
        """Close it; nothing was written."""
        if self._files is not None:
            self._files.close()


def _only_read(feed: FeedStorage) -> FeedStorage:
    return replace(
        feed,
        **{
            name: GuardedFile(getattr(feed, name), writable=False)
            for name in ("key", "secret_key", "tree", "signatures", "bitfield", "data")
        },
    )


async def copy_feeds(lender: Lender, archive: HostedArchive, job: Job) -> None:
    """Take over every block that an archive lacks and a folder has.

    Raises:
        StorageError: A disk is at fault.
        ForkError, IntegrityError: The folder holds another history, or lies.
        NoRoom: There is none.
    """
    taken = 0
    async with archive.opened() as opened:
        try:
            await opened.lane.run(lender.open)
            feeds = [feed for feed in (lender.metadata, lender.content) if feed is not None]
            job.total = sum(feed.present_bytes for feed in feeds)
            for feed in feeds:
                await archive.find_content(opened)
                live = opened.live_feed(feed.discovery_key)
                if live is not None:
                    taken += await _copy(feed, live, opened, archive, job)
        finally:
            # Behind the opening, if that was cancelled: the lane may be at it.
            await opened.lane.run(lender.close)
    job.done = job.total
    job.text = f"{counted(taken, 'block')} taken from the folder"


async def _copy(
    feed: Feed, live: LiveFeed, opened: OpenArchive, archive: HostedArchive, job: Job
) -> int:
    taken = at = 0
    while at < feed.length:
        if not archive.may_store():
            raise NoRoom(opened.no_room or "there is no room for more")
        batch, at = await opened.run(partial(_batch, feed, live.feed, at))
        if not batch:
            continue
        stored = await opened.store(live, batch, ())
        if stored.error is not None:
            raise stored.error
        # As from a peer, but for the traffic, of which there was none.
        archive.blocks_stored(live, stored._replace(size=0))
        archive.blocks_taken_over(live, stored)
        taken += len(stored.here)
        job.done += stored.size
        job.text = f"{counted(taken, 'block')} taken from the folder"
    return taken


def _batch(feed: Feed, ours: Feed, start: int) -> tuple[Sequence[messages.Data], int]:
    """The next blocks that we lack, with their proofs, and where to go on."""
    found: list[messages.Data] = []
    size = 0
    stop = min(feed.length, start + _BLOCKS)
    for block in range(start, stop):
        if size >= _BYTES:
            return found, block
        if not feed.has(block) or ours.has(block):
            continue
        try:
            value, proof = feed.serve(block, ours.digest(block) if block < ours.length else 0)
        except BlockMissing:
            continue  # damaged, or changed behind the archive's back
        found.append(messages.Data(block, value, proof.nodes, proof.signature))
        size += len(value)
    return found, stop
