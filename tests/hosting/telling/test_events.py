import asyncio
import itertools
import sqlite3
from contextlib import asynccontextmanager

import pytest
from tests.helpers.libraries import story, until

from datd.books import events as journal
from datd.catalogue import Catalogue
from datd.errors import StorageError
from datd.hosting.telling import events
from datd.hosting.telling.events import BATCH_SECONDS, MAX_WAITING, RECENT, VERSION_SECONDS, Events
from datd.keys import Key

KEY = Key(b"\xaa" * 32)


class CountingCatalogue(Catalogue):
    """The real one; its transactions are counted, and can be refused as a full disk does it."""

    transactions = 0
    full = False

    async def together(self, call):
        self.transactions += 1
        if self.full:
            raise StorageError("the disk is full")
        return await super().together(call)


class Listener:
    """Notes what there was, each time it is called."""

    def __init__(self, happened):
        self.happened = happened
        self.seen = []
        happened.listen(self)

    def news(self):
        after = self.seen[-1].id if self.seen else 0
        self.seen += self.happened.recent(after, RECENT) or []

    @property
    def kinds(self):
        return [event.kind for event in self.seen]


@asynccontextmanager
async def happening(folder, wall=1e9):
    loop = asyncio.get_running_loop()
    catalogue = CountingCatalogue(folder / "catalogue.sqlite3")
    await catalogue.open()
    async with asyncio.TaskGroup() as group:
        made = Events(catalogue, spawn=group.create_task, clock=loop.time, wall_clock=lambda: wall)
        await made.start()
        yield made, catalogue
        await made.close()
    await catalogue.close()


def told(of, folder):
    async def run():
        async with happening(folder) as (happened, catalogue):
            await of(happened, catalogue)

    story(run())


def test_what_is_told_is_shown_in_its_order_and_is_durable_then(tmp_path):
    async def of(happened, catalogue):
        listener = Listener(happened)
        happened.tell("archive.paused", KEY)
        happened.tell("job.started", KEY, job="1")
        await until(lambda: len(listener.seen) == 2)
        assert listener.kinds == ["archive.paused", "job.started"]
        with sqlite3.connect(tmp_path / "catalogue.sqlite3") as other:
            assert other.execute("SELECT count(*) FROM events").fetchone() == (2,)

    told(of, tmp_path)


def test_one_that_comes_alone_is_shown_at_once_and_many_share_transactions(tmp_path):
    async def of(happened, catalogue):
        listener, loop = Listener(happened), asyncio.get_running_loop()
        begun = loop.time()
        happened.tell("archive.paused", KEY)
        await until(lambda: listener.seen)
        assert loop.time() - begun < BATCH_SECONDS
        before = catalogue.transactions
        for _ in range(100):
            happened.tell("archive.paused", KEY)
            await asyncio.sleep(BATCH_SECONDS / 20)
        await until(lambda: len(listener.seen) == 101)
        assert catalogue.transactions - before <= 7

    told(of, tmp_path)


def test_nothing_runs_while_nothing_happens(tmp_path):
    async def of(happened, catalogue):
        happened.tell("archive.paused", KEY)
        await asyncio.sleep(1)
        assert len(asyncio.all_tasks()) == 1

    told(of, tmp_path)


def test_an_event_is_written_with_the_change_it_tells_of_or_not_at_all(tmp_path):
    async def of(happened, catalogue):
        listener = Listener(happened)
        write = happened.beside("archive.added", KEY)
        await catalogue.together(write)
        await until(lambda: listener.seen)
        lost = happened.beside("archive.removed", KEY)

        def fails(database):
            lost(database)
            raise sqlite3.OperationalError("disk I/O error")

        with pytest.raises(StorageError):
            await catalogue.together(fails)
        happened.tell("archive.paused", KEY)
        await until(lambda: len(listener.seen) == 2)
        assert [(e.id, e.kind) for e in listener.seen] == [
            (1, "archive.added"), (2, "archive.paused"),
        ]  # fmt: skip

    told(of, tmp_path)


def test_versions_that_follow_one_another_fast_are_told_together(tmp_path):
    async def of(happened, catalogue):
        listener, loop = Listener(happened), asyncio.get_running_loop()
        begun = loop.time()
        for version in range(1, 41):
            happened.version(KEY, version - 1, version)
            await asyncio.sleep(0.1)
        await asyncio.sleep(2)
        spans = [(e.fields["previous"], e.fields["version"]) for e in listener.seen]
        assert spans[0] == (0, 1)
        assert spans[-1][1] == 40
        # None is left out, and none told twice.
        assert all(one[1] == two[0] for one, two in itertools.pairwise(spans))
        assert len(spans) <= 2 + (loop.time() - begun) / VERSION_SECONDS

    told(of, tmp_path)


def test_a_version_that_waits_is_told_before_what_comes_after_it(tmp_path):
    async def of(happened, catalogue):
        listener = Listener(happened)
        happened.version(KEY, 0, 1)
        happened.version(KEY, 1, 2)
        happened.tell("archive.complete", KEY, version=2)
        await until(lambda: len(listener.seen) == 3)
        assert listener.kinds == ["archive.version", "archive.version", "archive.complete"]

    told(of, tmp_path)


