"""Copies of a version under a new key; see also tests/http/test_own_archives.py."""

import asyncio
import errno

from tests.helpers.feeds import ArchiveWriter
from tests.helpers.libraries import (
    copy_feeds,
    node,
    opened,
    read,
    source,
    source_of,
    state,
    until,
)

from datd.archive.entries import Stat
from datd.hosting.descriptors import Descriptors
from datd.hosting.own.forking import COMMIT_ENTRIES
from datd.records import Forking


async def forked(one, original, version, fields=None):
    copy, job = await one.library.workshop.fork(original, version, fields or {}, chunking="fixed")
    await until(lambda: job.ended_at is not None, 2000)
    return copy, job


def test_blocks_are_copied_as_they_were_cut(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as one:
            made.plant(one)
            original = await one.seeding(made.key)
            copy, job = await forked(one, original, 4)
            assert (job.state, job.done) == ("done", sum(map(len, made.files.values())))
            async with original.opened() as theirs, copy.opened() as ours:
                assert ours.content is not None
                assert theirs.content is not None
                assert ours.content.feed.length == theirs.content.feed.length
                for block in range(ours.content.feed.length):
                    assert ours.content.feed.get(block) == theirs.content.feed.get(block)
            for path, body in made.files.items():
                assert await read(copy, path) == body
            assert copy.record.writable

    told(of)


def test_what_is_missing_is_fetched_first(told):
    async def of(network, folder):
        made = source()
        async with (
            node(network, folder / "1") as one,
            node(network, folder / "2", "10.0.0.2") as two,
        ):
            made.plant(one)
            await one.seeding(made.key)
            original = await two.add(made.key, one, mode="sparse")
            await original.stat("/file-0.txt")
            copy, job = await forked(two, original, 4)
            assert job.state == "done"
            assert await read(copy, "/file-3.txt") == made.files["/file-3.txt"]

    told(of)


def test_a_file_that_is_not_to_be_had_fails_the_job(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as one:
            made.plant(one, blocks=[0, 1])
            original = await one.add(made.key)
            async with original.opened():
                pass
            _, job = await forked(one, original, 4)
            assert job.state == "failed"
            assert "no peer gave content block" in (job.error or "")

    told(of)


def big():
    """More files than are committed at once."""
    return source({f"d/{n:04}": [b"%d" % n] for n in range(COMMIT_ENTRIES + 100)})


async def cut_short(one, made):
    """A copy whose job ended with the daemon, after its first commit; some content was missing."""
    made.plant(one, blocks=range(COMMIT_ENTRIES + 50))
    original = await one.add(made.key)
    async with original.opened():
        pass
    version = len(made.files)
    copy, job = await one.library.workshop.fork(
        original, version, {"title": "Mine"}, chunking="fixed"
    )
    await until(lambda: job.done and job.text == f"/d/{COMMIT_ENTRIES + 49}", 60)
    await one.library.workshop.close()
    assert job.state == "cancelled"
    assert copy.record.forking is not None
    return copy.key


def test_a_copy_that_is_cut_short_goes_on_at_the_next_start(told):
    async def of(network, folder):
        made = big()
        async with node(network, folder) as one:
            key = await cut_short(one, made)
        copy_feeds(made, folder / "archives")
        async with node(network, folder) as again:
            copy = again.library.find(key.hex)
            await until(lambda: copy.record.forking is None, 60)
            entries, _ = await copy.list("/d", limit=2000)
            assert [entry.path for entry in entries] == sorted(made.files)
            assert await read(copy, "/d/1099") == b"1099"
            assert b'"title": "Mine"' in await read(copy, "/dat.json")
            assert (await copy.view()).version == len(made.files) + 1  # none was copied twice

    told(of)


def test_a_copy_whose_original_is_gone_says_so_and_goes_on_once_it_is_back(told):
    async def of(network, folder):
        made = big()
        async with node(network, folder) as one:
            key = await cut_short(one, made)
            await one.library.remove(one.library.find(made.key.hex))
        async with node(network, folder) as again:
            workshop, copy = again.library.workshop, again.library.find(key.hex)
            await until(lambda: workshop.jobs.of(key) is None)
            (failed,) = workshop.jobs.all()
            assert (failed.kind, failed.state) == ("fork", "failed")
            assert "host it again" in (failed.error or "")
            assert copy.record.forking is not None
            made.plant(again)
            await again.seeding(made.key)
            job = await workshop.rescan(copy)
            await until(lambda: job.ended_at is not None, 60)
            assert job.state == "done"
            assert (await copy.view()).forking is None

    told(of)


def test_a_copy_that_is_cancelled_stays_as_it_is(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as one:
            made.plant(one, blocks=[0, 1])
            original = await one.add(made.key)
            async with original.opened():
                pass
            copy, job = await one.library.workshop.fork(original, 4, {}, chunking="fixed")
            await asyncio.sleep(1)
            assert job.ended_at is None
            await one.library.cancel(job)
            assert (job.state, copy.record.forking) == ("cancelled", None)

    told(of)


def test_an_entry_that_lies_is_left_out_and_named(told):
    async def of(network, folder):
        writer = ArchiveWriter()
        writer.file("good", [b"good"], rows=[[1], [1]])
        lie = Stat(0o100644, size=10**9, blocks=1, offset=0, byte_offset=0)
        writer.entry("lie", [[1, 2], [2]], lie)
        made = source_of(writer)
        async with node(network, folder) as one:
            made.plant(one)
            original = await one.add(made.key)
            async with original.opened():
                pass
            copy, job = await forked(one, original, 2)
            assert job.state == "done", job.error
            assert [path for path, _ in job.skipped] == ["/lie"]
            assert await read(copy, "/good") == b"good"
            async with copy.opened():
                assert opened(copy).archive.version == 1

    told(of)


def test_a_disk_that_refuses_the_copy_is_no_fault_of_the_original(told):
    class FullFor(Descriptors):
        """A disk without room for one archive."""

        folder = "none"

        def lease(self, path, *, create):
            if create and self.folder in str(path):
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().lease(path, create=create)

    async def of(network, folder):
        made, disk = source(), FullFor(64)
        async with node(network, folder, pool=disk) as one:
            made.plant(one)
            original = await one.seeding(made.key)
            copy = await one.library.create(forking=Forking(made.key.hex, 4, {}))
            disk.folder = str(copy.folder)
            job = one.library.workshop.go_on(copy)
            await until(lambda: job.ended_at is not None, 60)
            assert "No space left" in (job.error or "")
            assert original.error is None
            assert state(original) == "seeding"
            disk.folder = "none"
            job = one.library.workshop.go_on(copy)
            await until(lambda: job.ended_at is not None, 60)
            assert job.state == "done"
            disk.close()

    told(of)


def test_an_original_that_cannot_be_read_is_no_fault_of_the_copy(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as one:
            made.plant(one)
            original = await one.seeding(made.key)
            await original.tidy(close=True)
            (made.folder(one) / "metadata.key").write_bytes(bytes(32))
            copy, job = await forked(one, original, 4)
            assert "the original cannot be read" in (job.error or "")
            assert copy.error is None
            assert original.error is not None

    told(of)
