"""An event loop in a thread of its own, for callers that have none, or one that must not wait."""

import asyncio
import os
import select
import selectors
import sys
import threading
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Generator, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from typing import IO, Any, TypeVar

# Items that are fetched before somebody asks for them: so many cross from thread to thread at once.
AHEAD = 256
# Of bytes, which come in pieces of up to a quarter of a megabyte.
PIECES_AHEAD = 16
_PIECE = 256 * 1024
# To close connections takes a moment; who waits at the end of a program should not wait for more.
_CLOSE_SECONDS = 5.0

T = TypeVar("T")


class Portal:
    """Runs coroutines for other threads. Begins with its construction, ends with `close`.

    The thread never keeps the interpreter from ending. It belongs to the process that made it: one
    forked off needs a portal of its own.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._selector = selectors.DefaultSelector()
        self._loop = asyncio.SelectorEventLoop(self._selector)
        # Who waits for an answer, and for which work.
        self._asked: dict[Future[Any], Coroutine[Any, Any, Any]] = {}
        self._ended = False
        _portals.add(self)
        self._thread = threading.Thread(target=self._run, name="datctl", daemon=True)
        self._thread.start()

    @property
    def is_here(self) -> bool:
        """Whether it is of this process, not of one that this was forked off."""
        return self._process == os.getpid()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end; gives its result, or raises what it raises.

        Who is interrupted while waiting (`KeyboardInterrupt`) takes the work back.

        Raises:
            RuntimeError: By something that the portal itself runs: it would wait for ever; or the
                portal is closed.
        """
        if self._loop.is_closed() or not self.is_here:
            work.close()
            raise _closed()
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("a callback of the client cannot wait for the client")
        # Not `run_coroutine_threadsafe`: an interrupt may come before it has returned.
        outcome: Future[T] = Future()
        self._asked[outcome] = work
        try:
            try:
                self._loop.call_soon_threadsafe(self._begin, work, outcome)
            except RuntimeError:  # closed just now, by another thread
                work.close()
                raise _closed() from None
            return outcome.result()
        except BaseException:
            outcome.cancel()
            raise
        finally:
            self._asked.pop(outcome, None)

    def _begin(self, work: Coroutine[Any, Any, T], outcome: "Future[T]") -> None:
        """In the loop: run a coroutine, and tell how it ended."""
        if outcome.cancelled() or self._ended:
            _refuse(work, outcome)
            return
        task = self._loop.create_task(work)
        outcome.add_done_callback(lambda _: self._take_back(task, outcome))
        task.add_done_callback(lambda _: _tell(task, outcome))

    def _take_back(self, task: asyncio.Task[T], outcome: "Future[T]") -> None:
        """By whoever cancels the outcome."""
        if outcome.cancelled():
            with suppress(RuntimeError):  # the portal is closed, and its tasks are ended
                self._loop.call_soon_threadsafe(task.cancel)

    def iterate(self, source: AsyncIterator[T], ahead: int = AHEAD) -> Generator[T, None, None]:
        """Items of an asynchronous iterator, one after the other.

        Args:
            source: Closed when all is read, or the reader has enough.
            ahead: So many may be fetched before they are asked for.
        """
        pump = _Pump(source, ahead)
        try:
            # Who is interrupted here may never hear that it has begun: it is stopped all the same.
            self.call(pump.begin())
            while items := self.call(pump.take()):
                yield from items
        finally:
            # Perhaps while this is collected as garbage, by whatever thread: nobody waits.
            with suppress(RuntimeError):  # the portal is closed, and all that it ran ended
                self._loop.call_soon_threadsafe(pump.stop)

    @contextmanager
    def during(self, manager: AbstractAsyncContextManager[T]) -> Iterator[T]:
        """What is inside of an asynchronous context manager, for the time of a `with`.

        A task of its own enters and leaves it: it is left when the portal is closed, too.
        """
        stay = _Stay(manager)
        try:
            # Who is interrupted here may never hear that it was entered: it is left all the same.
            yield self.call(stay.enter())
        finally:
            # Of a portal that is closed, it was left already.
            if self.is_here and not self._loop.is_closed():
                self.call(stay.leave())

    def close(self) -> None:
        """End what still runs, and the thread."""
        if self._loop.is_closed() or not self.is_here:
            return
        with suppress(RuntimeError):  # ended meanwhile, by another thread
            self._loop.call_soon_threadsafe(self._loop.stop)
        if threading.current_thread() is not self._thread:
            self._thread.join(_CLOSE_SECONDS)

    def abandon(self) -> None:
        """In a process just forked off: whatever happens to our copy, the original goes on.

        Both loops would have the same list of sockets in the kernel, from which ours would take
        away, at its end, those that the other one still waits for.
        """
        self._loop.set_exception_handler(lambda loop, context: None)
        if sys.platform == "linux" and isinstance(self._selector, selectors.EpollSelector):
            with select.epoll() as empty:
                os.dup2(empty.fileno(), self._selector.fileno(), inheritable=False)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            # What other threads ask for from here on would be begun, and never ended.
            self._ended = True
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()
            for outcome in list(self._asked):
                if (work := self._asked.pop(outcome, None)) is not None:
                    _refuse(work, outcome)


