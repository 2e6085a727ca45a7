import os
import stat as file_mode
from pathlib import Path

import pytest
from tests.helpers.folders import hashes_in, make_varied_folder, opened_below, write
from tests.helpers.imports import finish, import_folder, outcome, wall_clock
from tests.helpers.own_archives import files, new_archive, put, read, written

from datd.archive.archive import Archive
from datd.archive.writer import ArchiveWriter
from datd.errors import ConfigError, FolderRefused, NotWritableError
from datd.importing import importer as importing
from datd.importing.importer import Importer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "shared"
    made.mkdir()
    return made


def fill(folder: Path, *paths: str) -> None:
    for path in paths:
        write(folder / path, path.encode())


def names(archive: Archive) -> set[str]:
    return {path for path, _ in files(archive)}


def test_an_archive_holds_what_the_folder_holds(tmp_path: Path):
    folder = tmp_path / "varied"
    make_varied_folder(folder, small_files=200)
    archive = new_archive()
    progress = import_folder(archive, folder)
    found = {path: stat.size for path, stat in archive.walk()}
    on_disk = {f"/{p.relative_to(folder)}": p for p in folder.rglob("*") if p.is_file()}
    assert set(found) == set(on_disk)
    assert all(read(archive, path) == file.read_bytes() for path, file in on_disk.items())
    assert outcome(progress) == (len(on_disk), 0, 0, 0)
    assert progress.files_done == progress.files_total == len(on_disk)
    assert progress.bytes_done == progress.bytes_total == sum(found.values())


def test_entries_come_in_the_order_of_dat_and_folders_get_none(folder: Path):
    fill(folder, "b/2", "b/1", "a.txt", "c", "a/y")
    (folder / "empty").mkdir()
    archive = new_archive()
    import_folder(archive, folder)
    told = [entry.name for entry in archive.history().entries]
    assert told == ["/a/y", "/a.txt", "/b/1", "/b/2", "/c"]


def test_entries_have_the_permissions_of_the_file_and_the_time_of_the_import(folder: Path):
    fill(folder, "script")
    os.chmod(folder / "script", 0o4750)
    os.utime(folder / "script", (1_000_000_000, 1_000_000_000))
    archive = new_archive()
    before = wall_clock()
    import_folder(archive, folder)
    stat = archive.stat("/script")
    assert stat.mode == file_mode.S_IFREG | 0o750
    assert stat.uid == stat.gid == 0
    assert before <= stat.mtime == stat.ctime <= wall_clock()


def test_a_second_import_of_an_unchanged_folder_appends_nothing(folder: Path):
    fill(folder, "a", "b/c")
    write(folder / "empty", b"")
    archive = new_archive()
    import_folder(archive, folder)
    version, blocks = archive.version, archive.content and archive.content.length
    progress = import_folder(archive, folder)
    assert outcome(progress) == (0, 0, 0, 3)
    assert (archive.version, archive.content and archive.content.length) == (version, blocks)


def test_what_changed_is_put_again_and_what_vanished_is_removed(folder: Path):
    fill(folder, "same", "longer", "younger", "gone", "gone-folder/a", "gone-folder/b/c")
    archive = new_archive()
    import_folder(archive, folder)
    write(folder / "longer", b"longer than before")
    write(folder / "younger", b"YOUNGER")
    late = wall_clock() / 1000 + 1
    os.utime(folder / "younger", (late, late))
    for path in ("gone", "gone-folder/a", "gone-folder/b/c"):
        (folder / path).unlink()
    fill(folder, "new")
    progress = import_folder(archive, folder, now=lambda: wall_clock() + 5_000)
    assert outcome(progress) == (1, 2, 3, 1)
    assert names(archive) == {"/same", "/longer", "/younger", "/new"}
    assert read(archive, "/younger") == b"YOUNGER"
    assert "gone-folder" not in dict(archive.list("/"))


