"""Copies of a version under a new key; see also tests/http/test_own_archives.py."""

from tests.helpers.feeds import ArchiveWriter
from tests.helpers.libraries import node, opened, read, source, source_of, until

from datd.archive.entries import Stat


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
