"""One archive's queue of calls into its feeds: in a thread, one at a time, in order.

Feeds are synchronous and have no lock. All that touches the feeds of one archive goes through its
lane, so two calls never meet; lanes of different archives share a few threads.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, NamedTuple, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Lane:
    """Runs calls one after another in threads of a shared executor."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._waiting: deque[_Call] = deque()
        self._running = False

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call in a thread once all calls made before have ended.

        A call that was handed over is carried out even if who waits for it is cancelled: there is
        no half of a write.
        """
        return await self._hand_over(lambda: call(*args, **kwargs), None)

    async def run_and_tell(
        self, tell: Callable[[T], None], call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Like `run`; what came of it is told on the loop first, even if nobody waits any more."""
        return await self._hand_over(lambda: call(*args, **kwargs), tell)

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return not self._running

    async def _hand_over(self, work: Callable[[], T], tell: Callable[[T], None] | None) -> T:
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Call(done, work, tell))
        if not self._running:
            self._next()
        return await done

    def _next(self) -> None:
        call = self._waiting.popleft()
        self._running = True
        self._executor.submit(self._work, call.done.get_loop(), call)

    def _work(self, loop: asyncio.AbstractEventLoop, call: "_Call") -> None:
        result: Any = None
        error: BaseException | None = None
        try:
            result = call.work()
        except BaseException as raised:  # handed to who waits, whatever it is
            error = raised
        loop.call_soon_threadsafe(self._finished, call, result, error)

    def _finished(self, call: "_Call", result: Any, error: BaseException | None) -> None:
        self._running = False
        if self._waiting:
            self._next()
        done = call.done
        try:
            if error is None and call.tell is not None:
                call.tell(result)
        except Exception as raised:  # a fault in telling is for who waits, too
            error = raised
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)


class _Call(NamedTuple):
    done: asyncio.Future[Any]
    work: Callable[[], Any]
    tell: Callable[[Any], None] | None