def test_a_change_in_the_very_moment_of_the_import_is_not_missed(folder: Path):
    fill(folder, "a")
    archive = new_archive()
    import_folder(archive, folder)
    put_at = archive.stat("/a").mtime
    (folder / "a").write_text("A")  # the same size, and by its time no younger
    os.utime(folder / "a", ns=(put_at * 1_000_000, put_at * 1_000_000))
    assert outcome(import_folder(archive, folder)) == (0, 1, 0, 0)
    assert read(archive, "/a") == b"A"


def test_a_file_from_the_future_is_imported_once(folder: Path):
    fill(folder, "a")
    tomorrow = wall_clock() / 1000 + 86_400
    os.utime(folder / "a", (tomorrow, tomorrow))
    archive = new_archive()
    import_folder(archive, folder)
    assert outcome(import_folder(archive, folder)) == (0, 0, 0, 1)
    (folder / "a").write_text("A")
    os.utime(folder / "a", (tomorrow, tomorrow))
    assert outcome(import_folder(archive, folder)) == (0, 1, 0, 0)


def test_a_file_becomes_a_folder_and_a_file_again(folder: Path):
    fill(folder, "x", "y")
    archive = new_archive()
    import_folder(archive, folder)
    (folder / "x").unlink()
    fill(folder, "x/1", "x/deep/2")
    import_folder(archive, folder)
    assert names(archive) == {"/x/1", "/x/deep/2", "/y"}
    (folder / "x/1").unlink()
    (folder / "x/deep/2").unlink()
    (folder / "x/deep").rmdir()
    (folder / "x").rmdir()
    fill(folder, "x")
    import_folder(archive, folder)
    assert files(archive) == [("/y", b"y"), ("/x", b"x")]


def test_nothing_is_removed_unless_wanted(folder: Path):
    archive, _ = written("/kept", "/kept-folder/a")
    fill(folder, "new")
    progress = import_folder(archive, folder, delete=False)
    assert outcome(progress) == (1, 0, 0, 0)
    assert names(archive) == {"/kept", "/kept-folder/a", "/new"}


def test_what_is_ignored_stays_in_the_archive_as_with_dat(folder: Path):
    archive, _ = written("/.hidden", "/x.log", "/logs/.hidden", "/logs/a")
    (folder / ".datignore").write_text("*.log")
    import_folder(archive, folder)
    assert names(archive) == {"/.hidden", "/x.log", "/logs/.hidden"}


def test_folders_with_entries_vanish_like_files(folder: Path):
    archive = new_archive()
    writer = ArchiveWriter(archive)
    for path in ("/kept", "/gone", "/gone/inner"):
        writer.mkdir(path, mtime=1, ctime=1)
    put(writer, "/gone/inner/file", b"x")
    writer.commit()
    (folder / "kept").mkdir()
    import_folder(archive, folder)
    assert files(archive) == [("/kept", None)]


def test_names_that_other_writers_made_do_not_stand_for_other_files(folder: Path):
    # A backslash of ours is a slash: removing `/a\b` must not remove `/a/b`.
    archive, _ = written("/a/b")
    fill(folder, "a/b")
    assert outcome(import_folder(archive, folder)) == (0, 1, 0, 0)
    assert names(archive) == {"/a/b"}


def test_files_that_cannot_be_imported_are_told_and_keep_what_is_published(folder: Path):
    fill(folder, "a", "z")
    archive = new_archive()
    import_folder(archive, folder)
    (folder / "a").unlink()
    os.mkfifo(folder / "a")
    progress = import_folder(archive, folder)
    assert [(each.path, each.why) for each in progress.skipped] == [
        ("a", "it is neither a file nor a folder")
    ]
    assert names(archive) == {"/a", "/z"}


def test_a_link_that_leads_out_is_unpublished(folder: Path):
    fill(folder, "a", "z")
    archive = new_archive()
    import_folder(archive, folder)
    (folder / "a").unlink()
    (folder / "a").symlink_to("/etc/hostname")
    progress = import_folder(archive, folder)
    assert progress.removed == 1
    assert names(archive) == {"/z"}


