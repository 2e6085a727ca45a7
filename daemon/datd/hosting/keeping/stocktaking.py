"""A count that runs in the background whenever something has changed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from datd.errors import DatdError

log = logging.getLogger(__name__)

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class StockTaking:
    """Runs one count at a time; what changes meanwhile is looked at in another turn."""

    def __init__(self, spawn: Spawn, count: Callable[[], Awaitable[None]]) -> None:
        """Nothing runs before `soon`.

        Args:
            spawn: Runs a coroutine in a task.
            count: Takes stock once. What it raises ends this turn and nothing else.
        """
        self._spawn = spawn
        self._count = count
        self._task: asyncio.Task[None] | None = None
        self._changed = False

    def soon(self) -> None:
        """Something has changed: count, or count again."""
        self._changed = True
        if self._task is None:
            self._task = self._spawn(self._run())
            # By callback: a task that is cancelled before its first step reaches no `finally`.
            self._task.add_done_callback(self._ended)

    async def cancel(self) -> None:
        """End a count that runs."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while self._changed:
            self._changed = False
            try:
                await self._count()
            except DatdError:
                pass  # closed meanwhile, or the disk failed: then the archive's state says so
            except Exception:
                # Nobody waits for this task, and its fault must not end the daemon.
                log.exception("taking stock failed")

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if self._changed and not task.cancelled():
            self.soon()  # it was asked for when the task had just gone through
