import asyncio
import contextlib
import socket
import subprocess
import sys
import threading

import pytest

from datd.naming.lookup import MAX_LOOKUPS, SystemLookup


async def test_the_system_is_asked():
    found = await SystemLookup().resolve("localhost", 443)
    assert {"127.0.0.1", "::1"} & {one["host"] for one in found}
    assert all((one["hostname"], one["port"]) == ("localhost", 443) for one in found)
    (only,) = {one["family"] for one in await SystemLookup().resolve("127.0.0.1", 1)}
    assert only == socket.AF_INET


@pytest.mark.parametrize("error", [socket.gaierror("nobody knows it"), UnicodeError("no name")])
async def test_what_the_system_cannot_tell_is_an_error(error):
    def refuse(host: str, port: int, family: int):
        raise error

    lookup = SystemLookup(refuse)
    for _ in range(2 * MAX_LOOKUPS):  # failures take no room
        with pytest.raises(type(error)):
            await lookup.resolve("x.example")


async def test_look_ups_that_were_given_up_still_count_until_they_end():
    asked = threading.Semaphore(0)
    answer = threading.Event()

    def hang(host: str, port: int, family: int):
        asked.release()
        assert answer.wait(30)
        return []

    lookup = SystemLookup(hang)
    for _ in range(MAX_LOOKUPS):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(lookup.resolve("x.example"), 0.001)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        waiting = group.create_task(lookup.resolve("x.example"))
        for _ in range(MAX_LOOKUPS):
            await asyncio.to_thread(asked.acquire)
        assert not asked.acquire(blocking=False)
        answer.set()
    assert waiting.result() == []


_ENDS = """
import asyncio, time
from datd.naming.lookup import SystemLookup

async def give_up():
    lookup = SystemLookup(lambda host, port, family: time.sleep(600))
    try:
        await asyncio.wait_for(lookup.resolve("x.example"), 0.01)
    except TimeoutError:
        print("given up")

asyncio.run(give_up())
"""


def test_c18_a_silent_name_server_does_not_hold_up_the_end_of_the_process():
    done = subprocess.run([sys.executable, "-c", _ENDS], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("given up\n", "", 0)
