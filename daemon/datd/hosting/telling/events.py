"""What happens is told here: written into the journal, then shown to whoever listens.

Whoever tells returns at once. Events are written in batches, one transaction for all that came
within a tenth of a second, and shown only when that has reached the disk: a number that somebody
has seen is never given again, whatever crashes. What belongs to a change of the catalogue is
written in that change's own transaction (`beside`): both are there, or neither.

Those who listen have no queues of their own. The last thousand events lie in one row, and each
reader knows how far along it is; who falls behind reads the journal, and who takes nothing is cut
off (L-23).
"""

import asyncio
import itertools
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, Protocol

from datd.books import events as journal
from datd.books.events import Bounds, Draft, Event, Mark
from datd.catalogue import Catalogue, Write
from datd.errors import StorageError
from datd.keys import Key
from datd.words import counted

log = logging.getLogger(__name__)

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]

# A transaction reaches the disk in some 10 ms: one for all that happens within this time, and an
# event that comes alone is not held up by it.
BATCH_SECONDS: Final = 0.1
# An archive that is being imported has a new version several times a second; one event tells of all
# those within this time.
VERSION_SECONDS: Final = 1.0
# L-23: a reader that takes nothing while so many events come is cut off.
RECENT: Final = 1_000
# A disk that took nothing is tried again after this; meanwhile so many events wait in memory.
RETRY_SECONDS: Final = 5.0
MAX_WAITING: Final = 10_000
# It is tried again all the time: whoever reads the log needs to hear of it once in a while.
LINE_SECONDS: Final = 60.0
# How often old events are pruned, in events: the journal exceeds its size by little.
_PRUNE_EVENTS: Final = 1_000


class Listener(Protocol):
    """Somebody who is told that there is something new."""

    def news(self) -> None:
        """There is; or everything ends. Must return at once."""


