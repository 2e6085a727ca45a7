import pytest
from tests.helpers.feeds import (
    ArchiveWriter,
    archive_folder,
    index_feed,
    index_names,
    index_vector,
    sparse_copy,
)

from datd.archive.archive import Archive
from datd.archive.entries import Stat, encode_entry
from datd.errors import BlockMissing
from datd.hosting.keeping.tally import SLICE, Count, Extent, Tally
from datd.replication.block_map import BlockMap


def counted(archive: Archive, version: int) -> Tally:
    tally = Tally(archive, version)
    while tally.advance():
        pass
    return tally


def test_files_and_bytes_of_a_version_made_by_the_original(tmp_path):
    with archive_folder("archival-history", tmp_path) as found:
        archive = Archive(found.archive.metadata, found.archive.content)
        content = found.archive.content
        assert content is not None
        for version in range(1, archive.version + 1):
            files = {path: stat for path, stat in archive.walk("/", version) if stat.is_file}
            tally = counted(archive, version)
            assert tally.files == len(files)
            assert tally.size == sum(stat.size for stat in files.values())
            assert tally.claims.wanted().count() == sum(stat.blocks for stat in files.values())
            assert tally.claims.disjoint


def test_t26_a_claim_beyond_the_feed_takes_no_memory():
    writer = ArchiveWriter()
    writer.entry("/huge", stat=Stat(mode=0o100644, size=2**50, blocks=2**40, offset=2**39))
    tally = counted(writer.archive(), 1)
    assert tally.claims.wanted().partial == 0
    assert (tally.files, tally.extent) == (1, 2**39 + 2**40)


def test_t27_a_large_archive_is_counted_in_slices():
    name = "folder-300"
    metadata = index_feed(name)
    tally = Tally(Archive(metadata), index_vector(name)["version"])
    slices = 1
    while tally.advance():
        slices += 1
    entries = index_vector(name)["entries"]
    written = {entry["name"] for entry in entries if entry["kind"] == "put"}
    deleted = {entry["name"] for entry in entries if entry["kind"] == "del"}
    assert tally.files == len(written - deleted)
    assert slices <= 1 + 2 * 300 // SLICE + 1


def test_the_extent_reaches_as_far_as_any_version_did(tmp_path):
    with archive_folder("archival-history", tmp_path) as found:
        archive, content = found.archive, found.archive.content
        assert content is not None
        extent = Extent()
        extent.add(archive.history(0, 10_000), archive.version)
        assert (extent.blocks, extent.size) == (content.length, content.byte_length)
        early = Extent()
        early.add(archive.history(0, 10_000), 1)
        assert early.version == 1
        assert early.blocks <= extent.blocks


def test_t27_dead_entries_cost_turns_too():
    writer = ArchiveWriter()
    count = 5 * SLICE
    rows = list(range(1, count + 1))
    for seq in rows:
        # Each names all before it, and is gone: nothing to count, much to look at.
        writer.entry("same", rows=[rows] if seq == count else [[seq], [seq]])
    tally = Tally(writer.archive(), count)
    slices = 1
    while tally.advance():
        slices += 1
    assert slices >= 2


def test_missing_metadata_is_told():
    writer = ArchiveWriter()
    writer.file("one", [b"1"])
    writer.file("two", [b"2"], rows=[[1, 2], [2]])
    whole = writer.archive()
    with pytest.raises(BlockMissing) as missing:
        counted(Archive(sparse_copy(whole.metadata, [0, 2])), 2)
    assert missing.value.index == 1


FOLLOWED = [
    name
    for name in index_names()
    if {"put", "del"} >= {entry.get("kind") for entry in index_vector(name)["entries"][1:]}
]


@pytest.mark.parametrize("name", FOLLOWED)
def test_a_version_that_is_followed_counts_like_one_that_is_walked(name):
    """Every tree that the original made, from every version to the next."""
    archive = Archive(index_feed(name))
    followed = counted(archive, 0)
    for version in range(1, archive.version + 1):
        followed.follow(archive, version)
        while followed.advance():
            pass
        walked = counted(archive, version)
        assert (followed.files, followed.size) == (walked.files, walked.size)
        assert followed.version == version
        assert followed.claimed_size == walked.claimed_size


def test_only_chosen_files_claim_and_all_are_counted():
    writer = ArchiveWriter()
    writer.file("one", [b"1", b"2"])
    writer.file("two", [b"3"], rows=[[1, 2], [2]])
    tally = Tally(writer.archive(), 2, lambda path: path == "/two")
    while tally.advance():
        pass
    assert (tally.files, tally.size, tally.claimed_size) == (2, 3, 1)
    assert [index in tally.claims for index in range(3)] == [False, False, True]


def test_a_count_goes_on_from_what_is_on_record():
    writer = ArchiveWriter()
    writer.file("one", [b"1", b"2"])
    writer.file("one", [b"3"], rows=[[2], [2]])
    blocks = BlockMap.of_ranges([(0, 2)])
    tally = Tally.resume(writer.archive(), Count(1, 1, 2, blocks, 2), None)
    tally.follow(writer.archive(), 2)
    while tally.advance():
        pass
    assert (tally.files, tally.size, tally.extent) == (1, 1, 3)
    assert [index in tally.claims for index in range(3)] == [False, False, True]
    assert tally.replaced is not None
    assert 1 in tally.replaced.kept(blocks)


def test_a_file_that_claimed_more_than_there_is_makes_its_removal_unsound():
    writer = ArchiveWriter()
    writer.file("one", [b"1"])
    writer.entry("liar", [[1, 2], [2]], Stat(0o100644, size=9, blocks=9, offset=90))
    writer.raw(encode_entry(3, "liar", None, [[1]]))
    tally = counted(writer.archive(), 2)
    assert tally.extent == 99
    tally.follow(writer.archive(), 3)
    while tally.advance():
        pass
    assert tally.unsound
