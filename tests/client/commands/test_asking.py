import asyncio
import contextlib
import fcntl
import os
import signal
import sys
import termios
from pathlib import Path

import pytest
from tests.helpers.libraries import until

from datctl.commands import asking
from datctl.errors import UsageError


class Person:
    """Both ends of a terminal."""

    def __init__(self, answer="", there=True):
        self.answer, self.there, self.told = answer, there, ""

    def isatty(self):
        return self.there

    def readline(self):
        return self.answer

    def write(self, text):
        self.told += text

    def flush(self):
        pass


@pytest.mark.parametrize(
    ("answer", "agrees"),
    [("y\n", True), (" YES \n", True), ("n\n", False), ("\n", False), ("", False), ("yo\n", False)],
)
def test_only_yes_is_yes(monkeypatch, answer, agrees):
    person = Person(answer)
    monkeypatch.setattr(sys, "stdin", person)
    monkeypatch.setattr(sys, "stderr", person)
    assert asking.agrees("Really?") is agrees
    assert person.told.startswith("Really? [y/N] ")


def test_a_script_is_told_how_to_agree(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Person(there=False))
    with pytest.raises(UsageError, match=r"remove asks .* --yes"):
        asking.require_person("remove")


def sleeps(pid):
    """Whether the main thread of a process waits for something."""
    return Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


@pytest.mark.parametrize(
    "line", [("put", "mine/x", "-"), ("keys", "import"), ("add", "--from", "-")]
)
async def test_ctrl_c_ends_what_waits_for_input(started, dat, line):
    await dat.create(name="mine")
    reader, writer = os.pipe()
    process = await started(*line, stdin=reader)
    try:
        os.write(writer, b"#")
        await until(lambda: fcntl.ioctl(reader, termios.FIONREAD, bytes(4)) == bytes(4), 120)
        # That one was read, and now it waits for more: a signal that comes a moment earlier, on the
        # way from one read to the next, is heard after that one only.
        await until(lambda: sleeps(process.pid), 120)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(120):
            out, err = await process.communicate()
    finally:
        os.close(reader)
        os.close(writer)
    assert (process.returncode, out, err) == (130, b"", b"")


async def test_ctrl_c_that_came_a_moment_ago_is_not_forgotten():
    task = asyncio.current_task()
    assert task is not None
    before = signal.getsignal(signal.SIGINT)
    task.cancel()
    try:
        with pytest.raises(asyncio.CancelledError), asking.interruptible():
            pytest.fail("it would wait for input")
    finally:
        task.uncancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_is_ignored_stays_so(number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with asking.interruptible():
            assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)
