"""What a folder of plain files cannot hold, and how it loses what an archive took back."""

import os
from pathlib import Path

import pytest
from tests.storage.test_mapped import laid_out

from datd.storage.mapped import MappedFiles
from datd.storage.memory import MemoryFile


@pytest.mark.parametrize(
    "name",
    [
        *("", "/../outside", "/.DAT/metadata.key", "/a\\b", "/file/below", "/folder", "/link"),
        *("/link/x", "/" + "x" * 255 + "/y" * 2000),
    ],
)
def test_t44_what_the_folder_cannot_hold_lies_aside_at_the_same_place(tmp_path: Path, name: str):
    folder, outside = tmp_path / "shared", tmp_path / "outside"
    outside.mkdir()
    (folder / "folder").mkdir(parents=True)
    (folder / "file").write_bytes(b"file")
    (folder / "link").symlink_to(outside)
    aside = MemoryFile()
    files = MappedFiles(folder, laid_out(("/good", 5), (name, 6), ("/last", 4)), aside=aside)
    files.write(3, b"ODpoisonLAST"[0:12])
    assert files.read(3, 12) == b"ODpoisonLAST"
    assert files.read(5, 6) == aside.read(5, 6) == b"poison"
    assert (folder / "good").read_bytes() == b"\0\0\0OD"
    assert (folder / "last").read_bytes() == b"LAST"
    assert not list(outside.iterdir())
    files.punch(5, 6)
    assert files.read(5, 6) == bytes(6)


def test_bytes_of_entries_that_are_not_here_lie_aside(tmp_path: Path):
    files = MappedFiles(tmp_path, laid_out(("/a", 5)), aside=MemoryFile())
    files.write(3, b"abcdef")
    assert files.read(3, 6) == b"abcdef"
    assert (tmp_path / "a").read_bytes() == b"\0\0\0ab"


def test_files_that_an_archive_is_published_from_are_never_written(tmp_path: Path):
    (tmp_path / "mine").write_bytes(b"precious")
    aside = MemoryFile()
    files = MappedFiles(tmp_path, laid_out(("/mine", 8), ("/gone", 4)), aside=aside, theirs=True)
    files.write(0, b"preciousgone")
    assert (tmp_path / "mine").read_bytes() == b"precious"
    assert aside.read(0, 12) == bytes(8) + b"gone"
    assert files.read(0, 12) == b"preciousgone"
    files.write(0, b"PRECIOUS")
    assert not files.remove("/mine")
    files.shorten("/mine", 1)
    assert (tmp_path / "mine").read_bytes() == b"precious"
    assert files.read(0, 8) == b"precious"  # whoever reads it finds out by hash


def test_a_removed_file_takes_empty_folders_along(tmp_path: Path):
    files = MappedFiles(tmp_path, laid_out(("/a/b/c", 4), ("/a/d", 4)))
    files.write(0, b"onceagain"[:8])
    assert files.remove("/a/b/c")
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["a", "a/d"]
    assert files.remove("/a/d")
    assert not list(tmp_path.iterdir())
    assert not files.remove("/a/d")


@pytest.mark.parametrize(
    "name", ["/../outside", "/.dat/metadata.key", "/link", "/folder", "/way/x"]
)
def test_t44_nothing_else_is_removed_or_cut(tmp_path: Path, name: str):
    folder = tmp_path / "shared"
    (folder / ".dat").mkdir(parents=True)
    (folder / "folder").mkdir()
    (folder / ".dat/metadata.key").write_bytes(b"key")
    (tmp_path / "outside").write_bytes(b"outside")
    (folder / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/x").write_bytes(b"x")
    (folder / "way").symlink_to(tmp_path / "other")
    before = {path: os.path.lexists(path) for path in tmp_path.rglob("*")}
    files = MappedFiles(folder, laid_out((name, 7)))
    assert not files.remove(name)
    files.shorten(name, 0)
    assert {path: os.path.lexists(path) for path in tmp_path.rglob("*")} == before
    assert (tmp_path / "outside").read_bytes() == b"outside"


def test_what_an_older_version_left_behind_the_end_is_cut(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"newer and a rest")
    files = MappedFiles(tmp_path, laid_out(("/a", 5)))
    files.shorten("/a", 5)
    files.shorten("/a", 50)
    assert (tmp_path / "a").read_bytes() == b"newer"
