import hashlib
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.helpers.vectors import vectors
from tests.suites.random_access import PositionedBytesSuite

from datd.errors import StorageError
from datd.storage.mapped import Locate, MappedFiles


def laid_out(*files: tuple[str, int]) -> Locate:
    """Entries one behind the other, as name and size."""
    table = []
    end = 0
    for name, size in files:
        table.append((name, end, end + size))
        end += size

    def locate(byte: int) -> tuple[str, int, int] | None:
        for name, start, behind in table:
            if start <= byte < behind:
                return name, byte - start, behind - byte
        return None

    return locate


class TestMappedFiles(PositionedBytesSuite):
    @pytest.fixture
    def file(self, tmp_path: Path):
        locate = laid_out(("/one", 50), ("/deep/er/two", 50), ("/three", 1000))
        return MappedFiles(tmp_path / "shared", locate)


def from_history(archive: str) -> tuple[list[list[Any]], Locate]:
    told = json.loads((vectors("archives") / archive / "expected.json").read_text())
    puts = [row for row in told["history"] if len(row) == 5 and row[1] == "put" and row[3]["size"]]

    def locate(byte: int) -> tuple[str, int, int] | None:
        for _, _, name, status, _ in puts:
            start, size = status["byteOffset"], status["size"]
            if start <= byte < start + size:
                return name, byte - start, start + size - byte
        return None

    return puts, locate


@pytest.mark.parametrize(
    "archive",
    ["latest-one", "latest-nested", "latest-history", "latest-big", "clone-history", "cli-share"],
)
def test_contents_of_recorded_folders_are_read_through_their_history(archive: str):
    puts, locate = from_history(archive)
    files = MappedFiles(vectors("archives") / archive / "dir", locate)
    checked = 0
    for _, _, _, status, digest in puts:
        if digest is not None:
            content = files.read(status["byteOffset"], status["size"])
            assert hashlib.sha256(content).hexdigest() == digest
            checked += 1
    assert checked


def test_c12_changed_and_missing_files_read_short_and_raise_nothing():
    puts, locate = from_history("latest-changed-behind")
    files = MappedFiles(vectors("archives") / "latest-changed-behind" / "dir", locate)
    lengths = [len(files.read(row[3]["byteOffset"], row[3]["size"])) for row in puts]
    assert 0 in lengths
    assert all(length <= row[3]["size"] for length, row in zip(lengths, puts, strict=True))


def test_bytes_go_to_their_place_in_files_with_holes(tmp_path: Path):
    files = MappedFiles(tmp_path, laid_out(("/a", 10), ("/b/c", 10)))
    files.write(15, b"world")
    assert (tmp_path / "b" / "c").read_bytes() == bytes(5) + b"world"
    assert not (tmp_path / "a").exists()
    files.write(8, b"xxyy")
    assert (tmp_path / "a").read_bytes() == bytes(8) + b"xx"
    assert files.read(8, 12) == b"xxyy" + bytes(3) + b"world"


def test_bytes_that_are_there_already_are_not_written_again(tmp_path: Path):
    (tmp_path / "mine").write_bytes(b"precious")
    (tmp_path / "mine").chmod(0o444)
    before = (tmp_path / "mine").stat()
    MappedFiles(tmp_path, laid_out(("/mine", 8))).write(0, b"precious")
    after = (tmp_path / "mine").stat()
    assert (before.st_mtime_ns, before.st_mode) == (after.st_mtime_ns, after.st_mode)


def test_files_of_a_person_are_never_cut_or_cleared(tmp_path: Path):
    (tmp_path / "mine").write_bytes(b"precious")
    files = MappedFiles(tmp_path, laid_out(("/mine", 8)))
    files.truncate(0)
    files.punch(0, 8)
    files.close()
    assert (tmp_path / "mine").read_bytes() == b"precious"


@pytest.mark.parametrize(
    "name",
    ["/../outside", "/.dat/metadata.key", "/.DAT/x", "/a/../../outside", "/a\\b", "/", "//x"],
)
def test_t44_unsafe_names_are_neither_read_nor_written(tmp_path: Path, name: str):
    folder = tmp_path / "shared"
    shutil.copytree(vectors("archives") / "latest-one" / "dir", folder)
    (tmp_path / "outside").write_bytes(b"secret")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    files = MappedFiles(folder, laid_out((name, 6)))
    assert files.read(0, 6) == b""
    with pytest.raises(StorageError, match="not allowed on disk"):
        files.write(0, b"poison")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("link", ["file", "folder", "dangling"])
def test_t44_links_are_never_followed(tmp_path: Path, link: str):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"secret")
    folder = tmp_path / "shared"
    folder.mkdir()
    if link == "folder":
        (folder / "sub").symlink_to(outside)
    else:
        (folder / "sub").mkdir()
        target = outside / ("file" if link == "file" else "new")
        (folder / "sub" / "file").symlink_to(target)
    files = MappedFiles(folder, laid_out(("/sub/file", 6)))
    assert files.read(0, 6) == b""
    with pytest.raises(StorageError, match="link"):
        files.write(0, b"poison")
    assert [(path.name, path.read_bytes()) for path in outside.iterdir()] == [("file", b"secret")]


def test_t44_a_pipe_or_folder_in_a_files_place_reads_as_absent(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    files = MappedFiles(tmp_path, laid_out(("/pipe", 5), ("/folder", 5), ("/folder/x/y", 5)))
    assert files.read(0, 15) == b""
    for at in (0, 5):
        with pytest.raises(StorageError, match="move it away"):
            files.write(at, b"x")


def test_a_file_where_a_folder_is_needed_is_reported(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"file")
    with pytest.raises(StorageError, match="move it away"):
        MappedFiles(tmp_path, laid_out(("/a/b", 5))).write(0, b"x")
    assert (tmp_path / "a").read_bytes() == b"file"


def test_t26_a_size_that_an_entry_only_claims_takes_no_memory(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"abc")
    assert MappedFiles(tmp_path, laid_out(("/a", 2**53))).read(1, 2**52) == b"bc"


def test_bytes_of_entries_we_do_not_know_cannot_be_placed(tmp_path: Path):
    files = MappedFiles(tmp_path, laid_out(("/a", 5)))
    assert files.read(3, 10) == b""
    with pytest.raises(StorageError, match="content byte 5"):
        files.write(3, b"abcdef")


def test_d11_sync_flushes_files_and_their_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    flushed: set[str] = set()

    def record(descriptor: int) -> None:
        flushed.add(os.readlink(f"/proc/self/fd/{descriptor}"))

    files = MappedFiles(tmp_path, laid_out(("/a/b", 5), ("/gone", 5)))
    files.write(0, b"12345678")
    (tmp_path / "gone").unlink()
    monkeypatch.setattr(os, "fsync", record)
    files.sync()
    assert flushed == {str(tmp_path / "a" / "b"), str(tmp_path / "a"), str(tmp_path)}
    flushed.clear()
    files.sync()
    assert not flushed


def test_files_of_a_share_are_readable_by_others(tmp_path: Path):
    old = os.umask(0o022)
    try:
        MappedFiles(tmp_path, laid_out(("/a/b", 5))).write(0, b"x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o755
