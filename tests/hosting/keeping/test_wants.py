import asyncio
from functools import partial

import pytest
from tests.helpers.libraries import node, opened, read, state, until
from tests.helpers.raw_peer import calling
from tests.helpers.versions import EVERYTHING, Versions, blocks, held, replaced, told_gone

from datd.archive.entries import Stat
from datd.errors import Gone, Timeout
from datd.hosting.archive import HostedArchive
from datd.hosting.changes import Changes
from datd.hosting.own.publishing import once


def synced(archive: HostedArchive, version: int) -> bool:
    return archive.record.synced == version


def test_latest_fetches_what_the_newest_version_is_made_of(told):
    async def of(network, folder):
        made = replaced().source()
        async with node(network, folder) as here:
            archive = await here.add(made.key, mode="latest")
            async with calling(here, *made.feeds) as peer:
                await until(lambda: state(archive) == "seeding")
                assert sorted(peer.asked(1)) == [3, 4, 5, 6, 7, 8]
                view = await archive.view()
                assert (view.blocks.have, view.blocks.total) == (4 + 6, 4 + 6)
                assert (view.blocks.unavailable, view.progress) == (0, 1.0)
                assert view.bytes.have == view.bytes.total
                assert await read(archive, "/file") == b"".join(blocks("new", 4))
                assert await read(archive, "/other", 2) == b"".join(blocks("other", 2))
                with pytest.raises(Gone, match="older version"):
                    await read(archive, "/file", 1)
                assert not {0, 1, 2} & set(peer.asked(1))

    told(of)


def test_old_blocks_stay_until_the_new_ones_are_here_and_go_with_an_unhave(told):
    async def of(network, folder):
        made = Versions()
        made.put("file", blocks("old"))
        made.put("gone", blocks("gone", 2))
        made.put("file", blocks("new"))
        made.remove("gone")
        held_back = asyncio.Event()

        def slow(peer, feed, request):
            late = feed == 1 and request.index == 7 and not held_back.is_set()
            return None if late else peer.honest(feed, request)

        async with node(network, folder) as here:
            source = made.source(2)
            archive = await here.add(source.key, mode="latest")
            async with calling(here, *source.feeds, answer=slow) as peer:
                await peer.say(1, EVERYTHING)
                await until(lambda: state(archive) == "seeding")
                assert held(archive) == [0, 1, 2, 3, 4]
                metadata, content = made.news(2, 4)
                await peer.append(1, content)
                await peer.append(0, metadata)
                await until(lambda: held(archive) == [0, 1, 2, 5, 6], 20)
                # What replaced nothing is gone at once; the file's old content waits for the new.
                await until(lambda: told_gone(peer) == [3, 4])
                held_back.set()
            async with calling(here, *source.feeds, host="203.0.113.10") as peer:
                await peer.say(1, EVERYTHING)
                await until(lambda: state(archive) == "seeding")
                await until(lambda: held(archive) == [5, 6, 7])
                assert await read(archive, "/file") == b"".join(blocks("new"))
                with pytest.raises(Gone):
                    await read(archive, "/gone", 2)
                await until(lambda: told_gone(peer) == [0, 1, 2])

    told(of)


def test_a_change_of_mode_drops_and_a_change_back_fetches_again(told):
    async def of(network, folder):
        made = replaced().source()
        async with node(network, folder) as here:
            archive = await here.add(made.key)
            async with calling(here, *made.feeds) as peer:
                await peer.say(1, EVERYTHING)
                await until(lambda: state(archive) == "seeding")
                assert held(archive) == list(range(9))
                before = here.services.room.held
                await archive.change(Changes({"mode": "latest"}))
                await until(lambda: state(archive) == "seeding")
                assert held(archive) == [3, 4, 5, 6, 7, 8]
                await until(lambda: told_gone(peer) == [0, 1, 2])
                assert here.services.room.held == before - 3 * 5000
                assert (await archive.view()).blocks.total == 4 + 6
                await archive.change(Changes({"mode": "archive"}))
                await until(lambda: held(archive) == list(range(9)))
                await until(lambda: state(archive) == "seeding")
                assert await read(archive, "/file", 1) == b"".join(blocks("old"))
                assert (await archive.view()).blocks.total == 4 + 9

    told(of)


