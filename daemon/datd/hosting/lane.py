"""One archive's queue of calls into its feeds: in a thread, one at a time, in order.

Feeds are synchronous and have no lock. All that touches the feeds of one archive goes through its
lane, so two calls never meet; lanes of different archives share a few threads.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Lane:
    """Runs calls one after another in threads of a shared executor."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._waiting: deque[tuple[asyncio.Future[Any], Callable[[], Any]]] = deque()
        self._running = False

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call in a thread once all calls made before have ended.

        A call that was handed over is carried out even if who waits for it is cancelled: there is
        no half of a write.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((done, lambda: call(*args, **kwargs)))
        if not self._running:
            self._next()
        return await done

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return not self._running

    def _next(self) -> None:
        done, call = self._waiting.popleft()
        self._running = True
        loop = done.get_loop()
        self._executor.submit(self._work, loop, done, call)

    def _work(
        self,
        loop: asyncio.AbstractEventLoop,
        done: asyncio.Future[Any],
        call: Callable[[], Any],
    ) -> None:
        result: Any = None
        error: BaseException | None = None
        try:
            result = call()
        except BaseException as raised:  # handed to who waits, whatever it is
            error = raised
        loop.call_soon_threadsafe(self._finished, done, result, error)

    def _finished(
        self, done: asyncio.Future[Any], result: Any, error: BaseException | None
    ) -> None:
        self._running = False
        if self._waiting:
            self._next()
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)
