"""Reading files of an archive that may still be arriving: what is missing is asked for first."""

import re
from collections.abc import AsyncIterator
from functools import partial

from datd.archive.archive import Archive
from datd.archive.entries import Stat
from datd.errors import ArchiveFormatError, BlockMissing
from datd.hosting.open_archive import OpenArchive
from datd.hosting.views import EntryView

# One call into the lane reads about this much of a file: large enough that the hop costs nothing,
# small enough that a slow reader holds little.
READ_BYTES = 512 * 1024
# While a reader waits for one block its next ones are asked for, too: a megabyte of usual blocks.
READ_AHEAD = 16
# The number of an entry: an archive has fewer than 2^53.
_NUMBER = re.compile("[0-9]{1,16}")


async def stat(opened: OpenArchive, path: str, version: int | None, wait: float) -> Stat:
    """The entry of a path; see `Archive.stat`."""
    return await opened.call(lambda: _archive(opened).stat(path, version), wait=wait)


async def list_folder(
    opened: OpenArchive, path: str, version: int | None, after: str | None, limit: int, wait: float
) -> tuple[list[EntryView], str | None]:
    """One page of a folder in the order of names, and the name behind which the next one starts."""
    found = await opened.call(lambda: _archive(opened).list(path, version), wait=wait)
    rest = [named for named in found if after is None or named[0] > after]
    base = path.rstrip("/")
    shown = [_entry(opened, f"{base}/{name}", entry) for name, entry in rest[:limit]]
    return shown, rest[limit - 1][0] if len(rest) > limit else None


async def walk(
    opened: OpenArchive, path: str, version: int | None, after: str | None, limit: int, wait: float
) -> tuple[list[EntryView], str | None]:
    """One page of all below a folder, and where the next one starts: entry numbers, by commas.

    Raises:
        ArchiveFormatError: `after` is nothing that an earlier page gave.
    """
    cursor = _cursor(after)

    def page() -> tuple[list[tuple[str, Stat]], str | None]:
        going = _archive(opened).walk(path, version, after=cursor)
        found = going.page(limit)
        return found, None if going.finished else ",".join(map(str, going.cursor))

    found, following = await opened.call(page, wait=wait)
    return [_entry(opened, name, entry) for name, entry in found], following


async def read(
    opened: OpenArchive, entry: Stat, start: int, stop: int, wait: float
) -> AsyncIterator[bytes]:
    """Bytes of a file in pieces, each verified; one is read when the last one was taken."""
    while start < stop:
        piece = await opened.call(partial(_piece, opened, entry, start, stop), wait=wait)
        start += len(piece)
        yield piece


def _cursor(after: str | None) -> tuple[int, ...]:
    if not after:
        return ()
    numbers = after.split(",")
    if not all(map(_NUMBER.fullmatch, numbers)):
        raise ArchiveFormatError(f"{after[:80]!r} is no place in this list: expected its next one")
    return tuple(map(int, numbers))


def _archive(opened: OpenArchive) -> Archive:
    metadata = opened.metadata.feed
    if not metadata.length:
        # Nothing is known yet: the header is what any peer has.
        raise BlockMissing(metadata.discovery_key, 0)
    return opened.archive


def _piece(opened: OpenArchive, entry: Stat, start: int, stop: int) -> bytes:
    if opened.content is None:
        raise BlockMissing(opened.metadata.feed.discovery_key, 0)
    feed = opened.content.feed
    blocks: list[bytes] = []
    try:
        for span in opened.archive.spans(entry, start, min(stop, start + READ_BYTES)):
            blocks.append(feed.get(span.block)[span.start : span.stop])
    except BlockMissing as missing:
        if not blocks:
            behind = min(missing.index + READ_AHEAD, entry.offset + entry.blocks)
            also = [i for i in range(missing.index + 1, behind) if not feed.has(i)]
            raise BlockMissing(missing.discovery_key, missing.index, also) from None
    return b"".join(blocks)


def _entry(opened: OpenArchive, path: str, entry: Stat) -> EntryView:
    kind = "file" if entry.is_file else "directory" if entry.is_directory else "other"
    available = 0
    if opened.content is not None and entry.blocks:
        available = opened.content.available(entry.offset, entry.offset + entry.blocks)
    return EntryView(
        path=path,
        kind=kind,
        size=entry.size,
        mode=entry.mode,
        mtime=entry.mtime / 1000,
        blocks=entry.blocks,
        available=available,
    )
