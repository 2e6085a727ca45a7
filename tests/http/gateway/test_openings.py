import asyncio
import threading
from typing import Any

import pytest
from tests.helpers.gateway import serving
from tests.helpers.libraries import node, source, until
from tests.helpers.network import MemoryNetwork

from datd.hosting.changes import Changes
from datd.http.gateway.openings import TAG, Openings
from datd.http.problems import Problem
from datd.keys import Key


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def keys(count):
    return [Key(bytes([number + 1]) * 32) for number in range(count)]


async def test_t48_if_it_is_open_an_archive_is_fetched_for_whoever_asks(tmp_path):
    network = MemoryNetwork()
    made = source({"a.txt": [b"from afar"]})
    async with (
        node(network, tmp_path / "a", "10.0.0.1", discovers=True) as author,
        node(network, tmp_path / "b", "10.0.0.2", discovers=True) as reader,
        serving(reader.library, open=True) as gateway,
    ):
        made.plant(author)
        await author.seeding(made.key)
        answer = await gateway.ask("/a.txt", host=gateway.host(made.key))
        assert (answer.status, answer.body) == (200, b"from afar")
        opened = reader.library.find(made.key.hex)
        assert (opened.record.mode, opened.tags) == ("sparse", [TAG])


async def test_t48_there_are_only_so_many_and_the_longest_unused_goes(tmp_path):
    clock = Clock()
    async with node(MemoryNetwork(), tmp_path) as alone:
        openings = Openings(alone.library, 2, clock)
        first, second, third, fourth = keys(4)
        hosted, _ = await alone.library.add(keys(9)[8])
        await openings.open(first)
        clock.now = 100
        await openings.open(second)
        clock.now = 170
        openings.used(alone.library.find(first.hex))
        await openings.open(third)
        assert [one.key for one in alone.library.archives()] == [hosted.key, first, third]
        with pytest.raises(Problem) as caught:
            await openings.open(fourth)
        assert caught.value.status == 503


async def test_what_a_person_added_is_never_sent_away(tmp_path):
    clock = Clock()
    async with node(MemoryNetwork(), tmp_path) as alone:
        mine, other, third = keys(3)
        archive, _ = await alone.library.add(mine)
        openings = Openings(alone.library, 1, clock)
        openings.used(archive)
        await openings.open(other)
        clock.now = 1_000
        await openings.open(third)
        assert [one.key for one in alone.library.archives()] == [mine, third]


async def test_what_a_person_made_his_own_is_never_sent_away(tmp_path):
    clock = Clock()
    async with node(MemoryNetwork(), tmp_path) as alone:
        library = alone.library
        openings = Openings(library, 1, clock)
        own = await library.create(tags=[TAG])
        own_now: list[dict[str, Any]] = [
            {"name": "mine"}, {"mode": "archive"}, {"tags": [TAG, "mine"]}, {"include": ["/a"]},
        ]  # fmt: skip
        kept = keys(len(own_now))
        for key, changes in zip(kept, own_now, strict=True):
            archive = await openings.open(key)
            await library.change(archive, Changes(changes))
            clock.now += 1_000
        for key in keys(9)[5:]:
            await openings.open(key)
            clock.now += 1_000
        hosted = {one.key for one in library.archives()}
        assert hosted == {own.key, *kept, keys(9)[8]}


async def test_t48_many_who_ask_at_a_time_get_no_more_than_there_may_be(tmp_path):
    async with node(MemoryNetwork(), tmp_path) as alone:
        openings = Openings(alone.library, 2, Clock())
        await asyncio.gather(*map(openings.open, keys(9)), return_exceptions=True)
        assert len(alone.library.archives()) == 2


async def test_who_asks_for_what_is_just_being_opened_sends_nothing_away(tmp_path):
    clock = Clock()
    async with node(MemoryNetwork(), tmp_path) as alone:
        openings = Openings(alone.library, 2, clock)
        old, page, _ = keys(3)
        await openings.open(old)
        clock.now = 1_000
        # A browser asks for several files of a page at a time.
        first, second = await asyncio.gather(openings.open(page), openings.open(page))
        assert first is second
        assert [one.key for one in alone.library.archives()] == [old, page]


async def test_who_gives_up_waiting_leaves_nothing_half_done(tmp_path):
    clock, free = Clock(), threading.Event()
    async with node(MemoryNetwork(), tmp_path) as alone:
        openings = Openings(alone.library, 1, clock)
        old, page, _ = keys(3)
        gone = await openings.open(old)
        gone.folder.mkdir(parents=True)
        clock.now = 1_000
        async with asyncio.TaskGroup() as group:
            group.create_task(alone.catalogue.together(lambda _: free.wait(60)))
            waiting = group.create_task(openings.open(page))
            await until(lambda: not alone.library.archives())
            waiting.cancel()
            await asyncio.wait([waiting])
            free.set()
        await until(lambda: [one.key for one in alone.library.archives()] == [page])
        assert gone.removed
        assert not gone.folder.exists()


@pytest.mark.parametrize("taken", [{"tags": ["mine"]}, {"name": "mine"}, {"mode": "archive"}])
async def test_what_a_person_takes_over_in_this_moment_stays(tmp_path, taken):
    clock, free = Clock(), threading.Event()
    async with node(MemoryNetwork(), tmp_path) as alone:
        openings = Openings(alone.library, 1, clock)
        mine, page, other = keys(3)
        archive = await openings.open(mine)
        clock.now = 1_000
        async with asyncio.TaskGroup() as group:
            group.create_task(alone.catalogue.together(lambda _: free.wait(60)))
            group.create_task(alone.library.add(other))  # both others wait for their turn
            group.create_task(alone.library.change(archive, Changes(taken)))
            group.create_task(openings.open(page))
            for _ in range(100):
                await asyncio.sleep(0)
            free.set()
        assert {one.key for one in alone.library.archives()} == {mine, page, other}


async def test_t48_what_is_read_for_long_is_not_sent_away(tmp_path):
    clock = Clock()
    async with node(MemoryNetwork(), tmp_path) as alone:
        openings = Openings(alone.library, 2, clock)
        film, page, other, last = keys(4)
        with openings.using(await openings.open(film)):
            clock.now = 10
            await openings.open(page)
            clock.now = 1_000
            await openings.open(other)
            assert [one.key for one in alone.library.archives()] == [film, other]
        clock.now = 1_030
        with openings.using(alone.library.find(other.hex)), pytest.raises(Problem, match="in use"):
            await openings.open(last)
        clock.now = 1_070
        await openings.open(last)
        assert [one.key for one in alone.library.archives()] == [other, last]


async def test_adding_what_was_opened_makes_it_the_operators_own(api):
    openings = Openings(api.library, 1, Clock())
    plain, tidy, stranger, _ = keys(4)
    for key, asked in ((plain, {}), (tidy, {"mode": "sparse", "paused": True, "tags": ["mine"]})):
        await openings.open(key)
        answer = await api.post("/api/v1/archives", {"link": key.hex, **asked})
        assert answer.status == 200
        assert answer.json["mode"] == asked.get("mode", "archive")
        assert answer.json["tags"] == asked.get("tags", [])
        assert (answer.json["state"] == "paused") == asked.get("paused", False)
    await openings.open(stranger)
    assert [one.key for one in api.library.archives()] == [plain, tidy, stranger]
