import errno
import os
import stat
from pathlib import Path

import pytest
from tests.helpers.people import as_ordinary_user
from tests.suites.random_access import RandomAccessSuite

from datd.errors import ReadOnlyError, StorageError
from datd.hosting.descriptors import Descriptors
from datd.storage.disk import DiskFile, replace_file


class RefusingPool:
    """A pool over a disk that answers every request for a descriptor with one error."""

    def __init__(self, code: int) -> None:
        self.code = code

    def lease(self, path: Path, *, create: bool):
        raise OSError(self.code, os.strerror(self.code), str(path))

    def forget(self, path: Path) -> None:
        pass


class TestDiskFile(RandomAccessSuite):
    @pytest.fixture
    def file(self, tmp_path: Path, pool: Descriptors):
        return DiskFile(tmp_path / "deep" / "down" / "file", pool)


def test_d6_reading_makes_neither_file_nor_folder(tmp_path: Path, pool: Descriptors):
    file = DiskFile(tmp_path / "missing" / "file", pool)
    assert (file.read(0, 10), file.size()) == (b"", 0)
    file.sync()
    file.truncate(0)
    file.punch(0, 10)
    file.close()
    assert list(tmp_path.iterdir()) == []


def test_files_and_folders_get_the_modes_asked_for(tmp_path: Path, pool: Descriptors):
    file = DiskFile(tmp_path / "new" / "secret", pool, mode=0o600)
    file.write(0, b"key")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "new" / "secret").stat().st_mode) == 0o600


def test_a_size_that_is_only_claimed_takes_no_memory(tmp_path: Path, pool: Descriptors):
    file = DiskFile(tmp_path / "data", pool)
    file.write(0, b"abc")
    assert file.read(1, 2**53) == b"bc"
    assert file.read(2**50, 2**53) == b""


@pytest.mark.parametrize("blocker", ["folder instead of file", "file instead of folder"])
def test_d7_something_else_in_its_place_is_not_absent(
    tmp_path: Path, pool: Descriptors, blocker: str
):
    if blocker == "folder instead of file":
        path = tmp_path / "tree"
        path.mkdir()
    else:
        (tmp_path / "feed").write_bytes(b"")
        path = tmp_path / "feed" / "tree"
    file = DiskFile(path, pool)
    for use in (
        lambda: file.read(0, 32),
        file.size,
        lambda: file.write(0, b"x"),
        lambda: file.truncate(5),
        file.sync,
    ):
        with pytest.raises(StorageError, match="move it away"):
            use()


def test_d7_a_pipe_in_its_place_neither_hangs_nor_counts_as_absent(
    tmp_path: Path, pool: Descriptors
):
    os.mkfifo(tmp_path / "tree")
    file = DiskFile(tmp_path / "tree", pool)
    with pytest.raises(StorageError, match="tree"):
        file.read(0, 32)
    with pytest.raises(StorageError, match="not a plain file"):
        file.size()


def test_d7_a_file_of_somebody_else_is_named_with_what_to_do(tmp_path: Path, pool: Descriptors):
    path = tmp_path / "tree"
    path.write_bytes(b"x")
    path.chmod(0)
    with as_ordinary_user(path), pytest.raises(StorageError, match="permissions"):
        DiskFile(path, pool).read(0, 1)


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOSPC, errno.EMFILE, errno.EIO])
def test_c9_a_refusal_of_the_disk_names_the_file_and_keeps_the_cause(tmp_path: Path, code: int):
    file = DiskFile(tmp_path / "data", RefusingPool(code))
    for use in (
        lambda: file.read(0, 1),
        file.size,
        lambda: file.write(0, b"x"),
        file.sync,
        lambda: file.truncate(1),
    ):
        with pytest.raises(StorageError, match=os.strerror(code)) as caught:
            use()
        assert str(tmp_path / "data") in str(caught.value)
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == code


def test_c13_a_read_only_disk_is_an_error_of_its_own(tmp_path: Path):
    file = DiskFile(tmp_path / "data", RefusingPool(errno.EROFS))
    with pytest.raises(ReadOnlyError, match="read-only"):
        file.write(0, b"x")


