import asyncio
import errno
import os
from contextlib import contextmanager
from typing import Any

import pytest
from tests.helpers.feeds import ArchiveWriter
from tests.helpers.libraries import (
    Source,
    content_of,
    node,
    read,
    source,
    source_of,
    state,
    until,
)
from tests.helpers.raw_peer import RawPeer, calling

from datd import crypto
from datd.errors import StorageError, Timeout, UnknownArchive
from datd.hosting.appetite import FULL_SECONDS
from datd.hosting.descriptors import Descriptors
from datd.wire.messages import Data, Request

OTHER = crypto.key_pair(b"another author's archive........")


class Disk(Descriptors):
    """A real pool over a disk that refuses writes while it is told to.

    Attributes:
        refusal: The error of the system, or 0.
    """

    def __init__(self, refusal: int = 0) -> None:
        super().__init__()
        self.refusal = refusal

    @contextmanager
    def lease(self, path, *, create):
        if create and self.refusal:
            raise OSError(self.refusal, os.strerror(self.refusal), str(path))
        with super().lease(path, create=create) as descriptor:
            yield descriptor


def tasks_and_timers():
    loop: Any = asyncio.get_running_loop()
    timers = [timer for timer in loop._scheduled if not timer.cancelled()]
    return asyncio.all_tasks(), timers


def rot(made: Source, node, byte: int) -> None:
    """Change a byte of the content on disk."""
    data = made.folder(node) / "content.data"
    value = bytearray(data.read_bytes())
    value[byte] ^= 0xFF
    data.write_bytes(value)


def test_what_was_fetched_is_the_same_and_after_a_restart_nothing_is_fetched_twice(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder / "a") as a:
            made.plant(a)
            await a.seeding(made.key)
            async with node(network, folder / "b", "10.0.0.2") as b:
                archive = await b.seeding(made.key, a)
                for path, value in made.files.items():
                    assert await read(archive, path) == value
            served = a.services.traffic.uploaded.total
            async with node(network, folder / "b", "10.0.0.2") as b:
                archive = b.library.find(made.key.hex)
                assert state(archive) == "seeding"
                await until(lambda: archive.in_use)
                await asyncio.sleep(30)
                for path, value in made.files.items():
                    assert await read(archive, path) == value
                assert state(archive) == "seeding"
            assert a.services.traffic.uploaded.total == served

    told(of)


def test_an_interrupted_download_goes_on_where_it_was(told):
    async def of(network, folder):
        made = source({"big": [bytes([n]) * 9000 for n in range(100)]})
        asked: list[int] = []

        def half(peer: RawPeer, feed: int, request: Request) -> Data | None:
            if feed == 1:
                asked.append(request.index)
            return None if feed == 1 and len(asked) > 50 else peer.honest(feed, request)

        async with node(network, folder) as here:
            archive = await here.add(made.key)
            async with calling(here, *made.feeds, answer=half):
                await until(lambda: len(asked) > 50)
                await asyncio.sleep(1)
            got = content_of(archive).feed.present_blocks
            assert got >= 40
        async with node(network, folder) as here:
            archive = here.library.find(made.key.hex)
            async with calling(here, *made.feeds) as peer:
                await until(lambda: state(archive) == "seeding")
                assert len(peer.asked(1)) == 100 - got
                assert not peer.asked(0)
            assert await read(archive, "/big") == made.files["/big"]

    told(of)


def test_a_new_version_arrives_while_connected_and_is_passed_on(told):
    async def of(network, folder):
        writer = ArchiveWriter()
        writer.file("one", [b"first"])
        old = source_of(writer)
        writer.file("two", [b"second", b" block"], rows=[[1, 2], [2]])
        new = source_of(writer)
        async with (
            node(network, folder / "a") as a,
            node(network, folder / "b", "10.0.0.2") as b,
        ):
            first = await a.add(old.metadata.key)
            async with calling(a, old.metadata, old.content) as author:
                await until(lambda: state(first) == "seeding")
                second = await b.seeding(old.metadata.key, a)
                await author.append(1, [new.content.get(1), new.content.get(2)])
                await author.append(0, [new.metadata.get(2)])
                await until(lambda: second.record.summary.version == 2)
                await until(lambda: state(second) == "seeding")
                assert await read(second, "/two") == b"second block"
                assert await read(second, "/one") == b"first"

    told(of)


