"""An event loop in which an hour passes in no time: instead of waiting, it moves its clock on.

Where real sockets are in it, it first lets what was sent arrive: on a busy machine the system hands
a datagram over a moment later, even on loopback.
"""

import asyncio
import contextlib
import os
import random
import selectors
import socket
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
# Real seconds, each time before the clock moves on: for threads, which may be at work for somebody.
MOMENT = 0.003
# What arrives may be answered by the system itself, as a call to a port is, and that again.
ROUNDS = 3
# Real seconds until a word that the system has dropped is said again.
AGAIN = 5.0
# For what comes at once, on a very busy machine.
PATIENCE = 60.0
# Other systems keep the order of what goes over loopback by themselves.
_PINS = hasattr(os, "sched_setaffinity")


class _Echo:
    """Tells when all that this thread has sent over loopback is there.

    Each processor hands packets over in the order in which they were sent on it. A datagram to
    oneself comes behind the others, as long as the thread stays on one processor.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind(("127.0.0.1", 0))
            self._socket.connect(self._socket.getsockname())
            self._socket.settimeout(AGAIN)
        except OSError:
            self._socket.close()
            raise
        self._number = 0
        self._allowed = os.sched_getaffinity(0) if _PINS else set()
        if _PINS:
            os.sched_setaffinity(0, {random.SystemRandom().choice(sorted(self._allowed))})

    def wait(self) -> None:
        for _ in range(ROUNDS):
            self._number += 1
            self._call(self._number.to_bytes(8))

    def _call(self, word: bytes) -> None:
        """Say a word, and hear it: behind a flood the system may drop it, and then all else too."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self._socket.send(word)
            with contextlib.suppress(TimeoutError):
                while self._socket.recv(len(word)) != word:
                    pass  # one that was said twice
                return
        raise TimeoutError("nothing arrives over loopback")

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
            # Only a thread can still do something, and that takes real time.
            if not (ready := super().select(PATIENCE)):
                raise RuntimeError("everybody waits, and nothing will ever happen")
            return ready
        ready = super().select(0)
        if not ready and timeout > 0 and self._echo is not None and len(self.get_map()) > 1:
            self._echo.wait()
            ready = super().select(min(timeout, MOMENT))
        if not ready:
            self.elapsed += timeout
        return ready

    def close(self) -> None:
        try:
            super().close()
        finally:
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
