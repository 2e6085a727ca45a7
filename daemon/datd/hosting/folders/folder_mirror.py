"""Mirrors whose files lie in a person's folder: what newer versions replaced goes before they come.

All versions of a name share one file there. So when newer metadata is here, and before any content
of it is asked for, the old file is removed and its blocks are given up, as the original does; the
version up to which that was done stands in `.dat/metadata.latest`.

Source: sleep.md section 9.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

from datd.archive.entries import Entry, Stat
from datd.archive.succession import Passage
from datd.errors import ArchiveFormatError, BlockMissing
from datd.hosting.live_feed import LiveFeed
from datd.hosting.open_archive import OpenArchive
from datd.storage.base import RandomAccess
from datd.storage.mapped import MappedFiles

# T-27: paths looked at in one call into the lane.
_SLICE: Final = 250
_SIZE: Final = 8


async def settle(opened: OpenArchive, version: int) -> None:
    """Remove the files that a version replaced or deleted, unless that was done.

    Nothing happens to archives in other layouts, nor to those that are published from their folder.

    Raises:
        StorageError: The disk refused.
        Timeout: The archive was closed meanwhile.
    """
    place, content = opened.place, opened.content
    folder, latest = place.folder, place.latest
    if folder is None or latest is None or content is None:
        return
    if opened.metadata.picker.missing_count or opened.no_room is not None:
        return
    known = await opened.run(partial(_read, latest))
    if known >= version:
        return
    try:
        await _remove_replaced(opened, content, folder, known, version)
    except (BlockMissing, ArchiveFormatError):
        return  # as soon as all metadata is here
    await opened.run(partial(_write, latest, version))


async def _remove_replaced(
    opened: OpenArchive, content: LiveFeed, folder: MappedFiles, known: int, version: int
) -> None:
    if not known:
        return  # a folder nobody ever removed anything from holds what is new only
    changes = await opened.run(partial(opened.archive.succession, known, version))
    while not changes.finished:
        passages = await opened.run(partial(changes.page, _SLICE))
        gone = [passage for passage in passages if _has(content, _file(passage.old))]
        kept = [passage for passage in gone if _has(content, _file(passage.new))]
        # First the files: cut short here, their blocks are found damaged and it is done again.
        await opened.run(partial(_remove, folder, gone, kept))
        stats = [stat for one in gone if (stat := _file(one.old)) is not None]
        if stats:
            await opened.clear(content, [(one.offset, one.offset + one.blocks) for one in stats])


def _remove(folder: MappedFiles, gone: Sequence[Passage], kept: Sequence[Passage]) -> None:
    for passage in gone:
        new = _file(passage.new)
        if passage in kept and new is not None:
            # Another program, or a reader in a hurry, put newer bytes there already.
            folder.shorten(passage.path, new.size)
        else:
            folder.remove(passage.path)


def _file(entry: Entry | None) -> Stat | None:
    stat = entry.stat if entry is not None else None
    return stat if stat is not None and stat.is_file and stat.blocks else None


def _has(content: LiveFeed, stat: Stat | None) -> bool:
    """Whether anything of a file is here. What never was, is somebody's own file."""
    if stat is None:
        return False
    stop = min(stat.offset + stat.blocks, content.feed.length)
    return stat.offset < stop and content.available(stat.offset, stop) > 0


def _read(latest: RandomAccess) -> int:
    told = latest.read(0, _SIZE)
    return int.from_bytes(told, "big") if len(told) == _SIZE else 0


def _write(latest: RandomAccess, version: int) -> None:
    latest.write(0, version.to_bytes(_SIZE, "big"))
    latest.sync()