def test_what_waits_at_the_end_is_written_and_numbers_go_on(tmp_path):
    async def of(happened, catalogue):
        assert happened.newest == 0
        happened.version(KEY, 0, 1)
        happened.version(KEY, 1, 2)
        happened.tell("daemon.stopping")

    async def after(happened, catalogue):
        assert (happened.oldest, happened.newest) == (1, 3)
        found, reach = await happened.kept(0, 10)
        assert sorted(event.kind for event in found) == [
            "archive.version", "archive.version", "daemon.stopping",
        ]  # fmt: skip
        assert reach == 3

    told(of, tmp_path)
    told(after, tmp_path)


def test_what_is_told_after_the_end_is_nothing(tmp_path):
    async def of(happened, catalogue):
        await happened.close()
        happened.tell("archive.paused", KEY)
        assert happened.ended

    told(of, tmp_path)
    told(lambda happened, _: asyncio.sleep(happened.newest * 1e9), tmp_path)


def test_a_full_disk_holds_events_up_and_loses_none(tmp_path):
    async def of(happened, catalogue):
        listener = Listener(happened)
        catalogue.full = True
        happened.tell("disk.full", KEY)
        await asyncio.sleep(1)
        happened.tell("archive.paused", KEY)
        await asyncio.sleep(20)
        assert listener.seen == []
        catalogue.full = False
        await until(lambda: len(listener.seen) == 2)
        assert listener.kinds == ["disk.full", "archive.paused"]

    told(of, tmp_path)


def test_of_what_waits_for_a_full_disk_only_so_much_is_kept(tmp_path):
    async def of(happened, catalogue):
        catalogue.full = True
        for number in range(MAX_WAITING + 7):
            happened.tell("archive.paused", KEY, number=number)
        await asyncio.sleep(20)
        catalogue.full = False
        await until(lambda: happened.newest == MAX_WAITING, 60)
        (first,), _ = await happened.kept(0, 1)
        assert first.fields["number"] == 7

    told(of, tmp_path)


def test_a_full_disk_does_not_keep_the_daemon_from_ending(tmp_path):
    async def of(happened, catalogue):
        catalogue.full = True
        happened.tell("archive.paused", KEY)
        await asyncio.sleep(1)

    told(of, tmp_path)


def test_the_journal_does_not_grow_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(journal.prune, "__kwdefaults__", {"most": 50})
    monkeypatch.setattr(events, "_PRUNE_EVENTS", 20)

    async def of(happened, catalogue):
        for _ in range(300):
            happened.tell("archive.paused", KEY)
            await asyncio.sleep(0.02)
        await asyncio.sleep(1)
        assert happened.newest == 300
        assert 300 - 80 < happened.oldest <= 251
        found, _ = await happened.kept(0, 999)
        assert [found[0].id, found[-1].id] == [happened.oldest, 300]

    told(of, tmp_path)


def test_what_lies_too_far_back_is_not_in_memory(tmp_path):
    async def of(happened, catalogue):
        for _ in range(RECENT + 5):
            happened.tell("archive.paused", KEY)
        await until(lambda: happened.newest == RECENT + 5)
        assert happened.recent(4, 9) is None
        assert [event.id for event in happened.recent(5, 2)] == [6, 7]
        assert [event.id for event in happened.recent(RECENT + 3, 9)] == [RECENT + 4, RECENT + 5]
        assert happened.recent(RECENT + 5, 9) == happened.recent(9 * RECENT, 9) == []

    told(of, tmp_path)


@pytest.mark.parametrize("year", [1970, 2040])
def test_a_clock_that_is_wrong_loses_no_event(tmp_path, year):
    async def begin():
        async with happening(tmp_path) as (happened, _):
            for _ in range(3):
                happened.tell("archive.paused", KEY)

    async def go_on():
        async with happening(tmp_path, wall=(year - 1970) * 3.2e7) as (happened, _):
            happened.tell("archive.resumed", KEY)
            await asyncio.sleep(2 * 3600)
            found, _ = await happened.kept(0, 9)
            assert [event.id for event in found] == [1, 2, 3, 4]

    story(begin())
    story(go_on())


def test_c19_what_cannot_be_written_is_said_once_a_minute(tmp_path, caplog):
    async def of(happened, catalogue):
        catalogue.full = True
        for number in range(MAX_WAITING + 7):
            happened.tell("archive.paused", KEY, number=number)
        await asyncio.sleep(10 * 60)
        said = [line for line in caplog.messages if "cannot be written" in line]
        assert 9 <= len(said) <= 11
        assert [line for line in caplog.messages if "lost" in line] == ["lost: 7 events"]
        catalogue.full = False
        await until(lambda: happened.newest == MAX_WAITING, 60)
        catalogue.full = True
        happened.tell("archive.paused", KEY)
        await asyncio.sleep(10)
        catalogue.full = False
        assert len([line for line in caplog.messages if "cannot" in line]) == len(said) + 1

    told(of, tmp_path)
