"""What an archive wants and what it has: totals, progress, and whether it is complete.

Complete (decision 1) means every block that the mode wants. In mode `archive` that is every block
of the newest version, and every older block that some peer offers: those that nobody has any more
count as unavailable.
"""

from functools import partial

from datd.errors import ArchiveFormatError, BlockMissing, ForkError
from datd.hosting.folders import folder_mirror
from datd.hosting.keeping import clearance
from datd.hosting.keeping.wants import Wants
from datd.hosting.live_feed import LiveFeed
from datd.hosting.open_archive import OpenArchive
from datd.records import Conflict, Record, Signed, Summary
from datd.replication.coverage import count_missing


async def take(opened: OpenArchive, record: Record) -> int:
    """Bring the record's summary up to date, counting the files of the version if need be.

    What the mode does not want any more is dropped by the way.

    Returns:
        Bytes that were dropped.
    """
    wants, summary = opened.wants, record.summary
    version = wants.newest(opened)
    await folder_mirror.settle(opened, version)
    await wants.look(opened, whole=_as_remembered(opened, record, version))
    tally = wants.tally
    if tally is not None:
        summary.files, summary.size = tally.files, tally.size
        summary.disjoint = tally.claims.disjoint
    if version > 0 and opened.content is not None:
        await _read_manifest(opened, version, summary)
    # "Seeding" promises that all of it is on the disk.
    while opened.dirty:
        await opened.flush()
    update(summary, opened)
    complete = _is_complete(opened, summary)
    freed = await _drop(opened, wants, complete)
    if opened.wants is wants:
        record.synced = wants.swept(version, complete=complete)
        # While blocks went, a newer version may have come: of that nothing is known yet.
        summary.complete = complete and version == wants.newest(opened)
    if freed:
        update(summary, opened)
    return freed


async def _drop(opened: OpenArchive, wants: Wants, complete: bool) -> int:
    keep = wants.surplus(opened, complete=complete)
    if keep is None or opened.content is None:
        return 0
    # Behind the last file of ours lies what is being written: its entries come when it is whole.
    own = opened.content.feed.writable and wants.tally is not None
    stop = wants.tally.extent if own and wants.tally is not None else opened.content.picker.length
    return await clearance.sweep(opened, keep, stop, lambda: opened.wants is wants)


def update(summary: Summary, opened: OpenArchive) -> None:
    """Count blocks and bytes as they are now."""
    metadata, content, wants = opened.metadata, opened.content, opened.wants
    version = wants.newest(opened)
    if wants.settled and summary.version == version and content is not None:
        return  # nothing came, and what is here was not counted one by one
    summary.version = version
    summary.blocks_have = metadata.feed.present_blocks
    summary.bytes_have = metadata.present_bytes
    summary.bytes_total = metadata.feed.byte_length
    summary.blocks_unavailable = 0
    if wants.on_demand:
        summary.blocks_total = summary.blocks_have + metadata.picker.missing_count
    else:
        total = max(metadata.feed.length, metadata.picker.known_length)
        summary.blocks_total = total if wants.pinned is None else min(total, wants.pinned + 1)
    if content is None:
        return
    summary.bytes_have += content.present_bytes
    if wants.on_demand:
        summary.blocks_have += content.feed.present_blocks
        summary.blocks_total += content.feed.present_blocks
        summary.bytes_total = summary.bytes_have
    elif wants.picks:
        _add_chosen(summary, content, wants, limited=opened.no_room is not None)
    else:
        _add_all(summary, content, wants)


def _add_all(summary: Summary, content: LiveFeed, wants: Wants) -> None:
    tally = wants.tally
    if wants.pinned is None:
        extent, size = (tally.extent, tally.byte_extent) if tally is not None else (0, 0)
        blocks = max(content.feed.length, content.picker.known_length, extent)
        size = max(content.feed.byte_length, size)
    else:
        blocks, size = wants.extent.blocks, wants.extent.size
    have = content.available(0, blocks)
    unavailable = 0
    if tally is not None and have < blocks:
        # Old blocks that are missing here and offered by nobody who is connected.
        old = wants.unneeded(min(blocks, content.feed.length))
        unavailable = content.picker.unavailable(old)
    summary.blocks_have += have
    summary.blocks_total += blocks - unavailable
    summary.blocks_unavailable = unavailable
    summary.bytes_total += size
    if have + unavailable >= blocks:
        summary.bytes_total = summary.bytes_have


def _add_chosen(summary: Summary, content: LiveFeed, wants: Wants, *, limited: bool) -> None:
    if wants.claimed is None or wants.tally is None:
        # Metadata comes first: it tells what of the content is wanted.
        summary.blocks_total += 1
        return
    picker, total = content.picker, wants.claimed.count()
    # The picker counts along, as long as it is told to fetch anything.
    missing = count_missing(wants.claimed, picker.have) if limited else picker.missing_count
    unavailable = picker.unavailable(wants.older) if missing and wants.older is not None else 0
    summary.blocks_have += total - missing
    summary.blocks_total += total - unavailable
    summary.blocks_unavailable = unavailable
    summary.bytes_total = max(summary.bytes_have, summary.bytes_total + wants.tally.claimed_size)
    if missing <= unavailable:
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


def behind(opened: OpenArchive, summary: Summary) -> bool:
    """Whether something came up, since the summary was taken, that is not here yet."""
    wanted = opened.metadata.picker.known_length
    pinned = opened.wants.pinned
    if pinned is not None:
        wanted = min(wanted, pinned + 1)
    if wanted > summary.version + 1:
        return True
    return any(not live.picker.idle for live in opened.live_feeds)


def conflict(feed: bytes, error: ForkError, kept: tuple[int, bytes, bytes] | None) -> Conflict:
    """What there is to show that one key signed two histories."""
    refused = Signed(error.length, error.root_hash.hex(), error.evidence.hex())
    ours = Signed(kept[0], kept[1].hex(), kept[2].hex()) if kept is not None else None
    return Conflict(feed.hex(), ours, refused)


def _is_complete(opened: OpenArchive, summary: Summary) -> bool:
    if not opened.metadata.feed.length or behind(opened, summary):
        return False
    if opened.content is None:
        # A plain feed has no content. An archive's content key stands in block 0, which is here
        # once nothing is missing.
        missing = opened.metadata.picker.missing_count
        return not missing and opened.format_error is not None
    return summary.blocks_have >= summary.blocks_total


def _as_remembered(opened: OpenArchive, record: Record, version: int) -> bool:
    """Whether nothing has to be counted, since nothing has changed since the last time."""
    content = opened.content
    if content is None or opened.wants.tally is not None:
        return False
    whole = content.feed.length > 0 and content.feed.present_blocks >= content.feed.length
    return whole and record.summary.complete and record.summary.version == version


async def _read_manifest(opened: OpenArchive, version: int, summary: Summary) -> None:
    try:
        manifest = await opened.run(partial(opened.archive.manifest, version))
    except (BlockMissing, ArchiveFormatError):
        return
    summary.title = manifest.title if manifest is not None else ""
    summary.description = manifest.description if manifest is not None else ""
