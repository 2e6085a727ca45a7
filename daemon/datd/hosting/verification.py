"""Reads and hashes every block of an archive that is here; damaged ones are fetched again."""

from collections.abc import Iterator
from functools import partial

from datd.hosting.archive import HostedArchive
from datd.hosting.jobs import Job
from datd.hosting.live_feed import LiveFeed
from datd.hosting.open_archive import OpenArchive
from datd.replication.block_map import BlockMap
from datd.words import counted

# Blocks hashed in one call into the lane, and about so many bytes: 64 usual ones take some ten
# milliseconds, and others have their turn between.
AT_ONCE = 64
BYTES_AT_ONCE = 4 * 2**20


async def verify(archive: HostedArchive, job: Job) -> None:
    """Look at every block of both feeds.

    Raises:
        StorageError: The disk is at fault.
    """
    async with archive.opened() as opened:
        job.total = sum(live.feed.present_blocks for live in opened.live_feeds)
        damaged = 0
        for live in opened.live_feeds:
            damaged += await _verify(opened, live, job)
    job.text = f"{counted(job.done, 'block')} checked: all is as it should be"
    if damaged:
        job.done -= damaged
        blocks = counted(job.done + damaged, "block")
        job.text = f"damaged on disk, and fetched again: {damaged} of {blocks}"


async def _verify(opened: OpenArchive, live: LiveFeed, job: Job) -> int:
    damaged = 0
    feed = live.feed
    mean = max(1, feed.byte_length // max(1, feed.length))
    at_once = max(1, min(AT_ONCE, BYTES_AT_ONCE // mean))
    for start, stop in stretches(live.picker.have, feed.length, at_once):
        job.done += live.available(start, stop)
        damaged += len(await opened.run(partial(feed.audit, start, stop)))
        job.text = f"{job.done} of {counted(job.total, 'block')} hashed"
    return damaged


def stretches(have: BlockMap, length: int, at_once: int = AT_ONCE) -> Iterator[tuple[int, int]]:
    """Where blocks are, in pieces of `at_once`. Feeds of 2^32 blocks cost what is here of them."""
    start = have.first(0, length)
    while start is not None:
        stop = min(start + at_once, length)
        yield start, stop
        start = have.first(stop, length)
