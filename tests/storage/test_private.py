import os
import stat
from pathlib import Path

import pytest
from tests.helpers.people import as_ordinary_user

from datd.errors import StorageError
from datd.storage.private import create_private, make_database_private, read_private


def test_t50_secrets_are_made_for_the_owner_only(tmp_path: Path):
    path = tmp_path / "keys" / "6d" / "04a8"
    create_private(path, b"k" * 64)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700
    assert read_private(path) == b"k" * 64


def test_t50_a_secret_is_never_replaced(tmp_path: Path):
    create_private(tmp_path / "key", b"first")
    with pytest.raises(StorageError, match="exists already"):
        create_private(tmp_path / "key", b"second")
    assert read_private(tmp_path / "key") == b"first"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_t50_a_secret_that_others_can_use_is_not_used(tmp_path: Path, mode: int):
    path = tmp_path / "key"
    create_private(path, b"secret")
    path.chmod(mode)
    with pytest.raises(StorageError, match="chmod 600"):
        read_private(path)


def test_no_secret_is_none_but_something_odd_is_an_error(tmp_path: Path):
    assert read_private(tmp_path / "key") is None
    (tmp_path / "folder").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "link").symlink_to("elsewhere")
    for name in ("folder", "pipe", "link"):
        with pytest.raises(StorageError, match=name):
            read_private(tmp_path / name)


def test_a_secret_has_a_largest_size(tmp_path: Path):
    create_private(tmp_path / "key", bytes(4097))
    with pytest.raises(StorageError, match="larger"):
        read_private(tmp_path / "key")


def test_c7_a_failed_write_leaves_no_half_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="free some space"):
        create_private(tmp_path / "key", b"secret")
    assert list(tmp_path.iterdir()) == []


def test_c7_a_secret_whose_folder_cannot_be_flushed_is_not_left_behind(tmp_path: Path):
    folder = tmp_path / "keys"
    folder.mkdir()
    folder.chmod(0o333)  # it may be written to, and not be opened
    with as_ordinary_user(folder / "key"), pytest.raises(StorageError, match="permissions"):
        create_private(folder / "key", b"secret")
    folder.chmod(0o700)
    assert list(folder.iterdir()) == []
    create_private(folder / "key", b"secret")


def test_t50_databases_are_for_the_owner_only_those_of_earlier_versions_too(tmp_path: Path):
    new, old = tmp_path / "new.sqlite3", tmp_path / "old.sqlite3"
    before = os.umask(0o022)
    try:
        make_database_private(new)
    finally:
        os.umask(before)
    beside = [old, tmp_path / "old.sqlite3-wal", tmp_path / "old.sqlite3-shm"]
    for file in beside:
        file.write_bytes(b"content")
        file.chmod(0o644)
    for _ in range(2):
        make_database_private(old)
    assert [file.read_bytes() for file in beside] == [b"content"] * 3
    assert {stat.S_IMODE(file.stat().st_mode) for file in (new, *beside)} == {0o600}
