"""Questions about the versions of an archive: its history, what differs, what was when.

All of it is read in slices, between which others have their turn in the archive's lane.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from datd.archive.archive import resolve
from datd.archive.entries import Entry
from datd.archive.succession import Passage
from datd.errors import BlockMissing, DatdError
from datd.hosting import newest, reading
from datd.hosting.archive import HostedArchive
from datd.hosting.history_index import HistoryIndex
from datd.hosting.open_archive import OpenArchive
from datd.hosting.views import EntryView

log = logging.getLogger(__name__)

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]

# Entries read in one call into the lane: below 50 ms, for which a look-up may have to wait.
SLICE: Final = 500
# The history of a path is read from the entries themselves as far as they are no more than this,
# some 100 ms; beyond that the index tells where to look.
TAIL: Final = 4000
# Entries that go into the index in one transaction.
_BATCH: Final = 4000
# Entries looked at for one page, so that no question takes longer than seconds: a page may be
# shorter than asked for, or empty, and tell where to go on.
_LOOKED_AT: Final = 40_000
# Before the index is there, changes of a path are followed one by one, from the newest on: each
# costs as much as a look-up. So many at most, and so many in one call into the lane.
_FOLLOWED: Final = 1000
_FOLLOWED_AT_ONCE: Final = 10
# Calls into the lane for one page of differences, each below 50 ms.
_DIFF_CALLS: Final = 60
_DIFF_SLICE: Final = 100
# Entries looked at for the time of a version.
_TIMES_LOOKED_AT: Final = 16


@dataclass(frozen=True, slots=True)
class HistoryView:
    """A stretch of the history.

    Attributes:
        version: The newest version known.
        entries: Changes, oldest first.
        following: Ask on with this as `since`; None at the end.
        complete: Whether there is no other change in this stretch. If not, it is being looked for.
    """

    version: int
    entries: list[Entry]
    following: int | None
    complete: bool


@dataclass(frozen=True, slots=True)
class DifferenceView:
    """One path that is not the same in two versions; None where it is absent."""

    path: str
    old: EntryView | None
    new: EntryView | None


@dataclass(frozen=True, slots=True)
class DifferencePage:
    """Some of what differs.

    Attributes:
        old: Number of the one version.
        new: Number of the other.
        differences: Paths that are not the same.
        following: Ask on with this as `after`; None at the end.
    """

    old: int
    new: int
    differences: list[DifferenceView]
    following: str | None


class Versions:
    """Answers the questions, and keeps the index they need.

    An archive gets into the index once a history was asked for that would take long without it.
    """

    def __init__(self, index: HistoryIndex, spawn: Spawn) -> None:
        """Nothing is read or opened before somebody asks.

        Args:
            index: Which entries changed a path.
            spawn: Runs a coroutine in a task.
        """
        self._index = index
        self._spawn = spawn
        self._indexing: dict[bytes, asyncio.Task[None]] = {}

    async def close(self) -> None:
        """End. What is not in the index yet will be, when somebody asks again."""
        tasks = list(self._indexing.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._index.close()

    async def forget(self, archive: HostedArchive) -> None:
        """An archive was removed."""
        name = archive.key.discovery_key.raw
        task = self._indexing.get(name)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await self._index.forget(name)

    # ---- history

    async def history(
        self,
        archive: HostedArchive,
        path: str = "/",
        *,
        since: int = 0,
        until: int | None = None,
        limit: int = 1000,
        wait: float = 30,
    ) -> HistoryView:
        """The changes of an archive, or of a path and all below it, oldest first.

        Args:
            archive: Which.
            path: File or folder; it need not exist any more.
            since: Only changes after this version.
            until: The last version of interest; None for the newest.
            limit: Most changes to give.
            wait: Seconds to wait for blocks that have to come from peers.

        Raises:
            VersionNotFound: `until` is not known.
            ArchiveFormatError: This is no archive.
            Timeout: No peer gave what is needed in time.
        """
        async with archive.opened() as opened:
            await newest.settle(opened, until, wait)
            version = max(0, opened.metadata.feed.length - 1)
            stop = version if until is None else min(until, version)
            told = _Stretch(opened, path, limit, wait)
            since = max(since, 0)
            if resolve(path):
                await self._of_path(archive, told, since, stop)
            else:
                await told.scan(since, stop)
            following = told.last if told.last < stop else None
            return HistoryView(version, told.entries, following, told.complete)

    async def _of_path(
        self, archive: HostedArchive, told: "_Stretch", since: int, stop: int
    ) -> None:
        told.last = since
        if told.whole and stop - since <= TAIL:
            await told.scan(since, stop)
            return
        name, names = archive.key.discovery_key.raw, resolve(told.path)
        while True:
            most = told.room + 1
            found = await self._index.find(name, names, told.last + 1, stop + 1, most)
            for stretch in found.stretches:
                await told.read(stretch)
            if told.full:
                return
            if len(found.stretches) < most:
                break
        told.last = max(told.last, min(found.reach, stop))
        if told.last == stop:
            return
        if told.whole and stop - told.last <= TAIL:
            await told.scan(told.last, stop)
        else:
            await told.follow(told.last, stop)
        if told.whole:
            self._index_soon(archive)

    def _index_soon(self, archive: HostedArchive) -> None:
        name = archive.key.discovery_key.raw
        if name not in self._indexing:
            task = self._indexing[name] = self._spawn(self._take_in(archive))
            # By callback: a task that is cancelled before its first step reaches no `finally`.
            task.add_done_callback(lambda _: self._indexing.pop(name))

    async def _take_in(self, archive: HostedArchive) -> None:
        """Bring the index up to the newest entry of an archive."""
        name = archive.key.discovery_key.raw
        try:
            reach = await self._index.reach(name)
            async with archive.opened() as opened:
                while True:
                    names = await _names(opened, reach + 1)
                    after = await self._index.add(name, reach + 1, names) if names else reach
                    if after <= reach:
                        return  # the end; a gap; or the index takes nothing just now
                    reach = after
        except DatdError:
            return  # closed meanwhile, or the archive's own state tells why
        except Exception:
            # Nobody waits for this task, and its fault must not end the daemon.
            log.exception("the history of %s cannot be indexed", archive.key.discovery_key)

    # ---- differences

    async def diff(
        self,
        archive: HostedArchive,
        old: int | None,
        new: int | None,
        path: str = "/",
        *,
        after: str | None = None,
        limit: int = 1000,
        wait: float = 30,
    ) -> DifferencePage:
        """A page of what differs between two versions, at or below a path.

        Args:
            archive: Which.
            old: One version; None for the newest one, or for the one that the archive stays at.
            new: The other one.
            path: File or folder.
            after: What came with the page before.
            limit: Most paths to give; a page may have fewer, even none, and not be the last.
            wait: Seconds to wait for blocks that have to come from peers.

        Raises:
            VersionNotFound: There is no such version.
            ArchiveFormatError: The index of one of them makes no sense.
            Timeout: No peer gave what is needed in time.
        """
        behind = None if after is None else resolve(after)
        async with archive.opened() as opened:
            await newest.settle(opened, _larger(old, new), wait)
            version = opened.wants.newest(opened)
            old, new = (version if one is None else one for one in (old, new))
            going = await opened.call(
                partial(opened.archive.succession, old, new, path, behind), wait=wait
            )
            found: list[Passage] = []
            for _ in range(_DIFF_CALLS):
                if going.finished or len(found) >= limit:
                    break
                most = min(_DIFF_SLICE, limit - len(found))
                found += await opened.call(partial(going.page, most), wait=wait)
            views = [_difference(opened, passage) for passage in found]
        following = None if going.finished else "/" + "/".join(going.cursor or ())
        return DifferencePage(old, new, views, following)

    # ---- time

    async def at(self, archive: HostedArchive, time: float, *, wait: float = 30) -> int:
        """The version that was the newest at a time; see `moment`.

        Args:
            archive: Which.
            time: Seconds since 1970.
            wait: Seconds to wait for blocks that have to come from peers.

        Raises:
            ArchiveFormatError: The archive does not tell.
            Timeout: No peer gave what is needed in time.
        """
        async with archive.opened() as opened:
            await newest.settle(opened, None, wait)
            search = await opened.call(partial(opened.archive.moment, int(time * 1000)), wait=wait)
            while await opened.call(search.advance, wait=wait):
                pass
            return search.version

    async def time_of(
        self, archive: HostedArchive, version: int, *, wait: float = 30
    ) -> float | None:
        """When a version was made, in seconds since 1970; None if nothing here tells.

        Raises:
            Timeout: No peer gave its entry in time.
        """
        async with archive.opened() as opened:
            feed = opened.metadata.feed

            def look() -> float | None:
                # A deletion has no time: what came just before it says when it was, about.
                earlier = range(max(1, version - _TIMES_LOOKED_AT), version)
                near = [*(seq for seq in earlier if feed.has(seq)), version]
                for entry in reversed(opened.archive.changes(near)):
                    if entry.stat is not None and entry.stat.ctime:
                        return entry.stat.ctime / 1000
                return None

            await newest.settle(opened, version, wait)
            return await opened.call(look, wait=wait) if version else None


class _Stretch:
    """Changes of a path as they are found.

    Attributes:
        entries: Those found, oldest first.
        last: All up to this entry has been looked at.
        complete: Whether none may have been missed.
    """

    def __init__(self, opened: OpenArchive, path: str, limit: int, wait: float) -> None:
        self.path = path
        self.entries: list[Entry] = []
        self.last = 0
        self.complete = True
        self._opened = opened
        self._names = resolve(path)
        self._limit = limit
        self._wait = wait
        self._looked_at = 0

    @property
    def whole(self) -> bool:
        """Whether all metadata is here: then reading it costs no peer anything."""
        feed = self._opened.metadata.feed
        return feed.present_blocks == feed.length

    @property
    def room(self) -> int:
        """How many more are wanted."""
        return self._limit - len(self.entries)

    @property
    def full(self) -> bool:
        """Whether that is enough for one page."""
        return not self.room or self._looked_at >= _LOOKED_AT

    async def scan(self, since: int, stop: int) -> None:
        """Read all entries after one, up to another."""
        self.last = since
        await self.read(range(since + 1, stop + 1))

    async def read(self, numbers: range) -> None:
        """Read some entries, behind all that were read before, and take those that fit."""
        for start in range(numbers.start, numbers.stop, SLICE):
            if self.full:
                return
            part = range(start, min(start + SLICE, numbers.stop))
            archive = self._opened.archive
            entries = await self._opened.call(partial(archive.changes, part), wait=self._wait)
            self._looked_at += len(part)
            for entry in entries:
                if entry.components[: len(self._names)] == self._names:
                    self.entries.append(entry)
                    if not self.room:
                        self.last = entry.seq
                        return
            self.last = part[-1]

    async def follow(self, since: int, stop: int) -> None:
        """Go from the newest change to the one before, as long as that leads on."""
        found: list[Entry] = []
        head, on = stop, True
        for _ in range(_FOLLOWED // _FOLLOWED_AT_ONCE):
            if not on:
                break
            call = partial(self._back, head, since)
            entries, head, on = await self._opened.call(call, wait=self._wait)
            found += entries
        self.complete = self.complete and head <= since
        found.reverse()
        taken = found[: self.room]
        self.entries += taken
        self.last = taken[-1].seq if len(taken) < len(found) else stop

    def _back(self, head: int, since: int) -> tuple[list[Entry], int, bool]:
        """The changes before one; the version before the last of them; whether it may go on."""
        found: list[Entry] = []
        while len(found) < _FOLLOWED_AT_ONCE:
            try:
                entry = self._opened.archive.newest_change(self.path, head)
            except BlockMissing:
                if found:
                    break
                raise
            if entry is None:
                return found, head, False
            head = min(head, entry.seq - 1)
            if entry.seq <= since:
                return found, head, False
            found.append(entry)
        return found, head, head > since


async def _names(opened: OpenArchive, start: int) -> list[tuple[str, ...] | None]:
    """The paths of the next entries, as far as they are here, for one transaction."""
    names: list[tuple[str, ...] | None] = []
    end = min(opened.metadata.feed.length, start + _BATCH)
    while start < end:
        stop = min(start + SLICE, end)
        part = await opened.run(partial(opened.archive.names, start, stop))
        names += part
        if len(part) < stop - start:
            break
        start = stop
    return names


def _larger(old: int | None, new: int | None) -> int | None:
    return None if old is None or new is None else max(old, new)


def _difference(opened: OpenArchive, passage: Passage) -> DifferenceView:
    old, new = (
        None
        if entry is None or entry.stat is None
        else reading.entry_view(opened, passage.path, entry.stat)
        for entry in (passage.old, passage.new)
    )
    return DifferenceView(passage.path, old, new)
