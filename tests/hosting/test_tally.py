import pytest
from tests.helpers.feeds import (
    ArchiveWriter,
    archive_folder,
    index_feed,
    index_vector,
    sparse_copy,
)

from datd.archive.archive import Archive
from datd.archive.entries import Stat
from datd.errors import BlockMissing
from datd.hosting.tally import SLICE, Extent, Tally


def counted(archive: Archive, version: int, length: int) -> Tally:
    tally = Tally(archive, version, length)
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
            tally = counted(archive, version, content.length)
            assert tally.files == len(files)
            assert tally.size == sum(stat.size for stat in files.values())
            assert tally.blocks.count() == sum(stat.blocks for stat in files.values())


def test_t26_a_claim_beyond_the_feed_takes_no_memory():
    writer = ArchiveWriter()
    writer.entry("/huge", stat=Stat(mode=0o100644, size=2**50, blocks=2**40, offset=2**39))
    tally = counted(writer.archive(), 1, 10)
    assert len(tally.blocks) == 10
    assert (tally.files, tally.extent) == (1, 2**39 + 2**40)


def test_t27_a_large_archive_is_counted_in_slices():
    name = "folder-300"
    metadata = index_feed(name)
    tally = Tally(Archive(metadata), index_vector(name)["version"], 0)
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
    tally = Tally(writer.archive(), count, 0)
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
        counted(Archive(sparse_copy(whole.metadata, [0, 2])), 2, 2)
    assert missing.value.index == 1