def test_a_pinned_version_is_mirrored_and_nothing_newer(told):
    async def of(network, folder):
        made = source({f"file-{n}": [b"%d" % n * 100, b"x" * n] for n in range(1, 6)})
        async with node(network, folder) as here:
            archive = await here.add(made.key, version=2)
            async with calling(here, *made.feeds) as peer:
                await until(lambda: state(archive) == "seeding")
                await asyncio.sleep(30)
                assert sorted(peer.asked(0)) == [0, 1, 2]
                assert sorted(peer.asked(1)) == [0, 1, 2, 3]
                view = await archive.view()
                assert (view.version, view.files, view.progress) == (2, 2, 1.0)
                assert (view.blocks.have, view.blocks.total) == (7, 7)
                names = [entry.path for entry in (await archive.list("/"))[0]]
                assert names == ["/file-1", "/file-2"]
        async with node(network, folder) as here:
            archive = here.library.find(made.key.hex)
            async with calling(here, *made.feeds) as peer:
                await asyncio.sleep(10)
                assert not peer.asked(0)
                assert not peer.asked(1)
                assert state(archive) == "seeding"

    told(of)


def test_a_read_asks_for_its_own_blocks_before_all_others(told):
    async def of(network, folder):
        blocks = [b"%05d" % n * 100 for n in range(200)]
        made = source({"early": blocks[:150], "late": blocks[150:]})

        def owing(peer: RawPeer, feed: int, request: Request) -> Data | None:
            return peer.honest(feed, request) if feed == 0 else None

        async with node(network, folder) as here:
            archive = await here.add(made.key)
            async with calling(here, *made.feeds, answer=owing) as peer:
                await until(lambda: peer.asked(1))
                await asyncio.sleep(1)
                before = peer.asked(1)
                assert 16 <= len(before) < 100
                async with asyncio.TaskGroup() as group:
                    reading = group.create_task(read(archive, "/late", wait=15))
                    await asyncio.sleep(1)
                    peer.answer = peer.honest
                    for index in before:
                        answer = peer.honest(1, Request(index))
                        assert answer is not None
                        await peer.say(1, answer)
                    assert await reading == made.files["/late"]
                assert peer.asked(1)[len(before)] == 150
                await until(lambda: state(archive) == "seeding")

    told(of)


def test_a_read_that_nobody_can_serve_ends_in_time_and_its_wishes_with_it(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            made.plant(here, blocks=range(4))
            archive = await here.add(made.key)
            loop = asyncio.get_running_loop()
            begun = loop.time()
            with pytest.raises(Timeout, match="content block"):
                await read(archive, "/file-3.txt", wait=7)
            assert 7 <= round(loop.time() - begun, 6) < 7.5
            picker = content_of(archive).picker
            assert not picker.urgent
            assert not picker._readers
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(read(archive, "/file-3.txt")) for _ in range(3)]
                await asyncio.sleep(1)
                assert picker._readers
                for task in tasks:
                    task.cancel()
            assert not picker._readers
            assert not content_of(archive)._readers

    told(of)


