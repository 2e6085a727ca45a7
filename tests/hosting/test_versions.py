"""History, differences and times of archives that are too large to be read for one question."""

import shutil
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.helpers.large_archives import PAIR, moment, put, writing
from tests.helpers.libraries import node, opened, until
from tests.helpers.network import MemoryNetwork

from datd.archive.creation import open_own
from datd.archive.writer import ArchiveWriter
from datd.errors import VersionNotFound
from datd.hosting.descriptors import Descriptors
from datd.hosting.versions import TAIL
from datd.keys import Key
from datd.storage import layout

KEY = Key(PAIR.public)
FIRST, SECOND = "/first/a.txt", "/first/b.txt"


def write(archives: Path) -> None:
    """Some files that changed long ago, long after, and in between."""
    with writing(archives) as writer:

        def fill(folder: str) -> None:
            for number in range(TAIL):
                put(writer, f"/{folder}/{number // 50:03}/{number % 50:02}")

        put(writer, FIRST)  # 1
        put(writer, SECOND)  # 2
        writer.remove(SECOND)  # 3
        put(writer, FIRST)  # 4
        fill("x")
        put(writer, SECOND)  # TAIL + 5
        put(writer, FIRST)
        fill("y")
        put(writer, FIRST)  # 2 * TAIL + 7


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """The files of such an archive; nobody writes there."""
    folder = tmp_path_factory.mktemp("large")
    write(folder)
    return folder


def plant(folder: Path, files: Path) -> None:
    """Put the files where a library in the folder finds them."""
    if not (folder / "archives").exists():
        (folder / "archives").symlink_to(files)


def append(archives: Path, path: str) -> None:
    """One more version, written while no library runs."""
    name = str(KEY.discovery_key)
    pool = Descriptors()
    archive = open_own(layout.flat(archives / name[:2] / name[2:], pool))
    writer = ArchiveWriter(archive)
    put(writer, path)
    writer.commit()
    for feed in (archive.metadata, archive.content):
        assert feed is not None
        feed.close()
    pool.close()


@asynccontextmanager
async def hosted(folder: Path, files: Path):
    """A library that hosts it."""
    plant(folder, files)
    async with node(MemoryNetwork(), folder) as one:
        archive = await one.add(KEY)
        yield one.library.versions, archive


async def history(versions, archive, path, **query):
    found = await versions.history(archive, path, **query)
    return [entry.seq for entry in found.entries], found.complete


async def test_a_live_file_has_its_whole_history_before_there_is_an_index(tmp_path, large):
    async with hosted(tmp_path, large) as (versions, archive):
        told, complete = await history(versions, archive, FIRST)
        assert told == [1, 4, TAIL + 6, 2 * TAIL + 7]
        assert complete


async def test_what_lies_before_a_deletion_is_told_once_it_is_indexed(tmp_path, large):
    async with hosted(tmp_path, large) as (versions, archive):
        assert await history(versions, archive, SECOND) == ([TAIL + 5], False)
        await until(lambda: not versions._indexing, 300)
        assert await history(versions, archive, SECOND) == ([2, 3, TAIL + 5], True)
        wanted = [1, 2, 3, 4, TAIL + 5, TAIL + 6, 2 * TAIL + 7]
        assert await history(versions, archive, "/first") == (wanted, True)
        assert await history(versions, archive, "/first/") == (wanted, True)
        assert await history(versions, archive, "/nothing") == ([], True)
    # The index is still there after a restart: no task has to run.
    async with hosted(tmp_path, large) as (versions, archive):
        assert await history(versions, archive, SECOND) == ([2, 3, TAIL + 5], True)
        assert not versions._indexing


async def test_pages_of_a_folder_tell_what_one_page_would(tmp_path, large):
    async with hosted(tmp_path, large) as (versions, archive):
        await versions.history(archive, "/nothing")
        await until(lambda: not versions._indexing, 300)
        told, since = [], 0
        while True:
            page = await versions.history(archive, "/y", since=since, limit=1000)
            told += [entry.seq for entry in page.entries]
            assert len(page.entries) <= 1000
            if page.following is None:
                break
            since = page.following
        assert told == list(range(TAIL + 7, 2 * TAIL + 7))


