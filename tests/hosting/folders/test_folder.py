import fcntl
import os

import pytest
from tests.helpers.people import as_ordinary_user

from datd.errors import StorageError
from datd.hosting.folders.folder import DataFolder


def test_a_folder_is_made_with_all_above_it_and_for_its_owner_only(tmp_path):
    with DataFolder(tmp_path / "a" / "b") as folder:
        assert folder.path.stat().st_mode & 0o777 == 0o700
        assert folder.archives.parent == folder.catalogue.parent == folder.path


def test_d8_c14_a_second_one_is_told_who_holds_it(tmp_path):
    with (
        DataFolder(tmp_path),
        pytest.raises(StorageError, match=f"in use by process {os.getpid()}: stop that daemon"),
        DataFolder(tmp_path),
    ):
        pass
    with DataFolder(tmp_path):
        pass


def test_the_name_of_a_dead_holder_is_written_over(tmp_path):
    (tmp_path / "lock").write_text("1234567890123\n")
    with DataFolder(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_a_disk_without_locks_is_not_taken_for_another_daemon(tmp_path, monkeypatch):
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(StorageError, match="cannot be locked: No locks available"):
        DataFolder(tmp_path).__enter__()


def test_a_file_in_its_place_is_an_error(tmp_path):
    (tmp_path / "data").write_text("mine")
    with pytest.raises(StorageError, match="cannot be used"), DataFolder(tmp_path / "data"):
        pass
    assert (tmp_path / "data").read_text() == "mine"


def test_a_folder_that_may_not_be_written_is_an_error(tmp_path):
    (tmp_path / "data").mkdir(mode=0o500)
    with (
        as_ordinary_user(tmp_path / "data"),
        pytest.raises(StorageError, match="cannot be used"),
        DataFolder(tmp_path / "data"),
    ):
        pass


def test_the_token_is_made_once_and_private(tmp_path):
    with DataFolder(tmp_path) as folder:
        token = folder.token()
        assert len(token) >= 32
        assert (tmp_path / "api.token").stat().st_mode & 0o777 == 0o600
    with DataFolder(tmp_path) as folder:
        assert folder.token() == token


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_t50_a_token_that_others_could_read_is_not_used(tmp_path, mode):
    file = tmp_path / "api.token"
    file.write_text("sesame\n")
    file.chmod(mode)
    with DataFolder(tmp_path) as folder, pytest.raises(StorageError, match="chmod 600") as raised:
        folder.token()
    assert "sesame" not in str(raised.value)


@pytest.mark.parametrize(
    ("data", "said"), [(b"", "is empty"), (b"\n", "is empty"), (b"\xff", "holds no token")]
)
def test_a_token_file_without_a_token_is_not_replaced_unasked(tmp_path, data, said):
    file = tmp_path / "api.token"
    file.write_bytes(data)
    file.chmod(0o600)
    with DataFolder(tmp_path) as folder, pytest.raises(StorageError, match=f"{said}: remove it"):
        folder.token()
    assert file.read_bytes() == data


def test_a_token_that_is_a_folder_is_named(tmp_path):
    (tmp_path / "api.token").mkdir(mode=0o700)
    with DataFolder(tmp_path) as folder, pytest.raises(StorageError, match=r"api\.token cannot"):
        folder.token()
