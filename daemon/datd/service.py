"""A program that serves others until it is told to end: the frame around the servers of `datd`."""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Iterable

from datd import __version__, sdnotify
from datd.types import Address

log = logging.getLogger(__name__)


async def serve(
    what: str,
    addresses: Iterable[Address],
    *,
    clock: Callable[[], Coroutine[None, None, None]],
    tell: Callable[[], None],
) -> None:
    """Serve until SIGTERM or SIGINT; the log and the service manager hear of it.

    Everything is open by now, and stays so until this returns.

    Args:
        what: The program, for the log.
        addresses: Where it listens, for the log.
        clock: Does for ever what is to be done now and then.
        tell: Tells the log how things are: on SIGUSR1, and in the end.
    """
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGUSR1, tell)
    log.info("datd %s, %s", __version__, what)
    log.info("listening on UDP %s", ", ".join(map(str, addresses)))
    manager = sdnotify.Manager()
    manager.tell("READY=1")
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(one()) for one in (clock, manager.keep_told)]
        await stopped.wait()
        manager.end()
        for task in running:
            task.cancel()
    tell()