async def test_since_and_until_bound_a_history(tmp_path, large):
    async with hosted(tmp_path, large) as (versions, archive):
        for _ in range(2):
            bounded = {"since": 1, "until": TAIL + 6}
            assert await history(versions, archive, FIRST, **bounded) == ([4, TAIL + 6], True)
            assert await history(versions, archive, SECOND, until=10) == ([2, 3], True)
            whole = await versions.history(archive, "/", since=2, until=5)
            assert [entry.seq for entry in whole.entries] == [3, 4, 5]
            assert whole.following is None
            await until(lambda: not versions._indexing, 300)
        with pytest.raises(VersionNotFound):
            await versions.history(archive, "/", until=9 * TAIL)


async def test_no_question_reads_all_of_a_long_history(tmp_path, large):
    async with hosted(tmp_path, large) as (versions, archive):
        await versions.history(archive, "/nothing")
        await until(lambda: not versions._indexing, 300)
        async with archive.opened():
            tree = opened(archive).archive._tree
            before = tree.reads
            assert (await history(versions, archive, SECOND))[0] == [2, 3, TAIL + 5]
            assert tree.reads - before <= 3


async def test_a_removed_archive_leaves_the_index(tmp_path, large):
    async with hosted(tmp_path, large) as (versions, archive):
        await versions.history(archive, "/nothing")
        await until(lambda: not versions._indexing, 300)
        await versions.forget(archive)
        assert await history(versions, archive, SECOND) == ([TAIL + 5], False)


async def test_a_daemon_that_ends_while_it_indexes_goes_on_later(tmp_path, large):
    async with hosted(tmp_path, large) as (versions, archive):
        await versions.history(archive, SECOND)
        assert versions._indexing
    async with hosted(tmp_path, large) as (versions, archive):
        await versions.history(archive, SECOND)
        await until(lambda: not versions._indexing, 300)
        assert await history(versions, archive, SECOND) == ([2, 3, TAIL + 5], True)


async def test_a_difference_comes_in_pages_of_one_pair_of_versions(tmp_path, large):
    async with hosted(tmp_path, large) as (versions, archive):
        told, after = [], None
        while True:
            page = await versions.diff(archive, 4, TAIL + 6, after=after, limit=700)
            assert (page.old, page.new) == (4, TAIL + 6)
            assert len(page.differences) <= 700
            told += page.differences
            after = page.following
            if after is None:
                break
        paths = [view.path for view in told]
        assert len(paths) == len(set(paths)) == TAIL + 2
        changed = [view.path for view in told if view.old is not None]
        assert changed == [FIRST]
        below = await versions.diff(archive, 4, TAIL + 6, "/first")
        assert {view.path: (bool(view.old), bool(view.new)) for view in below.differences} == {
            FIRST: (True, True),
            SECOND: (False, True),
        }
        back = await versions.diff(archive, 2, 3)
        assert [(view.path, view.new) for view in back.differences] == [(SECOND, None)]
        assert (await versions.diff(archive, 7, 7)).differences == []


async def test_the_version_of_a_time(tmp_path, large):
    async with hosted(tmp_path, large) as (versions, archive):
        for version in (1, TAIL, 2 * TAIL + 7):
            assert await versions.at(archive, moment(version) / 1000) == version
        assert await versions.at(archive, moment(1) / 1000 - 1) == 0


async def test_look_ups_go_on_while_an_archive_is_indexed(tmp_path, large):
    async with hosted(tmp_path, large) as (versions, archive):
        await versions.history(archive, SECOND)
        stat = await archive.stat(FIRST)
        assert stat.size == len(FIRST)
        assert versions._indexing


async def test_a_newer_version_of_a_whole_archive_is_counted_by_what_changed(tmp_path, large):
    """Also when it comes after the archive was closed: a million files are not counted again."""
    shutil.copytree(large, tmp_path / "archives")
    async with hosted(tmp_path, large) as (_, archive):
        async with archive.opened():
            pass
        await until(lambda: archive.state == "seeding", 300)
        files = archive.record.summary.files
    append(tmp_path / "archives", "/first/new.txt")
    async with hosted(tmp_path, large) as (_, archive), archive.opened():
        await until(
            lambda: archive.state == "seeding" and archive.record.summary.files > files, 300
        )
        assert archive.record.summary.files == files + 1
        assert opened(archive).archive._tree.reads < 1000


async def test_the_time_of_a_version(tmp_path, large):
    async with hosted(tmp_path, large) as (versions, archive):
        for version in (1, TAIL):
            assert await versions.time_of(archive, version) == moment(version) / 1000
        assert await versions.time_of(archive, 0) is None
