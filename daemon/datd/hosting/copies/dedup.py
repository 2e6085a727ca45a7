"""Before content is downloaded: is it here already, in this archive or in another one?

New versions, forks and copies under a new key bring blocks that are held here. Their hashes are
asked for first (some 100 bytes a block instead of the block); what is found is taken from the disk.

Whether that can pay is tried with a sample, spread over what came up. Of a feed that is new here
the first blocks flow meanwhile; of others, a new version of a megabyte or more comes one round trip
later. More is asked only where the sample found something.

Source: wire.md section 7 (`hash`), feeds.md section 9. A block is taken over only after it was read
and its whole hash compared with the proven one; the index is believed nothing.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

from bitarray.util import intervals

from datd.errors import DatdError, StorageError
from datd.feed.feed import Feed
from datd.hosting.copies import likeness, sampling
from datd.hosting.copies.borrowing import Borrower, Shelf
from datd.hosting.copies.known_blocks import Place
from datd.hosting.copies.likeness import Compared, Comparison, Piece, Run
from datd.hosting.copies.noting import LEAST_BLOCK
from datd.hosting.live_feed import LiveFeed
from datd.hosting.open_archive import OpenArchive
from datd.replication.block_map import BlockMap

if TYPE_CHECKING:
    from datd.hosting.archive import HostedArchive

T = TypeVar("T")
log = logging.getLogger(__name__)

# Less than this comes in a few round trips: asking first would take one more.
LEAST_BYTES: Final = 2**20

# Blocks that a sample speaks for, and that are worked on at a time: 2 MB of numbers.
WINDOW: Final = 32768

# Stretches of the feed looked at in one go, some 2 microseconds each: a peer may claim every other
# block of it.
_MOST_RUNS: Final = 4096

# Blocks looked at in one go, 64 GiB in usual ones: a peer may claim four thousand million.
_MOST_BLOCKS: Final = 2**22

# A new connection asks for so many blocks in its first round trip. So many are left to flow while
# the sample is under way, of a feed that is new here.
LEFT_TO_FLOW: Final = 16

# Hashes looked at before it is decided anew whether to go on, and the share of finds for that.
_STRETCH: Final = 2048
_PAYS_ONE_IN: Final = 32

# Windows in a row without a find until nothing is held back for a sample any more, and until only
# one window in so many is tried.
_DOUBTFUL: Final = 2
_FRUITLESS: Final = 4
_TRIED_ONE_IN: Final = 8

# Seconds until hashes are not waited for any longer, from the first one on in which not even a
# block came: what a request may take when others have the block, too (L-16).
_PATIENCE: Final = 5


class Dedup:
    """Decides for one content feed that is open. Costs nothing until something is to be fetched."""

    def __init__(
        self, archive: "HostedArchive", opened: OpenArchive, live: LiveFeed, shelf: Shelf
    ) -> None:
        """Watch a feed.

        Args:
            archive: Whose content it is.
            opened: The same, open.
            live: Its content feed.
            shelf: Where else blocks may be.
        """
        self._archive = archive
        self._opened = opened
        self._live = live
        self._shelf = shelf
        self._borrower = Borrower(archive, opened, live, shelf)
        self._considered = BlockMap()
        self._runs: deque[tuple[int, int]] = deque()  # to be looked at
        self._window: list[tuple[int, int]] = []  # looked at just now
        self._fruitless = 0
        self._tried = 0
        self._places: dict[int, Place] = {}  # where the first ones of a window were found
        self._task: asyncio.Task[None] | None = None
        self._arrived: set[int] = set()
        self._news = asyncio.Event()
        live.picker.on_offer = self._offered
        live.on_hashes = self._hashes_came

    async def close(self) -> None:
        """End; what is held back is let go."""
        self._live.picker.on_offer = None
        self._live.on_hashes = None
        task = self._task
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    # ---- called by the picker and the hub, on the loop

    def _offered(self) -> None:
        """There may be blocks to fetch that were not looked at yet: hold them before they are."""
        if self._shelf.known.empty or self._too_small():
            return
        runs = self._fresh_runs()
        if sum(stop - start for start, stop in runs) * self._mean_size() < LEAST_BYTES:
            self._forget(runs)
            return
        if self._fruitless < _DOUBTFUL:
            flowing = 0 if self._live.feed.length else LEFT_TO_FLOW
            for start, stop in runs:
                if start + flowing < stop:
                    self._live.picker.hold_run(start + flowing, stop)
                flowing = max(0, flowing - (stop - start))
        self._runs += runs
        if self._task is None:
            self._task = self._shelf.spawn(self._run())
            # By callback: a task that is cancelled before its first step reaches no `finally`.
            self._task.add_done_callback(self._ended)

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._task = None
        self._release_runs([*self._window, *self._runs])
        self._window = []
        self._runs.clear()
        self._arrived.clear()

    def _hashes_came(self, indexes: Iterable[int]) -> None:
        self._arrived.update(indexes)
        self._news.set()

    def _fresh_runs(self) -> list[tuple[int, int]]:
        """Runs of blocks that could be asked for and were not considered before; now they are."""
        runs: list[tuple[int, int]] = []
        left = _MOST_BLOCKS
        for low, end in islice(self._live.picker.open_runs(), _MOST_RUNS):
            high = min(end, low + left)
            left -= high - low
            found = [
                (low + start, low + stop)
                for considered, start, stop in intervals(self._considered.window(low, high))
                if not considered
            ]
            for start, stop in found:
                self._considered.add_range(start, stop)
            runs += found
            if not left:
                break
        return runs

    def _forget(self, runs: Iterable[tuple[int, int]]) -> None:
        """Consider these another time."""
        for start, stop in runs:
            self._considered.discard_range(start, stop)

    def _next_window(self) -> list[int]:
        """The next blocks to be looked at."""
        self._window, room = [], WINDOW
        while self._runs and room:
            start, stop = self._runs.popleft()
            if stop - start > room:
                self._runs.appendleft((start + room, stop))
                stop = start + room
            self._window.append((start, stop))
            room -= stop - start
        return sorted(index for run in self._window for index in range(*run))

    def _mean_size(self) -> float:
        feed = self._live.feed
        return feed.byte_length / feed.length if feed.length else self._live.picker.expected_size

    def _too_small(self) -> bool:
        return self._mean_size() < LEAST_BLOCK

    # ---- the task

    async def _run(self) -> None:
        try:
            while window := self._next_window():
                self._tried += 1
                worth_it = self._fruitless < _FRUITLESS or self._tried % _TRIED_ONE_IN == 0
                if worth_it and not await self._work(window):
                    self._give_up()
                    return
                self._release_runs(self._window)
                if not self._runs:
                    self._offered()
        except StorageError as error:
            if not self._archive.refused_to_write(error):
                self._archive.fail(error)
        except DatdError:
            pass  # it was closed meanwhile
        except Exception:
            # Nobody waits for this task: without it, blocks are fetched as they always were.
            log.exception("taking over known blocks failed")

    def _give_up(self) -> None:
        """Hashes do not come. If it is only that all peers have left, others may give them."""
        if self._live.exchanges:
            self._fruitless += _DOUBTFUL
        else:
            self._forget([*self._window, *self._runs])

    async def _work(self, window: list[int]) -> bool:
        """Try a sample of a window, and ask for more where it found something.

        Returns:
            Whether to go on with the next window.
        """
        sample = sampling.spread(window)
        self._places.clear()
        hits = await self._ask(sample, set(window))
        if hits is None or self._too_small():
            return False
        if not hits:
            self._fruitless += 1
            if self._fruitless == _DOUBTFUL:
                self._release_runs(self._runs)
            return True
        self._fruitless = 0
        promising = sampling.around(window, sample, hits)
        if len(promising) < len(window):
            self._release_runs(self._window)
            self._live.picker.hold(promising)
        alike = [run for run in likeness.runs(promising, self._places) if run.width > 1]
        if not await self._compare(alike):
            return False
        settled = {index for run in alike for index in range(run.start, run.stop)}
        singly = [index for index in promising if index not in settled]
        for start in range(0, len(singly), _STRETCH):
            stretch = singly[start : start + _STRETCH]
            self._live.picker.hold(stretch)  # in doubt, nothing was held for the sample
            hits = await self._ask(stretch, set(stretch))
            if hits is None:
                return False
            if len(hits) * _PAYS_ONE_IN < len(stretch):
                break
        return True

    async def _compare(self, runs: Sequence[Run]) -> bool:
        """Take over what runs have in common with their likes, by whole subtrees.

        Returns:
            Whether all hashes came that were asked for.
        """
        window = {index for run in runs for index in range(run.start, run.stop)}
        self._live.picker.hold(sorted(window))
        asked = found = 0
        left = [(run, Comparison(run)) for run in runs]
        while left and found * _PAYS_ONE_IN >= asked - _STRETCH:
            busy, ask = [], []
            for run, comparison in left:
                look = partial(comparison.look, self._live.feed)
                compared, missing = await self._opened.run(look)
                if compared:
                    same = comparison.told(compared, await self._equal(run, compared))
                    found += await self._take_pieces(run, same)
                if compared or missing:
                    busy.append((run, comparison))
                ask += missing
            left = busy
            asked += len(ask)
            if ask and await self._ask(ask, window) is None:
                return False
        return True

    async def _equal(self, run: Run, compared: Sequence[Compared]) -> list[bool]:
        call = partial(likeness.equal, compared=compared, shift=run.shift)
        return await self._borrower.read(run.archive, call) or [False] * len(compared)

    async def _take_pieces(self, run: Run, pieces: Iterable[Piece]) -> int:
        """Take blocks that are known to be the same; gives how many."""
        have = self._live.picker.have
        blocks = [
            index
            for block, count in pieces
            for index in range(block, block + count)
            if index not in have
        ]
        await self._borrower.take(run.archive, [(index, index + run.shift) for index in blocks])
        self._release(blocks)
        return len(blocks)

    async def _ask(self, indexes: Sequence[int], window: set[int]) -> set[int] | None:
        """Have hashes asked for, and take over what is known.

        Args:
            indexes: Blocks whose hashes are asked for.
            window: Blocks that may be taken over: the answer about one tells of its neighbour, too.

        Returns:
            The blocks that are known here, those that came meanwhile included; None if hashes did
            not come.
        """
        picker = self._live.picker
        hits = {index for index in indexes if index in picker.have}
        waiting = set(indexes) - hits
        self._archive.traffic.saved.asked += len(waiting)
        self._shelf.savings.asked += len(waiting)
        picker.ask_hashes(sorted(waiting))
        self._live.ask_all()
        while waiting:
            if not self._arrived and not await self._something_comes():
                picker.hashes.settle(waiting)  # nobody is to be asked for them any more
                return None
            came, self._arrived = self._arrived, set()
            waiting -= came
            hits |= await self._take_over(came, window)
        return hits

    async def _something_comes(self) -> bool:
        """Wait for hashes, which come behind blocks asked for before; False if neither comes.

        A second without either, and blocks flow: what comes of the hashes is taken over later.
        """
        traffic = self._archive.traffic.downloaded
        self._news.clear()
        before, quiet = traffic.total, 0
        while quiet < _PATIENCE:
            try:
                async with asyncio.timeout(1):
                    await self._news.wait()
                    return True
            except TimeoutError:
                if quiet or traffic.total == before:
                    self._release_runs([*self._window, *self._runs])
                    quiet += 1
                before = traffic.total
        return False

    async def _take_over(self, came: set[int], window: set[int]) -> set[int]:
        """Take blocks from where they lie, now that their hashes are here; release the others.

        Args:
            came: Blocks whose hashes came, or will not come.
            window: Blocks that may be taken.

        Returns:
            Those that are known here.
        """
        picker = self._live.picker
        pairs = {one for index in came for one in (index, index ^ 1)}
        indexes = sorted(pairs & window)
        hashes = await self._opened.run(partial(_hashes, self._live.feed, indexes))
        told = {
            index: one
            for index, one in zip(indexes, hashes, strict=True)
            if one is not None and index not in picker.have
        }
        places = await self._shelf.known.find(list(told.values()))
        by_archive: dict[bytes, list[tuple[int, int]]] = {}
        for index, place in zip(told, places, strict=True):
            if place is not None:
                if len(self._places) < 2 * sampling.MOST_SAMPLE:
                    self._places[index] = place
                by_archive.setdefault(place.archive, []).append((index, place.block))
        hits = {index for found in by_archive.values() for index, _ in found}
        # The hash of a neighbour may be still to come.
        self._release((came & window | told.keys()) - hits)
        for name, found in by_archive.items():
            await self._borrower.take(name, found)
        self._release(hits)  # those that turned out to be other ones, or gone
        return hits

    def _release_runs(self, runs: Iterable[tuple[int, int]]) -> None:
        for start, stop in runs:
            self._live.picker.release_run(start, stop)
        self._live.ask_all()

    def _release(self, indexes: Iterable[int]) -> None:
        self._live.picker.release(indexes)
        self._live.ask_all()


def watch(archive: "HostedArchive", opened: OpenArchive, shelf: Shelf | None) -> None:
    """Look out for known blocks in what an archive fetches of content, once that is open."""
    if shelf is not None and opened.content is not None and opened.dedup is None:
        opened.dedup = Dedup(archive, opened, opened.content, shelf)


def _hashes(feed: Feed, indexes: Sequence[int]) -> list[bytes | None]:
    return [feed.leaf_hash(index) for index in indexes]