class _Stay:
    """A task that enters an asynchronous context manager, and leaves it when it is told so."""

    def __init__(self, manager: AbstractAsyncContextManager[Any]) -> None:
        self._manager = manager
        self._enough = asyncio.Event()
        self._entered = False
        self._task: asyncio.Task[None] | None = None

    async def enter(self) -> Any:
        """Enter; gives what is inside."""
        inside: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        # Ended by `leave`, or with all others when the portal is closed.
        self._task = task = asyncio.create_task(self._stay(inside))  # noqa: TID251
        try:
            either: list[asyncio.Future[Any]] = [task, inside]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            task.cancel()
            raise
        if not inside.done():
            await task  # raises what went wrong
        return inside.result()

    async def _stay(self, inside: asyncio.Future[Any]) -> None:
        async with self._manager as found:
            self._entered = True
            inside.set_result(found)
            await self._enough.wait()

    async def leave(self) -> None:
        """Leave, if it was entered; raises what goes wrong with that."""
        self._enough.set()
        if self._task is not None and self._entered:
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                self._task.result()


def _tell(task: asyncio.Task[T], outcome: "Future[T]") -> None:
    with suppress(InvalidStateError):  # nobody waits any more
        if task.cancelled():
            outcome.cancel()
        elif (error := task.exception()) is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(task.result())


def _refuse(work: Coroutine[Any, Any, T], outcome: "Future[T]") -> None:
    with suppress(InvalidStateError):  # nobody waits any more
        outcome.set_exception(_closed())
    with suppress(RuntimeError):  # it will not be ended in the middle
        work.close()


def _closed() -> RuntimeError:
    return RuntimeError("the client is closed")


def _abandon_all() -> None:
    for portal in list(_portals):
        portal.abandon()


# All that are open: none of them can know by itself that its process was forked.
_portals: "weakref.WeakSet[Portal]" = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)


class _Pump:
    """Moves items from an asynchronous iterator into a list that another thread empties."""

    def __init__(self, source: AsyncIterator[Any], ahead: int) -> None:
        self._source = source
        self._ahead = ahead
        self._items: list[Any] = []
        self._error: BaseException | None = None
        self._news = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        # Ended by `stop`, which every reader calls.
        self._task = asyncio.create_task(self._work())  # noqa: TID251

    async def _work(self) -> None:
        try:
            async for item in self._source:
                async with self._news:
                    self._items.append(item)
                    self._news.notify_all()
                    await self._news.wait_for(lambda: len(self._items) < self._ahead)
        except BaseException as error:
            self._error = error
            if not isinstance(error, Exception):
                raise
        finally:
            try:
                close = getattr(self._source, "aclose", None)
                if close is not None:
                    await close()
            finally:
                # However it ended: the reader must not wait for more.
                async with self._news:
                    self._task = None
                    self._news.notify_all()

    async def take(self) -> list[Any]:
        """All items that are there, at least one; none at the end."""
        async with self._news:
            await self._news.wait_for(lambda: self._items or self._task is None)
            items, self._items = self._items, []
            self._news.notify_all()
        if not items and self._error is not None:
            error, self._error = self._error, None
            raise error
        return items

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()


async def pieces_of(source: Iterator[bytes] | IO[bytes]) -> AsyncIterable[bytes]:
    """Bytes of a file, or of an iterator, which may wait: they are asked for in another thread."""
    while piece := await asyncio.to_thread(_next_piece, source):
        yield piece


def _next_piece(source: Iterator[bytes] | IO[bytes]) -> bytes:
    if hasattr(source, "read"):
        read: bytes = source.read(_PIECE)
        return read
    return next((piece for piece in source if piece), b"")
