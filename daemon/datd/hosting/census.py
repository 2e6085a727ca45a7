"""What an archive wants and what it has: totals, progress, and whether it is complete.

Complete (decision 1) means every block of the newest version, and every older block that some peer
offers. A publisher in latest mode has dropped old blocks for good: those count as unavailable.
"""

from functools import partial

from bitarray.util import intervals

from datd.archive.archive import HISTORY_LOOKED_AT
from datd.catalogue import Conflict, Record, Signed, Summary
from datd.errors import ArchiveFormatError, BlockMissing, ForkError
from datd.hosting.live_feed import LiveFeed
from datd.hosting.open_archive import OpenArchive
from datd.hosting.tally import Tally


def set_wants(opened: OpenArchive, pinned: int | None) -> None:
    """Tell the pickers what to fetch: all of both feeds, or up to the pinned version.

    What that version has of content is known once its metadata is here; see `take`.
    """
    for live in opened.live_feeds:
        if pinned is None:
            live.picker.want_all()
        else:
            stop = pinned + 1 if live is opened.metadata else opened.extent.blocks
            live.picker.want([(0, stop)])
        live.ask_all()


async def take(opened: OpenArchive, record: Record) -> None:
    """Bring the record's summary up to date, counting the files of the version if need be."""
    version = newest(opened, record.pinned)
    if record.pinned is not None and await _measure(opened, version) and not opened.no_room:
        set_wants(opened, record.pinned)
    if version > 0 and _must_count(opened, record, version):
        await _count(opened, version)
    summary = record.summary
    tally = opened.tally
    if tally is not None:
        summary.files, summary.size = tally.files, tally.size
    if version > 0 and opened.content is not None:
        await _read_manifest(opened, record.pinned, summary)
    # "Seeding" promises that all of it is on the disk.
    while opened.dirty:
        await opened.flush()
    update(summary, opened, record.pinned)
    summary.complete = _is_complete(opened, record)


def newest(opened: OpenArchive, pinned: int | None) -> int:
    """The version to mirror: the newest one known here, or the pinned one."""
    version = max(0, opened.metadata.feed.length - 1)
    return version if pinned is None else min(version, pinned)


def update(summary: Summary, opened: OpenArchive, pinned: int | None) -> None:
    """Count blocks and bytes as they are now."""
    metadata, content, tally = opened.metadata, opened.content, opened.tally
    summary.version = newest(opened, pinned)
    total = max(metadata.feed.length, metadata.picker.known_length)
    if pinned is not None:
        total = min(total, pinned + 1)
    summary.blocks_have = metadata.feed.present_blocks
    summary.bytes_have = metadata.present_bytes
    summary.blocks_total = total
    summary.bytes_total = metadata.feed.byte_length
    summary.blocks_unavailable = 0
    if content is None:
        return
    if pinned is None:
        extent, size = (tally.extent, tally.byte_extent) if tally is not None else (0, 0)
        blocks = max(content.feed.length, content.picker.known_length, extent)
        size = max(content.feed.byte_length, size)
    else:
        blocks, size = opened.extent.blocks, opened.extent.size
    have = content.available(0, blocks)
    unavailable = _unavailable(content, tally, blocks)
    summary.blocks_have += have
    summary.bytes_have += content.present_bytes
    summary.blocks_total += blocks - unavailable
    summary.blocks_unavailable = unavailable
    summary.bytes_total += size
    if have + unavailable >= blocks:
        summary.bytes_total = summary.bytes_have


def progress(summary: Summary, *, complete: bool) -> float:
    """From 0 to 1; exactly 1 only when complete."""
    if complete:
        return 1.0
    if not summary.blocks_total:
        return 0.0
    share = summary.blocks_have / summary.blocks_total
    if summary.bytes_total:
        share = min(share, summary.bytes_have / summary.bytes_total)
    return min(share, 0.9999)


def behind(opened: OpenArchive, record: Record) -> bool:
    """Whether something came up, since the summary was taken, that is not here yet."""
    wanted = opened.metadata.picker.known_length
    if record.pinned is not None:
        wanted = min(wanted, record.pinned + 1)
    if wanted > record.summary.version + 1:
        return True
    return any(not live.picker.idle for live in opened.live_feeds)


def conflict(feed: bytes, error: ForkError, kept: tuple[int, bytes, bytes] | None) -> Conflict:
    """What there is to show that one key signed two histories."""
    refused = Signed(error.length, error.root_hash.hex(), error.evidence.hex())
    ours = Signed(kept[0], kept[1].hex(), kept[2].hex()) if kept is not None else None
    return Conflict(feed.hex(), ours, refused)


def _is_complete(opened: OpenArchive, record: Record) -> bool:
    if not opened.metadata.feed.length or behind(opened, record):
        return False
    if opened.content is None:
        # A plain feed has no content. An archive's content key stands in block 0, which is here
        # once nothing is missing.
        missing = opened.metadata.picker.missing_count
        return not missing and opened.format_error is not None
    summary = record.summary
    return summary.blocks_have >= summary.blocks_total


def _must_count(opened: OpenArchive, record: Record, version: int) -> bool:
    content, tally = opened.content, opened.tally
    if content is None or opened.metadata.picker.missing_count:
        return False
    whole = content.feed.length > 0 and content.feed.present_blocks >= content.feed.length
    if tally is None:
        return not (whole and record.summary.complete and record.summary.version == version)
    if tally.version != version:
        return True
    # Which blocks the newest version needs matters once nothing more is on offer.
    return not whole and content.picker.idle and len(tally.blocks) != content.feed.length


async def _count(opened: OpenArchive, version: int) -> None:
    length = opened.content.feed.length if opened.content is not None else 0
    tally = Tally(opened.archive, version, length)
    try:
        while await opened.run(tally.advance):
            pass
    except (BlockMissing, ArchiveFormatError):
        return
    opened.tally = tally


async def _measure(opened: OpenArchive, version: int) -> bool:
    """Find out what the versions up to one take of content; whether it is more than was known."""
    if opened.content is None or opened.metadata.picker.missing_count:
        return False
    extent = opened.extent
    before = extent.blocks
    try:
        while extent.version < version:
            look = partial(opened.archive.history, extent.version, HISTORY_LOOKED_AT)
            page = await opened.run(look)
            if page.last == extent.version:
                break
            extent.add(page, version)
    except (BlockMissing, ArchiveFormatError):
        return False
    return extent.blocks > before


def _unavailable(content: LiveFeed, tally: Tally | None, blocks: int) -> int:
    """Old blocks that are missing here and offered by nobody who is connected."""
    if tally is None or len(tally.blocks) != content.feed.length:
        return 0
    needed = tally.blocks[:blocks]
    old = [(start, stop) for value, start, stop in intervals(needed) if not value]
    return content.picker.unavailable(old)


async def _read_manifest(opened: OpenArchive, pinned: int | None, summary: Summary) -> None:
    try:
        manifest = await opened.run(partial(opened.archive.manifest, newest(opened, pinned)))
    except (BlockMissing, ArchiveFormatError):
        return
    summary.title = manifest.title if manifest is not None else ""
    summary.description = manifest.description if manifest is not None else ""
