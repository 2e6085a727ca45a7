import asyncio
import hashlib
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.helpers.adopted import Foreign, adopt, foreign
from tests.helpers.libraries import Node, node, read, story, until
from tests.helpers.network import MemoryNetwork

from datd.errors import (
    ArchiveExists,
    Busy,
    FolderRefused,
    Gone,
    NotWritableError,
    StorageError,
    Timeout,
)
from datd.hosting.archive import HostedArchive
from datd.hosting.changes import Changes
from datd.hosting.folders.folder_lock import FolderLock


def newest(made: Foreign) -> dict[str, str]:
    """Hash of each file of the newest version that the folder holds."""
    hashes = {number: digest for number, *_, digest in made.expected["history"]}
    listed = made.expected["listings"][str(made.expected["version"])]
    return {name: hashes[number] for name, number in listed if hashes[number] is not None}


async def holds(archive: HostedArchive, made: Foreign) -> None:
    files = newest(made)
    assert files
    for name, digest in files.items():
        assert hashlib.sha256(await read(archive, name)).hexdigest() == digest, name


@pytest.mark.parametrize(
    "vector",
    ["clone-history", "clone-sparse", "cli-clone", "flat-history", "archival-nested"],
)
@pytest.mark.parametrize("copied", [False, True])
def test_folders_of_the_original_are_taken_over(tmp_path: Path, vector: str, copied: bool):
    async def told() -> None:
        made = foreign(vector, tmp_path / "folder")
        before = made.state()
        async with node(MemoryNetwork(), tmp_path / "data") as owner:
            archive = await adopt(owner, made.folder, copied=copied)
            assert archive.key == made.key
            assert archive.record.location == (None if copied else str(made.folder))
            await holds(archive, made)
            assert (await archive.view()).version == made.expected["version"]
            if vector != "clone-sparse":
                await until(lambda: archive.state == "seeding")
            await owner.library.remove(archive)
        assert {name: data for name, data in made.state().items() if name in before} == before
        added = made.state().keys() - before.keys()
        assert not added if copied else added <= {".dat/metadata.latest"}

    story(told())


@pytest.mark.parametrize("vector", ["latest-history", "cli-share", "latest-empty"])
@pytest.mark.parametrize("allowed", [False, True])
def test_a_folder_of_ours_can_be_written_where_its_key_may_be_used(
    tmp_path: Path, vector: str, allowed: bool
):
    async def told() -> None:
        made = foreign(vector, tmp_path / "folder", owner_keys=tmp_path / "keys")
        (made.folder / "more.txt").write_bytes(b"more")
        async with node(MemoryNetwork(), tmp_path / "data") as owner:
            owner.services.owner_keys = tmp_path / "keys" if allowed else None
            archive = await adopt(owner, made.folder)
            assert archive.record.writable == allowed
            if not allowed:
                with pytest.raises(NotWritableError):
                    await adopt_import(owner, archive)
                return
            assert await read(archive, "/more.txt") == b"more"
            (made.folder / "more.txt").write_bytes(b"changed since")
            version = (await archive.view()).version
            # Its bytes are no longer those that were signed, and nobody else is asked for them.
            await owner.library.tidy(close=True)
            with pytest.raises(Gone, match="import it again"):
                await read(archive, "/more.txt")
            await adopt_import(owner, archive)
            assert await read(archive, "/more.txt") == b"changed since"
            assert (await archive.view()).version == version + 1
            with pytest.raises(Gone):
                await read(archive, "/more.txt", version)
            await owner.library.remove(archive)
        assert (made.folder / "more.txt").read_bytes() == b"changed since"
        assert (made.folder / ".dat/metadata.key").exists()

    story(told())


async def adopt_import(owner: Node, archive: HostedArchive) -> None:
    job = await owner.library.workshop.imports.start(archive)
    await until(lambda: job.state != "running", 120)
    if job.error is not None:
        raise NotWritableError(job.error)


