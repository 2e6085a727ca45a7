import pytest
from tests.helpers.feeds import (
    ArchiveWriter,
    fetch,
    index_feed,
    index_names,
    index_vector,
    sparse_copy,
)

from datd.archive.archive import Archive
from datd.errors import BlockMissing


def told(changes):
    return [[change.kind, change.path, change.entry.seq] for change in changes]


@pytest.mark.parametrize("name", index_names())
def test_changes_between_versions_are_those_the_reference_finds(name):
    archive = Archive(index_feed(name))
    for table in index_vector(name)["diffs"]:
        found = told(archive.diff(table["from"], table["to"]))
        assert found == table["changes"], (table["from"], table["to"])


@pytest.mark.parametrize("size", [1, 2, 7])
def test_t27_pages_tell_the_same_as_the_whole(size):
    archive = Archive(index_feed("folder-300"))
    whole = told(archive.diff(0, archive.version))
    diff, pages = archive.diff(0, archive.version), []
    while not diff.finished:
        page = diff.page(size)
        assert len(page) <= size
        pages += page
    assert told(pages) == whole


def test_a_diff_goes_on_once_missing_blocks_are_here():
    source = index_feed("nested")
    whole = told(Archive(source).diff(0, source.length - 1))
    copy = sparse_copy(source, [0, source.length - 1])
    diff, found = Archive(copy).diff(0, copy.length - 1), []
    while not diff.finished:
        try:
            found += diff.page(3)
        except BlockMissing as missing:
            fetch(copy, source, [missing.index, *missing.also])
    assert told(found) == whole


def test_unchanged_folders_are_not_entered():
    # Both folders have changed long ago: their entries are not needed to see what is new.
    writer = ArchiveWriter()
    writer.entry("/a/old", [[1], [1], [1]])
    writer.entry("/b/old", [[1, 2], [2], [2]])
    writer.entry("/a/new", [[2, 3], [1, 3], [3]])
    writer.entry("/top", [[2, 3, 4], [4]])
    source = writer.archive().metadata
    archive = Archive(sparse_copy(source, [0, 2, 3, 4]))
    assert told(archive.diff(3, 4)) == [["put", "/top", 4]]
    with pytest.raises(BlockMissing):
        list(archive.diff(2, 4))
