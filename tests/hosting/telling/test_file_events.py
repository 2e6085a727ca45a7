import asyncio

from tests.helpers.libraries import node, opened, source, until
from tests.helpers.raw_peer import calling
from tests.helpers.sessions import key_named
from tests.helpers.versions import Versions, blocks

from datd.hosting.telling.event_kinds import Interest, Position, Told
from datd.hosting.telling.file_events import AGAIN_SECONDS, FileEvents


def history():
    """An archive of 24 versions: `/a` is written at 1, 3 and 24, `/b` at all others."""
    made = Versions()
    for name in ("a", "b", "a", *["b"] * 20, "a"):
        made.put(name, blocks(f"{name}{len(made.metadata)}", 1))
    return made


def files_of(here):
    library = here.library
    return FileEvents(library.versions, library._register.of_key, here.services.spawn)


async def follow(here, key, path, since, count):
    """The first events of files and versions that somebody hears who follows a path."""
    reading = here.library.herald.follow(Interest(key, path), since, may_see=lambda event: True)
    found: list[Told] = []
    async with reading.opened():
        while len(found) < count:
            await reading.wait(60)
            found += [one for one in await reading.read() if one.kind != "archive.complete"]
    return found


def test_of_a_whole_archive_the_changes_of_a_path_are_told_with_the_version(told):
    async def of(network, folder):
        made = history().source()
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.seeding(made.key)
            await here.services.events.settle()
            found = await follow(here, archive.key, "/a", Position(0), 5)
            kinds = [one.kind for one in found]
            assert kinds == ["archive.added", *["file.put"] * 3, "archive.version"]
            assert [one.fields["version"] for one in found[1:]] == [1, 3, 24, 24]
            assert found[1].fields == {"path": "/a", "version": 1, "type": "file", "size": 5000}
            # A reader that was cut off within the version goes on there.
            again = await follow(here, archive.key, "/a", found[2].position, 2)
            assert [str(one.position) for one in again] == ["2.24", "2"]

    told(of)


def test_of_a_sparse_archive_only_what_the_path_takes_is_fetched(told):
    async def of(network, folder):
        whole = history()
        made = whole.source(2)
        async with node(network, folder) as here:
            archive = await here.add(made.key, mode="sparse")
            async with calling(here, *made.feeds) as peer, asyncio.TaskGroup() as group:
                await until(lambda: archive.record.summary.version == 2)
                await asyncio.sleep(1)
                since = Position(here.services.events.newest)
                following = group.create_task(follow(here, made.key, "/a", since, 3))
                await asyncio.sleep(1)
                metadata, content = whole.news(2, 24)
                await peer.append(1, content)
                await peer.append(0, metadata)
                found = await asyncio.wait_for(following, 60)
                assert [(one.kind, one.fields["version"]) for one in found] == [
                    ("file.put", 3), ("file.put", 24), ("archive.version", 24),
                ]  # fmt: skip
                # Of the new entries those that are on the way to /a; of content nothing.
                assert set(peer.asked(0)) - {0, 1, 2} <= {3, 23, 24}
                assert peer.asked(1) == []

    told(of)


def test_archives_that_are_not_hosted_any_more_are_told_so(told):
    async def of(network, folder):
        async with node(network, folder) as here:
            page = await files_of(here).page(key_named("gone"), "/", 0, 5)
            assert page.changes == []
            assert page.missing == "the archive is not hosted any more"

    told(of)


def test_without_peers_nothing_is_known_yet_and_nothing_is_made_up(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            archive = await here.add(made.key, mode="sparse")
            assert await files_of(here).page(archive.key, "/", 0, 3) is None

    told(of)


def test_an_archive_is_kept_open_while_somebody_follows_its_paths(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.seeding(made.key)
            files = files_of(here)
            async with files.watching(made.key):
                async with files.watching(made.key):
                    await asyncio.sleep(1)
                await asyncio.sleep(1)
                await here.library.tidy()
                assert archive.in_use
                # Nobody is there who could tell: peers are looked for as if blocks were missing.
                assert opened(archive).metadata.lonely
            await asyncio.sleep(1)
            await here.library.tidy()
            assert not archive.in_use

    told(of)


def test_an_archive_that_is_added_again_is_watched_again(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.seeding(made.key)
            async with files_of(here).watching(made.key):
                await asyncio.sleep(1)
                await here.library.remove(archive)
                await asyncio.sleep(60)
                again = await here.add(made.key, mode="sparse")
                await asyncio.sleep(2 * AGAIN_SECONDS)
                assert opened(again).metadata.watched
            await asyncio.sleep(1)
            assert not opened(again).metadata.watched

    told(of)


def test_an_archive_may_be_followed_before_it_is_hosted(told):
    async def of(network, folder):
        made = source()
        async with node(network, folder) as here, files_of(here).watching(made.key):
            await asyncio.sleep(1)
            archive = await here.add(made.key, mode="sparse")
            await asyncio.sleep(2 * AGAIN_SECONDS)
            assert opened(archive).metadata.watched

    told(of)
