import os
from pathlib import Path

import pytest
from tests.suites.random_access import RandomAccessSuite

from datd.hosting.descriptors import Descriptors
from datd.storage import holes
from datd.storage.disk import DiskFile


class TestDiskFileWithoutHoles(RandomAccessSuite):
    """On a system that cannot punch, everything reads the same."""

    @pytest.fixture
    def file(self, tmp_path: Path, pool: Descriptors, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(holes, "_fallocate", None)
        return DiskFile(tmp_path / "file", pool)


def test_a_punched_stretch_takes_no_room(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(2**20))
    with path.open("r+b") as file:
        os.fsync(file.fileno())
        before = path.stat().st_blocks
        holes.punch(file.fileno(), 0, 2**20)
        os.fsync(file.fileno())
    assert path.read_bytes() == bytes(2**20)
    if path.stat().st_blocks == before:
        pytest.skip("this file system keeps room for zeros")


def test_a_fault_of_the_system_is_not_taken_for_a_missing_ability(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    descriptor = os.open(path, os.O_RDONLY)
    with pytest.raises(OSError, match="Bad file descriptor"):
        holes.punch(descriptor, 0, 3)
    os.close(descriptor)
    assert path.read_bytes() == b"abc"


def test_whether_a_folder_can_have_holes_is_found_out_by_making_one(tmp_path: Path, monkeypatch):
    holes.possible(tmp_path)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(holes, "_fallocate", None)
    assert not holes.possible(tmp_path)
    monkeypatch.undo()
    with pytest.raises(OSError, match="No such file"):
        holes.possible(tmp_path / "absent")
