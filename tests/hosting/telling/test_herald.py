import asyncio

from tests.helpers.libraries import node, until
from tests.helpers.sessions import key_named

from datd.hosting.telling.event_kinds import Interest, Position


def test_readers_hear_of_archives_with_a_tag_as_they_are_tagged_now(told):
    async def of(network, folder):
        async with node(network, folder) as here:
            one = await here.add(key_named("one"), tags=["a"])
            await here.add(key_named("other"))
            await one.pause()
            await here.services.events.settle()
            await until(lambda: here.services.events.newest == 3)
            reading = here.library.herald.follow(
                Interest(tag="a"), Position(0), may_see=lambda event: True
            )
            kinds = [(told.kind, told.archive) for told in await reading.read()]
            assert kinds == [("archive.added", one.key.hex), ("archive.paused", one.key.hex)]

    told(of)


def test_archives_that_are_quiet_cost_no_task(told):
    async def of(network, folder):
        async with node(network, folder) as here:
            before = len(asyncio.all_tasks())
            for number in range(20):
                await here.add(key_named(f"archive {number}"), paused=True)
            await asyncio.sleep(2)
            assert here.services.events.newest == 20
            assert len(asyncio.all_tasks()) == before

    told(of)