def test_a_copy_of_a_folder_of_ours_has_its_key(tmp_path: Path):
    async def told() -> None:
        made = foreign("cli-share", tmp_path / "folder", owner_keys=tmp_path / "keys")
        before = made.state()
        async with node(MemoryNetwork(), tmp_path / "data") as owner:
            owner.services.owner_keys = tmp_path / "keys"
            archive = await adopt(owner, made.folder, copied=True)
            assert archive.record.writable
            await holds(archive, made)
            async with owner.library.publisher.writing(archive) as desk:
                await desk.put("/ours.txt", pieces(b"ours"))
            assert await read(archive, "/ours.txt") == b"ours"
        assert made.state() == before

    story(told())


async def pieces(*data: bytes) -> Any:
    for piece in data:
        yield piece


def test_what_lies_in_a_folder_counts_only_with_its_hash(tmp_path: Path):
    async def told() -> None:
        made = foreign("flat-history", tmp_path / "folder")
        data = bytearray(made.bytes_of("content.data"))
        data[-10] ^= 1
        (made.folder / "content.data").write_bytes(data)
        tree = bytearray(made.bytes_of("content.tree"))
        tree[32 + 5] ^= 1  # and a hash that somebody made up
        (made.folder / "content.tree").write_bytes(tree)
        async with node(MemoryNetwork(), tmp_path / "data") as owner:
            archive = await adopt(owner, made.folder)
            async with archive.opened() as opened:
                assert opened.content is not None
                feed = opened.content.feed
                assert not feed.has(feed.length - 1)
                assert feed.present_blocks < made.expected["content"]["length"]
            await owner.library.tidy(close=True)
            # Somebody else writes there while we have it closed: nothing of it is believed.
            data[-10] ^= 1
            (made.folder / "content.data").write_bytes(data)
            bits = bytearray(made.bytes_of("content.bitfield"))
            bits[32:35] = b"\xff\xff\xff"
            (made.folder / "content.bitfield").write_bytes(bits)
            async with archive.opened() as opened:
                assert opened.content is not None
                assert opened.content.feed.has(opened.content.feed.length - 1)
                assert opened.content.feed.present_blocks <= made.expected["content"]["length"]

    story(told())


def test_a_folder_in_use_by_another_program_is_refused_by_name(tmp_path: Path):
    async def told() -> None:
        made = foreign("cli-clone", tmp_path / "folder")
        async with node(MemoryNetwork(), tmp_path / "data") as owner:
            lock = FolderLock([made.folder / ".dat/metadata.bitfield"])
            with pytest.raises(Busy, match="in use by"):
                await adopt(owner, made.folder)
            lock.release()
            archive = await adopt(owner, made.folder)
            await owner.library.tidy(close=True)
            # While it is quiet others may have it; when it is used again, the state tells.
            lock = FolderLock([made.folder / ".dat/metadata.bitfield"])
            job = owner.library.workshop.verify(archive)
            await until(lambda: job.state == "failed")
            assert "in use by" in str(archive.error)
            lock.release()

    story(told())


def test_what_makes_no_sense_is_refused(tmp_path: Path):
    async def told() -> None:
        made = foreign("cli-clone", tmp_path / "folder")
        async with node(MemoryNetwork(), tmp_path / "data") as owner:
            with pytest.raises(FolderRefused, match=r"dat\.json"):
                await adopt(owner, made.folder, described=True)
            with pytest.raises(FolderRefused, match="watched"):
                await adopt(owner, made.folder, watch=True)
            archive = await adopt(owner, made.folder)
            for changes in ({"mode": "archive"}, {"pinned": 1}):
                with pytest.raises(FolderRefused, match="newest version only"):
                    await owner.library.change(archive, Changes(changes))
            with pytest.raises(ArchiveExists, match="hosted already"):
                await adopt(owner, made.folder)
            (tmp_path / "plain").mkdir()
            (tmp_path / "plain/metadata.data").write_bytes(b"a file that is called so")
            other = await owner.library.adoption.adopt(
                str(tmp_path / "plain"),
                copied=False,
                described=False,
                watch=False,
                chunking="fixed",
            )
            assert other is None
            shutil.copytree(made.folder, tmp_path / "keyless")
            (tmp_path / "keyless/.dat/metadata.key").unlink()
            with pytest.raises(FolderRefused, match="without the key"):
                await adopt(owner, tmp_path / "keyless")

    story(told())


