import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.helpers.feeds import ArchiveWriter, feed_of
from tests.helpers.libraries import Source, copy_feeds, node, source, source_of, until
from tests.helpers.network import MemoryNetwork

from datd.errors import BlockMissing, StorageError, Timeout
from datd.feed.feed import Feed
from datd.hosting.descriptors import Descriptors
from datd.hosting.folders.place import SEAL, Place
from datd.hosting.keeping.wants import Wants
from datd.hosting.lane import Lane
from datd.hosting.open_archive import OpenArchive
from datd.hosting.own.roots import ImportRoots
from datd.keys import Key
from datd.records import Record
from datd.wire.messages import Data


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


class Opener:
    """Opens archives in a folder with real threads and files, and counts what is reported."""

    def __init__(self, folder: Path, executor: ThreadPoolExecutor) -> None:
        self.folder = folder
        self.adopted: Path | None = None
        self.pool = Descriptors()
        self.lane = Lane(executor)
        self.writes = 0
        self.before_write: Callable[[], Awaitable[object]] = partial(asyncio.sleep, 0)
        self.damages = 0

    async def __call__(self, key: Key, *, clean: bool = True) -> OpenArchive:
        record, roots = Record(key, 0.0), ImportRoots([], data_folder=self.folder)
        if self.adopted is not None:
            record = Record(key, 0.0, location=str(self.adopted), layout="flat")
            roots = ImportRoots([self.adopted], data_folder=self.folder)
        return await OpenArchive.open(
            self.lane,
            Place(record, self.folder, roots),
            self.pool,
            key,
            clean=clean,
            choose=lambda limit: 0,
            before_write=self._before_write,
            on_damage=self._on_damage,
            wants=Wants(Record(key, 0.0)),
        )

    def place(self, key: Key) -> Path:
        name = str(key.discovery_key)
        return self.folder / name[:2] / name[2:]

    async def _before_write(self) -> None:
        self.writes += 1
        await self.before_write()

    def _on_damage(self, opened, live, blocks) -> None:
        self.damages += 1


@pytest.fixture
def opener(tmp_path: Path, executor: ThreadPoolExecutor) -> Opener:
    return Opener(tmp_path, executor)


def answers(feed: Feed, *blocks: int) -> list[Data]:
    """Blocks with whole proofs."""
    served = [(block, *feed.serve(block)) for block in blocks]
    return [Data(block, value, proof.nodes, proof.signature) for block, value, proof in served]


async def fetch(opened: OpenArchive, made: Source) -> None:
    """Store an archive as if a peer had sent it."""
    metadata = await opened.store(
        opened.metadata, answers(made.metadata, *range(made.metadata.length)), []
    )
    assert metadata.error is None
    assert await opened.open_content()
    assert opened.content is not None
    await opened.store(opened.content, answers(made.content, *range(made.content.length)), [])


async def test_d6_opening_and_closing_what_is_not_there_writes_nothing(opener, tmp_path):
    opened = await opener(source().key)
    assert opened.content is None
    assert opened.metadata.picker.length == 0
    await opened.close()
    assert list(tmp_path.iterdir()) == []
    assert opener.writes == 0


async def test_content_is_opened_once_its_key_is_here(opener):
    made = source()
    opened = await opener(made.key)
    assert not await opened.open_content()
    await fetch(opened, made)
    assert opened.content is not None
    assert opened.content.feed.key == made.content.key
    assert not await opened.open_content()
    assert opened.live_feed(made.content.discovery_key) is opened.content
    assert opened.live_feed(made.metadata.discovery_key) is opened.metadata
    assert opened.live_feed(bytes(32)) is None
    assert opener.writes == 2
    await opened.close()
    again = await opener(made.key)
    assert again.content is not None
    assert again.content.picker.have.count() == made.content.length
    assert await again.call(lambda: again.archive.stat("/file-1.txt"), wait=1)
    await again.close()
    assert opener.pool.open_files == 0


async def test_content_is_found_though_whoever_brought_its_key_was_cut_off(tmp_path):
    made = source()
    async with node(MemoryNetwork(), tmp_path) as one:
        archive = await one.add(made.key)
        async with archive.opened() as opened:
            news = opened.metadata.news
            batch = answers(made.metadata, 0)

            async def store(opened=opened, batch=batch) -> None:
                await opened.store(opened.metadata, batch, [])

            storing = one.services.spawn(store())
            await news.wait()
            storing.cancel()
            await asyncio.wait([storing])
            assert storing.cancelled()
            await until(lambda: opened.content)
            assert opened.content_known.is_set()


async def test_what_was_flushed_is_on_disk_without_any_close(opener, tmp_path):
    made = source()
    opened = await opener(made.key)
    await fetch(opened, made)
    assert opened.dirty
    await opened.flush()
    assert not opened.dirty
    # Another look at the same files, as after a crash.
    other = await opener(made.key, clean=False)
    assert other.content is not None
    assert other.content.feed.present_blocks == made.content.length
    await opened.close()