def test_c7_a_full_disk_is_reported_by_the_write_that_met_it(pool: Descriptors):
    with pytest.raises(StorageError, match="free some space"):
        DiskFile(Path("/dev/full"), pool).write(0, b"x")


def test_d4_after_a_failed_flush_the_descriptor_is_given_up(
    tmp_path: Path, pool: Descriptors, monkeypatch: pytest.MonkeyPatch
):
    file = DiskFile(tmp_path / "data", pool)
    file.write(0, b"x")

    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", broken)
    assert pool.open_files == 1
    with pytest.raises(StorageError, match="cannot flush"):
        file.sync()
    assert pool.open_files == 0


def test_d11_a_new_file_is_flushed_with_its_folders(
    tmp_path: Path, pool: Descriptors, monkeypatch: pytest.MonkeyPatch
):
    flushed: list[str] = []

    def record(descriptor: int) -> None:
        flushed.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    monkeypatch.setattr(os, "fdatasync", record)
    monkeypatch.setattr(os, "fsync", record)
    file = DiskFile(tmp_path / "a" / "b" / "file", pool)
    file.write(0, b"x")
    file.sync()
    folders = {str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")}
    assert flushed[0] == str(tmp_path / "a" / "b" / "file")
    assert set(flushed[1:]) == folders
    flushed.clear()
    file.write(1, b"y")
    file.sync()
    assert flushed == [str(tmp_path / "a" / "b" / "file")]


def test_d11_folders_that_were_made_before_the_file_was_refused_are_flushed_with_it_later(
    tmp_path: Path, pool: Descriptors, monkeypatch: pytest.MonkeyPatch
):
    def none_left(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    file = DiskFile(tmp_path / "new" / "file", pool)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", none_left)
        with pytest.raises(StorageError):
            file.write(0, b"x")
    file.write(0, b"x")
    flushed: list[str] = []

    def record(descriptor: int) -> None:
        flushed.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    monkeypatch.setattr(os, "fsync", record)
    file.sync()
    assert set(flushed) == {str(tmp_path), str(tmp_path / "new")}


def test_c5_replacing_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "state" / "file"
    replace_file(path, b"old", mode=0o600)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"old", 0o600)
    path.with_name(".file.new").write_bytes(b"left over from a crash")
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"

    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(StorageError, match="file"):
        replace_file(path, b"newer")
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_what_a_long_run_of_large_writes_left_behind_is_on_the_disk_and_not_in_memory(
    tmp_path: Path, pool: Descriptors
):
    file, piece = DiskFile(tmp_path / "data", pool), 4 * 2**20
    for number in range(9):
        file.write(number * piece, bytes([number]) * piece)
    file.sync()
    file.write(9 * piece, b"x" * piece)
    with pool.lease(tmp_path / "data", create=False) as descriptor:
        begin, middle = is_in_memory(descriptor, 0), is_in_memory(descriptor, 4 * piece)
        os.posix_fadvise(descriptor, 4 * piece, piece, os.POSIX_FADV_DONTNEED)
        if not middle or is_in_memory(descriptor, 4 * piece):
            pytest.skip("this file system is memory, or does not tell what is there")
        assert not begin
    assert [file.read(number * piece, 1) for number in range(9)] == [bytes([n]) for n in range(9)]


def is_in_memory(descriptor: int, offset: int) -> bool:
    try:
        return os.preadv(descriptor, [bytearray(1)], offset, os.RWF_NOWAIT) == 1
    except BlockingIOError:
        return False


def test_c5_d11_a_new_file_is_whole_on_the_disk_before_it_takes_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path, done = tmp_path / "file", []
    replace_file(path, b"old")
    rename = Path.rename

    def flushed(descriptor: int) -> None:
        done.append((Path(os.readlink(f"/proc/self/fd/{descriptor}")).name, path.read_bytes()))

    def renamed(self: Path, target: Path) -> Path:
        assert self.read_bytes() == b"new"
        done.append(("rename", path.read_bytes()))
        return rename(self, target)

    monkeypatch.setattr(os, "fdatasync", flushed)
    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "rename", renamed)
    replace_file(path, b"new")
    assert done == [(".file.new", b"old"), ("rename", b"old"), (tmp_path.name, b"new")]
