import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.helpers.folders import write

from datd.archive.writer import stored_names
from datd.importing import scan as scanning
from datd.importing.ignore import IgnoreRules
from datd.importing.scan import File, Folder, FollowLinks, Scan, Skipped
from datd.importing.tree import FolderTree

Found = list[Folder | File | Skipped]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "shared"
    made.mkdir()
    return made


def scan(folder: Path, *lines: str, follow_links: FollowLinks = "inside") -> Found:
    tree, top = FolderTree(folder), FolderTree(Path("/"))
    rules = IgnoreRules(lines, folder=folder)
    outside = top if follow_links == "all" else None
    found = [each for each in Scan(tree, rules, follow_links=follow_links, outside=outside) if each]
    tree.close()
    top.close()
    return found


def files(found: Found) -> list[str]:
    return [each.path for each in found if isinstance(each, File)]


def skipped(found: Found) -> dict[str, Skipped]:
    return {each.path: each for each in found if isinstance(each, Skipped)}


def fill(folder: Path, *paths: str) -> None:
    for path in paths:
        write(folder / path, path.encode())


def test_depth_first_with_files_and_folders_in_one_order(folder: Path):
    fill(folder, "b/2", "b/1", "a.txt", "c", "b.txt", "B", "a/z/1", "a/y")
    assert files(scan(folder)) == ["B", "a/y", "a/z/1", "a.txt", "b/1", "b/2", "b.txt", "c"]


def test_names_are_in_the_order_of_javascript(folder: Path):
    fill(folder, "🦊", "\uff5e", "z")
    assert files(scan(folder)) == ["z", "🦊", "\uff5e"]


def test_a_folder_is_told_with_all_its_names_before_what_is_in_it(folder: Path):
    fill(folder, "a/x.log", "a/y", ".hidden/z")
    found = scan(folder, "**/*.log")
    assert found[0] == Folder("", {"a", ".hidden"})
    assert found[1] == Folder("a", {"x.log", "y"})
    assert files(found) == ["a/y"]
    assert len(found) == 3


def test_what_is_ignored_is_not_told_of(folder: Path):
    fill(folder, ".git/x", ".dat/key", ".env", "a/.cache/x", "a/.well-known/dat", "x.log", "y")
    found = scan(folder, "*.log")
    assert files(found) == ["a/.well-known/dat", "y"]
    assert skipped(found) == {}


def test_neither_pipes_nor_sockets_nor_folders_without_entry_stop_it(folder: Path):
    fill(folder, "a", "z")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as ear:
        ear.bind(os.path.relpath(folder / "socket"))
        found = scan(folder)
    assert files(found) == ["a", "z"]
    assert {path: each.gone for path, each in skipped(found).items()} == {
        "pipe": False,
        "socket": False,
    }


@pytest.fixture
def linked(folder: Path) -> Path:
    fill(folder, "real/inner.txt", ".dat/metadata.secret_key", "plain.txt")
    fill(folder.parent, "outside/secret.txt")
    links = {
        "to-file": "real/inner.txt",
        "real/up": "../plain.txt",
        "to-link": "to-file",
        "to-folder": "real",
        "out": "../outside/secret.txt",
        "absolute": str(folder.parent / "outside/secret.txt"),
        "sneaky": "real/../../outside/secret.txt",
        "nowhere": "absent",
        "round": "round-too",
        "round-too": "round",
        "self": "self/x",
        "here": ".",
        "key": ".dat/metadata.secret_key",
        "device": "/dev/zero",
    }
    for name, target in links.items():
        (folder / name).symlink_to(target)
    return folder


def test_links_to_files_within_the_folder_are_followed_and_no_others(linked: Path):
    found = scan(linked)
    assert files(found) == ["plain.txt", "real/inner.txt", "real/up", "to-file", "to-link"]
    reasons = skipped(found)
    assert all(each.gone for each in reasons.values())
    for name in ("out", "absolute", "sneaky", "device"):
        assert "out of the folder" in reasons[name].why
    assert "nowhere" in reasons["nowhere"].why
    for name in ("round", "round-too", "self"):
        assert "circle" in reasons[name].why
    for name in ("to-folder", "here"):
        assert "folders are not followed" in reasons[name].why
    assert "archive's own" in reasons["key"].why


