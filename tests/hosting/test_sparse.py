"""Archives of which only a part is wanted."""

import pytest
from tests.helpers.libraries import node, read, state, until
from tests.helpers.raw_peer import calling
from tests.helpers.versions import EVERYTHING, Versions, blocks, held, replaced, told_gone

from datd.hosting.changes import Changes


def test_a_sparse_archive_fetches_what_is_read_and_nothing_else(told):
    async def of(network, folder):
        made = replaced().source()
        async with node(network, folder) as here:
            archive = await here.add(made.key, mode="sparse")
            async with calling(here, *made.feeds) as peer:
                await until(lambda: state(archive) == "seeding")
                assert sorted(peer.asked(0)) == [0, 3]
                assert peer.asked(1) == []
                assert await read(archive, "/other") == b"".join(blocks("other", 2))
                assert sorted(peer.asked(1)) == [3, 4]
                await until(lambda: state(archive) == "seeding")
                view = await archive.view()
                assert view.blocks.have == view.blocks.total
                assert view.version == 3

    told(of)


def test_a_sparse_archive_learns_of_new_versions(told):
    async def of(network, folder):
        made = replaced()
        source = made.source(2)
        async with node(network, folder) as here:
            archive = await here.add(source.key, mode="sparse")
            async with calling(here, *source.feeds) as peer:
                await until(lambda: state(archive) == "seeding")
                metadata, content = made.news(2, 3)
                await peer.append(1, content)
                await peer.append(0, metadata)
                await until(lambda: state(archive) == "syncing")
                await here.library.tidy()  # as it is done every few seconds
                await until(lambda: archive.record.summary.version == 3)
                await until(lambda: state(archive) == "seeding")
                assert peer.asked(1) == []

    told(of)


def test_patterns_of_a_sparse_archive_are_fetched_unasked(told):
    async def of(network, folder):
        made = Versions()
        made.put("a.csv", blocks("a"))
        made.put("b.txt", blocks("b"))
        made.put("c.csv", blocks("c"))
        source = made.source(2)
        async with node(network, folder) as here:
            archive = await here.add(source.key, mode="sparse", paused=True)
            await archive.change(Changes({"include": ["*.csv"]}))
            await archive.resume()
            async with calling(here, *source.feeds) as peer:
                await until(lambda: state(archive) == "seeding")
                await peer.say(1, EVERYTHING)
                assert held(archive) == [0, 1, 2]
                view = await archive.view()
                assert (view.blocks.have, view.blocks.total, view.files) == (6, 6, 2)
                metadata, content = made.news(2, 3)
                await peer.append(1, content)
                await peer.append(0, metadata)
                await until(lambda: held(archive) == [0, 1, 2, 6, 7, 8], 20)
                # What is read beside it stays.
                await read(archive, "/b.txt")
                await archive.change(Changes({"include": ["/a.*"]}))
                await until(lambda: state(archive) == "seeding")
                assert held(archive) == list(range(9))
                await archive.change(Changes({"include": ["/a.*"]}), prune=True)
                await until(lambda: held(archive) == [0, 1, 2])
                await until(lambda: state(archive) == "seeding")
                await until(lambda: told_gone(peer) == [3, 4, 5, 6, 7, 8])
                await archive.change(Changes({"include": None}), prune=True)
                await until(lambda: held(archive) == [])

    told(of)


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("+1:/file", [0, 1]),
        ("+1-2:/file", [0, 1, 2, 3]),
        ("+2-:/file", [2, 3, 4, 5]),
        ("+2-9:/file", [2, 3, 4, 5]),
        ("/file", [4, 5]),
        ("+7:/file", []),
    ],
)
def test_patterns_may_mean_older_versions(told, pattern, wanted):
    async def of(network, folder):
        made = Versions()
        for label in ("one", "two", "three"):
            made.put("file", blocks(label, 2))
        source = made.source()
        async with node(network, folder) as here:
            archive = await here.add(source.key, mode="sparse", paused=True)
            await archive.change(Changes({"include": [pattern]}))
            await archive.resume()
            async with calling(here, *source.feeds):
                await until(lambda: state(archive) == "seeding")
                assert held(archive) == wanted

    told(of)


def test_old_versions_that_nobody_has_any_more_do_not_keep_an_archive_from_being_complete(told):
    async def of(network, folder):
        made = replaced().source()
        async with node(network, folder) as here:
            archive = await here.add(made.key, mode="sparse", paused=True)
            await archive.change(Changes({"include": ["+1-:/file"]}))
            await archive.resume()
            async with calling(here, *made.feeds, claims=[range(4), [5, 6, 7, 8]]):
                await until(lambda: state(archive) == "seeding")
                assert held(archive) == [5, 6, 7, 8]
                assert (await archive.view()).blocks.unavailable == 3

    told(of)
