import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from datd.hosting.lane import Lane


@pytest.fixture
def executor():
    with ThreadPoolExecutor(4) as pool:
        yield pool


async def test_calls_run_one_at_a_time_and_in_order(executor):
    lane = Lane(executor)
    seen: list[int] = []
    inside = threading.Semaphore(1)

    def call(number: int) -> int:
        assert inside.acquire(blocking=False), "two calls met"
        seen.append(number)
        inside.release()
        return number * 2

    results = await asyncio.gather(*(lane.run(call, number) for number in range(200)))
    assert seen == list(range(200))
    assert results == [number * 2 for number in range(200)]
    assert lane.idle


async def test_lanes_do_not_wait_for_one_another(executor):
    first, second = Lane(executor), Lane(executor)
    released = threading.Event()
    stuck = asyncio.ensure_future(first.run(released.wait, 60))  # noqa: TID251
    assert await second.run(lambda: "passed") == "passed"
    released.set()
    assert await stuck


async def test_an_error_reaches_the_caller_and_the_lane_goes_on(executor):
    lane = Lane(executor)
    with pytest.raises(ZeroDivisionError):
        await lane.run(lambda: 1 // 0)
    assert await lane.run(lambda: 7) == 7


async def test_a_call_handed_over_is_finished_even_if_nobody_waits_any_more(executor):
    lane = Lane(executor)
    started, go, done = threading.Event(), threading.Event(), threading.Event()

    def write() -> None:
        started.set()
        go.wait(60)
        done.set()

    waiting = asyncio.ensure_future(lane.run(write))  # noqa: TID251
    assert await asyncio.to_thread(started.wait, 60)
    waiting.cancel()
    go.set()
    assert await lane.run(done.is_set)


async def test_what_came_of_a_call_is_told_even_if_nobody_waits_any_more(executor):
    lane = Lane(executor)
    go = threading.Event()
    told: list[int] = []

    def write() -> int:
        go.wait(60)
        return 7

    waiting = asyncio.ensure_future(lane.run_and_tell(told.append, write))  # noqa: TID251
    await asyncio.sleep(0)
    waiting.cancel()
    go.set()
    assert await lane.run(lambda: 8) == 8
    assert told == [7]
    assert await lane.run_and_tell(told.append, lambda: 9) == 9
    assert told == [7, 9]


async def test_a_call_that_failed_is_not_told_and_a_fault_in_telling_reaches_the_caller(executor):
    lane = Lane(executor)
    told: list[float] = []
    with pytest.raises(ZeroDivisionError):
        await lane.run_and_tell(told.append, lambda: 1 / 0)
    assert told == []
    with pytest.raises(IndexError):
        await lane.run_and_tell(told.__delitem__, lambda: 5)
    assert await lane.run(lambda: 7) == 7
