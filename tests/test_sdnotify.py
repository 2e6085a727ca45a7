import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from datd import sdnotify

READY = b"READY=1"
ALIVE = b"WATCHDOG=1"
OTHERS = b"of another service"


@pytest.fixture(autouse=True)
def nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def listening(monkeypatch: pytest.MonkeyPatch, name: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", name.replace("\0", "@"))
        yield manager


async def hear(manager: socket.socket) -> bytes:
    async with asyncio.timeout(60):
        return await asyncio.get_running_loop().sock_recv(manager, 100)


@contextlib.asynccontextmanager
async def kept_told(told: sdnotify.Manager):
    async with asyncio.TaskGroup() as group:
        task = group.create_task(told.keep_told())
        yield
        task.cancel()


@pytest.mark.parametrize("abstract", [False, True])
async def test_the_manager_hears_the_states_in_their_order(tmp_path, monkeypatch, abstract):
    name = f"\0datd-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with listening(monkeypatch, name) as manager:
        told = sdnotify.Manager()
        told.tell("READY=1")
        async with kept_told(told):
            assert await hear(manager) == READY
            told.tell("RELOADING=1")
            told.tell("READY=1")
            assert [await hear(manager), await hear(manager)] == [b"RELOADING=1", READY]
        told.end()
        assert await hear(manager) == b"STOPPING=1"


async def test_nothing_happens_without_a_manager(tmp_path: Path, monkeypatch):
    told = sdnotify.Manager()
    told.tell("READY=1")
    await told.keep_told()  # there is nobody to tell: it ends
    told.end()
    with listening(monkeypatch, str(tmp_path / "notify")) as manager:
        async with kept_told(told):
            told.tell("READY=1")
            assert await hear(manager) == READY, "and nothing of before"
            manager.close()
            (tmp_path / "notify").unlink()
            told.tell("RELOADING=1")  # it went away
            told.end()


async def test_the_manager_is_told_again_and_again_that_we_live(tmp_path, monkeypatch):
    with listening(monkeypatch, str(tmp_path / "notify")) as manager:
        monkeypatch.setenv("WATCHDOG_USEC", "2000")
        async with kept_told(sdnotify.Manager()):
            for _ in range(3):
                assert await hear(manager) == ALIVE


async def test_a_manager_without_room_is_not_waited_for_and_hears_all_later(tmp_path, monkeypatch):
    name = str(tmp_path / "notify")
    with listening(monkeypatch, name) as manager:
        told = sdnotify.Manager()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.setblocking(False)
            other.connect(name)
            with contextlib.suppress(BlockingIOError):
                while other.send(OTHERS):
                    pass
            told.tell("READY=1")
            async with kept_told(told):
                await asyncio.sleep(0)  # it was tried, in vain
                told.tell("STATUS=busy")
                told.end()
                heard = [await hear(manager)]
                while heard[-1] == OTHERS:
                    heard.append(await hear(manager))
                assert heard[-1] == READY
                assert await hear(manager) == b"STATUS=busy"


def test_the_watchdog_is_fed_twice_in_its_time(monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert sdnotify.watchdog_seconds() == 15
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert sdnotify.watchdog_seconds() is None
