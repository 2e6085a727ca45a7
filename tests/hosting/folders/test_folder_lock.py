import fcntl
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from tests.helpers.folders import opened_below

from datd.errors import StorageError
from datd.hosting.folders.folder_lock import FolderLock, holders

# Opens a file, with or without a lock, says so, and waits for its end.
OTHER = """
import fcntl, sys
file = open(sys.argv[1], "r+b")
if sys.argv[2] == "lock":
    fcntl.flock(file, fcntl.LOCK_EX)
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def bits(tmp_path: Path) -> Path:
    file = tmp_path / "metadata.bitfield"
    file.write_bytes(b"bits")
    return file


def is_locked(file: Path) -> bool:
    with file.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_files_are_locked_until_the_lock_is_released(bits: Path, tmp_path: Path):
    lock = FolderLock([bits, tmp_path / "absent"])
    assert is_locked(bits)
    with pytest.raises(StorageError, match="in use by"):
        FolderLock([bits])
    lock.release()
    assert not is_locked(bits)
    assert not (tmp_path / "absent").exists()
    assert holders([bits]) == []


@pytest.mark.parametrize("how", ["lock", "open"])
def test_d8_another_program_is_named_whether_it_locks_or_not(bits: Path, how: str):
    words = [sys.executable, "-c", OTHER, str(bits), how]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(StorageError, match=rf"process {other.pid}\b.*end that one first"):
            FolderLock([bits])
        assert other.stdin is not None
        other.stdin.close()
        other.wait(30)
    FolderLock([bits]).release()


def test_c17_who_has_no_descriptor_to_look_with_has_not_seen_that_nobody_is_there(bits: Path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(StorageError, match="Too many open files"):
            holders([bits])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_t44_a_link_is_not_locked(bits: Path, tmp_path: Path):
    (tmp_path / "link").symlink_to(bits)
    with pytest.raises(StorageError, match="open"):
        FolderLock([bits, tmp_path / "link"])
    assert not is_locked(bits)
    assert opened_below(tmp_path) == []
