"""Room and what is fetched; how a whole archive behaves without room is told in test_archive."""

from tests.helpers.libraries import content_of, node, opened, source

from datd.errors import StorageError
from datd.hosting.appetite import FULL_SECONDS, Appetite


def test_c8_a_disk_that_took_nothing_is_left_alone_for_a_minute(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            made.plant(here, blocks=[0])
            archive = await here.add(made.key)
            async with archive.opened():
                pass
            feeds, now = opened(archive), [100.0]
            here.services.clock = lambda: now[0]
            appetite = Appetite(archive.record, here.services)
            assert appetite.may_store(feeds)
            appetite.refused(feeds, StorageError("the disk is full"))
            assert feeds.no_room == "the disk is full"
            assert not appetite.may_store(feeds)
            assert not content_of(archive).picker.missing_count
            now[0] += FULL_SECONDS - 1
            appetite.look_for_room(feeds)
            assert feeds.no_room
            now[0] += 1
            appetite.look_for_room(feeds)
            assert not feeds.no_room
            assert content_of(archive).picker.missing_count

    told(of)
