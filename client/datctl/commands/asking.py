"""Questions to the person at the terminal, and reading what comes from there or a pipe."""

import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from datctl import output
from datctl.errors import UsageError


def require_person(verb: str) -> None:
    """Check that somebody is here who can be asked.

    Raises:
        UsageError: A script runs the verb.
    """
    if not sys.stdin.isatty() or not sys.stderr.isatty():
        raise UsageError(f"{verb} asks before it deletes, and nobody is here to answer: give --yes")


def agrees(question: str) -> bool:
    """Whether the answer is yes; anything else is no."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    with interruptible():
        answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        output.note("")  # the line was left with Ctrl-D
    return answer.strip().lower() in {"y", "yes"}


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP end what waits for standard input, for the time of a `with`.

    Elsewhere they cancel a task of the event loop, which stands still while a read blocks.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ending: dict[signal.Signals, Any] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    before = {number: signal.getsignal(number) for number in ending}
    try:
        for number, handler in ending.items():
            # What was ignored by whoever started us stays so.
            if before[number] is not signal.SIG_IGN:
                signal.signal(number, handler)
        _require_wanted()
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _require_wanted() -> None:
    """Check that Ctrl-C did not come a moment ago: its task hears of it when nothing is read."""
    with contextlib.suppress(RuntimeError):  # no loop
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