def test_the_file_that_is_opened_is_the_one_that_was_judged(linked: Path):
    found = {each.path: each for each in scan(linked) if isinstance(each, File)}
    assert found["to-link"].place == "real/inner.txt"
    assert found["real/up"].place == "plain.txt"


def test_links_out_of_the_folder_are_followed_when_asked(linked: Path):
    found = scan(linked, follow_links="all")
    assert {"out", "absolute", "sneaky", "to-file"} <= set(files(found))
    assert "neither a file nor a folder" in skipped(found)["device"].why
    assert "archive's own" in skipped(found)["key"].why


def test_t50_not_even_then_is_followed_what_may_not_be_published(linked: Path):
    (linked.parent / "other/.dat").mkdir(parents=True)
    (linked.parent / "other/.dat/metadata.secret_key").touch()
    (linked / "their-key").symlink_to("../other/.dat/metadata.secret_key")
    asked: list[Path] = []

    def refuse(target: Path) -> bool:
        asked.append(target)
        return False

    rules = IgnoreRules.read(linked)
    with closing(FolderTree(linked)) as tree, closing(FolderTree(Path("/"))) as top:
        going = Scan(tree, rules, follow_links="all", outside=top, may_follow=refuse)
        found = [each for each in going if each]
    reasons = skipped(found)
    assert "nothing may be published" in reasons["out"].why
    assert "archive's own" in reasons["their-key"].why
    assert "to-file" in files(found)
    assert set(asked) == {linked.parent / "outside/secret.txt", Path("/dev/zero")}


def test_no_link_is_followed_when_asked(linked: Path):
    found = scan(linked, follow_links="none")
    assert files(found) == ["plain.txt", "real/inner.txt"]
    assert "not followed here" in skipped(found)["to-file"].why


def test_names_that_no_archive_can_hold_are_told(folder: Path):
    fill(folder, "good")
    fill(folder, "back\\slash", "fold\\er/x")
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("x")
    found = scan(folder)
    assert files(found) == ["good"]
    reasons = skipped(found)
    assert "backslash" in reasons["back\\slash"].why
    assert "backslash" in reasons["fold\\er"].why
    assert "UTF-8" in reasons["caf\\xe9.txt"].why
    assert not any(each.gone for each in reasons.values())


@pytest.fixture
def deep(folder: Path) -> Iterator[tuple[Path, int]]:
    """A path of more than 4,096 bytes, which can only be made and removed step by step."""
    names = ["d" * 200] * 25
    here = os.open(folder, os.O_RDONLY)
    for name in names:
        os.mkdir(name, dir_fd=here)
        above, here = here, os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(above)
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    yield folder, len(names)
    subprocess.run(["rm", "-r", folder / names[0]], check=True)


def test_paths_that_no_disk_takes_back_are_told(deep: tuple[Path, int]):
    folder, _ = deep
    found = scan(folder)
    assert files(found) == []
    (reason,) = skipped(found).values()
    assert "4096 bytes" in reason.why


def test_files_deeper_than_archives_are_read_to_are_told(folder: Path):
    here = os.open(folder, os.O_RDONLY)
    for _ in range(1001):
        os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        os.mkdir("d", dir_fd=here)
        above, here = here, os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(above)
    os.close(here)
    found = scan(folder)
    subprocess.run(["rm", "-r", folder / "d"], check=True)  # Python recurses, and not so deep
    assert len(files(found)) == 1000
    assert all(stored_names(path) for path in files(found))
    ((path, reason),) = skipped(found).items()
    assert (path, "1000 folders" in reason.why) == ("/".join("d" * 1000), True)


def test_what_cannot_be_read_is_told_and_the_rest_goes_on(folder: Path):
    fill(folder, "a/x", "b/y")
    tree = FolderTree(folder)
    steps = Scan(tree, IgnoreRules())
    assert next(steps) == Folder("", {"a", "b"})
    (folder / "a" / "x").unlink()
    (folder / "a").rmdir()
    rest = [each for each in steps if each]
    assert files(rest) == ["b/y"]
    assert skipped(rest)["a"].gone
    tree.close()


def test_a_folder_that_nobody_could_read_is_left_out(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scanning, "MAX_NAMES", 3)
    fill(folder, "a/1", "wide/1", "wide/2", "wide/3", "wide/4")
    found = scan(folder)
    assert files(found) == ["a/1"]
    assert "more than 3 names" in skipped(found)["wide"].why