async def test_a_damaged_block_is_reported_and_not_here_any_more(opener, tmp_path):
    made = source()
    copy_feeds(made, tmp_path)
    data = opener.place(made.key) / "content.data"
    data.write_bytes(b"\xff" + data.read_bytes()[1:])
    opened = await opener(made.key)
    content = opened.content
    assert content is not None
    assert 0 in content.picker.have
    with pytest.raises(BlockMissing):
        await opened.run(lambda: content.feed.get(0))
    assert opener.damages == 1
    assert 0 not in content.picker.have
    assert 1 in content.picker.have
    with pytest.raises(Timeout, match="content block 0"):
        await opened.call(lambda: content.feed.get(0), wait=0.01)
    await opened.store(content, answers(made.content, 0), [])
    assert await opened.call(lambda: content.feed.get(0), wait=1) == made.content.get(0)
    await opened.close()


async def test_c11_hashes_that_are_damaged_do_not_make_a_reader_spin(opener, tmp_path):
    made = source()
    copy_feeds(made, tmp_path)
    tree = opener.place(made.key) / "content.tree"
    bytes_of = bytearray(tree.read_bytes())
    # All nodes but the roots and their children make no sense.
    bytes_of[32 : 32 + 40 * 14] = bytes(40 * 14)
    tree.write_bytes(bytes_of)
    opened = await opener(made.key)
    content = opened.content
    assert content is not None
    stat = await opened.call(lambda: opened.archive.stat("/file-0.txt"), wait=1)
    turns = 0

    def look() -> bytes:
        nonlocal turns
        turns += 1
        spans = opened.archive.spans(stat, 0, stat.size)
        return b"".join(content.feed.get(span.block)[span.start : span.stop] for span in spans)

    with pytest.raises(Timeout):
        await opened.call(look, wait=0.05)
    assert turns < 20
    await opened.close()


async def test_what_was_closed_takes_no_more_calls_and_opens_no_file_again(opener, tmp_path):
    made = source()
    copy_feeds(made, tmp_path)
    opened = await opener(made.key)
    waiting = asyncio.gather(
        opened.metadata.arrival([10**6]), opened.metadata.arrival([7]), return_exceptions=True
    )
    await asyncio.sleep(0)
    await opened.close()
    assert all(isinstance(error, Timeout) for error in await waiting)
    for use in (
        opened.run(lambda: 7),
        opened.call(lambda: 7, wait=1),
        opened.store(opened.metadata, [], []),
        opened.digests(opened.metadata, [0]),
        opened.serve(opened.metadata, 0, [], None, 1000),
    ):
        with pytest.raises(Timeout, match="closed"):
            await use
    assert opener.pool.open_files == 0


async def test_an_opening_that_fails_half_way_leaves_no_file_open(opener, tmp_path):
    made = source()
    copy_feeds(made, tmp_path)
    (opener.place(made.key) / "content.key").write_bytes(b"x" * 32)
    with pytest.raises(StorageError, match="another feed"):
        await opener(made.key)
    assert opener.pool.open_files == 0


async def test_an_opening_that_is_cancelled_leaves_no_file_open(opener, tmp_path):
    made = source()
    copy_feeds(made, tmp_path)
    async with asyncio.TaskGroup() as group:
        for steps in range(8):
            opening = group.create_task(opener(made.key))
            for _ in range(steps):
                await asyncio.sleep(0.0005)
            if not opening.done():
                opening.cancel()
                await asyncio.wait([opening])
            elif not opening.cancelled():
                await opening.result().close()
            await opener.lane.run(lambda: None)
            assert opener.pool.open_files == 0


async def test_an_opening_that_is_cancelled_gives_an_adopted_folder_back(opener, tmp_path):
    made = source()
    copy_feeds(made, tmp_path)
    opener.folder, opener.adopted = tmp_path / "data", opener.place(made.key)
    others_are_done = threading.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(opener.lane.run(others_are_done.wait, 60))
        opening = group.create_task(opener(made.key))
        await asyncio.sleep(0)
        opening.cancel()
        others_are_done.set()
    assert opening.cancelled()
    # The folder was locked all the same, and would be against ourselves.
    opened = await opener(made.key)
    await opened.close()


