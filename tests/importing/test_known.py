import pytest
from tests.helpers.own_archives import new_archive, put, written

from datd.archive.append_tree import MAX_ENTRIES_READ
from datd.archive.writer import ArchiveWriter
from datd.errors import EntryNotFound
from datd.importing.known import KnownVersion


def test_an_empty_archive_holds_nothing():
    known = KnownVersion(new_archive())
    assert known.children("") == {}
    assert known.children("a/b") == {}
    with pytest.raises(EntryNotFound):
        known.below("a")


def test_files_and_folders_are_told_apart():
    archive, writer = written("/a", "/b/c", "/both", "/both/inner", "/gone/x")
    writer.remove("/gone/x")
    writer.mkdir("/made", mtime=1, ctime=1)
    writer.commit()
    known = KnownVersion(archive)
    top = known.children("")
    assert set(top) == {"a", "b", "both", "made"}
    assert {name: known.stat(name, top[name]).is_file for name in top} == {
        "a": True, "b": False, "both": True, "made": False,
    }  # fmt: skip
    assert known.stat("made", top["made"]).is_directory
    assert set(known.children("both")) == {"inner"}
    assert [path for path, _ in known.below("b")] == ["/b/c"]


def test_what_is_queued_later_changes_nothing():
    archive, writer = written("/a", "/b/c")
    known = KnownVersion(archive)
    writer.remove("/a")
    put(writer, "/b/d", b"d")
    writer.commit()
    assert set(known.children("")) == {"a", "b"}
    assert set(known.children("b")) == {"c"}


def test_a_folder_of_our_own_may_be_wider_than_one_that_is_shown_to_others():
    archive = new_archive()
    writer = ArchiveWriter(archive)
    count = MAX_ENTRIES_READ + 100
    for number in range(count):
        put(writer, f"/{number}", b"")
        if writer.queued_bytes > 2**24:
            writer.commit()
    writer.commit()
    known = KnownVersion(archive)
    children = known.children("")
    assert len(children) == count
    assert known.stat("0", children["0"]).is_file
