import os
import tracemalloc

import pytest
from tests.helpers.feeds import ArchiveWriter
from tests.helpers.libraries import node, source, source_of
from tests.helpers.network import MemoryNetwork

from datd.archive.archive import Archive
from datd.errors import ArchiveFormatError
from datd.feed.feed import Feed
from datd.hosting import sleep_files
from datd.storage.base import FeedStorage
from datd.storage.memory import MemoryFile


async def all_of(opened, view):
    return await opened.run(lambda: view.read(0, view.size))


async def reopened(opened, name: str, key) -> Feed:
    """A feed made of nothing but what is given out."""
    found = {}
    for part in sleep_files.PARTS:
        view = await sleep_files.look(opened, f"{name}.{part}")
        assert view is not None
        found[part] = MemoryFile(await all_of(opened, view))
    return Feed.open(FeedStorage(secret_key=MemoryFile(), **found), key)


async def test_what_is_given_out_is_the_archive(tmp_path):
    made = source()
    async with node(MemoryNetwork(), tmp_path) as one:
        made.plant(one)
        archive = await one.seeding(made.key)
        async with archive.opened() as opened:
            metadata = await reopened(opened, "metadata", made.key)
            content = await reopened(opened, "content", made.content.key)
        copy = Archive(metadata, content)
        assert copy.version == 4
        assert [content.get(n) for n in range(32)] == [made.content.get(n) for n in range(32)]


async def test_T_50_nothing_else_is_given_out(tmp_path):
    made = source()
    async with node(MemoryNetwork(), tmp_path) as one:
        made.plant(one)
        archive = await one.seeding(made.key)
        async with archive.opened() as opened:
            for name in ("metadata.secret_key", "content.secret_key", "metadata.ogd", "../x", ""):
                assert await sleep_files.look(opened, name) is None


async def test_tags_stay_and_change_with_the_bytes(tmp_path):
    made = source()
    async with node(MemoryNetwork(), tmp_path) as one:
        made.plant(one, blocks=range(5))
        archive = await one.add(made.key)
        async with archive.opened() as opened:
            views = [await sleep_files.look(opened, name) for name in sleep_files.NAMES]
            tags = [view.tag for view in views if view is not None]
            again = [await sleep_files.look(opened, name) for name in sleep_files.NAMES]
            assert tags == [view.tag for view in again if view is not None]
            assert len(set(tags)) == len(tags)


async def test_a_copy_of_the_newest_files_claims_no_others(tmp_path):
    writer = ArchiveWriter()
    writer.file("a.txt", [b"first", b"of two"], rows=[[1]])
    writer.file("a.txt", [b"second"], rows=[[2]])
    made = source_of(writer)
    async with node(MemoryNetwork(), tmp_path) as one:
        made.plant(one)
        archive = await one.seeding(made.key)
        async with archive.opened() as opened:
            whole = await sleep_files.look(opened, "content.bitfield")
            newest = await sleep_files.newest_bits(opened)
            assert (await all_of(opened, whole))[32] == 0b11100000
            assert (await all_of(opened, newest))[32] == 0b00100000


async def test_l9_the_bitfield_of_a_feed_that_claims_billions_of_blocks_costs_no_memory(tmp_path):
    made = source()
    async with node(MemoryNetwork(), tmp_path) as one:
        made.plant(one)
        archive = await one.seeding(made.key)
        (path,) = tmp_path.glob("archives/*/*/content.bitfield")
        async with archive.opened() as opened:
            before = await sleep_files.look(opened, "content.bitfield")
            os.truncate(path, 2**32 // 8192 * 3584)
            tracemalloc.start()
            try:
                view = await sleep_files.look(opened, "content.bitfield")
                with pytest.raises(ArchiveFormatError, match="ask for the whole one"):
                    await sleep_files.newest_bits(opened)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert before is not None
            assert view is not None
            assert view.size == 2**19 * 3584
            assert view.tag != before.tag
            assert peak < 16 * 2**20
        with pytest.raises(ArchiveFormatError):
            async with archive.opened() as opened:
                await sleep_files.newest_bits(opened)
        assert archive.error is None, "it is served to others as before"