def test_room_is_given_back_and_a_restart_changes_nothing(told):
    async def of(network, folder):
        made = Versions()
        for version in range(20):
            made.put("file", blocks(f"v{version}", 4, 65536))
        source = made.source()
        async with node(network, folder) as here:
            source.plant(here)
            data = source.folder(here) / "content.data"
            archive = await here.seeding(source.key)
            await archive.change(Changes({"mode": "latest"}))
            await until(lambda: state(archive) == "seeding")
            assert held(archive) == [76, 77, 78, 79]
            assert data.stat().st_blocks * 512 < data.stat().st_size / 10
        async with node(network, folder) as here:
            archive = here.library.find(source.key.hex)
            assert archive.record.mode == "latest"
            assert state(archive) == "seeding"
            assert await read(archive, "/file") == b"".join(blocks("v19", 4, 65536))
            with pytest.raises(Gone):
                await read(archive, "/file", 5)
            # It was complete and is: nothing had to be counted for that.
            assert opened(archive).wants.tally is None

    told(of)


@pytest.mark.parametrize("flushed", [True, False])
def test_a_crash_while_blocks_are_dropped_leaves_nothing_behind(told, flushed):
    async def of(network, folder):
        made = replaced().source()
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.seeding(made.key)
            record = archive.record
        async with node(network, folder) as here:
            # As a crash leaves it: the mode is written down, some bits are gone, bytes are not.
            archive = here.library.find(made.key.hex)
            record = archive.record
            record.mode, record.synced, record.dirty = "latest", -1, True
            record.summary.complete = False
            feed_folder = made.folder(here)
            if flushed:
                bits = feed_folder / "content.bitfield"
                raw = bytearray(bits.read_bytes())
                raw[32] &= 0b00111111
                bits.write_bytes(raw)
            async with archive.opened():
                await until(lambda: state(archive) == "seeding")
                assert held(archive) == [3, 4, 5, 6, 7, 8]
                data = (feed_folder / "content.data").read_bytes()
                assert b"old:" not in data
                assert b"new:0" in data

    told(of)


def test_blocks_that_another_live_file_claims_are_never_dropped(told):
    async def of(network, folder):
        made = Versions()
        made.put("file", blocks("shared"))
        made.put("copy", blocks("shared"), offset=0)
        made.put("file", blocks("new"))
        made.put("huge", blocks("x", 1))
        made.claim("liar", Stat(0o100644, 0, 0, 2**50, 2**40, 2**39))
        made.remove("liar")
        source = made.source()
        async with node(network, folder) as here:
            archive = await here.add(source.key, mode="latest")
            async with calling(here, *source.feeds):
                await until(lambda: state(archive) == "seeding")
                assert held(archive) == list(range(7))
                assert await read(archive, "/copy") == b"".join(blocks("shared"))

    told(of)


def test_a_claim_is_kept_when_a_file_that_shares_it_goes_while_it_is_watched(told):
    async def of(network, folder):
        made = Versions()
        made.put("file", blocks("shared"))
        made.put("copy", blocks("shared"), offset=0)
        made.remove("file")
        source = made.source(2)
        async with node(network, folder) as here:
            archive = await here.add(source.key, mode="latest")
            async with calling(here, *source.feeds) as peer:
                await until(lambda: state(archive) == "seeding")
                await peer.append(0, made.news(2, 3)[0])
                await until(lambda: archive.record.synced == 3)
                assert held(archive) == [0, 1, 2]

    told(of)


def test_a_pinned_latest_archive_keeps_the_files_of_that_version(told):
    async def of(network, folder):
        made = replaced().source()
        async with node(network, folder) as here:
            archive = await here.add(made.key, mode="latest", version=2)
            async with calling(here, *made.feeds):
                await until(lambda: state(archive) == "seeding")
                assert held(archive) == [0, 1, 2, 3, 4]
                assert await read(archive, "/file") == b"".join(blocks("old"))

    told(of)