def test_who_waits_for_an_archive_that_is_removed_hears_of_it(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            made.plant(here, blocks=range(4))
            archive = await here.add(made.key)
            async with asyncio.TaskGroup() as group:

                async def reader() -> None:
                    with pytest.raises(Timeout, match="closed"):
                        await read(archive, "/file-3.txt", wait=1000)

                group.create_task(reader())
                await asyncio.sleep(1)
                begun = asyncio.get_running_loop().time()
                await here.library.remove(archive)
            assert asyncio.get_running_loop().time() - begun < 2
            assert not made.folder(here).exists()
            assert here.pool.open_files == 0
            for use in (archive.stat("/"), archive.pause(), archive.resume()):
                with pytest.raises(UnknownArchive):
                    await use
            assert here.pool.open_files == 0

    told(of)


@pytest.mark.parametrize("how", ["pause", "remove"])
def test_pausing_or_removing_while_blocks_arrive_leaves_no_connection_and_no_task(told, how):
    async def of(network, folder):
        made = source({"big": [bytes([n]) * 9000 for n in range(150)]})
        async with node(network, folder / "a") as a, node(network, folder / "b", "10.0.0.2") as b:
            made.plant(a)
            await a.seeding(made.key)
            await asyncio.sleep(2)  # what happened so far is in the journal
            tasks, _ = tasks_and_timers()
            network.latency = 0.05
            archive = await b.add(made.key, a)
            await until(lambda: archive._opened and archive._opened.content is not None)
            assert state(archive) == "syncing"
            if how == "pause":
                await archive.pause()
                assert state(archive) == "paused"
            else:
                await b.library.remove(archive)
                assert b.library.archives() == []
            await asyncio.sleep(5)
            assert b.services.swarm.connected == 0
            await a.library.tidy()
            await b.library.tidy()
            assert tasks_and_timers()[0] == tasks
            assert b.pool.open_files == 0
            if how == "pause":
                await archive.resume()
                await until(lambda: state(archive) == "seeding")
                assert await read(archive, "/big") == made.files["/big"]

    told(of)


def test_a_pause_and_a_resume_that_meet_do_not_mix(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder / "a") as a, node(network, folder / "b", "10.0.0.2") as b:
            made.plant(a)
            await a.seeding(made.key)
            archive = await b.add(made.key, a)
            await asyncio.gather(archive.pause(), archive.resume())
            assert not archive.paused
            await until(lambda: state(archive) == "seeding")
            await asyncio.gather(archive.resume(), archive.pause())
            assert state(archive) == "paused"
            assert b.services.swarm.connected == 0
            await asyncio.gather(archive.pause(), b.library.remove(archive), return_exceptions=True)
        async with node(network, folder / "b", "10.0.0.2") as b:
            assert b.library.archives() == []

    told(of)


def test_twenty_quiet_archives_hold_no_file_no_task_and_no_timer(told):
    async def of(network, folder):
        made = [source(pair=crypto.key_pair(b"number %02d" % n + b"." * 23)) for n in range(20)]
        async with node(network, folder / "a") as a:
            for one in made:
                one.plant(a)
            tasks, timers = tasks_and_timers()
            async with node(network, folder / "b", "10.0.0.2") as b:
                for one in made:
                    await a.add(one.key)
                archives = [await b.seeding(one.key, a) for one in made]
                for archive in archives:
                    assert await read(archive, "/file-0.txt")
                assert b.pool.open_files > 20
            await asyncio.sleep(5)
            for _ in range(2):
                await a.library.tidy()
            assert a.services.swarm.connected == 0
            assert a.pool.open_files == 0
            assert not any(archive.in_use for archive in a.library.archives())
            now_tasks, now_timers = tasks_and_timers()
            assert now_tasks == tasks
            assert len(now_timers) <= len(timers)

    told(of)


def test_two_who_open_an_archive_at_once_share_its_feeds(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.add(made.key)

            async def opened():
                async with archive.opened() as one:
                    await here.library.tidy()  # closes nothing that is in use
                    assert archive.in_use
                    return one

            first, second = await asyncio.gather(opened(), opened())
            assert first is second
            await asyncio.sleep(1)
            await here.library.tidy()
            assert not archive.in_use
            assert here.pool.open_files == 0

    told(of)


def test_an_opening_that_is_given_up_leaves_no_file_open(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.add(made.key)
            await until(lambda: not here.library._looking)
            await here.library.tidy()
            for turns in range(12):
                async with asyncio.TaskGroup() as group:
                    stat = group.create_task(archive.stat("/"))
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    stat.cancel()
                await asyncio.sleep(1)
                await here.library.tidy()
                assert here.pool.open_files == 0
            assert (await archive.stat("/")).is_directory

    told(of)


def test_d5_c10_rotten_blocks_are_never_served_and_fetched_again(told):
    async def of(network, folder):
        made = source()
        async with (
            node(network, folder / "a") as a,
            node(network, folder / "b", "10.0.0.2") as b,
        ):
            made.plant(a)
            made.plant(b)
            await a.seeding(made.key)
            damaged = await b.seeding(made.key)
            await b.library.tidy()
            rot(made, b, made.content.block_offset(3) + 1)
            async with calling(b, *made.feeds, claims=[[], []]) as peer:
                await peer.say(1, *[Request(n) for n in range(8)])
                await until(lambda: len(peer.got(1)) == 7)
                await asyncio.sleep(5)
                assert 3 not in peer.got(1)
                assert state(damaged) == "syncing"
                await damaged.add_peer(a.address)
                await until(lambda: state(damaged) == "seeding")
                await peer.say(1, Request(3))
                await until(lambda: 3 in peer.got(1))
                assert peer.got(1)[3].value == made.content.get(3)
            assert await read(damaged, "/file-0.txt") == made.files["/file-0.txt"]

    told(of)


def test_c10_a_reader_of_a_rotten_file_gets_an_error_and_never_wrong_bytes(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.seeding(made.key)
            await here.library.tidy()
            rot(made, here, made.content.block_offset(3) + 1)
            with pytest.raises(Timeout):
                await read(archive, "/file-0.txt", wait=1)
            await until(lambda: state(archive) == "searching")
            assert await read(archive, "/file-1.txt") == made.files["/file-1.txt"]

    told(of)


def test_c10_a_rotten_header_of_the_archive_is_fetched_again(told):
    async def of(network, folder):
        made = source()
        async with (
            node(network, folder / "a") as a,
            node(network, folder / "b", "10.0.0.2") as b,
        ):
            made.plant(a)
            made.plant(b)
            await a.seeding(made.key)
            data = made.folder(b) / "metadata.data"
            data.write_bytes(b"\xff" + data.read_bytes()[1:])
            archive = await b.add(made.key, a)
            await until(lambda: state(archive) == "seeding")
            assert await read(archive, "/file-0.txt") == made.files["/file-0.txt"]

    told(of)


def test_d6_an_archive_on_a_read_only_disk_is_seeded(told):
    async def of(network, folder):
        made = source()
        disk = Disk(errno.EROFS)
        async with node(network, folder, pool=disk) as here:
            made.plant(here)
            before = {path: path.read_bytes() for path in made.folder(here).iterdir()}
            archive = await here.seeding(made.key)
            async with calling(here, *made.feeds, claims=[[], []]) as peer:
                await until(lambda: peer.heard)
                await peer.say(1, *[Request(n) for n in range(made.content.length)])
                await until(lambda: len(peer.got(1)) == made.content.length)
            await here.library.tidy()
            assert archive.error is None
            assert {path: path.read_bytes() for path in made.folder(here).iterdir()} == before

    told(of)


@pytest.mark.parametrize("refusal", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_c8_c13_a_disk_that_takes_no_more_stops_fetching_not_seeding(told, refusal):
    async def of(network, folder):
        made, other = source(), source(pair=OTHER)
        disk = Disk()
        async with node(network, folder, pool=disk) as here:
            made.plant(here, blocks=range(10))
            archive = await here.add(made.key)
            await until(lambda: not here.library._looking)
            disk.refusal = refusal
            async with calling(here, *made.feeds) as peer:
                await until(lambda: state(archive) == "error")
                said = ((await archive.view()).error or "").lower()
                assert (
                    "read-only" if refusal == errno.EROFS else os.strerror(refusal).lower()
                ) in said
                await peer.say(1, Request(2))
                await until(lambda: peer.got(1))
                assert not peer.ended
                await asyncio.sleep(FULL_SECONDS / 2)
                await here.library.tidy()
                assert state(archive) == "error"
                disk.refusal = 0
                await asyncio.sleep(FULL_SECONDS / 2)
                await here.library.tidy()
                await until(lambda: state(archive) == "seeding", 30)
            async with calling(here, *other.feeds):
                await here.seeding(other.key)
            assert await read(archive, "/file-3.txt") == made.files["/file-3.txt"]

    told(of)


def test_a_fault_of_the_disk_in_mid_store_stops_that_archive_and_nothing_else(told):
    async def of(network, folder):
        made, other = source(), source(pair=OTHER)
        disk = Disk()
        async with node(network, folder, pool=disk) as here:
            archive = await here.add(made.key)
            fine = await here.add(other.key)
            disk.refusal = errno.EACCES
            async with calling(here, *made.feeds) as peer:
                await until(lambda: state(archive) == "error")
                assert "owner and permissions" in (archive.error or "")
                await until(lambda: peer.ended)
            assert all(peer.dropped is None for peer in archive.peers())  # not the peer's fault
            disk.refusal = 0
            async with calling(here, *other.feeds):
                await until(lambda: state(fine) == "seeding")
            async with asyncio.TaskGroup() as group:
                tidying = group.create_task(here.library.keep_tidy())
                await until(lambda: archive.error is None, 70)
                async with calling(here, *made.feeds, host="203.0.113.10"):
                    await until(lambda: state(archive) == "seeding")
                tidying.cancel()
            for path, value in made.files.items():
                assert await read(archive, path) == value

    told(of)


def test_d4_what_could_not_be_flushed_is_not_flushed_again_but_looked_over(told, monkeypatch):
    async def of(network, folder):
        made = source()
        failing: bool = False
        calls: list[bool] = []
        real = os.fdatasync

        def fdatasync(descriptor: int) -> None:
            calls.append(failing)
            if failing:
                raise OSError(errno.EIO, "Input/output error")
            real(descriptor)

        monkeypatch.setattr("datd.storage.disk.os.fdatasync", fdatasync)
        async with node(network, folder) as here:
            archive = await here.add(made.key)
            failing = True
            async with calling(here, *made.feeds):
                await until(lambda: state(archive) == "error")
                tried = len(calls)
                for _ in range(3):
                    await here.library.tidy()
                assert len(calls) == tried
                assert not archive.in_use
                assert here.pool.open_files == 0
                failing = False
                await archive.resume()
            record = archive.record
            assert record.dirty
            async with calling(here, *made.feeds):
                await until(lambda: state(archive) == "seeding")
            await asyncio.sleep(1)
            await here.library.tidy()
            assert not here.library.find(made.key.hex).record.dirty
            for path, value in made.files.items():
                assert await read(archive, path) == value

    told(of)


def test_a_newest_entry_that_makes_no_sense_does_no_harm_to_the_daemon(told):
    async def of(network, folder):
        writer = ArchiveWriter()
        writer.file("good", [b"bytes"])
        writer.raw(b"\xff\xff\xff\xff")
        hostile = source_of(writer)
        fine = source(pair=OTHER)
        async with node(network, folder) as here:
            archive = await here.add(hostile.metadata.key)
            async with calling(here, hostile.metadata, hostile.content) as peer:
                await until(lambda: peer.asked(1))
                await asyncio.sleep(10)
                assert content_of(archive).feed.present_blocks == 1
                assert await read(archive, "/good", version=1) == b"bytes"
            async with calling(here, *fine.feeds):
                await here.seeding(fine.key)

    told(of)


def test_after_a_crash_in_mid_download_the_rest_is_fetched_and_all_is_right(told):
    async def of(network, folder):
        made = source({"big": [bytes([n]) * 9000 for n in range(100)]})
        async with node(network, folder) as here:
            # As a killed daemon leaves it: marked dirty, the first half written and recorded.
            made.plant(here, blocks=range(50))
            archive = await here.add(made.key)
            assert archive.record.dirty
            async with calling(here, *made.feeds) as peer:
                await until(lambda: state(archive) == "seeding")
                assert sorted(peer.asked(1)) == list(range(50, 100))
            assert await read(archive, "/big") == made.files["/big"]
            assert archive.error is None

    told(of)


def test_an_archive_whose_files_belong_to_another_key_is_in_error_and_left_alone(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            made.plant(here)
            key = made.folder(here) / "metadata.key"
            key.write_bytes(OTHER.public)
            archive = await here.add(made.key)
            await until(lambda: state(archive) == "error")
            with pytest.raises(StorageError, match="another feed"):
                await archive.stat("/")
            assert key.read_bytes() == OTHER.public
            assert here.pool.open_files == 0

    told(of)


def test_it_ends_within_ten_seconds_with_everything_flushed_even_if_peers_do_not_listen(told):
    async def of(network, folder):
        made = source({"big": [bytes([n]) * 60000 for n in range(60)]})
        loop = asyncio.get_running_loop()
        async with node(network, folder / "b") as b:
            archive = await b.add(made.key)
            async with calling(b, *made.feeds) as taker:
                await until(lambda: state(archive) == "seeding")
                taker.reading.clear()
                await taker.say(1, *[Request(n) for n in range(60)])
                await asyncio.sleep(1)
                begun = loop.time()
                await b.services.swarm.close()
                await b.library.close()
                assert loop.time() - begun < 10
                assert not archive.record.dirty
                assert b.pool.open_files == 0

    told(of)