class Events:
    """The journal, and what is not in it yet.

    Attributes:
        newest: Number of the last event that was shown.
        oldest: Number of the first one that is kept.
        ended: Whether nothing will be shown any more.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        spawn: Spawn,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        """Nothing is read or written before `start`.

        Args:
            catalogue: Keeps the journal.
            spawn: Runs a coroutine in a task.
            clock: Seconds, monotonic.
            wall_clock: Seconds since 1970.
        """
        self.newest = 0
        self.oldest = 1
        self.ended = False
        self._catalogue = catalogue
        self._spawn = spawn
        self._clock = clock
        self._wall_clock = wall_clock
        self._marks: dict[str, Mark] = {}
        self._waiting: list[Draft] = []
        self._held: dict[str, tuple[float, Draft]] = {}
        self._versions_told: dict[str, float] = {}
        self._recent: deque[Event] = deque(maxlen=RECENT)
        self._listeners: set[Listener] = set()
        self._writer: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._asked = False
        self._not_before = float("-inf")
        self._since_pruning = 0
        self._said = float("-inf")
        self._dropped = 0
        self._closing = self._closed = False
        self._writing = asyncio.Lock()

    async def start(self) -> None:
        """Read where the last run ended.

        Raises:
            StorageError: The catalogue cannot be read.
        """

        def begin(database: sqlite3.Connection) -> tuple[Bounds, dict[str, Mark]]:
            journal.prune(database)
            return journal.bounds(database), journal.marks(database)

        (self.oldest, self.newest), self._marks = await self._catalogue.together(begin)

    async def close(self) -> None:
        """Write what waits, and end. What is told from here on is lost."""
        self._closing = True
        self._hurry.set()
        if self._waiting or self._held or self._asked:
            self._nudge()
        while self._writer is not None:  # the next one, if something came while it ended
            await asyncio.wait([self._writer])
        self.end_reading()
        self._closed = True
        if self._waiting or self._dropped:
            lost = len(self._waiting) + self._dropped
            log.error("not written, and lost: %s", counted(lost, "event"))

    def end_reading(self) -> None:
        """Send away who listens: the daemon ends. What is told from here on is still written."""
        self.ended = True
        self._wake()

    @property
    def now(self) -> float:
        """Seconds since 1970."""
        return self._wall_clock()

    # ---- telling

    def tell(self, kind: str, archive: Key | None = None, **fields: Any) -> None:
        """Something happened. It is in the journal within a tenth of a second or so.

        Args:
            kind: One of `event_kinds.KEPT`.
            archive: What it happened to.
            fields: What else there is to tell: plain values for JSON.
        """
        self._add(self._draft(kind, archive, fields))

    def beside(self, kind: str, archive: Key | None = None, **fields: Any) -> Write:
        """The same as part of a change of the catalogue: it is written if that change is.

        Returns:
            Writes it; to be called once, in the transaction of the change.
        """
        draft = self._draft(kind, archive, fields)
        loop = asyncio.get_running_loop()

        def write(database: sqlite3.Connection) -> None:
            journal.write(database, [draft])
            # Behind this transaction, in the one thread of the catalogue: what was rolled back is
            # not found there.
            loop.call_soon_threadsafe(self._nudge)

        if archive is not None and kind == "archive.removed":
            self._held.pop(archive.hex, None)
        return write

    def version(self, archive: Key, previous: int, version: int) -> None:
        """An archive has a newer version than the one told before."""
        held = self._held.get(archive.hex)
        if held is not None:
            held[1].fields["version"] = version
            return
        fields = {"previous": previous, "version": version}
        draft, now = self._draft("archive.version", archive, fields), self._clock()
        due = self._versions_told.get(archive.hex, float("-inf")) + VERSION_SECONDS
        if due <= now:
            self._versions_told[archive.hex] = now
            self._add(draft)
        else:
            self._held[archive.hex] = (due, draft)
            self._nudge()

    def take_mark(self, archive: Key) -> Mark:
        """Up to where an archive was told of when the daemon started. It is given once."""
        return self._marks.pop(archive.hex, Mark())

    def _draft(self, kind: str, archive: Key | None, fields: dict[str, Any]) -> Draft:
        name = None if archive is None else archive.hex
        return Draft(kind, self._wall_clock(), name, fields)

    def _add(self, draft: Draft) -> None:
        if self._closed:
            return
        if draft.archive is not None and draft.archive in self._held:
            self._waiting.append(self._held.pop(draft.archive)[1])
        self._waiting.append(draft)
        self._nudge()

    # ---- writing

    async def settle(self) -> None:
        """Write what waits now: what is told beside a change after that comes behind it."""
        if self._waiting:
            await self._write()

    def _nudge(self) -> None:
        if self._closed:
            return
        self._asked = True
        if self._writer is None:
            self._writer = self._spawn(self._run())
            # By callback: a task that is cancelled before its first step reaches no `finally`.
            self._writer.add_done_callback(self._ended)
        else:
            self._hurry.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._writer = None
        if self._asked and not task.cancelled():
            self._nudge()  # it was asked for when the task had just gone through

    async def _run(self) -> None:
        while self._asked or self._waiting or self._held:
            pause = self._pause()
            if pause > 0 and not self._closing:
                self._hurry.clear()
                try:
                    async with asyncio.timeout(pause):
                        await self._hurry.wait()
                except TimeoutError:
                    pass
                continue
            if not await self._write() and self._closing:
                return

    def _pause(self) -> float:
        """Seconds until something is to be written."""
        now = self._clock()
        if self._asked or self._waiting:
            return self._not_before - now
        return min(due for due, _ in self._held.values()) - now

    async def _write(self) -> bool:
        """Write what waits. Returns whether the disk took it."""
        async with self._writing:
            drafts = self._take()
            try:
                written = await self._catalogue.together(partial(self._carry_out, drafts))
            except StorageError as error:
                self._put_back(drafts)
                self._complain(error)
                return False
            except Exception:
                # Nobody waits for this task, and its fault must not end the daemon.
                log.exception("lost: %s", counted(len(drafts), "event"))
                return True
            self._said = float("-inf")
            shown, self.oldest = written
            self._show(shown)
            return True

    def _take(self) -> list[Draft]:
        now = self._clock()
        for name in [n for n, (due, _) in self._held.items() if due <= now or self._closing]:
            self._waiting.append(self._held.pop(name)[1])
            self._versions_told[name] = now
        told = self._versions_told
        self._versions_told = {n: at for n, at in told.items() if at > now - VERSION_SECONDS}
        self._asked = False
        self._not_before = now + BATCH_SECONDS
        drafts, self._waiting = self._waiting, []
        return drafts

    def _put_back(self, drafts: list[Draft]) -> None:
        self._waiting = [*drafts, *self._waiting]
        if len(self._waiting) > MAX_WAITING:
            self._dropped += len(self._waiting) - MAX_WAITING
            del self._waiting[:-MAX_WAITING]
        self._asked = not self._closing
        self._not_before = self._clock() + RETRY_SECONDS

    def _complain(self, error: StorageError) -> None:
        now = self._clock()
        if now < self._said + LINE_SECONDS:
            return
        self._said = now
        log.error("events cannot be written, and wait: %s", error)
        if self._dropped:
            log.error("lost: %s", counted(self._dropped, "event"))
            self._dropped = 0

    def _carry_out(
        self, drafts: list[Draft], database: sqlite3.Connection
    ) -> tuple[list[Event], int]:
        """Write a batch. Gives all that is new since the last one, whoever wrote it."""
        journal.write(database, drafts)
        newest = journal.bounds(database).newest
        shown = journal.read(database, self.newest, newest, newest - self.newest)
        self._since_pruning += len(shown)
        oldest = self.oldest
        if self._since_pruning >= _PRUNE_EVENTS:
            self._since_pruning, oldest = 0, journal.prune(database)
        return shown, oldest

    # ---- listening

    def listen(self, listener: Listener) -> None:
        """Tell somebody whenever there is something new."""
        self._listeners.add(listener)

    def forget(self, listener: Listener) -> None:
        """Tell somebody no more."""
        self._listeners.discard(listener)

    def recent(self, after: int, limit: int) -> list[Event] | None:
        """Events behind one, from memory; None if they lie too far back."""
        if after >= self.newest:
            return []
        if not self._recent or after + 1 < self._recent[0].id:
            return None
        start = after + 1 - self._recent[0].id
        return list(itertools.islice(self._recent, start, start + limit))

    async def kept(
        self, after: int, limit: int, *, archive: str | None = None, kinds: tuple[str, ...] = ()
    ) -> tuple[list[Event], int]:
        """Events behind one, from the journal, and up to which one that is all there are.

        Raises:
            StorageError: The catalogue cannot be read.
        """
        stop = self.newest
        call = partial(
            journal.read, after=after, stop=stop, limit=limit, archive=archive, kinds=kinds
        )
        found = await self._catalogue.together(call)
        return found, found[-1].id if len(found) == limit else stop

    def _show(self, events: list[Event]) -> None:
        if events:
            self._recent.extend(events)
            self.newest = events[-1].id
            self._wake()

    def _wake(self) -> None:
        for listener in list(self._listeners):
            listener.news()
