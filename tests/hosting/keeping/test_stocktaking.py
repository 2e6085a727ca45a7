import asyncio
import logging

from datd.errors import StorageError
from datd.hosting.keeping.stocktaking import StockTaking


class Counter:
    """Counts, once it is let."""

    def __init__(self) -> None:
        self.turns = 0
        self.go = asyncio.Event()
        self.fault: Exception | None = None

    async def __call__(self) -> None:
        self.turns += 1
        await self.go.wait()
        if self.fault is not None:
            raise self.fault


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_one_count_runs_at_a_time_and_changes_meanwhile_cost_one_more():
    async with asyncio.TaskGroup() as group:
        count = Counter()
        stock = StockTaking(group.create_task, count)
        for _ in range(5):
            stock.soon()
        await settle()
        assert count.turns == 1
        for _ in range(5):
            stock.soon()
        await settle()
        assert count.turns == 1
        count.go.set()
        await settle()
        assert count.turns == 2
        stock.soon()
        await settle()
        assert count.turns == 3


async def test_a_change_in_the_last_moment_is_not_forgotten():
    async with asyncio.TaskGroup() as group:
        count = Counter()
        count.go.set()
        stock = StockTaking(group.create_task, count)
        stock.soon()
        for turn in range(2, 12):
            while count.turns < turn:
                # At whatever step of the task it comes.
                stock.soon()
                await asyncio.sleep(0)


async def test_a_fault_ends_neither_the_group_nor_later_counts(caplog):
    async with asyncio.TaskGroup() as group:
        count = Counter()
        count.go.set()
        stock = StockTaking(group.create_task, count)
        for fault in (StorageError("disk"), ZeroDivisionError("a bug of ours")):
            count.fault = fault
            stock.soon()
            await settle()
        count.fault = None
        stock.soon()
        await settle()
        assert count.turns == 3
    # Not what the event loop says of tasks that an earlier test left to the collector.
    ours = [record for record in caplog.records if record.name.startswith("datd")]
    assert [record.levelno for record in ours] == [logging.ERROR]  # of the bug only


async def test_a_count_that_is_cancelled_before_its_first_step_is_over():
    async with asyncio.TaskGroup() as group:
        count = Counter()
        stock = StockTaking(group.create_task, count)
        stock.soon()
        await stock.cancel()
        assert count.turns == 0
        stock.soon()
        await settle()
        assert count.turns == 1
        await stock.cancel()
        await stock.cancel()
