import os
from pathlib import Path

import pytest
from tests.helpers.folders import opened_below

from datd.errors import FolderRefused
from datd.importing.tree import FolderTree, NotRegular


def read(tree: FolderTree, path: str) -> bytes:
    descriptor, _ = tree.open_file(path)
    try:
        return os.read(descriptor, 100)
    finally:
        os.close(descriptor)


def test_files_are_opened_by_their_path_in_the_folder(tmp_path: Path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    for path in ("top", "a/1", "a/b/2"):
        (tmp_path / path).write_text(path)
    tree = FolderTree(tmp_path)
    for path in ("top", "a/b/2", "a/1", "a/b/2", "top"):
        assert read(tree, path) == path.encode()
        assert tree.stat(path).st_size == len(path)
    with tree.listing("a") as entries:
        assert {entry.name for entry in entries} == {"1", "b"}
    tree.close()


def test_no_descriptor_stays_open(tmp_path: Path):
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    tree = FolderTree(tmp_path)
    for path in ("a", "a/b", "a/b/c", "a"):
        with tree.listing(path):
            pass
        with pytest.raises(FileNotFoundError):
            tree.open_file(f"{path}/absent")
    with pytest.raises(FileNotFoundError):
        tree.stat("absent/x")
    assert 0 < len(opened_below(tmp_path)) <= 2
    tree.close()
    assert opened_below(tmp_path) == []


def test_t44_a_link_is_never_followed_wherever_it_stands(tmp_path: Path):
    secret = tmp_path / "outside"
    secret.mkdir()
    (secret / "key").write_text("secret")
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "folder").symlink_to(secret)
    (shared / "file").symlink_to(secret / "key")
    tree = FolderTree(shared)
    for path in ("file", "folder/key"):
        with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
            tree.open_file(path)
    with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
        tree.listing("folder").__enter__()
    tree.close()


def test_t44_a_pipe_in_the_place_of_a_file_does_not_make_us_wait(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    tree = FolderTree(tmp_path)
    before = opened_below(tmp_path)
    with pytest.raises(NotRegular):
        tree.open_file("pipe")
    assert opened_below(tmp_path) == before
    tree.close()


def test_t44_the_folder_itself_is_not_reached_through_a_link(tmp_path: Path):
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for folder in (tmp_path / "link", tmp_path / "link" / "inner"):
        with pytest.raises(FolderRefused, match="name it itself"):
            FolderTree(folder)
    with pytest.raises(FolderRefused, match="No such file"):
        FolderTree(tmp_path / "absent")


def test_a_folder_that_was_removed_or_replaced_is_not_taken_for_an_empty_one(tmp_path: Path):
    folder = tmp_path / "shared"
    folder.mkdir()
    tree = FolderTree(folder)
    tree.check()
    folder.rmdir()
    with pytest.raises(FolderRefused, match="cannot be opened"):
        tree.check()
    (tmp_path / "other").mkdir()
    (tmp_path / "other").rename(folder)
    with pytest.raises(FolderRefused, match="replaced"):
        tree.check()
    tree.close()
