import asyncio
import os
import signal
import socket

import pytest

from datd import service
from datd.types import Address

PATIENCE = 60.0


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """The service manager's ear."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(PATIENCE)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.delenv("WATCHDOG_USEC", raising=False)
        yield ear


class Program:
    """What a server does while it serves."""

    def __init__(self) -> None:
        self.told = 0
        self.ticks = 0
        self.asked = asyncio.Event()

    def tell(self) -> None:
        self.told += 1
        self.asked.set()

    async def clock(self) -> None:
        while True:
            self.ticks += 1
            await asyncio.sleep(0)

    async def serve(self) -> None:
        addresses = [Address("127.0.0.1", 1), Address("::1", 2)]
        await service.serve("a server", addresses, clock=self.clock, tell=self.tell)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_serves_until_it_is_told_to_end(manager, caplog, number):
    caplog.set_level("INFO", service.log.name)
    program = Program()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        serving = group.create_task(program.serve())
        assert await asyncio.to_thread(manager.recv, 100) == b"READY=1"
        told = [one.getMessage() for one in caplog.records if one.name == service.log.name]
        assert told[0].endswith(", a server")
        assert told[1] == "listening on UDP 127.0.0.1:1, [::1]:2"
        os.kill(os.getpid(), signal.SIGUSR1)
        await program.asked.wait()
        assert (program.told, serving.done()) == (1, False)
        os.kill(os.getpid(), number)
        await serving
    assert program.ticks > 0
    assert program.told == 2
    assert manager.recv(100) == b"STOPPING=1"


async def test_a_clock_that_fails_ends_it(manager):
    async def clock() -> None:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as raised:
        await service.serve("a server", [], clock=clock, tell=lambda: None)
    assert raised.group_contains(ZeroDivisionError)
