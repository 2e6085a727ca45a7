"""Reading events in their order, from where one was: what is past, and then what comes.

A reader has a place and no queue. As long as it keeps up it is served from memory, and behind that
from the journal: numbers follow one another, so nothing is missed or told twice where the one ends
and the other begins.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from datd.books.events import Event
from datd.hosting.telling.event_kinds import LOST, Interest, Position, Told
from datd.hosting.telling.events import RECENT, Events
from datd.hosting.telling.file_events import MAX_WAITS, FileEvents

# Events that are read, and sent, in one go.
BATCH: Final = 500

TagsOf = Callable[[str], Sequence[str]]
MaySee = Callable[[Event], bool]


class Following:
    """One reader, and how far it is.

    Attributes:
        position: Behind the last event that `read` gave, or passed over.
        sending: Whether what was read is being sent: who is cut off is who takes nothing.
        cut: Whether this reader takes nothing, and is to be sent away (L-23).
    """

    def __init__(
        self,
        events: Events,
        files: FileEvents,
        interest: Interest,
        since: Position | None,
        *,
        tags_of: TagsOf,
        may_see: MaySee = lambda event: True,
        on_cut: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin somewhere.

        Args:
            events: What happens.
            files: What versions changed.
            interest: What is wanted.
            since: Where it was before; None: what comes from now on.
            tags_of: Tags of an archive, by its key in hex.
            may_see: Whether this reader may hear of an event.
            on_cut: Called once the reader is to be sent away.
        """
        self.position = since or Position(events.newest)
        self.sending = False
        self.cut = False
        self._events = events
        self._files = files
        self._interest = interest
        self._tags_of = tags_of
        self._may_see = may_see
        self._on_cut = on_cut
        self._new = asyncio.Event()
        self._version: Event | None = None
        self._waits = 0
        self._lost = since is not None and self._misses(since)

    def _misses(self, since: Position) -> bool:
        # Whoever asks for everything there is has missed nothing. A number that was never given is
        # one of another catalogue, or of a later state of this one: a backup was restored.
        return (since != Position(0) and since.whole + 1 < self._events.oldest) or (
            since.whole > self._events.newest
        )

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Following"]:
        """Be told what is new, for the time of an `async with`."""
        async with AsyncExitStack() as stack:
            self._events.listen(self)
            stack.callback(self._events.forget, self)
            if self._interest.path is not None and self._interest.archive is not None:
                await stack.enter_async_context(self._files.watching(self._interest.archive))
            yield self

    @property
    def ended(self) -> bool:
        """Whether nothing will come any more."""
        return self._events.ended or self.cut

    @property
    def behind(self) -> bool:
        """Whether there is something that was not looked at yet."""
        return self._version is not None or self._lost or self.position.whole < self._events.newest

    def news(self) -> None:
        """There is something new, or everything ends."""
        self._new.set()
        if self.sending and self._events.newest - self.position.whole > RECENT and not self.cut:
            self.cut = True
            self._on_cut()

    async def wait(self, seconds: float) -> bool:
        """Wait until there is something new, or so many seconds. Returns whether there is."""
        if not self.behind and not self.ended:
            self._new.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._new.wait()
            except TimeoutError:
                return False
        return True

    async def read(self, limit: int = BATCH) -> list[Told]:
        """What comes next. Nothing may mean that others were passed over; see `behind`.

        Raises:
            StorageError: The journal cannot be read.
        """
        if self._lost:
            return [self._tell_of_loss()]
        if self._version is not None:
            return await self._read_files(self._version)
        found: list[Told] = []
        after = self.position.whole
        for event in await self._next(after, limit):
            if not self._may_see(event):
                self.position = Position(event.id)
            elif self._interest.wants_files(event):
                if found:
                    return found  # first what was before it
                self._version = event
                if self.position.id != event.id:
                    self.position = Position(event.id - 1)
                return await self._read_files(event)
            else:
                self.position = Position(event.id)
                if self._interest.wants(event, self._tags_of):
                    found.append(_told(event, self.position))
        return found

    async def _next(self, after: int, limit: int) -> list[Event]:
        recent = self._events.recent(after, limit)
        if recent is not None:
            return recent
        archive = None if self._interest.archive is None else self._interest.archive.hex
        found, reach = await self._events.kept(
            after, limit, archive=archive, kinds=self._interest.stored_kinds
        )
        if not found:
            self.position = Position(reach)
        return found

    def _tell_of_loss(self) -> Told:
        self._lost = False
        since = self.position
        before = since.whole + 1 < self._events.oldest
        self.position = Position(self._events.oldest - 1 if before else self._events.newest)
        return Told(
            self.position,
            LOST,
            self._events.now,
            None,
            {"since": str(since), "oldest": self._events.oldest, "newest": self._events.newest},
        )

    async def _read_files(self, event: Event) -> list[Told]:
        """The next files of a version; behind the last of them stands the version itself."""
        if self._interest.archive is None or self._interest.path is None:
            raise AssertionError(self._interest)
        since = max(event.fields["previous"], self._entry_of(event))
        until = event.fields["version"]
        page = await self._files.page(self._interest.archive, self._interest.path, since, until)
        if page is None:
            self._waits += 1
            if self._waits < MAX_WAITS:
                return []
        found: list[Told] = []
        if page is not None:
            self._waits = 0
            for entry, kind, fields in page.changes:
                self.position = Position(event.id, entry)
                if self._interest.wants_kind(kind):
                    found.append(Told(self.position, kind, event.at, event.archive, fields))
            if page.following is not None:
                self.position = Position(event.id, page.following)
                return found
        missing = "no peer told in time" if page is None else page.missing
        if missing is not None and self._interest.wants_kind("files.unknown"):
            fields = {"path": self._interest.path, "previous": since, "version": until}
            told = Told(self.position, "files.unknown", event.at, event.archive, fields)
            told.fields["reason"] = missing
            found.append(told)
        self._version, self._waits = None, 0
        self.position = Position(event.id)
        if self._interest.wants(event, self._tags_of):
            found.append(_told(event, self.position))
        return found

    def _entry_of(self, event: Event) -> int:
        return self.position.entry if self.position.id == event.id else 0


def _told(event: Event, position: Position) -> Told:
    return Told(position, event.kind, event.at, event.archive, event.fields)
