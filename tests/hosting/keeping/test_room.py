import asyncio
import os
from pathlib import Path

import pytest
from tests.helpers.libraries import content_of, node, read, source, state, until

from datd.hosting.keeping.room import LOOK_EVERY, Room
from datd.storage import holes


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_t29_one_archive_may_not_grow_beyond_its_limit(tmp_path):
    room = Room(tmp_path, clock=Clock(), max_archive_bytes=1000, keep_free=0)
    assert room.refusal(999) is None
    assert "storage.max_archive_bytes" in (room.refusal(1000) or "")


def test_t29_nor_all_of_them_together(tmp_path):
    room = Room(tmp_path, clock=Clock(), max_bytes=1000, keep_free=0)
    room.held = 999
    assert room.refusal(5000) is None
    room.held = 1000
    assert "storage.max_bytes" in (room.refusal(0) or "")


def test_l26_some_of_the_disk_is_left_to_others(tmp_path):
    disk = os.statvfs(tmp_path)
    free = disk.f_bavail * disk.f_frsize
    clock = Clock()
    refusal = Room(tmp_path, clock=clock, keep_free=free * 2).refusal(0)
    assert refusal is not None
    assert str(tmp_path) in refusal
    assert Room(tmp_path, clock=clock, keep_free=free // 2).refusal(0) is None


def test_the_system_is_not_asked_for_each_batch(tmp_path):
    clock = Clock()
    folder = tmp_path / "comes later"
    room = Room(folder, clock=clock, keep_free=2**62)
    assert room.refusal(0) is None  # a folder that is not there yet takes no room
    folder.mkdir()
    assert room.refusal(0) is None
    clock.now = LOOK_EVERY
    assert room.refusal(0) is not None
    Path(folder).rmdir()
    assert room.refusal(0) is not None


def test_a_disk_that_keeps_the_room_of_dropped_blocks_is_told_once(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(holes, "_fallocate", None)

    def said():
        """What was logged by us, and not of what an earlier test left to the collector."""
        return [record for record in caplog.records if record.name.startswith("datd")]

    room = Room(tmp_path, clock=lambda: 0.0)
    room.held = 100
    room.gave_back(0)
    assert not said()
    room.gave_back(30)
    room.gave_back(20)
    assert room.held == 50
    (record,) = said()
    assert "cannot make holes" in record.getMessage()


def test_blocks_that_there_was_no_room_for_come_later_and_nobody_is_to_blame(told):
    async def of(network, folder):
        made = source({"big": [b"%04d" % n * 500 for n in range(1000)]})
        async with (
            node(network, folder / "a") as a,
            node(network, folder / "b", "10.0.0.2", max_bytes=10**9) as b,
        ):
            made.plant(a)
            await a.seeding(made.key)
            b.services.room.coming = 10**9 - 10**6
            archive = await b.add(made.key, a)
            await until(lambda: state(archive) == "error")
            assert 10**6 <= content_of(archive).present_bytes < 2 * 10**6
            await asyncio.sleep(30)
            assert archive.peers_connected == 1  # it is served meanwhile
            b.services.room.coming = 0
            await b.library.tidy()
            await until(lambda: state(archive) == "seeding", 60)
            assert await read(archive, "/big") == made.files["/big"]
            (shown,) = archive.peers()
            assert shown.dropped is None
            assert not shown.marks.get("bad_blocks")

    told(of)


GIB = 2**30


@pytest.mark.parametrize(
    ("disk", "free", "refused"),
    [
        (1000 * GIB, GIB - 4096, True),
        (1000 * GIB, GIB, False),
        (10 * GIB, GIB // 2 - 4096, True),
        (10 * GIB, GIB // 2, False),
    ],
)
def test_l26_a_gibibyte_or_a_twentieth_of_the_disk_stays_free(
    tmp_path, monkeypatch, disk, free, refused
):
    asked = os.statvfs(tmp_path)
    told = list(asked)
    told[0] = told[1] = 4096  # sizes of a block
    told[2], told[3], told[4] = disk // 4096, free // 4096, free // 4096
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(told))
    assert (Room(tmp_path, clock=Clock()).refusal(0) is not None) == refused
