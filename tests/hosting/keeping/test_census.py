import asyncio

import pytest
from tests.helpers.feeds import ArchiveWriter, feed_of
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
from tests.helpers.raw_peer import calling

from datd.hosting.keeping import census
from datd.records import Summary


def replaced_file() -> Source:
    """A file of two versions, of which only the second is needed today."""
    writer = ArchiveWriter()
    writer.file("file", [b"old 1", b"old 2"])
    writer.file("file", [b"new 1", b"new 2", b"new 3"], rows=[[2], [2]])
    return source_of(writer)


def test_progress_is_one_only_when_complete():
    summary = Summary(blocks_have=10, blocks_total=10, bytes_have=5, bytes_total=5)
    assert census.progress(summary, complete=False) < 1
    assert census.progress(summary, complete=True) == 1
    assert census.progress(Summary(), complete=False) == 0
    half = Summary(blocks_have=9, blocks_total=10, bytes_have=5, bytes_total=10)
    assert census.progress(half, complete=False) == 0.5


def test_old_blocks_that_nobody_offers_are_unavailable_and_not_missing(told):
    async def of(network, folder):
        made = replaced_file()
        async with node(network, folder) as here:
            archive = await here.add(made.key)
            async with calling(here, *made.feeds, claims=[range(3), [2, 3, 4]]):
                await until(lambda: state(archive) == "seeding")
                view = await archive.view()
                assert (view.blocks.have, view.blocks.total) == (6, 6)
                assert view.blocks.unavailable == 2
                assert view.progress == 1.0
                assert view.bytes.have == view.bytes.total
            # Somebody who has them after all: then they are wanted.
            async with calling(here, *made.feeds, host="203.0.113.10") as peer:
                await until(lambda: peer.asked(1))
                await until(lambda: state(archive) == "seeding")
                assert sorted(peer.asked(1)) == [0, 1]
                view = await archive.view()
                assert (view.blocks.have, view.blocks.unavailable) == (8, 0)

    told(of)


def test_needed_blocks_that_nobody_offers_are_missing(told):
    async def of(network, folder):
        made = replaced_file()
        async with node(network, folder) as here:
            archive = await here.add(made.key)
            async with calling(here, *made.feeds, claims=[range(3), [0, 1, 2]]):
                await asyncio.sleep(30)
                assert state(archive) == "syncing"
                view = await archive.view()
                assert view.blocks.have < view.blocks.total
                assert view.progress < 1
            await asyncio.sleep(1)
            assert state(archive) == "searching"

    told(of)


def test_who_leaves_with_old_blocks_that_only_he_offered_leaves_a_complete_archive(told):
    async def of(network, folder):
        made = replaced_file()

        def only_new(peer, feed, request):
            return peer.honest(feed, request) if feed == 0 or request.index >= 2 else None

        async with node(network, folder) as here:
            archive = await here.add(made.key)
            async with calling(here, *made.feeds, answer=only_new):
                await asyncio.sleep(3)
                assert content_of(archive).feed.present_blocks == 3
                assert state(archive) == "syncing"
            await until(lambda: state(archive) == "seeding")
            assert (await archive.view()).blocks.unavailable == 2

    told(of)


def test_a_longer_feed_that_somebody_announces_means_there_is_more_to_come(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.seeding(made.key)
            async with calling(
                here, *made.feeds, claims=[range(9), range(32)], answer=lambda *_: None
            ):
                await until(lambda: state(archive) == "syncing")
                assert (await archive.view()).progress < 1
            await until(lambda: state(archive) == "seeding")

    told(of)


def test_an_archive_that_only_a_catalogue_knows_is_shown_as_it_was(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            made.plant(here)
            before = await (await here.seeding(made.key)).view()
        async with node(network, folder) as here:
            archive = here.library.find(made.key.hex)
            assert not archive.in_use
            view = await archive.view()
            assert (view.state, view.files, view.size) == ("seeding", 4, before.size)
            assert view.blocks == before.blocks
            assert not archive.in_use

    told(of)


def test_an_empty_archive_and_a_plain_feed_are_complete_too(told):
    async def of(network, folder):
        empty = source_of(ArchiveWriter())
        async with node(network, folder) as here:
            archive = await here.add(empty.metadata.key)
            async with calling(here, empty.metadata, empty.content):
                await until(lambda: state(archive) == "seeding")
                assert (await archive.view()).files == 0

    told(of)

    async def plain(network, folder):
        feed = feed_of([b"\x0a\x05plain", b"some block"])
        async with node(network, folder / "plain") as here:
            archive = await here.add(feed.key)
            async with calling(here, feed):
                await until(lambda: state(archive) == "seeding")
                assert "no files" in ((await archive.view()).error or "")

    told(plain)


@pytest.mark.parametrize("wanted", [1, 3])
def test_a_title_is_read_of_the_version_that_is_mirrored(told, wanted):
    async def of(network, folder):
        writer = ArchiveWriter()
        writer.file("dat.json", [b'{"title": "first"}'])
        writer.file("other", [b"x"], rows=[[1, 2], [2]])
        writer.file("dat.json", [b'{"title": "second"}'], rows=[[2, 3], [3]])
        archive = source_of(writer)
        async with node(network, folder) as here:
            hosted = await here.add(archive.metadata.key, version=wanted)
            async with calling(here, archive.metadata, archive.content):
                await until(lambda: state(hosted) == "seeding")
                assert (await hosted.view()).title == ("first" if wanted == 1 else "second")
                assert await read(hosted, "/dat.json")

    told(of)
