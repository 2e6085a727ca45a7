from pathlib import Path

from tests.helpers.adopted import adopt
from tests.helpers.feeds import content_of
from tests.helpers.libraries import Node, Source, node, opened, read, story, until
from tests.helpers.network import MemoryNetwork
from tests.helpers.own_archives import new_archive, put

from datd.archive.archive import Archive
from datd.archive.writer import ArchiveWriter
from datd.hosting.folders.folder_mirror import settle
from datd.keys import Key


def sourced(archive: Archive) -> Source:
    return Source(archive.metadata, content_of(archive), {})


def clone(folder: Path, key: Key) -> Path:
    """A clone that never met a peer."""
    (folder / ".dat").mkdir(parents=True)
    (folder / ".dat/metadata.key").write_bytes(key.raw)
    return folder


def latest(folder: Path) -> int:
    return int.from_bytes((folder / ".dat/metadata.latest").read_bytes(), "big")


async def written(seeder: Node, writer: ArchiveWriter, version: int) -> None:
    """Have the seeder see what its author wrote, by planting it anew."""
    archive = next(iter(seeder.library.archives()), None)
    if archive is not None:
        await seeder.library.remove(archive)
    source = sourced(writer.archive)
    source.plant(seeder)
    again = await seeder.seeding(source.key)
    assert (await again.view()).version == version


def test_what_newer_versions_replace_goes_before_they_come(tmp_path: Path):
    async def told() -> None:
        network, archive = MemoryNetwork(), new_archive()
        writer = ArchiveWriter(archive)
        put(writer, "/shrinks", b"x" * 70_000, b"rest")
        put(writer, "/deep/er/goes", b"goes")
        put(writer, "/stays", b"stays")
        writer.commit()
        folder = clone(tmp_path / "b/shared", archive.metadata.key)
        async with (
            node(network, tmp_path / "a/data") as seeder,
            node(network, tmp_path / "b/data", "10.0.0.2") as mirror,
        ):
            await written(seeder, writer, 3)
            copy = await adopt(mirror, folder, peers=[seeder.address])
            await until(lambda: copy.state == "seeding", 60)
            await mirror.library.tidy()
            assert (folder / "shrinks").stat().st_size == 70_004
            assert (folder / "deep/er/goes").read_bytes() == b"goes"
            assert latest(folder) == 3
            (folder / "deep/mine").write_bytes(b"mine")

            put(writer, "/shrinks", b"small")
            writer.remove("/deep/er/goes")
            put(writer, "/deep/mine", b"theirs")
            writer.remove("/deep/mine")
            put(writer, "/new", b"new")
            writer.commit()
            await written(seeder, writer, 8)
            await until(lambda: (folder / "new").exists(), 600)
            await until(lambda: copy.state == "seeding" and latest(folder) == 8, 60)
            assert (folder / "shrinks").read_bytes() == b"small"
            assert not (folder / "deep/er").exists()
            # It was never a file of the archive here: what somebody has under that name stays.
            assert (folder / "deep/mine").read_bytes() == b"mine"
            assert await read(copy, "/stays") == b"stays"
            # Done already: nothing happens again.
            (folder / "stays").rename(folder / "kept")
            async with copy.opened() as feeds:
                await settle(feeds, 8)
            assert (folder / "kept").exists()

    story(told())


def test_newer_bytes_that_are_there_already_are_not_removed(tmp_path: Path):
    async def told() -> None:
        network, archive = MemoryNetwork(), new_archive()
        writer = ArchiveWriter(archive)
        put(writer, "/a", b"the long old version")
        writer.commit()
        folder = clone(tmp_path / "b/shared", archive.metadata.key)
        async with (
            node(network, tmp_path / "a/data") as seeder,
            node(network, tmp_path / "b/data", "10.0.0.2") as mirror,
        ):
            await written(seeder, writer, 1)
            copy = await adopt(mirror, folder, peers=[seeder.address])
            await until(lambda: copy.state == "seeding", 60)
            put(writer, "/a", b"newer")
            writer.commit()
            await written(seeder, writer, 2)
            async with copy.opened():
                await until(lambda: opened(copy).metadata.feed.length == 3, 600)
                assert await read(copy, "/a") == b"newer"  # whoever comes first
                await until(lambda: copy.state == "seeding" and latest(folder) == 2, 60)
            assert (folder / "a").read_bytes() == b"newer"

    story(told())
