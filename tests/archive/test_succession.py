import random

import pytest
from tests.helpers.feeds import ArchiveWriter, fetch, index_feed, index_names, sparse_copy

from datd.archive.archive import Archive
from datd.archive.entries import Stat
from datd.archive.succession import Passage
from datd.errors import BlockMissing, VersionNotFound


def told(archive: Archive, old: int, new: int, limit: int = 1000) -> list[Passage]:
    going = archive.succession(old, new)
    found: list[Passage] = []
    while not going.finished:
        found += going.page(limit)
    return found


def live(archive: Archive, version: int) -> dict[str, Stat]:
    return dict(archive.walk("/", version))


def stats(found: list[Passage]) -> dict[str, tuple[Stat | None, Stat | None]]:
    return {
        passage.path: (
            passage.old.stat if passage.old else None,
            passage.new.stat if passage.new else None,
        )
        for passage in found
    }


@pytest.mark.parametrize("name", index_names())
def test_it_tells_what_walks_of_both_versions_would(name):
    """Every tree that the original made, between versions near and far, both ways in time."""
    archive = Archive(index_feed(name))
    chance = random.Random(name)
    versions = range(archive.version + 1)
    pairs = [(version, version + 1) for version in versions[:-1]]
    pairs += [(chance.choice(versions), chance.choice(versions)) for _ in range(60)]
    for old, new in pairs if len(versions) < 100 else chance.sample(pairs, 40):
        before, after = live(archive, old), live(archive, new)
        wanted = {
            path: (before.get(path), after.get(path))
            for path in {**before, **after}
            if before.get(path) != after.get(path)
        }
        found = told(archive, old, new)
        assert len(found) == len(stats(found))
        for path, change in wanted.items():
            assert stats(found)[path] == change
        # The same Stat written again is another entry, so it is told too; nothing else is.
        for path in stats(found).keys() - wanted.keys():
            assert before[path] == after[path]


def test_a_file_stays_when_something_below_its_path_changes():
    """Where the reference's difference says that it is gone."""
    writer = ArchiveWriter()
    writer.file("a", [b"1"])
    writer.file("a/b", [b"2"], rows=[[2], [1, 2], [2]])
    archive = writer.archive()
    assert [passage.path for passage in told(archive, 1, 2)] == ["/a/b"]
    assert [(change.kind, change.path) for change in archive.diff(1, 2)] == [
        ("del", "/a"),
        ("put", "/a/b"),
    ]


def test_folders_that_did_not_change_are_not_read():
    writer = ArchiveWriter()
    writer.file("still/a", [b"1"])
    writer.file("still/b", [b"2"], rows=[[2], [1, 2], [2]])
    writer.file("x", [b"3"], rows=[[2, 3], [3]])
    whole = writer.archive()
    archive = Archive(sparse_copy(whole.metadata, [0, 2, 3]))
    assert [passage.path for passage in told(archive, 2, 3)] == ["/x"]


def test_what_is_missing_is_named_and_it_goes_on_once_it_is_here():
    name = "folder-300"
    whole = index_feed(name)
    version = whole.length - 1
    copy = sparse_copy(whole, [0, version])
    going, found = Archive(copy).succession(0, version), []
    while not going.finished:
        try:
            found += going.page(50)
        except BlockMissing as missing:
            fetch(copy, whole, [missing.index, *missing.also])
    assert stats(found).keys() == live(Archive(whole), version).keys()


def test_a_version_that_is_not_known_is_refused():
    writer = ArchiveWriter()
    writer.file("a", [b"1"])
    with pytest.raises(VersionNotFound):
        writer.archive().succession(0, 2)


def test_t27_one_page_is_short_whatever_the_versions_hold():
    name = "folder-300"
    archive = Archive(index_feed(name))
    going = archive.succession(0, archive.version)
    assert len(going.page(10)) <= 10
    assert not going.finished


@pytest.mark.parametrize("name", ["nested", "random-any-1", "random-fs-2", "file-becomes-folder"])
def test_it_goes_on_behind_any_place_where_another_one_stopped(name):
    archive = Archive(index_feed(name))
    old, new = archive.version // 3, archive.version
    whole = told(archive, old, new)
    found: list[Passage] = []
    after = None
    for _ in range(1000):
        going = archive.succession(old, new, after=after)
        found += going.page(1)
        if going.finished:
            break
        after = going.cursor
    assert found == whole


def test_a_cursor_of_nowhere_leads_nowhere():
    archive = Archive(index_feed("nested"))
    going = archive.succession(0, archive.version, after=["no", "such", "place"])
    assert going.finished
    assert going.page(10) == []


@pytest.mark.parametrize("name", ["nested", "random-any-1", "random-any-4", "delete-deep"])
def test_below_a_path_it_tells_what_the_whole_tells_of_it(name):
    archive = Archive(index_feed(name))
    old, new = archive.version // 2, archive.version
    whole = stats(told(archive, old, new))
    folders = {path.rpartition("/")[0] for path in whole}
    for place in [*whole, *filter(None, folders), "/no/such"]:
        going, found = archive.succession(old, new, place), []
        while not going.finished:
            found += going.page(3)
        below = {p: c for p, c in whole.items() if p == place or p.startswith(f"{place}/")}
        assert stats(found) == below


def test_t27_a_page_ends_where_much_was_read():
    """Wide folders are compared as a whole: a page is bounded by what that reads."""
    writer = ArchiveWriter()
    rows: list[int] = []
    for folder in range(20):
        first = writer.next
        for file in range(200):
            seq = writer.next
            inner = [*range(first, seq + 1)]
            writer.entry(f"/{folder}/{file}", [[*rows, seq], inner, [seq]])
        rows.append(writer.next - 1)
    archive = writer.archive()
    going = archive.succession(0, archive.version)
    pages = 0
    found: list[Passage] = []
    while not going.finished:
        before = archive._tree.reads
        found += going.page(1000)
        assert archive._tree.reads - before <= 1300
        pages += 1
    assert pages > 3
    assert len(found) == 4000
