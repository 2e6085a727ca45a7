import asyncio

import pytest
from tests.helpers.libraries import node, opened, source, until
from tests.helpers.sessions import key_named
from tests.helpers.versions import Versions, blocks

from datd.errors import ArchiveExists, ForkError, StorageError
from datd.hosting.appetite import FULL_SECONDS
from datd.hosting.changes import Changes


async def events_of(here, since=0):
    await asyncio.sleep(2)  # all that waits is written
    found, _ = await here.services.events.kept(since, 999)
    return [(event.kind, event.fields) for event in found]


async def kinds_of(here, since=0):
    return [kind for kind, _ in await events_of(here, since)]


def test_an_archive_from_its_arrival_to_its_end(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder / "a") as a, node(network, folder / "b", "10.0.0.2") as b:
            made.plant(a)
            await a.seeding(made.key)
            archive = await b.seeding(made.key, a, name="n", tags=["t"])
            await until(lambda: b.services.events.newest >= 3)
            await archive.pause()
            await archive.pause()
            await archive.resume()
            await b.library.change(archive, Changes({"name": "m", "tags": ["t"], "networks": []}))
            await b.library.change(archive, Changes({"name": "m"}))
            await b.library.remove(archive)
            size = sum(map(len, made.files.values()))
            assert await events_of(b) == [
                ("archive.added",
                 {"name": "n", "tags": ["t"], "mode": "archive", "writable": False}),
                ("archive.version", {"previous": 0, "version": 4}),
                ("archive.complete", {"version": 4, "files": 4, "size": size}),
                ("archive.paused", {}),
                ("archive.resumed", {}),
                ("archive.changed", {"changed": ["name", "networks"]}),
                ("archive.removed", {"name": "m", "tags": ["t"]}),
            ]  # fmt: skip
            # One that comes back is new again.
            await b.add(made.key, a)
            assert (await kinds_of(b, 7))[0] == "archive.added"

    told(of)


def test_what_was_told_is_not_told_again_after_a_restart(told):
    async def of(network, folder):
        made = source()
        for _ in range(3):
            async with node(network, folder) as here:
                made.plant(here)
                if not here.library.archives():
                    await here.add(made.key)
                (archive,) = here.library.archives()
                async with archive.opened():
                    await asyncio.sleep(2)
        async with node(network, folder) as here:
            assert await kinds_of(here) == ["archive.added", "archive.version", "archive.complete"]

    told(of)


def test_a_version_whose_event_a_crash_took_is_told_after_the_restart(told):
    async def of(network, folder):
        made = Versions()
        for number in range(3):
            made.put("a", blocks(f"a{number}"))
        async with node(network, folder) as here:
            made.source(2).plant(here)
            archive = await here.add(made.source().key)
            async with archive.opened():
                await until(lambda: archive.state == "seeding")
        # The journal ends with version 2; the files, by what came in the last moment, with 3.
        async with node(network, folder) as here:
            newest = here.services.events.newest
            (archive,) = here.library.archives()
            for file in archive.folder.iterdir():
                file.unlink()
            made.source().plant(here)
            archive.record.dirty = True
            async with archive.opened():
                await until(lambda: archive.state == "seeding")
            assert [
                event for event in await events_of(here, newest) if event[0] == "archive.version"
            ] == [("archive.version", {"previous": 2, "version": 3})]

    told(of)


def test_what_was_refused_is_no_event(told):
    async def of(network, folder):
        async with node(network, folder) as here:
            await here.add(key_named("one"), name="taken")
            with pytest.raises(ArchiveExists):
                await here.add(key_named("other"), name="taken")
            assert await kinds_of(here) == ["archive.added"]

    told(of)


def test_files_that_cannot_be_used_are_told_of_once_and_when_they_can_again(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.seeding(made.key)
            await here.library.tidy(close=True)
            key = archive.folder / "metadata.key"
            whole = key.read_bytes()
            key.write_bytes(bytes(32))
            for _ in range(2):
                with pytest.raises(StorageError):
                    async with archive.opened():
                        pass
            key.write_bytes(whole)
            async with archive.opened():
                pass
            found = await events_of(here, 3)
            assert [kind for kind, _ in found] == ["archive.error", "archive.recovered"]
            assert "metadata.key" in found[0][1]["error"]

    told(of)


def test_damaged_blocks_are_told_with_their_numbers(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.seeding(made.key)
            await here.library.tidy(close=True)
            data = archive.folder / "content.data"
            bytes_ = bytearray(data.read_bytes())
            bytes_[5] ^= 1
            data.write_bytes(bytes_)
            job = here.library.workshop.verify(archive)
            await until(lambda: job.state != "running")
            found = await events_of(here, 3)
            damaged = [fields for kind, fields in found if kind == "archive.damaged"]
            assert damaged == [{"feed": "content", "count": 1, "blocks": [0]}]
            ended = [fields for kind, fields in found if kind == "job.ended"]
            assert ended[0]["job"] == job.id
            assert ended[0]["work"] == "verify"
            assert next(kind for kind, _ in found) == "job.started"

    told(of)


def test_a_second_history_is_told_with_the_proof_on_record(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.seeding(made.key)
            live = opened(archive).metadata
            error = ForkError("two", index=0, length=3, root_hash=bytes(32), evidence=bytes(64))
            for _ in range(2):
                await archive.in_conflict(live, error, None)
            assert archive.record.conflict is not None
            found = [event for event in await events_of(here) if event[0] == "archive.conflict"]
            assert found == [("archive.conflict", {"feed": str(made.key.discovery_key)})]

    told(of)


def test_an_archive_that_may_take_no_more_tells_so_and_when_it_may_again(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            made.plant(here, blocks=[0])
            archive = await here.add(made.key)
            async with archive.opened():
                assert archive.refused_to_write(StorageError("the disk is full"))
                await asyncio.sleep(FULL_SECONDS / 2)
                archive.look_for_room()
                await asyncio.sleep(FULL_SECONDS)
                archive.look_for_room()
            found = [event for event in await events_of(here) if event[0].startswith("disk.")]
            assert found == [("disk.full", {"reason": "the disk is full"}), ("disk.room", {})]

    told(of)
