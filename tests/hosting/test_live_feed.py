import asyncio
from itertools import count

import pytest
from tests.helpers.feeds import feed_of, sparse_copy

from datd.errors import Timeout
from datd.hosting.live_feed import LiveFeed


def live(*held: int, length: int = 10) -> LiveFeed:
    """A reader's feed of which some blocks are here; the last of them makes the length known."""
    source = feed_of([b"%d" % n * 10 for n in range(length)])
    copy = sparse_copy(source, held)
    return LiveFeed(copy, copy.have, copy.present_bytes, choose=lambda limit: 0)


def urgent(feed: LiveFeed) -> bool:
    return feed.picker.urgent


async def test_who_waits_wakes_with_the_first_of_his_blocks():
    feed = live(0)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(feed.arrival([0, 4, 5]))
        await asyncio.sleep(0)
        assert urgent(feed)
        feed.stored([5])
        await asyncio.sleep(0)
        assert not waiting.done()
        feed.stored([4])
        await asyncio.sleep(0)
        assert waiting.done()
    assert not urgent(feed)


async def test_what_is_here_is_not_waited_for():
    feed = live(0, 4)
    async with asyncio.timeout(1):
        await feed.arrival([0, 4])


async def test_one_reader_who_gives_up_takes_nothing_from_another():
    feed = live(0)
    async with asyncio.TaskGroup() as group:
        first, second = (group.create_task(feed.arrival([4])) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        assert urgent(feed)
        assert second in asyncio.all_tasks()
        second.cancel()
        await asyncio.sleep(0)
        assert not urgent(feed)
    assert not feed._readers


async def test_who_gives_up_waiting_for_a_longer_feed_leaves_nothing_behind():
    feed = live(0)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await feed.longer()
    assert not feed._listeners
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(feed.longer())
        await asyncio.sleep(0)
        feed._reached()
    assert waiting.done()
    assert not feed._listeners


async def test_refused_readers_hear_why_and_leave_nothing_behind():
    feed = live(0)
    async with asyncio.TaskGroup() as group:

        async def reader(block: int) -> None:
            with pytest.raises(Timeout, match="closed"):
                await feed.arrival([block])

        for block in (3, 3, 7):
            group.create_task(reader(block))
        await asyncio.sleep(0)
        feed.refuse(Timeout("closed"))
    assert not feed._readers
    assert not urgent(feed)


async def test_blocks_that_are_lost_are_wanted_again():
    feed = live(*range(10))
    feed.picker.want_all()
    assert feed.picker.missing_count == 0
    feed.lost([3, 4])
    assert feed.picker.missing_count == 2
    assert feed.available(0, 10) == 8
    assert feed.available(3, 5) == 0
    assert feed.available(8, 100) == 2


async def test_requests_are_planned_with_the_size_that_blocks_of_this_feed_have():
    assert live(*range(10)).picker.expected_size == 10
    unknown = live()
    assert unknown.picker.expected_size == 65536


async def test_many_readers_of_many_blocks_all_wake():
    feed = live(0, length=500)
    numbers = count()
    async with asyncio.TaskGroup() as group:
        for block in range(1, 500):
            group.create_task(feed.arrival([block, block + 1]))
            next(numbers)
        await asyncio.sleep(0)
        for block in range(1, 500):
            feed.stored([block])
    assert not feed._readers
    assert next(numbers) == 499
