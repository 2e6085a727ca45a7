import asyncio
import random
from contextlib import asynccontextmanager
from typing import cast

import pytest
from tests.helpers.libraries import story, until
from tests.hosting.telling.test_events import KEY, happening

from datd.hosting.telling import following as module
from datd.hosting.telling.event_kinds import Interest, Position, Told
from datd.hosting.telling.events import RECENT
from datd.hosting.telling.file_events import MAX_WAITS, FileEvents, Page
from datd.hosting.telling.following import Following
from datd.keys import Key

OTHER = Key(b"\xbb" * 32)


class Files:
    """What versions changed, as a test has it: entries of the one path, some not to be had."""

    def __init__(self, size=3):
        self.size = size
        self.missing = False
        self.asked = []
        self.watched = 0

    async def page(self, key, path, since, until):
        self.asked.append((since, until))
        if self.missing:
            return None
        stop = min(until, since + self.size)
        changes = [
            (n, "file.put", {"path": path, "version": n}) for n in range(since + 1, stop + 1)
        ]
        return Page(changes, stop if stop < until else None)

    @asynccontextmanager
    async def watching(self, key):
        self.watched += 1
        yield
        self.watched -= 1


def told(of, folder):
    async def run():
        async with happening(folder) as (happened, _):
            await of(happened)

    story(run())


def reader(happened, since=None, interest=None, files=None, **options):
    return Following(
        happened,
        cast(FileEvents, files or Files()),
        interest or Interest(),
        since,
        tags_of=lambda key: [],
        **options,
    )


async def all_of(reading):
    found = []
    while reading.behind:
        found += await reading.read()
    return found


def ids(found):
    return [str(one.position) for one in found]


async def tell(happened, count, kind="archive.paused", key=KEY):
    await happened.settle()
    stop = happened.newest + count
    for _ in range(count):
        happened.tell(kind, key)
    await until(lambda: happened.newest == stop)


@pytest.mark.parametrize("past", [0, 3, RECENT + 700])
def test_what_is_past_comes_first_and_then_what_happens(tmp_path, past):
    async def of(happened):
        await tell(happened, past)
        async with reader(happened, Position(0)).opened() as reading:
            found = await all_of(reading)
            for _ in range(3):
                await tell(happened, 2)
                assert await reading.wait(0)
                found += await all_of(reading)
        assert ids(found) == [str(n) for n in range(1, past + 7)]

    told(of, tmp_path)


def test_a_reader_that_stops_anywhere_goes_on_there(tmp_path):
    async def of(happened):
        chance, files = random.Random(1), Files()
        interest = Interest(KEY, "/a")
        await tell(happened, 5)
        happened.version(KEY, 0, 20)
        await tell(happened, 5, key=OTHER)
        await tell(happened, 5)
        whole = await all_of(reader(happened, Position(0), interest, files))
        assert [one.kind for one in whole].count("file.put") == 20
        assert [o.kind for o in whole if o.archive == OTHER.hex] == []
        for _ in range(30):
            found: list[Told] = []
            since = Position(0)
            while len(found) < len(whole):
                reading = reader(happened, since, interest, files)
                batch = await reading.read(chance.randrange(1, 4))
                taken = batch[: chance.randrange(1, 4)]
                found += taken
                # It was cut off behind what it took; what was passed over, it need not see again.
                since = taken[-1].position if taken else reading.position
                since = Position.parse(str(since))
            assert ids(found) == ids(whole)

    told(of, tmp_path)


def test_without_a_place_only_what_comes_is_told(tmp_path):
    async def of(happened):
        await tell(happened, 3)
        async with reader(happened).opened() as reading:
            assert not await reading.wait(15)
            await tell(happened, 1)
            assert ids(await all_of(reading)) == ["4"]

    told(of, tmp_path)


