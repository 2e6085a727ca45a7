"""Files that lie on this host already fill an archive, by their hashes: nothing is fetched twice.

For each file of the newest version a file of the same size is looked for, the one of the same name
first. It is cut where the archive's own blocks end, and what hashes to what the archive's author
signed is taken. Hashes that are not here are asked of peers: a hundred bytes in place of a block.

Source: wire.md section 7 (`hash`), feeds.md section 9.
"""

import asyncio
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

from datd.archive.entries import Stat
from datd.errors import BlockMissing, NoRoom
from datd.feed.feed import Feed
from datd.hosting.archive import HostedArchive
from datd.hosting.batches import Known
from datd.hosting.jobs import Job
from datd.hosting.live_feed import LiveFeed
from datd.hosting.newest import settle
from datd.hosting.open_archive import OpenArchive
from datd.importing.chunking import FIXED_SIZE, chunker
from datd.importing.ignore import IgnoreRules
from datd.importing.scan import File, Scan
from datd.importing.tree import FolderTree
from datd.words import counted, size_text

# Nobody waits for this job at a screen, and metadata may have to come first.
_PATIENCE: Final = 600.0
# Names kept of a folder: some 200 MB of memory at the very most, usually a hundredth.
_MOST_FILES: Final = 1_000_000
# Files of one size tried for one entry: others are zeros, or empty documents by the thousand.
_TRIED: Final = 8
_PAGE: Final = 500
# T-27: blocks of one call into the lane; a stretch is also what hashes are asked for at once.
_STRETCH: Final = 64
_BYTES: Final = 4 * 2**20
# Seconds in which no hash comes until none is expected any more.
_SILENCE: Final = 5.0

Wanted = tuple[str, Stat]


class Filling:
    """One archive, one folder."""

    def __init__(self, archive: HostedArchive, folder: Path) -> None:
        """Look at nothing yet.

        Args:
            archive: What is to be filled.
            folder: Resolved, and allowed to be read.
        """
        self._archive = archive
        self._folder = folder
        self._files = 0
        self._bytes = 0
        self._silent = False

    async def run(self, job: Job) -> None:
        """Fill it; what was taken stands in the job.

        Raises:
            Timeout: The archive's metadata is not here, and no peer gives it.
            FolderRefused, StorageError: A folder cannot be read.
            NoRoom: There is none for more.
        """
        async with self._archive.opened() as opened:
            wanted = await _lacking(opened)
            job.total = sum(stat.size for _, stat in wanted)
            sizes = {stat.size for _, stat in wanted}
            known = await asyncio.to_thread(_by_size, self._folder, sizes)
            trees: list[FolderTree] = []  # filled in the lane: who is cancelled is given no result
            try:
                await opened.lane.run(lambda: trees.append(FolderTree(self._folder)))
                for path, stat in wanted:
                    await self._file(opened, trees[0], path, stat, known.get(stat.size, ()))
                    job.done += stat.size
                    job.text = self._outcome()
            finally:
                # The lane may still be opening it, or at one of its files: this comes behind.
                await opened.lane.run(lambda: trees[0].close() if trees else None)
        job.text = self._outcome()

    def _outcome(self) -> str:
        asked = "; no peer told the hashes of more" if self._silent else ""
        files, amount = counted(self._files, "file"), size_text(self._bytes)
        return f"{files} helped: {amount} taken from the folder{asked}"

    async def _file(
        self,
        opened: OpenArchive,
        tree: FolderTree,
        path: str,
        stat: Stat,
        candidates: Sequence[str],
    ) -> None:
        name = path.removeprefix("/")
        own = [one for one in candidates if one == name]
        others = [one for one in candidates if one != name]
        for candidate in [*own, *others][:_TRIED]:
            before = self._bytes
            await self._try(opened, tree, stat, candidate)
            self._files += self._bytes > before
            if _is_here(opened, stat):
                return

    async def _try(self, opened: OpenArchive, tree: FolderTree, stat: Stat, candidate: str) -> None:
        live = opened.content
        if live is None:
            return
        files: list[tuple[int, os.stat_result]] = []  # as with the tree
        try:
            try:
                await opened.lane.run(lambda: files.append(tree.open_file(candidate)))
            except OSError:
                return  # it went away, or is none that can be read
            descriptor, found = files[0]
            if found.st_size != stat.size:
                return
            ends = _Ends(stat, descriptor)
            for start in range(0, stat.blocks, _STRETCH):
                blocks = range(start, min(start + _STRETCH, stat.blocks))
                await self._stretch(opened, live, stat, ends, descriptor, blocks)
                if start == 0 and not live.available(stat.offset, stat.offset + len(blocks)):
                    return  # its beginning is another one: so will be the rest
        finally:
            await opened.lane.run(lambda: os.close(files[0][0]) if files else None)

    async def _stretch(
        self,
        opened: OpenArchive,
        live: LiveFeed,
        stat: Stat,
        ends: "_Ends",
        descriptor: int,
        blocks: range,
    ) -> None:
        indexes = [stat.offset + one for one in blocks]
        lacking = [index for index in indexes if index not in live.picker.have]
        if not lacking:
            return
        live.picker.hold(lacking)
        try:
            await self._ask(opened, live, lacking)
            cut = await opened.run(partial(ends.cut, live.feed, lacking))
            pairs: list[tuple[int, bytes]] = []
            for index, (start, size) in cut.items():
                pairs.append((index, await asyncio.to_thread(os.pread, descriptor, size, start)))
                if sum(len(value) for _, value in pairs) >= _BYTES:
                    await self._take(opened, live, pairs)
                    pairs = []
            await self._take(opened, live, pairs)
        finally:
            live.picker.release(lacking)
            live.ask_all()

    async def _take(
        self, opened: OpenArchive, live: LiveFeed, pairs: Sequence[tuple[int, bytes]]
    ) -> None:
        if not pairs:
            return
        if not self._archive.may_store():
            raise NoRoom(opened.no_room or "there is no room for more")
        stored = await opened.take_over(live, Known(pairs))
        self._archive.blocks_taken_over(live, stored)
        self._bytes += stored.size

    async def _ask(self, opened: OpenArchive, live: LiveFeed, lacking: Sequence[int]) -> None:
        """Have the hashes that are not known here told by peers."""
        waiting = await opened.run(partial(_unknown, live.feed, lacking))
        if not waiting or self._silent or not live.exchanges:
            self._silent = self._silent or bool(waiting)
            return
        news = asyncio.Event()
        others = live.on_hashes

        def came(indexes: list[int]) -> None:
            waiting.difference_update(indexes)
            news.set()
            if others is not None:
                others(indexes)

        live.on_hashes = came
        try:
            live.picker.ask_hashes(sorted(waiting))
            live.ask_all()
            while waiting:
                news.clear()
                async with asyncio.timeout(_SILENCE):
                    await news.wait()
        except TimeoutError:
            self._silent = True
            live.picker.hashes.settle(waiting)
        finally:
            live.on_hashes = others