def test_an_adopted_folder_that_is_gone_makes_no_new_archive(tmp_path: Path):
    async def told() -> None:
        made = foreign("cli-clone", tmp_path / "folder")
        async with node(MemoryNetwork(), tmp_path / "data") as owner:
            await adopt(owner, made.folder)
        made.folder.rename(tmp_path / "moved")
        made.folder.mkdir()
        async with node(MemoryNetwork(), tmp_path / "data") as owner:
            (archive,) = owner.library.archives()
            job = owner.library.workshop.verify(archive)
            await until(lambda: job.state == "failed")
            assert "put it back" in str(archive.error)
            assert not list(made.folder.iterdir())
            made.folder.rmdir()
            (tmp_path / "moved").rename(made.folder)
            await holds(archive, made)

    story(told())


def test_a_check_that_is_cancelled_ends_and_begins_anew_at_the_next_use(tmp_path: Path):
    async def told() -> None:
        made = foreign("flat-history", tmp_path / "folder")
        async with node(MemoryNetwork(), tmp_path / "data") as owner:
            archive = await owner.library.adoption.adopt(
                str(made.folder), copied=False, described=False, watch=False, chunking="fixed"
            )
            assert archive is not None
            job = owner.library.workshop.jobs.of(archive.key)
            assert job is not None
            await owner.library.cancel(job)
            assert job.state in ("cancelled", "done")
            await holds(archive, made)

    story(told())


@pytest.mark.parametrize("way", ["the end", "a removal"])
async def test_nobody_waits_for_a_check_that_is_under_way(tmp_path: Path, way: str):
    made = foreign("flat-history", tmp_path / "folder")
    begun, on = threading.Event(), threading.Event()

    def tell(done: int, total: int) -> None:
        begun.set()
        assert on.wait(60)

    async def look(archive: HostedArchive) -> None:
        with pytest.raises(StorageError, match="begins anew"):
            async with archive.opened():
                pass

    async def go_on(archive: HostedArchive) -> None:
        await until(lambda: archive.place.check.over)
        on.set()

    async with node(MemoryNetwork(), tmp_path / "data") as owner:
        await adopt(owner, made.folder)
    tree = made.folder / "content.tree"
    tree.write_bytes(tree.read_bytes())  # somebody was there
    threads = ThreadPoolExecutor(2)
    async with (
        asyncio.TaskGroup() as group,
        node(MemoryNetwork(), tmp_path / "data", executor=threads) as owner,
    ):
        (archive,) = owner.library.archives()
        archive.place.check.tell = tell
        group.create_task(look(archive))
        assert await asyncio.to_thread(begun.wait, 60)
        group.create_task(go_on(archive))
        if way == "a removal":
            await owner.library.remove(archive)
    threads.shutdown()


def test_c12_of_files_that_changed_or_went_the_blocks_are_absent_and_peers_stay(tmp_path: Path):
    async def told() -> None:
        network = MemoryNetwork()
        made = foreign("cli-clone", tmp_path / "folder")
        files = newest(made)
        # Those that lie there, and have bytes.
        there = [f"/{path.relative_to(made.folder)}" for path in made.folder.rglob("*")]
        sizes = {n: (made.folder / n[1:]).stat().st_size for n in there if n in files}
        changed, gone, *others = sorted((n for n in sizes if sizes[n]), key=sizes.__getitem__)
        assert others
        async with (
            node(network, tmp_path / "data") as owner,
            node(network, tmp_path / "reader", "10.0.0.2") as reader,
        ):
            archive = await adopt(owner, made.folder)
            before = (made.folder / changed[1:]).read_bytes()
            (made.folder / changed[1:]).write_bytes(bytes(len(before)))
            (made.folder / gone[1:]).unlink()
            copy = await reader.add(archive.key, owner)
            for name in others:
                content = await read(copy, name)
                assert hashlib.sha256(content).hexdigest() == files[name], name
            await asyncio.sleep(60)
            assert (copy.peers_connected, archive.peers_connected) == (1, 1)
            # What is not here is named: no other file lacks a block.
            listed, _ = await archive.list("/", recursive=True, limit=1000)
            lacking = {
                one.path for one in listed if one.path in sizes and one.available < one.blocks
            }
            assert lacking == {changed, gone}
            for name in (changed, gone):
                with pytest.raises(Timeout, match="content block"):
                    await read(copy, name, wait=5)
            assert (archive.error, archive.state) == (None, "syncing")

    story(told())
