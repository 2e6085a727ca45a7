"""Files that were noticed to have changed, imported without a look at the others."""

from contextlib import closing
from pathlib import Path

import pytest
from tests.helpers.folders import write
from tests.helpers.imports import finish, import_folder, outcome, wall_clock
from tests.helpers.own_archives import files, new_archive, written

from datd.archive.archive import Archive
from datd.errors import FolderRefused
from datd.importing.ignore import IgnoreRules
from datd.importing.importer import Importer
from datd.importing.noticed import look
from datd.importing.progress import Progress
from datd.importing.scan import File, Skipped
from datd.importing.tree import FolderTree


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path in ("a", "sub/b", "sub/c"):
        write(tmp_path / "shared" / path, path.encode())
    return tmp_path / "shared"


@pytest.fixture
def archive(folder: Path) -> Archive:
    made = new_archive()
    import_folder(made, folder)
    return made


def take(archive: Archive, folder: Path, *paths: str) -> Progress:
    return import_folder(archive, folder, noticed=paths)


def held(archive: Archive) -> dict[str, bytes | None]:
    return dict(files(archive))


def test_what_is_named_is_brought_up_to_date_and_nothing_else(archive: Archive, folder: Path):
    write(folder / "sub/b", b"changed")
    write(folder / "sub/new", b"new")
    write(folder / "d/e/new", b"deep")
    write(folder / "unnoticed", b"x")
    (folder / "a").unlink()
    (folder / "sub/c").unlink()
    progress = take(archive, folder, "sub/b", "sub/new", "d/e/new", "a", "absent")
    assert outcome(progress) == (2, 1, 1, 0)
    assert held(archive) == {
        "/sub/b": b"changed", "/sub/c": b"sub/c", "/sub/new": b"new", "/d/e/new": b"deep"
    }  # fmt: skip
    after = import_folder(archive, folder)
    after.add(progress)
    assert outcome(after) == (3, 1, 2, 0)
    assert held(archive).keys() == {"/sub/b", "/sub/new", "/d/e/new", "/unnoticed"}


def test_a_folder_that_vanished_goes_with_all_in_it(archive: Archive, folder: Path):
    (folder / "sub").rename(folder.parent / "moved")
    take(archive, folder, "sub")
    assert held(archive).keys() == {"/a"}
    take(archive, folder, "sub")
    assert held(archive).keys() == {"/a"}


def test_nothing_is_removed_where_that_is_not_asked_for(archive: Archive, folder: Path):
    (folder / "a").unlink()
    import_folder(archive, folder, noticed=["a"], delete=False)
    assert "/a" in held(archive)


def test_nothing_is_removed_when_the_whole_folder_has_gone(archive: Archive, folder: Path):
    importer = Importer(archive, folder, now=wall_clock, noticed=["a"])
    (folder / "a").unlink()
    folder.rename(folder.parent / "moved")
    with pytest.raises(FolderRefused):
        finish(importer)
    assert "/a" in held(archive)


def test_a_file_in_the_way_of_a_folder_is_left_to_the_whole_import(folder: Path):
    archive, _ = written("/sub")
    take(archive, folder, "sub/b")
    assert held(archive) == {"/sub": b"/sub"}
    import_folder(archive, folder)
    assert held(archive).keys() == {"/a", "/sub/b", "/sub/c"}


def test_what_cannot_be_judged_by_itself_is_left_to_the_whole_import(folder: Path):
    write(folder / ".datignore", b"secret\n")
    write(folder / "secret", b"s")
    write(folder / ".git/config", b"s")
    write(folder / "back\\slash", b"s")
    (folder / "link").symlink_to("a")
    (folder / "linked").symlink_to("sub")
    rules = IgnoreRules.read(folder)
    with closing(FolderTree(folder)) as tree:
        for path in ("secret", ".git/config", "back\\slash", "link", "linked/b", "sub", "a/b",
                     ".dat/metadata.key"):  # fmt: skip
            found = look(tree, rules, path)
            assert not isinstance(found, File), path
            assert found is None or path == "a/b"
        assert isinstance(look(tree, rules, "sub/b"), File)
        gone = look(tree, rules, "sub/gone")
        assert isinstance(gone, Skipped)
        assert gone.gone