class _Ends:
    """Where the blocks of a file end: as the tree says, or as programs are known to cut."""

    def __init__(self, stat: Stat, descriptor: int) -> None:
        self._stat = stat
        self._descriptor = descriptor
        self._by_content: list[int] | None = None

    def cut(self, feed: Feed, blocks: Iterable[int]) -> dict[int, tuple[int, int]]:
        """Place and size in the file of some blocks; of those that it can be told."""
        found = {}
        for index in blocks:
            place = self._by_tree(feed, index) or self._guessed(index - self._stat.offset)
            if place is not None and sum(place) <= self._stat.size:
                found[index] = place
        return found

    def _by_tree(self, feed: Feed, index: int) -> tuple[int, int] | None:
        try:
            start = feed.block_offset(index) - self._stat.byte_offset
            return (start, feed.block_size(index)) if start >= 0 else None
        except BlockMissing:
            return None

    def _guessed(self, number: int) -> tuple[int, int] | None:
        size, count = self._stat.size, self._stat.blocks
        if count == -(-size // FIXED_SIZE):
            start = number * FIXED_SIZE
            return start, min(FIXED_SIZE, size - start)
        if self._by_content is None:
            self._by_content = [0, *_content_ends(self._descriptor, size)]
        ends = self._by_content
        return (ends[number], ends[number + 1] - ends[number]) if len(ends) == count + 1 else None


def _content_ends(descriptor: int, size: int) -> Iterator[int]:
    cutter = chunker("content")
    end = 0
    for start in range(0, size, FIXED_SIZE):
        for block in cutter.feed(os.pread(descriptor, FIXED_SIZE, start)):
            end += len(block)
            yield end
    for block in cutter.end():
        end += len(block)
        yield end


async def _lacking(opened: OpenArchive) -> list[Wanted]:
    """Files of the newest version that are not all here."""
    found: list[Wanted] = []
    cursor: tuple[int, ...] = ()
    version: int | None = None
    finished = False

    def page() -> tuple[list[Wanted], tuple[int, ...], bool]:
        nonlocal version
        version = opened.archive.version if version is None else version
        going = opened.archive.walk("/", version, after=cursor)
        return going.page(_PAGE), going.cursor, going.finished

    await settle(opened, None, _PATIENCE)
    while not finished:
        entries, cursor, finished = await opened.call(page, wait=_PATIENCE)
        for path, stat in entries:
            if stat.is_file and stat.blocks and not _is_here(opened, stat):
                found.append((path, stat))
    return found


def _is_here(opened: OpenArchive, stat: Stat) -> bool:
    content = opened.content
    stop = stat.offset + stat.blocks
    return content is not None and content.available(stat.offset, stop) == stat.blocks


def _unknown(feed: Feed, blocks: Iterable[int]) -> set[int]:
    return {block for block in blocks if feed.leaf_hash(block) is None}


def _by_size(folder: Path, sizes: set[int]) -> dict[int, list[str]]:
    """Files of a folder by their size, where that is one of these."""
    found: dict[int, list[str]] = {}
    rules = IgnoreRules.read(folder, ignore_hidden=False)
    seen = 0
    with closing(FolderTree(folder)) as tree:
        for one in Scan(tree, rules, follow_links="none"):
            if isinstance(one, File) and one.stat.st_size in sizes:
                found.setdefault(one.stat.st_size, []).append(one.path)
                seen += 1
                if seen >= _MOST_FILES:
                    break
    return found