def test_filters_pass_over_what_is_not_wanted(tmp_path):
    async def of(happened):
        await tell(happened, RECENT + 5, key=OTHER)
        await tell(happened, 1)
        await tell(happened, 1, "archive.resumed")
        interest = Interest(KEY, kinds=("archive.resumed",))
        reading = reader(happened, Position(0), interest)
        assert ids(await all_of(reading)) == [str(RECENT + 7)]
        reading = reader(happened, Position(0), Interest(KEY, kinds=("job.ended",)))
        assert await all_of(reading) == []
        assert reading.position == Position(RECENT + 7)

    told(of, tmp_path)


def test_what_one_may_not_see_is_not_told(tmp_path):
    async def of(happened):
        await tell(happened, 2)
        await tell(happened, 1, key=OTHER)
        reading = reader(happened, Position(0), may_see=lambda event: event.archive == OTHER.hex)
        assert ids(await all_of(reading)) == ["3"]
        hidden = reader(happened, Position(0), Interest(KEY, "/a"), may_see=lambda event: False)
        happened.version(KEY, 0, 5)
        await until(lambda: happened.newest == 4)
        assert await all_of(hidden) == []

    told(of, tmp_path)


@pytest.mark.parametrize("since", [Position(1), Position(3, 7), Position(99), Position(4)])
def test_what_is_not_kept_any_more_is_told_as_lost(tmp_path, since):
    async def of(happened):
        await tell(happened, 8)
        happened.oldest = 5
        found = await all_of(reader(happened, since))
        if since == Position(4):
            assert ids(found) == ["5", "6", "7", "8"]
            return
        assert found[0].kind == "events.lost"
        assert found[0].fields == {"since": str(since), "oldest": 5, "newest": 8}
        # Who comes back with the id of this event does not hear it again.
        assert ids(found) == (["8"] if since.id == 99 else ["4", "5", "6", "7", "8"])

    told(of, tmp_path)


def test_who_asks_for_all_that_is_kept_has_lost_nothing(tmp_path):
    async def of(happened):
        await tell(happened, RECENT + 8)
        happened.oldest = 5
        kinds = {one.kind for one in await all_of(reader(happened, Position(0)))}
        assert kinds == {"archive.paused"}

    told(of, tmp_path)


def test_without_peers_the_files_are_given_up_and_that_is_told(tmp_path):
    async def of(happened):
        files = Files()
        files.missing = True
        happened.version(KEY, 0, 4)
        await tell(happened, 1)
        found = await all_of(reader(happened, Position(0), Interest(KEY, "/a"), files))
        assert [one.kind for one in found] == ["files.unknown", "archive.version", "archive.paused"]
        assert found[0].fields["previous"] == 0
        assert found[0].fields["version"] == 4
        assert len(files.asked) == MAX_WAITS

    told(of, tmp_path)


def test_archives_are_watched_while_their_paths_are_followed(tmp_path):
    async def of(happened):
        files = Files()
        async with reader(happened, None, Interest(KEY, "/a"), files).opened():
            assert files.watched == 1
        async with reader(happened, None, Interest(KEY), files).opened():
            assert files.watched == 0

    told(of, tmp_path)


def test_l23_who_takes_nothing_while_a_thousand_events_come_is_cut_off(tmp_path):
    async def of(happened):
        cut = []
        async with (
            reader(happened, on_cut=lambda: cut.append("slow")).opened() as slow,
            reader(happened, on_cut=lambda: cut.append("busy")).opened(),
        ):
            slow.sending = True
            await tell(happened, RECENT)
            assert cut == []
            assert not slow.ended
            await tell(happened, 1)
            # Who is not sending is only behind, and reads the journal.
            assert cut == ["slow"]
            assert slow.ended

    told(of, tmp_path)


def test_at_the_end_of_the_daemon_readers_are_sent_away(tmp_path):
    async def of(happened):
        async with reader(happened).opened() as reading:
            waiting = asyncio.ensure_future(reading.wait(1e6))  # noqa: TID251 - as a handler would
            await asyncio.sleep(1)
            happened.end_reading()
            await asyncio.wait_for(waiting, 1)
            assert reading.ended

    told(of, tmp_path)


def test_a_page_of_the_journal_is_no_longer_than_what_memory_has():
    # Else a reader could never come back to memory.
    assert module.BATCH < RECENT
