"""An event loop in which an hour passes in no time: instead of waiting, it moves its clock on.

Where real sockets are in it, it first lets what was sent arrive: on a busy machine the system hands
a datagram over a moment later, even on loopback.
"""

import asyncio
import os
import random
import selectors
import socket
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
# Real seconds, each time before the clock moves on: for threads, which may be at work for somebody.
MOMENT = 0.003
# What arrives may be answered by the system itself, as a call to a port is, and that again.
ROUNDS = 3
# Other systems keep the order of what goes over loopback by themselves.
_PINS = hasattr(os, "sched_setaffinity")


class _Echo:
    """Tells when all that this thread has sent over loopback is there.

    Each processor hands packets over in the order in which they were sent on it. A datagram to
    oneself comes behind the others, as long as the thread stays on one processor.
    """

    def __init__(self) -> None:
        self._allowed = os.sched_getaffinity(0) if _PINS else set()
        if _PINS:
            os.sched_setaffinity(0, {random.SystemRandom().choice(sorted(self._allowed))})
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.connect(self._socket.getsockname())
        self._socket.settimeout(60)

    def wait(self) -> None:
        for _ in range(ROUNDS):
            self._socket.send(b"?")
            self._socket.recv(1)

    def close(self) -> None:
        self._socket.close()
        if _PINS:
            os.sched_setaffinity(0, self._allowed)


class _Hurry(selectors.DefaultSelector):
    """Waits for nothing: what it was asked to wait is passed on to the clock."""

    elapsed = 0.0
    _echo: _Echo | None = None

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = super().register(fileobj, events, data)
        # One of them is the loop's own, by which threads wake it.
        if self._echo is None and len(self.get_map()) > 1:
            self._echo = _Echo()
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everybody waits, and nothing will ever happen")
        ready = super().select(0)
        if not ready and timeout > 0 and self._echo is not None and len(self.get_map()) > 1:
            self._echo.wait()
            ready = super().select(min(timeout, MOMENT))
        if not ready:
            self.elapsed += timeout
        return ready

    def close(self) -> None:
        super().close()
        if self._echo is not None:
            self._echo.close()
            self._echo = None


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
