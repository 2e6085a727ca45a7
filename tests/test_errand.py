import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from datd import errand


async def result_of(work: Callable[[], object]) -> object:
    """What is told of it, and that this comes from the loop."""
    told: asyncio.Future[tuple[object, threading.Thread]] = (
        asyncio.get_running_loop().create_future()
    )
    errand.start(
        work, lambda found: told.set_result((found, threading.current_thread())), name="errand"
    )
    async with asyncio.timeout(20):
        found, thread = await told
    assert thread is threading.current_thread()
    return found


async def test_work_is_done_beside_the_loop_and_told_to_it():
    names: list[str] = []

    def work() -> int:
        names.append(threading.current_thread().name)
        return 7

    assert await result_of(work) == 7
    assert names == ["errand"]


@pytest.mark.parametrize("error", [OSError("gone"), UnicodeError("no name"), ZeroDivisionError()])
async def test_what_is_raised_is_told(error):
    def work() -> None:
        raise error

    assert await result_of(work) is error


async def test_work_that_hangs_holds_up_nothing():
    go_on = threading.Event()
    told: list[object] = []
    errand.start(lambda: go_on.wait(30), told.append, name="errand")
    assert await result_of(lambda: 1) == 1
    assert told == []
    go_on.set()


async def test_no_thread_left_is_told_as_an_error_of_the_system():
    before = threading.stack_size(2**50)  # no address space has room for such a thread
    try:
        found = await result_of(lambda: 1)
    finally:
        threading.stack_size(before)
    assert isinstance(found, OSError)
    assert "thread" in str(found)


def test_who_comes_back_after_the_end_of_the_loop_finds_nobody_and_is_quiet(capsys):
    go_on = threading.Event()
    told: list[object] = []
    started: list[threading.Thread] = []

    async def story() -> None:
        ready = threading.Event()

        def work() -> None:
            started.append(threading.current_thread())
            ready.set()
            go_on.wait(20)

        errand.start(work, told.append, name="errand")
        await asyncio.to_thread(ready.wait, 20)

    asyncio.run(story())  # ends while the work is still being done
    go_on.set()
    started[0].join(20)
    assert not started[0].is_alive()
    assert told == []
    assert capsys.readouterr().err == ""


_ENDS = """
import asyncio, time
from datd import errand

async def main():
    errand.start(lambda: time.sleep(600), print, name="errand")
    print("given up")

asyncio.run(main())
"""


def test_c18_the_end_of_the_process_waits_for_no_errand():
    done = subprocess.run([sys.executable, "-c", _ENDS], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("given up\n", "", 0)
