import random
from pathlib import Path

import pytest
from tests.helpers.adopted import adopt, foreign
from tests.helpers.feeds import content_of
from tests.helpers.folders import write
from tests.helpers.libraries import Node, Source, node, read, story, until
from tests.helpers.network import MemoryNetwork
from tests.helpers.own_archives import new_archive, put

from datd.archive.writer import ArchiveWriter
from datd.hosting.archive import HostedArchive
from datd.importing.chunking import Chunking, chunker

CHANCE = random.Random(7)
FILES = {
    "/big.bin": CHANCE.randbytes(700_001),
    "/dir/small.txt": b"small",
    "/dir/other.bin": CHANCE.randbytes(200_000),
    "/empty": b"",
}


def made(chunking: Chunking = "fixed", files: dict[str, bytes] = FILES) -> Source:
    """An archive of files."""
    archive = new_archive()
    writer = ArchiveWriter(archive)
    for name, body in files.items():
        cutter = chunker(chunking)
        put(writer, name, *cutter.feed(body), *cutter.end())
    writer.commit()
    return Source(archive.metadata, content_of(archive), files)


async def fill(owner: Node, archive: HostedArchive, folder: Path) -> str:
    """Fill an archive from a folder; what the job says in the end."""
    job = await owner.library.adoption.fill(archive, str(folder))
    await until(lambda: job.state != "running", 300)
    assert job.state == "done", job.error
    assert job.kind == "adopt"
    return job.text


@pytest.mark.parametrize("chunking", ["fixed", "content"])
def test_files_fill_a_mirror_and_only_hashes_go_over_the_network(
    tmp_path: Path, chunking: Chunking
):
    async def told() -> None:
        network = MemoryNetwork()
        source = made(chunking)
        folder = tmp_path / "b/files"
        write(folder / "big.bin", FILES["/big.bin"])
        write(folder / "renamed", FILES["/dir/other.bin"])
        write(folder / "dir/small.txt", b"SMALL")  # of the same size, and another one
        (folder / "link").symlink_to(folder / "big.bin")
        async with (
            node(network, tmp_path / "a/data") as seeder,
            node(network, tmp_path / "b/data", "10.0.0.2") as mirror,
        ):
            source.plant(seeder)
            await seeder.seeding(source.key)
            # Sparse: what is not taken from the folder stays away.
            archive = await mirror.add(source.key, seeder, mode="sparse")
            text = await fill(mirror, archive, folder)
            assert text.startswith("2 files helped: 900 kB taken")
            assert archive.traffic.downloaded.total < 5_000
            saved = (await archive.view()).saved
            assert saved.bytes == 900_001
            assert saved.blocks == 15 if chunking == "fixed" else saved.blocks > 1
            assert (await mirror.library.view()).saved == saved
            async with archive.opened() as opened:
                assert opened.content is not None
                for name in ("/big.bin", "/dir/other.bin"):
                    stat = await archive.stat(name)
                    stop = stat.offset + stat.blocks
                    assert opened.content.available(stat.offset, stop) == stat.blocks
            assert await read(archive, "/big.bin") == FILES["/big.bin"]
            assert await read(archive, "/dir/small.txt") == b"small"

    story(told())


def test_where_the_tree_is_here_no_network_is_needed(tmp_path: Path):
    async def told() -> None:
        source = made()
        folder = tmp_path / "files"
        for name, body in FILES.items():
            write(folder / name[1:], body)
        changed = bytearray(FILES["/big.bin"])
        changed[400_000] ^= 1
        write(folder / "big.bin", bytes(changed))
        async with node(MemoryNetwork(), tmp_path / "data") as owner:
            # The last block of each file is here, and with them most of the tree.
            source.plant(owner, blocks=[1, 10, 12, 15])
            archive = await owner.add(source.key)
            text = await fill(owner, archive, folder)
            assert "no peer told the hashes of more" in text
            async with archive.opened() as opened:
                assert opened.content is not None
                taken = opened.content.feed.present_blocks - 4
                assert taken >= 4
                damaged = 400_000 // 65_536
                assert not opened.content.feed.has(damaged)

    story(told())


def test_nothing_is_taken_from_files_that_are_others(tmp_path: Path):
    async def told() -> None:
        source = made()
        folder = tmp_path / "files"
        write(folder / "big.bin", bytes(len(FILES["/big.bin"])))
        outside = tmp_path / "outside.bin"
        outside.write_bytes(FILES["/dir/other.bin"])
        (folder / "dir").mkdir()
        (folder / "dir/other.bin").symlink_to(outside)
        async with node(MemoryNetwork(), tmp_path / "data") as owner:
            source.plant(owner, blocks=[1, 10])
            archive = await owner.add(source.key)
            assert (await fill(owner, archive, folder)).startswith("0 files helped: 0 B")

    story(told())


def test_a_folder_with_the_same_archive_gives_its_blocks_and_their_proofs(tmp_path: Path):
    async def told() -> None:
        other = foreign("cli-clone", tmp_path / "clone")
        before = other.state()
        async with node(MemoryNetwork(), tmp_path / "data") as owner:
            archive = await owner.add(other.key)
            text = await fill(owner, archive, other.folder)
            assert text.endswith("blocks taken from the folder")
            await until(lambda: archive.state == "seeding")
        assert other.state() == before

    story(told())


def test_a_copy_that_was_cut_short_is_gone_on_with(tmp_path: Path):
    async def told() -> None:
        other = foreign("flat-history", tmp_path / "folder")
        async with node(MemoryNetwork(), tmp_path / "data") as owner:
            archive = await adopt(owner, other.folder, copied=True)
            async with archive.opened() as opened:
                assert opened.content is not None
                await opened.clear(opened.content, [(3, 9)])
            await fill(owner, archive, other.folder)
            async with archive.opened() as opened:
                assert opened.content is not None
                assert opened.content.feed.present_blocks == other.expected["content"]["length"]

    story(told())
