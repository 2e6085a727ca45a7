import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from datd.errors import NoRoom, StorageError
from datd.hosting.keeping.room import Room
from datd.hosting.own.spool import IN_MEMORY, Spool


@contextmanager
def spooling(folder, **limits):
    room = Room(folder, clock=lambda: 0.0, keep_free=0, **limits)
    with ThreadPoolExecutor(1) as executor:
        yield Spool(folder / "archives", room=room, executor=executor, held=0), room


async def sent(*pieces):
    for piece in pieces:
        yield piece


async def all_of(spool):
    return b"".join([piece async for piece in spool.pieces()])


@pytest.mark.parametrize("size", [0, 1, IN_MEMORY - 1, IN_MEMORY, 3 * IN_MEMORY + 5])
def test_what_was_sent_is_given_from_the_beginning(tmp_path, size):
    data = os.urandom(size)

    async def play(spool):
        await spool.fill(sent(*(data[at : at + 70_000] for at in range(0, size, 70_000))))
        assert await all_of(spool) == data

    with spooling(tmp_path) as (spool, room):
        asyncio.run(play(spool))
        spool.close()
        assert room.coming == 0


def test_what_is_small_does_not_touch_the_disk(tmp_path):
    with spooling(tmp_path) as (spool, room):
        asyncio.run(spool.fill(sent(b"x" * (IN_MEMORY - 1))))
        assert list(tmp_path.iterdir()) == []
        assert room.coming == 0


def test_a_crash_would_leave_nothing(tmp_path):
    """The file has no name, so that the system deletes it with the process, however that ends."""
    with spooling(tmp_path) as (spool, room):
        asyncio.run(spool.fill(sent(b"x" * (2 * IN_MEMORY))))
        assert list((tmp_path / "archives").iterdir()) == []
        assert room.coming == 2 * IN_MEMORY
        spool.close()
        assert room.coming == 0


def test_t29_what_is_sent_counts_for_the_quotas(tmp_path):
    with spooling(tmp_path, max_archive_bytes=3 * IN_MEMORY) as (spool, _):
        with pytest.raises(NoRoom, match="limit of"):
            asyncio.run(spool.fill(sent(*(5 * [b"x" * IN_MEMORY]))))
        spool.close()
    with spooling(tmp_path, max_bytes=2 * IN_MEMORY) as (spool, room):
        with pytest.raises(NoRoom, match="all archives together"):
            asyncio.run(spool.fill(sent(*(5 * [b"x" * IN_MEMORY]))))
        assert room.coming <= 2 * IN_MEMORY
        spool.close()


def test_a_disk_that_refuses_is_said_to(tmp_path):
    (tmp_path / "archives").write_bytes(b"a file lies there")
    with spooling(tmp_path) as (spool, _), pytest.raises(StorageError, match="archives"):
        asyncio.run(spool.fill(sent(b"x" * (2 * IN_MEMORY))))


class Held(ThreadPoolExecutor):
    """Its threads do nothing before they are let go."""

    go = threading.Event()

    def submit(self, call, /, *args, **kwargs):
        return super().submit(lambda: self.go.wait(60) and call(*args, **kwargs))


def test_who_is_cancelled_leaves_no_file_open(tmp_path):
    async def play(spool):
        async with asyncio.TaskGroup() as group:
            filling = group.create_task(spool.fill(sent(b"x" * IN_MEMORY)))
            while not room.coming:
                await asyncio.wait([filling], timeout=0.01)
            filling.cancel()

    room = Room(tmp_path, clock=lambda: 0.0, keep_free=0)
    with Held(1) as executor:
        spool = Spool(tmp_path / "archives", room=room, executor=executor, held=0)
        asyncio.run(play(spool))
        spool.close()
        executor.go.set()
    assert room.coming == 0
    assert open_below(tmp_path) == []


def open_below(folder):
    links = [Path(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
    places = [os.readlink(link) for link in links if link.is_symlink()]
    return [place for place in places if place.startswith(str(folder))]