def test_links_are_imported_as_what_they_lead_to(folder: Path):
    fill(folder, "real")
    (folder / "link").symlink_to("real")
    archive = new_archive()
    import_folder(archive, folder)
    assert read(archive, "/link") == b"real"
    assert outcome(import_folder(archive, folder)) == (0, 0, 0, 2)
    assert outcome(import_folder(archive, folder, follow_links="none")) == (0, 0, 1, 1)


def test_a_file_that_goes_on_changing_is_left_for_later(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(importing, "SLICE_SIZE", 1)
    write(folder / "log", bytes(300_000))
    fill(folder, "z")
    archive = new_archive()

    def append(importer: Importer, committed: object) -> None:
        with (folder / "log").open("ab") as file:
            file.write(b"more")

    progress = import_folder(archive, folder, append)
    assert [each.path for each in progress.skipped] == ["log"]
    assert "changed while it was read" in progress.skipped[0].why
    assert names(archive) == {"/z"}
    used = archive.content and archive.content.length
    import_folder(archive, folder)
    assert read(archive, "/log") == (folder / "log").read_bytes()
    # What was written of it before is taken up: 4 blocks of it were there already.
    assert archive.content is not None
    assert archive.content.length == (used or 0) + 5


def test_a_file_that_vanishes_under_our_hands_is_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(importing, "SLICE_MS", 0)
    fill(folder, "a", "b")
    archive = new_archive()
    import_folder(archive, folder)

    def unlink(importer: Importer, committed: object) -> None:
        if importer.progress.unchanged:
            (folder / "b").unlink(missing_ok=True)

    progress = import_folder(archive, folder, unlink)
    assert names(archive) == {"/a"}
    assert "vanished" in progress.skipped[0].why


def test_a_folder_that_goes_away_does_not_empty_the_archive(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(importing, "SLICE_MS", 0)
    fill(folder, "a", "b")
    archive = new_archive()
    import_folder(archive, folder)
    importer = Importer(archive, folder, now=wall_clock)
    for path in ("a", "b"):
        (folder / path).unlink()
    folder.rmdir()
    with pytest.raises(FolderRefused, match="cannot be opened"):
        finish(importer)
    assert importer.advance() is None
    assert names(archive) == {"/a", "/b"}


def test_an_import_into_an_archive_of_others_is_refused(folder: Path):
    archive, _ = written("/a")
    with pytest.raises(NotWritableError):
        Importer(Archive(archive.metadata), folder, now=wall_clock)


def test_rules_that_are_not_understood_stop_it_before_anything_is_published(folder: Path):
    (folder / ".datignore").write_text("*(secret)")
    with pytest.raises(ConfigError):
        Importer(new_archive(), folder, now=wall_clock)


def test_no_descriptor_stays_open(folder: Path):
    fill(folder, "a", "b/c")
    archive = new_archive()
    import_folder(archive, folder, follow_links="all")
    cut_short = Importer(archive, folder, now=wall_clock)
    cut_short.advance()
    cut_short.close()
    assert cut_short.advance() is None
    (folder / ".datignore").write_text("*(x)")
    with pytest.raises(ConfigError):
        Importer(archive, folder, now=wall_clock)
    assert opened_below(folder) == []


def test_by_content_a_file_is_as_readable(tmp_path: Path):
    folder = tmp_path / "varied"
    make_varied_folder(folder, small_files=20)
    archive = new_archive()
    import_folder(archive, folder, chunking="content")
    assert archive.stat("/data/big.bin").blocks > 5_000_000 // 65_536 * 2
    assert hashes_in(folder, with_empty=True).keys() == names(archive)
    assert read(archive, "/data/big.bin") == (folder / "data/big.bin").read_bytes()