def test_missing_blocks_of_the_newest_version_are_missing_and_not_given_up(told):
    async def of(network, folder):
        made = replaced().source()
        async with node(network, folder) as here:
            archive = await here.add(made.key, mode="latest")
            async with calling(here, *made.feeds, claims=[range(4), [3, 4, 5]]):
                await until(lambda: held(archive) == [3, 4, 5], 20)
                await asyncio.sleep(5)
                view = await archive.view()
                assert (state(archive), view.blocks.have, view.blocks.total) == ("syncing", 7, 10)
                with pytest.raises(Timeout):
                    await read(archive, "/file", wait=2)

    told(of)


def test_our_own_archive_and_its_mirror_keep_the_newest_version_only(told):
    async def of(network, folder):
        async with (
            node(network, folder / "own", "10.0.0.1") as author,
            node(network, folder / "copy", "10.0.0.2") as mirror,
        ):
            own = await author.library.create(mode="latest")
            copy = await mirror.add(own.key, author, mode="latest")
            for version in range(1, 8):
                body = f"version {version};".encode() * 40_000
                await author.library.publisher.put(own, "/file", once(body))
                for kept in (own, copy):
                    await until(partial(synced, kept, version))
                for kept in (own, copy):
                    assert len(held(kept)) == -(-len(body) // 65536)
                    assert await read(kept, "/file") == body
                    view = await kept.view()
                    assert (view.state, view.progress) == ("seeding", 1.0)
            for kept in (own, copy):
                with pytest.raises(Gone):
                    await read(kept, "/file", 3)

    told(of)


def test_what_is_being_written_is_not_dropped(told):
    async def of(network, folder):
        async with node(network, folder) as here:
            own = await here.library.create(mode="latest")
            put = here.library.publisher.put
            await put(own, "/old", once(b"o" * 100_000))
            half, rest = asyncio.Event(), asyncio.Event()

            async def body():
                for _ in range(6):  # more than a writer keeps in memory
                    yield b"a" * 5_000_000
                half.set()
                await rest.wait()
                yield b"b" * 100_000

            async def write():
                async with here.library.publisher.writing(own) as desk:
                    await desk.put("/new", body())

            async with asyncio.TaskGroup() as group:
                group.create_task(write())
                await half.wait()
                await until(lambda: len(held(own)) > 50)
                await own.change(Changes({"mode": "archive"}))
                await own.change(Changes({"mode": "latest"}))
                await until(lambda: own.record.synced == 1)
                rest.set()
            await until(lambda: own.record.synced == 2)
            assert await read(own, "/new") == b"a" * 30_000_000 + b"b" * 100_000

    told(of)


@pytest.mark.parametrize("mode", ["latest", "sparse"])
def test_a_version_that_comes_after_a_rest_is_told_by_what_changed(told, mode):
    async def of(network, folder):
        made = Versions()
        for number in range(30):
            made.put(f"file-{number}", blocks(f"{number}", 1))
        made.put("file-3", blocks("new", 2))
        made.remove("file-4")
        source = made.source(30)
        async with node(network, folder) as here:
            archive = await here.add(source.key, mode=mode, paused=True)
            await archive.change(Changes({"include": ["*"]}))
            await archive.resume()
            async with calling(here, *source.feeds):
                await until(lambda: state(archive) == "seeding")
        async with node(network, folder) as here:
            archive = here.library.find(source.key.hex)
            assert archive.record.summary.disjoint
            async with calling(here, *source.feeds) as peer:
                await until(lambda: archive.in_use)
                metadata, content = made.news(30, 32)
                await peer.append(1, content)
                await peer.append(0, metadata)
                await until(lambda: archive.record.synced == 32)
                old = {3, 4} if mode == "latest" else set()
                assert held(archive) == [n for n in range(32) if n not in old]
                view = await archive.view()
                assert (view.files, view.size) == (29, 28 * 5000 + 2 * 5000)
                assert view.blocks.have == view.blocks.total == 33 + 30

    told(of)