@contextmanager
def flushes_fail(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """No file can be flushed; gives the descriptors of those that were to be."""
    flushed: list[int] = []

    def fails(descriptor: int) -> None:
        flushed.append(descriptor)
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("datd.storage.disk.os.fdatasync", fails)
        yield flushed


async def test_d4_after_a_failed_flush_nothing_is_flushed_again(opener, monkeypatch):
    made = source()
    opened = await opener(made.key)
    await fetch(opened, made)
    with flushes_fail(monkeypatch) as flushed, pytest.raises(StorageError):
        await opened.flush()
    assert opened.broken
    with pytest.raises(StorageError, match="before"):
        await opened.flush()
    await opened.close()
    assert len(flushed) == 1
    assert opener.pool.open_files == 0
    again = await opener(made.key, clean=False)
    assert again.metadata.feed.length in (0, made.metadata.length)
    await again.close()


async def cut_off(opener: Opener, *works: Coroutine[Any, Any, object]) -> None:
    """Begin, and be cancelled while the lane is at something else; return when all is done."""
    others_are_done = threading.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(opener.lane.run(others_are_done.wait, 60))
        for work in works:
            task = group.create_task(work)
            for _ in range(3):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
        others_are_done.set()
    await opener.lane.run(lambda: None)


async def test_d4_a_flush_that_fails_when_nobody_waits_any_more_is_not_tried_again(
    opener, monkeypatch
):
    made = source()
    opened = await opener(made.key)
    await fetch(opened, made)
    with flushes_fail(monkeypatch) as flushed:
        await cut_off(opener, opened.flush(), opened.flush())
    assert opened.broken
    with pytest.raises(StorageError, match="before"):
        await opened.flush()
    await opened.close()
    assert len(flushed) == 1


async def test_d4_a_write_that_fails_when_nobody_waits_any_more_counts(opener, monkeypatch):
    made = source()
    opened = await opener(made.key)

    def fails(*_: object) -> int:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("datd.storage.disk.os.pwritev", fails)
        patch.setattr("datd.storage.disk.os.pwrite", fails)
        await cut_off(opener, opened.store(opened.metadata, answers(made.metadata, 0, 1), []))
    assert opened.broken
    await opened.close()


async def test_who_brought_blocks_is_told_of_them_though_cut_off(opener):
    made = source()
    opened = await opener(made.key)
    told: list[list[int]] = []
    batch = answers(made.metadata, 0, 1)
    work = opened.store(opened.metadata, batch, [], lambda stored: told.append(stored.here))
    await cut_off(opener, work)
    assert told == [[0, 1]]
    await opened.close()


async def test_a_close_that_is_cancelled_closes_all_the_same(opener, tmp_path):
    made = source()
    copy_feeds(made, tmp_path)
    opener.folder, opener.adopted = tmp_path / "data", opener.place(made.key)
    opened = await opener(made.key)
    assert opened.content is not None
    await cut_off(opener, opened.close())
    assert opener.pool.open_files == 0
    # All of it was closed in order: the folder need not be checked again.
    assert (opener.place(made.key) / SEAL).exists()
    again = await opener(made.key)
    await again.close()


async def test_a_reader_whose_archive_is_closed_under_it_hears_of_it_at_once(opener, tmp_path):
    made = source()
    copy_feeds(made, tmp_path, blocks=[])
    opened = await opener(made.key)
    content, others_are_done = opened.content, threading.Event()
    assert content is not None
    async with asyncio.TaskGroup() as group:
        group.create_task(opener.lane.run(others_are_done.wait, 60))
        # In the lane before it is closed; what it misses is known only then.
        reading = group.create_task(
            expect_closed(opened.call(lambda: content.feed.get(0), wait=600))
        )
        await asyncio.sleep(0)
        closing = group.create_task(opened.close())
        await asyncio.sleep(0)
        others_are_done.set()
        async with asyncio.timeout(60):
            await closing
            await reading


async def expect_closed(use: Coroutine[Any, Any, object]) -> None:
    with pytest.raises(Timeout, match="closed"):
        await use


async def test_nothing_is_written_once_it_was_closed_while_the_catalogue_took_note(opener):
    made = source()
    noted = asyncio.Event()
    opener.before_write = noted.wait
    opened = await opener(made.key)
    async with asyncio.TaskGroup() as group:
        batch = answers(made.metadata, 0)
        group.create_task(expect_closed(opened.store(opened.metadata, batch, [])))
        await asyncio.sleep(0)
        await opened.close()
        noted.set()
    assert opener.pool.open_files == 0
    assert not opener.place(made.key).exists()


async def test_a_plain_feed_is_hosted_and_says_that_it_has_no_files(opener):
    feed = feed_of([b"\x0a\x05plain", b"some block"])
    opened = await opener(feed.key)
    await opened.store(opened.metadata, answers(feed, 0, 1), [])
    assert not await opened.open_content()
    assert "no files" in (opened.format_error or "")
    await opened.close()


@pytest.mark.parametrize("key", [b"short", bytes(32), None], ids=["short", "weak", "own"])
async def test_t28_a_content_key_that_cannot_be_one_is_refused_with_a_sentence(opener, key):
    honest = source_of(ArchiveWriter())
    hostile = ArchiveWriter(content_key=honest.key.raw if key is None else key).archive().metadata
    opened = await opener(hostile.key)
    await opened.store(opened.metadata, answers(hostile, 0), [])
    assert not await opened.open_content()
    assert "content" in (opened.format_error or "")
    await opened.close()


async def test_a_store_whose_connection_was_cut_is_known_to_all_the_same(opener):
    made = source()
    opened = await opener(made.key)
    async with asyncio.TaskGroup() as group:
        storing = group.create_task(
            opened.store(opened.metadata, answers(made.metadata, 0, 1, 2), [])
        )
        await asyncio.sleep(0)
        storing.cancel()
    await opener.lane.run(os.getpid)
    if opened.metadata.feed.length:  # it had been handed over
        assert opened.metadata.picker.have.count() == opened.metadata.feed.present_blocks == 3
    assert opened.metadata.present_bytes == opened.metadata.feed.present_bytes
    await opened.close()
