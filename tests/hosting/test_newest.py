import asyncio
from collections.abc import Sequence

import pytest
from tests.helpers.libraries import node, opened, source, until
from tests.helpers.raw_peer import RawPeer, calling

from datd import crypto
from datd.archive.entries import Stat, encode_entry
from datd.errors import Timeout, VersionNotFound
from datd.hosting import newest
from datd.wire.messages import Data, Have, Request

OTHER = crypto.key_pair(b"metadata of another archive.....")
FILES: dict[str, Sequence[bytes]] = {f"f{n:02d}": [b"%02d" % n] for n in range(40)}


def entry(number: int) -> bytes:
    """The entry of one more file."""
    row = [*range(1, number), number]
    return encode_entry(number, f"/more-{number}", Stat(0o100644), [row, [number]])


def test_a_look_up_in_an_archive_never_seen_takes_the_header_the_head_and_one_row(told):
    async def of(network, folder):
        made = source({f"d/f{n}": [b"x"] for n in range(1)})
        async with node(network, folder) as here:
            archive = await here.add(made.key, mode="sparse")
            async with calling(here, *made.feeds) as peer:
                assert (await archive.stat("/d/f0", wait=20)).size == 1
                assert sorted(peer.asked(0)) == [0, 1]

    told(of)


def test_an_old_version_needs_nothing_of_the_newer_ones(told):
    async def of(network, folder):
        made = source(FILES)
        async with node(network, folder) as here:
            archive = await here.add(made.key, mode="sparse")
            async with calling(here, *made.feeds) as peer:
                await archive.stat("/f04", 5, wait=20)
                assert set(peer.asked(0)) <= {0, 5, 40}
                found, _ = await archive.list("/", 5, wait=20)
                assert [one.path for one in found] == [f"/f{n:02d}" for n in range(5)]
                assert set(peer.asked(0)) <= {*range(6), 40}
                with pytest.raises(VersionNotFound, match="newest one here or at a connected"):
                    await archive.stat("/f04", 41, wait=20)

    told(of)


def test_a_version_that_an_archive_of_ours_does_not_have_is_not_waited_for(told):
    async def of(network, folder):
        async with node(network, folder) as here:
            archive = await here.library.create()
            async with asyncio.timeout(2), archive.opened() as opened_archive:
                with pytest.raises(VersionNotFound):
                    await newest.settle(opened_archive, 99, 30)

    told(of)


def test_what_was_appended_since_is_seen_by_the_next_reader(told):
    async def of(network, folder):
        made = source(FILES)
        async with node(network, folder) as here:
            archive = await here.add(made.key, mode="sparse")
            async with calling(here, *made.feeds) as peer:
                await archive.stat("/f00", wait=20)
                await peer.append(0, [entry(41)])
                await until(lambda: opened(archive).metadata.picker.known_length == 42)
                assert (await archive.stat("/more-41", wait=20)).size == 0

    told(of)


def test_t24_a_length_that_is_only_claimed_holds_readers_up_once_and_for_seconds(told):
    async def of(network, folder):
        made = source(FILES)
        loop = asyncio.get_running_loop()

        def never(peer: RawPeer, feed: int, request: Request) -> Data | None:
            return None if request.index > 40 else peer.honest(feed, request)

        async with node(network, folder) as here:
            archive = await here.add(made.key, mode="sparse")
            async with calling(here, *made.feeds, answer=never) as peer:
                await archive.stat("/f00", wait=20)
                await peer.say(0, Have(10**6))
                await until(lambda: opened(archive).metadata.picker.known_length > 10**6)
                begun = loop.time()
                await archive.stat("/f01", wait=20)
                assert loop.time() - begun < 4
                begun = loop.time()
                await archive.stat("/f02", wait=20)
                assert loop.time() - begun < 1

    told(of)


def test_a_version_that_no_peer_has_told_of_yet_is_waited_for(told):
    async def of(network, folder):
        made = source(FILES)
        async with node(network, folder) as here:
            made.plant(here)
            made.metadata.append([entry(41)])
            archive = await here.add(made.key, mode="sparse")
            async with asyncio.TaskGroup() as group:
                asked = group.create_task(archive.stat("/more-41", 41, wait=20))
                await asyncio.sleep(1)
                async with calling(here, *made.feeds):
                    assert (await asked).size == 0

    told(of)


def test_without_a_peer_what_is_here_is_the_newest_and_nothing_says_so(told):
    async def of(network, folder):
        made = source(FILES)
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.add(made.key, mode="sparse")
            assert (await archive.stat("/f39", wait=5)).size == 2
            with pytest.raises(VersionNotFound):
                await archive.stat("/f39", 41, wait=5)
            unseen = await here.add(source(FILES, pair=OTHER).key, mode="sparse")
            with pytest.raises(Timeout, match="0 connected"):
                await unseen.stat("/f39", wait=5)

    told(of)
