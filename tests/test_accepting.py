import asyncio
import contextlib
import errno
import gc
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from datd.accepting import PAUSE_SECONDS, Entrance, listen
from datd.shortage import Shortage
from tests.helpers.pieces import has_ipv6
from tests.helpers.ports import free_port

ROOT = Path(__file__).parents[1]


class Greeting(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.WriteTransport, transport).write(b"hello")
        transport.close()


class Unmade(asyncio.Protocol):
    def __init__(self) -> None:
        raise ValueError("this one could not be made")


class Stumbling(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        raise ValueError("this one stumbles at once")


def listening(port: int = 0) -> socket.socket:
    return listen(("127.0.0.1", port), 128)


@contextmanager
def no_descriptors() -> Iterator[None]:
    """For this process: nothing more can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def heard(caller: socket.socket) -> bytes:
    async with asyncio.timeout(60):
        return await asyncio.get_running_loop().sock_recv(caller, 100)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What datd has logged: what an earlier test left behind may speak up at any time."""
    return [one.getMessage() for one in caplog.records if one.name.startswith("datd.")]


class Counted:
    """A listening socket that counts how often the system is asked for a connection."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.asked = 0

    def accept(self) -> tuple[socket.socket, Any]:
        self.asked += 1
        return self._listener.accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listener, name)


async def call(port: int) -> socket.socket:
    caller = socket.socket()
    caller.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(caller, ("127.0.0.1", port))
    except OSError:
        caller.close()
        raise
    return caller


def run_in(loop_kind: str, story: Coroutine[Any, Any, None]) -> None:
    factory = asyncio.new_event_loop
    if loop_kind == "uvloop":
        factory = pytest.importorskip("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(story)


BOTH_LOOPS = pytest.mark.parametrize("loop_kind", ["asyncio", "uvloop"])


@BOTH_LOOPS
def test_c17_who_calls_waits_while_no_descriptor_is_left(loop_kind, caplog):
    async def run() -> None:
        listener = Counted(listening())
        port = listener.getsockname()[1]
        # A minute in which nothing is said twice does not end, however slow this machine is.
        shortage = Shortage(lambda: 0.0)
        entrance = Entrance(cast(socket.socket, listener), Greeting, shortage, what="callers wait")
        early = [socket.socket() for _ in range(3)]
        with no_descriptors():
            for caller in early:
                caller.setblocking(False)
                await asyncio.get_running_loop().sock_connect(caller, ("127.0.0.1", port))
            begin = time.monotonic()
            await asyncio.sleep(2.2 * PAUSE_SECONDS)
            looks = 1 + (time.monotonic() - begin) / PAUSE_SECONDS
            assert 1 <= listener.asked <= looks + 1, "it asks the kernel again and again"
        for caller in [*early, await call(port)]:
            assert await heard(caller) == b"hello"
            caller.close()
        await entrance.close()

    run_in(loop_kind, run())
    (line,) = said(caplog)
    assert "callers wait" in line


async def calls_behind(fault: type[asyncio.Protocol]) -> list[bytes]:
    """What two callers hear behind one that cannot be taken."""
    kinds = iter([fault, Greeting, Greeting])
    listener = listening()
    port = listener.getsockname()[1]
    entrance = Entrance(listener, lambda: next(kinds)(), Shortage(time.monotonic), what="x")
    first, told = await call(port), []
    for _ in range(2):
        # What was closed for the first one is not closed again: its number is somebody else's.
        gc.collect()
        behind = await call(port)
        told.append(await heard(behind))
        behind.close()
    first.close()
    await entrance.close()
    return told


@BOTH_LOOPS
def test_a_caller_that_cannot_be_taken_does_no_harm_to_those_behind(loop_kind, caplog):
    async def run() -> None:
        assert await calls_behind(Unmade) == [b"hello", b"hello"]

    run_in(loop_kind, run())
    assert "this one could not be made" in caplog.text


def test_nor_does_one_that_stumbles_when_it_was_taken():
    # In a process of its own: such a fault of ours leaves a loop of uvloop that cannot be closed.
    pytest.importorskip("uvloop")
    script = (
        "import os, uvloop\n"
        "from tests.test_accepting import Stumbling, calls_behind\n"
        "async def run():\n"
        "    print(await calls_behind(Stumbling), flush=True)\n"
        "    os._exit(0)\n"
        "uvloop.run(run())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "[b'hello', b'hello']\n", done.stderr


async def test_a_closed_entrance_takes_nobody_and_gives_its_port_back():
    # Of our own: one that the system hands out may be somebody else's as soon as it is given back.
    listener = listening(port := free_port())
    entrance = Entrance(listener, Greeting, Shortage(time.monotonic), what="x")
    await entrance.close()
    with pytest.raises(ConnectionRefusedError):
        await call(port)


@BOTH_LOOPS
def test_l1_many_callers_are_taken_in_few_turns_of_a_busy_loop(loop_kind):
    async def run() -> None:
        listener = listening()
        address = listener.getsockname()
        taken = 0

        class Seen(Greeting):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                nonlocal taken
                taken += 1
                super().connection_made(transport)

        callers = [socket.create_connection(address) for _ in range(60)]
        entrance = Entrance(listener, Seen, Shortage(time.monotonic), what="x")
        turns = 0
        while (before := taken) < len(callers):
            await asyncio.sleep(0)
            # The last ones may get into the queue of the system a moment later.
            turns += taken > before
        assert turns < 30
        for caller in callers:
            caller.close()
        await entrance.close()

    run_in(loop_kind, run())


@BOTH_LOOPS
def test_c18_who_was_taken_is_known_before_the_entrance_is_closed(loop_kind):
    async def run() -> None:
        listener = listening()
        met: list[asyncio.BaseTransport] = []

        class Met(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                met.append(transport)

        with socket.create_connection(listener.getsockname()) as caller:
            taken = asyncio.Event()

            def protocol() -> Met:
                taken.set()
                return Met()

            entrance = Entrance(listener, protocol, Shortage(time.monotonic), what="x")
            async with asyncio.timeout(60):
                await taken.wait()
            await entrance.close()
            # Whoever ends afterwards finds it, and can end it too.
            cast(asyncio.WriteTransport, met[0]).abort()
            caller.setblocking(False)
            with contextlib.suppress(ConnectionResetError):
                assert await heard(caller) == b""

    run_in(loop_kind, run())


class Refusing:
    """A listening socket whose system has some trouble before the next connection is there."""

    def __init__(self, listener: socket.socket, errors: list[int]) -> None:
        self._listener = listener
        self._errors = errors

    def accept(self) -> tuple[socket.socket, Any]:
        if self._errors:
            number = self._errors.pop(0)
            raise OSError(number, os.strerror(number))
        return self._listener.accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listener, name)


@BOTH_LOOPS
@pytest.mark.parametrize(
    "number",
    [errno.ECONNABORTED, errno.EPROTO, errno.ENOBUFS, errno.EPERM, errno.EHOSTUNREACH, errno.EIO],
)
def test_c17_no_error_of_the_system_keeps_the_next_caller_out(loop_kind, number, caplog):
    async def run() -> None:
        listener = listening()
        troubled = cast(socket.socket, Refusing(listener, [number, number]))
        entrance = Entrance(troubled, Greeting, Shortage(time.monotonic), what="x")
        caller = await call(listener.getsockname()[1])
        assert await heard(caller) == b"hello"
        caller.close()
        await entrance.close()

    run_in(loop_kind, run())
    # Those of an earlier test, of whatever it left behind, are none of ours.
    faults = [one for one in caplog.records if one.exc_info is not None]
    assert not [one for one in faults if one.name.startswith("datd.") or "accept" in one.msg]


@BOTH_LOOPS
def test_c17_c18_an_entrance_is_closed_while_its_callers_wait(loop_kind):
    async def run() -> None:
        listener = listening()
        troubled = cast(socket.socket, Refusing(listener, [errno.EMFILE] * 1_000))
        entrance = Entrance(troubled, Greeting, Shortage(time.monotonic), what="x")
        caller = await call(listener.getsockname()[1])
        async with asyncio.timeout(60):
            await entrance.close()
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.get_running_loop().sock_recv(caller, 1) == b""
        caller.close()

    run_in(loop_kind, run())


@pytest.mark.skipif(not has_ipv6(), reason="this host has no IPv6")
def test_ipv6_and_ipv4_take_the_same_number_side_by_side():
    port = free_port()
    with listen(("0.0.0.0", port), 8), listen(("::", port), 8):
        for host in ("0.0.0.0", "::"):
            with pytest.raises(OSError, match="in use"):
                listen((host, port), 8)
