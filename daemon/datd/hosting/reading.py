"""Reading files of an archive that may still be arriving: what is missing is asked for first."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby
from typing import NamedTuple, TypeVar

from datd.archive import file_blocks
from datd.archive.archive import Archive
from datd.archive.entries import Stat
from datd.archive.manifest import MANIFEST_PATH, Manifest
from datd.errors import ArchiveFormatError, BlockMissing, LookUpTooLong, Timeout
from datd.feed.feed import Feed
from datd.hosting import newest
from datd.hosting.open_archive import OpenArchive
from datd.hosting.read_ahead import ReadAhead
from datd.hosting.views import EntryView
from datd.types import Seek

T = TypeVar("T")

# One call into the lane reads about this much of a file: large enough that the hop costs nothing,
# small enough that a slow reader holds little.
READ_BYTES = 512 * 1024
# Bytes ahead of a reader that are asked for, never beyond what it wants: what two peers are asked
# for at a time, so that a round trip of 100 ms leaves no line quiet.
AHEAD_BYTES = 8 * 2**20
# And at least, and at most, so many blocks: the most that one peer is asked for.
LEAST_AHEAD, MOST_AHEAD = 16, 512
# Requests that are under way together all draw the same hashes, some 600 bytes each. Where blocks
# are small one of eight goes first, and the others follow once its hashes are here.
SMALL_BLOCK = 32 * 1024
TOGETHER = 8
# A look-up reads 10,000 entries at once, and the memory of entries holds a few times as many.
_MOST_SLICES = 8
# The number of an entry: an archive has fewer than 2^53.
_NUMBER = re.compile("[0-9]{1,16}")


async def stat(opened: OpenArchive, path: str, version: int | None, wait: float) -> Stat:
    """The entry of a path; see `Archive.stat`."""
    await newest.settle(opened, version, wait)
    return await _in_slices(opened, lambda: _archive(opened).stat(path, version), wait)


async def manifest(
    opened: OpenArchive, version: int | None, wait: float
) -> tuple[int, Manifest | None]:
    """The number of a version (None: the newest), and its `/dat.json`; see `Archive.manifest`."""
    await newest.settle(opened, version, wait)

    def find() -> tuple[int, bool]:
        archive = _archive(opened)
        number = archive.version if version is None else version
        return number, archive.find(MANIFEST_PATH, number) is not None

    number, exists = await _in_slices(opened, find, wait)
    if not exists:
        return number, None
    await _content(opened, wait)
    return number, await opened.call(partial(opened.archive.manifest, number), wait=wait)


async def list_folder(
    opened: OpenArchive, path: str, version: int | None, after: str | None, limit: int, wait: float
) -> tuple[list[EntryView], str | None]:
    """One page of a folder in the order of names, and the name behind which the next one starts."""
    await newest.settle(opened, version, wait)

    def page() -> list[tuple[str, Stat]]:
        # One more tells whether there is a next page.
        return _archive(opened).list(path, version, after=after, limit=limit + 1)

    rest = await _in_slices(opened, page, wait)
    base = path.rstrip("/")
    shown = [entry_view(opened, f"{base}/{name}", entry) for name, entry in rest[:limit]]
    return shown, rest[limit - 1][0] if len(rest) > limit else None


async def walk(
    opened: OpenArchive, path: str, version: int | None, after: str | None, limit: int, wait: float
) -> tuple[list[EntryView], str | None]:
    """One page of all below a folder, and where the next one starts: entry numbers, by commas.

    Raises:
        ArchiveFormatError: `after` is nothing that an earlier page gave.
    """
    cursor = _cursor(after)
    await newest.settle(opened, version, wait)

    def page() -> tuple[list[tuple[str, Stat]], str | None]:
        going = _archive(opened).walk(path, version, after=cursor)
        found = going.page(limit)
        return found, None if going.finished else ",".join(map(str, going.cursor))

    found, following = await opened.call(page, wait=wait)
    return [entry_view(opened, name, entry) for name, entry in found], following


async def read(
    opened: OpenArchive, entry: Stat, start: int, stop: int, wait: float
) -> AsyncIterator[bytes]:
    """Bytes of a file in pieces, each verified; one is read when the last one was taken."""
    await _content(opened, wait)
    sought: set[int] = set()
    ahead: ReadAhead | None = None
    try:
        while start < stop:
            call = partial(_piece, opened, entry, start, stop, sought)
            piece = await opened.call(call, wait=wait)
            if ahead is None and opened.content is not None:
                ahead = ReadAhead(opened.content)
            if ahead is not None and opened.no_room is None:
                ahead.move(piece.ahead, piece.seeks)
            start += len(piece.data)
            yield piece.data
    finally:
        if ahead is not None:
            ahead.close()
        if opened.content is not None:
            opened.content.sought(list(sought))


async def _in_slices(opened: OpenArchive, look: Callable[[], T], wait: float) -> T:
    """Look something up, letting others look in between: a folder may have very many children."""
    for _ in range(_MOST_SLICES - 1):
        with suppress(LookUpTooLong):
            return await opened.call(look, wait=wait)
    return await opened.call(look, wait=wait)


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


async def _content(opened: OpenArchive, wait: float) -> None:
    """Wait until it is known where files are: the header may have come a moment ago."""
    if opened.content is None:
        opened.want()
    try:
        async with asyncio.timeout(max(0.0, wait)):
            await opened.content_known.wait()
    except TimeoutError:
        raise Timeout("no peer has told yet where the files of this archive are") from None


class _Piece(NamedTuple):
    data: bytes
    ahead: Sequence[int]  # blocks that will be needed and are not here
    seeks: Sequence[Seek]  # bytes that will be needed and of which it is not known where they are


def _piece(opened: OpenArchive, entry: Stat, start: int, stop: int, sought: set[int]) -> _Piece:
    if opened.content is None:
        raise BlockMissing(opened.metadata.feed.discovery_key, 0)
    feed = opened.content.feed
    blocks: list[bytes] = []
    missing: BlockMissing | None = None
    try:
        for span in opened.archive.spans(entry, start, min(stop, start + READ_BYTES)):
            blocks.append(feed.get(span.block)[span.start : span.stop])
    except BlockMissing as raised:
        missing = raised
    data = b"".join(blocks)
    ahead, seeks = _needed(feed, entry, start + len(data), stop)
    new = [seek for seek in seeks if seek.position not in sought]
    sought.update(seek.position for seek in new)
    if data or missing is None:
        return _Piece(data, ahead, new)
    # Where the start is told by a peer, its block comes along; guesses have to do where none can.
    if new and new[0].position == entry.byte_offset + start:
        raise BlockMissing(missing.discovery_key, new[0].guess, (), new, unsure=True)
    also = [block for block in ahead if block != missing.index]
    stages = also[-1 :: -max(TOGETHER, len(also) // 4)] if _is_small(entry) else ()
    raise BlockMissing(missing.discovery_key, missing.index, also, new, stages=stages)


def _needed(feed: Feed, entry: Stat, start: int, stop: int) -> tuple[Sequence[int], Sequence[Seek]]:
    if start >= stop or feed.present_blocks == feed.length > 0:
        return (), ()
    usual = AHEAD_BYTES * entry.blocks // entry.size
    most = max(LEAST_AHEAD, min(usual, MOST_AHEAD))
    blocks, seeks = file_blocks.plan(feed, entry, start, stop, most)
    missing = [block for block in blocks if not feed.has(block)]
    if _is_small(entry):
        missing = _leaders_first(feed, missing)
    return missing, seeks


def _is_small(entry: Stat) -> bool:
    return entry.size < SMALL_BLOCK * entry.blocks


def _leaders_first(feed: Feed, missing: Sequence[int]) -> list[int]:
    chosen: list[int] = []
    for _, group in groupby(missing, lambda block: block // TOGETHER):
        leader, *others = group
        chosen.append(leader)
        if others and feed.knows_above(others[0], TOGETHER):
            chosen += others
    return chosen


def entry_view(opened: OpenArchive, path: str, entry: Stat) -> EntryView:
    """A file or folder to be shown."""
    available = 0
    if opened.content is not None and entry.blocks:
        available = opened.content.available(entry.offset, entry.offset + entry.blocks)
    return EntryView(
        path=path,
        kind=kind_of(entry),
        size=entry.size,
        mode=entry.mode,
        mtime=entry.mtime / 1000,
        blocks=entry.blocks,
        available=available,
    )


def kind_of(entry: Stat) -> str:
    """What it is, in a word: "file", "directory", "other"."""
    return "file" if entry.is_file else "directory" if entry.is_directory else "other"
