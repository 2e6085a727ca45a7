import asyncio
import sys

from tests.helpers.virtual_time import in_virtual_time

from datd.transport.bandwidth import Bandwidth, Limit
from datd.transport.bucket import QUANTUM, Account


class Reader:
    """Uses what it gets, as fast as it may."""

    def __init__(self, limit, size):
        self.used = 0
        self._limit = limit
        self._size = size
        self._may = asyncio.Event()
        self.account = Account(self._may.set)

    async def run(self):
        while True:
            self._may.clear()
            self._limit.owe(self.account, self._size)
            if self.account.owed:
                await self._may.wait()
            self.used += self._size
            await asyncio.sleep(0.001)


async def used(limit, sizes, seconds):
    readers = [Reader(limit, size) for size in sizes]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(reader.run()) for reader in readers]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
    return [reader.used for reader in readers]


def test_all_together_keep_to_the_rate():
    async def story():
        limit = Limit()
        limit.set(1_000_000)
        found = await used(limit, [16_384, QUANTUM, 300_000], 100.0)
        # What nobody used before may be used at once: a second's.
        assert 95e6 < sum(found) < 106e6
        assert min(found) > 30e6

    in_virtual_time(story())


def test_each_direction_has_a_limit_of_its_own():
    async def story():
        bandwidth = Bandwidth()
        bandwidth.upload.set(100_000)
        (fast,) = await used(bandwidth.download, [1_000_000], 1.0)
        (slow,) = await used(bandwidth.upload, [10_000], 10.0)
        assert fast > 100_000_000
        assert slow < 1_200_000

    in_virtual_time(story())


def test_a_change_reaches_those_who_wait():
    async def story():
        loop, limit, freed = asyncio.get_running_loop(), Limit(), asyncio.Event()
        limit.set(16_000)
        account = Account(freed.set)
        limit.owe(account, 100_000_000)
        assert limit.waiting == 1
        limit.set(50_000_000)
        began = loop.time()
        await freed.wait()
        assert 1.9 < loop.time() - began < 2.1
        limit.set(16_000)
        freed.clear()
        limit.owe(account, 100_000_000)
        limit.set(None)
        assert freed.is_set()
        assert limit.rate is None
        # Nothing is left that would turn the loop.
        limit.owe(account, 10**12)
        assert account.owed == 0

    in_virtual_time(story())


def test_no_timer_is_left_when_all_have_gone():
    async def story():
        limit = Limit()
        limit.set(16_000)
        accounts = [Account(lambda: None) for _ in range(3)]
        for account in accounts:
            limit.owe(account, 10**9)
        for account in accounts:
            limit.close(account, unused=account.owed)
        assert limit.waiting == 0
        assert limit._timer is None

    in_virtual_time(story())


def test_without_a_limit_nothing_is_allocated():
    limit = Limit()
    account = Account(lambda: None)
    before = sys.getallocatedblocks()
    for _ in range(10_000):
        limit.owe(account, 4096)
    # Other threads of this process may have allocated some of their own.
    assert sys.getallocatedblocks() - before < 1000
