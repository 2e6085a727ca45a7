"""An event loop in which an hour passes in no time: instead of waiting, it moves its clock on.

Where real sockets are in it, it first gives what was sent the time to arrive: on a busy machine the
system hands a datagram over a moment later, even on loopback.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
# Real seconds, each time before the clock moves on.
MOMENT = 0.003


class _Hurry(selectors.DefaultSelector):
    """Waits for nothing: what it was asked to wait is passed on to the clock."""

    elapsed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everybody waits, and nothing will ever happen")
        ready = super().select(0)
        # One of them is the loop's own, by which threads wake it.
        if not ready and timeout > 0 and len(self.get_map()) > 1:
            ready = super().select(min(timeout, MOMENT))
        if not ready:
            self.elapsed += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._hurry = _Hurry()
        super().__init__(self._hurry)

    def time(self) -> float:
        return 1000.0 + self._hurry.elapsed


def in_virtual_time(story: Coroutine[Any, Any, T]) -> T:
    """Run a story to its end; its sleeps are exact and cost nothing."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(story)
