"""Work that blocks, done in a thread that nobody has to wait for, not even the end of the process.

The threads of an executor would be waited for. What asks the system for a name may hang for half a
minute, and nothing can end it (C-18).
"""

import asyncio
import contextlib
import errno
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def start(work: Callable[[], T], done: Callable[[T | Exception], None], *, name: str) -> None:
    """Run something beside the running event loop.

    Args:
        work: Blocks as long as it likes, in a thread of its own. It should read only what it was
            given: nothing tells it that nobody wants its result any more.
        done: Called once from the loop with what `work` gave, or with what it raised; never if the
            loop has ended by then. An OSError also says that the system has no thread left.
        name: Of the thread.
    """
    loop = asyncio.get_running_loop()

    def run() -> None:
        found: T | Exception
        try:
            found = work()
        except Exception as error:
            found = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(done, found)

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError as error:
        loop.call_soon(done, OSError(errno.EAGAIN, str(error)))
