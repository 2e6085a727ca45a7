import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.feeds import (
    FILE_MODE,
    PAIR,
    ArchiveWriter,
    archive_folder,
    archive_names,
    content_of,
    feed_of,
    fetch,
    index_feed,
    index_names,
    index_vector,
    sparse_copy,
)

from datd import crypto
from datd.archive import archive as archive_module
from datd.archive.archive import Archive, resolve
from datd.archive.entries import IMPLIED_DIRECTORY, Stat
from datd.errors import (
    ArchiveFormatError,
    BlockMissing,
    DatdError,
    EntryNotFound,
    VersionNotFound,
)


def read(archive, stat):
    data = b""
    while len(data) < stat.size:
        for block, start, stop in archive.spans(stat, len(data), stat.size):
            data += content_of(archive).get(block)[start:stop]
    return data


def listing(archive, version):
    return sorted((path, archive.find(path, version).seq) for path, _ in archive.walk("/", version))


@pytest.mark.parametrize("name", archive_names())
def test_a_folder_of_the_reference_shows_what_the_reference_shows(name, tmp_path):
    with archive_folder(name, tmp_path) as opened:
        archive, expected = opened.archive, opened.expected
        before = opened.files()
        assert before == {path: tuple(row) for path, row in expected["files"].items()}
        assert archive.metadata.key.hex == expected["metadata"]["key"]
        assert archive.version == expected["version"]
        for row in expected["history"]:
            assert_history_row(archive, row)
        for version, rows in (expected["listings"] or {}).items():
            assert listing(archive, int(version)) == [tuple(row) for row in rows]
        # D-6; and whatever names an author chose, reading them touches no file.
        assert opened.files() == before


def assert_history_row(archive, row):
    version, kind, *rest = row
    if kind is None:
        with pytest.raises(BlockMissing):
            archive.history(version - 1, 1)
        return
    name, stat, digest = rest
    (entry,) = archive.history(version - 1, 1).entries
    assert (entry.name, "put" if entry.stat else "del") == (name, kind)
    if entry.stat is None or not entry.stat.is_file:
        return
    assert vars_of(entry.stat) == stat
    if digest is None:
        with pytest.raises(BlockMissing):
            read(archive, entry.stat)
    else:
        assert hashlib.sha256(read(archive, entry.stat)).hexdigest() == digest


def vars_of(stat):
    return {
        "mode": stat.mode,
        "uid": stat.uid,
        "gid": stat.gid,
        "size": stat.size,
        "blocks": stat.blocks,
        "offset": stat.offset,
        "byteOffset": stat.byte_offset,
        "mtime": stat.mtime,
        "ctime": stat.ctime,
    }


def test_a_file_changed_behind_the_publishers_back_is_refused_not_served(tmp_path):
    with archive_folder("latest-changed-behind", tmp_path) as opened:
        content = content_of(opened.archive)
        (lost,) = opened.expected["content"]["lost"]
        for block in range(*lost):
            assert content.has(block)
            with pytest.raises(BlockMissing):
                content.get(block)
        assert content.take_damaged() == list(range(*lost))


def test_a_clone_that_never_met_a_peer_is_an_empty_archive(tmp_path):
    with archive_folder("clone-no-peer", tmp_path) as opened:
        archive = opened.archive
        assert archive.version == 0
        assert archive.list("/") == []
        assert archive.stat("/") == IMPLIED_DIRECTORY
        assert list(archive.walk()) == []
        with pytest.raises(EntryNotFound):
            archive.stat("/a")
        with pytest.raises(BlockMissing):
            archive.content_key()


@pytest.mark.parametrize("name", index_names())
def test_stat_says_what_hyperdrive_says(name):
    archive = Archive(index_feed(name))
    for path, expected in index_vector(name)["stat_at_latest"].items():
        if "error" in expected:
            with pytest.raises(EntryNotFound):
                archive.stat(path)
            continue
        found = archive.stat(path)
        assert (found.mode, found.size, found.blocks, found.offset, found.byte_offset) == tuple(
            expected[field] for field in ("mode", "size", "blocks", "offset", "byteOffset")
        )
        assert (found.is_file, found.is_directory) == (expected["file"], expected["directory"])


@pytest.mark.parametrize("name", index_names())
def test_lists_are_sorted_and_agree_with_stat(name):
    archive = Archive(index_feed(name))
    for table in index_vector(name)["versions"]:
        version = table["version"]
        for path, expected in table["list"].items():
            if expected is None and path != "/":
                with pytest.raises(EntryNotFound):
                    archive.list(path, version)
                continue
            found = archive.list(path, version)
            assert [child for child, _ in found] == sorted(expected or [])
            for child, stat in found:
                assert stat == archive.stat(f"{path}/{child}", version)


def test_history_tells_each_change_and_can_be_read_in_pages():
    archive = Archive(index_feed("delete-simple"))
    rows = index_vector("delete-simple")["entries"][1:]
    first = archive.history(0, 4)
    rest = archive.history(first.last)
    assert [(entry.seq, entry.name) for entry in first.entries + rest.entries] == [
        (row["seq"], row["name"]) for row in rows
    ]
    assert rest.last == archive.version


def test_history_of_one_path_includes_what_lies_below_it():
    archive = Archive(index_feed("delete-simple"))
    assert [entry.seq for entry in archive.history(path="/c").entries] == [3, 4, 7]
    assert [entry.seq for entry in archive.history(path="/f/only").entries] == [5, 8, 9]
    assert archive.history(path="/f/onl").entries == []


def test_t27_a_page_of_history_looks_at_so_many_entries(monkeypatch):
    monkeypatch.setattr(archive_module, "HISTORY_LOOKED_AT", 5)
    archive = Archive(index_feed("delete-simple"))
    page = archive.history(path="/f")
    assert (page.entries[-1].seq, page.last) == (5, 5)
    assert [entry.seq for entry in archive.history(page.last, path="/f").entries] == [8, 9]


def test_history_of_a_sparse_archive_names_what_it_lacks():
    source = index_feed("delete-simple")
    archive = Archive(sparse_copy(source, [0, 1, 2, source.length - 1]))
    assert archive.history().last == 2
    with pytest.raises(BlockMissing) as missing:
        archive.history(2)
    assert [missing.value.index, *missing.value.also] == list(range(3, source.length - 1))


@pytest.mark.parametrize("version", [-1, 12])
def test_versions_that_do_not_exist_are_refused(version):
    archive = Archive(index_feed("delete-simple"))
    for call in (archive.stat, archive.list, archive.walk, archive.find):
        with pytest.raises(VersionNotFound, match="newest is 11"):
            call("/a", version)
    with pytest.raises(VersionNotFound):
        archive.diff(0, version)


def test_paths_are_what_people_type():
    assert resolve("/a//b/./c/../d/") == ("a", "b", "d")
    assert resolve("../../a") == ("a",)
    assert resolve("a\\b") == ("a\\b",)
    assert resolve("") == resolve("/") == resolve("..") == ()


def test_the_content_key_is_the_one_the_reference_derived():
    archive = Archive(index_feed("flat"))
    assert archive.content_key().hex == index_vector("flat")["content_key"]


@pytest.mark.parametrize(
    "block", [b"\x0a\x07hypertr\x12\x00", b"some text", b"", b"\x0a\x02\xff\xfe"]
)
def test_a_plain_feed_has_no_files(block):
    archive = Archive(feed_of([block, b"more"]))
    for call in (archive.content_key, archive.list, archive.manifest, archive.history):
        with pytest.raises(ArchiveFormatError, match="plain feed"):
            call()


@pytest.mark.parametrize("key", [b"", b"x" * 31, PAIR.public, bytes(32), b"\x01" + bytes(31)])
def test_t28_content_keys_that_cannot_be_are_refused(key):
    archive = ArchiveWriter(content_key=key).archive()
    with pytest.raises(ArchiveFormatError, match="content"):
        archive.stat("/")


def test_a_listed_folder_shows_its_own_entry_if_it_is_the_oldest():
    writer = ArchiveWriter()
    made = Stat(0o40700, mtime=5)
    writer.entry("/d", [[1], [1]], made)
    for number in range(2, 30):
        writer.entry(f"/d/{number}", [[number], list(range(1, number + 1)), [number]])
    archive = writer.archive()
    assert archive.list("/") == [("d", made)]
    assert archive.stat("/d") == made


def test_a_listing_of_a_sparse_archive_does_not_fetch_the_folders_below():
    writer = ArchiveWriter()
    for number in range(1, 6):
        writer.entry(f"/d/{number}", [[number], list(range(1, number + 1)), [number]])
    archive = Archive(sparse_copy(writer.archive().metadata, [0, 5]))
    assert archive.list("/") == [("d", IMPLIED_DIRECTORY)]


def test_a_part_of_a_listing_is_that_part_of_the_whole():
    writer = ArchiveWriter()
    for number in range(1, 101):
        writer.entry(f"/d{number:03}", [list(range(1, number + 1)), [number]])
    metadata = sparse_copy(writer.archive().metadata, [0, *range(1, 100), 100])
    archive = Archive(metadata)
    whole = archive.list("/")
    assert archive.list("/", after="d010", limit=3) == whole[10:13]
    assert archive.list("/", after="d010x", limit=1) == whole[10:11]
    assert archive.list("/", after="d098", limit=5) == whole[98:]
    assert archive.list("/", after="d100", limit=5) == []
    assert archive.list("/", limit=2) == whole[:2]


def test_names_no_path_can_reach_are_not_listed():
    writer = ArchiveWriter()
    names = ["/../up", "/./here", "//empty", "/ok", "/.dat/x", "/back\\slash"]
    for seq, name in enumerate(names, 1):
        parts = name.count("/")
        writer.entry(name, [list(range(1, seq + 1)), *[[seq]] * parts])
    archive = writer.archive()
    assert [name for name, _ in archive.list("/")] == [".dat", "back\\slash", "ok"]
    assert [path for path, _ in archive.walk("/")] == ["/ok", "/.dat/x", "/back\\slash"]
    assert archive.stat("/back\\slash").is_file


def test_an_entry_with_an_odd_type_is_shown_and_not_read():
    writer = ArchiveWriter()
    writer.entry("/fifo", stat=Stat(0o010644, size=5, blocks=1))
    archive = writer.archive()
    stat = archive.stat("/fifo")
    assert not stat.is_file
    assert not stat.is_directory
    with pytest.raises(ArchiveFormatError, match="no file"):
        archive.spans(stat, 0, 5)


def test_reading_before_the_content_feed_is_open_names_its_first_block():
    archive = Archive(index_feed("flat"))
    stat = archive.stat("/a.txt") if archive.find("/a.txt") else next(archive.walk())[1]
    with pytest.raises(BlockMissing) as missing:
        archive.spans(stat, 0, 1)
    assert missing.value.discovery_key == archive.content_key().discovery_key.raw
    assert missing.value.index == stat.offset


def manifest_of(*blocks):
    writer = ArchiveWriter()
    writer.file("/dat.json", blocks)
    return writer.archive()


def test_the_manifest_is_read_from_its_blocks():
    data = json.dumps({"title": "Weather", "x": 1}).encode()
    found = manifest_of(data[:5], data[5:]).manifest()
    assert found is not None
    assert (found.title, found.other) == ("Weather", {"x": 1})


def test_an_archive_without_a_manifest_has_none():
    assert Archive(index_feed("flat")).manifest() is None
    assert ArchiveWriter().archive().manifest() is None


def test_a_manifest_that_is_not_here_is_missing():
    archive = manifest_of(b"{}")
    archive.content = sparse_copy(content_of(archive))
    with pytest.raises(BlockMissing):
        archive.manifest()


def test_t30_a_manifest_of_100_mb_is_not_read():
    writer = ArchiveWriter()
    stat = Stat(FILE_MODE, size=100 * 2**20, blocks=1600)
    writer.entry("/dat.json", stat=stat)
    archive = writer.archive()
    archive.content = None  # reading would need it
    assert archive.manifest() is None


def test_a_manifest_whose_entry_lies_counts_as_absent():
    writer = ArchiveWriter()
    writer.file("/x", [b"{}", b"more"])
    writer.entry("/dat.json", [[1, 2], [2]], Stat(FILE_MODE, size=2, blocks=1, byte_offset=1))
    assert writer.archive().manifest() is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=5), st.text("/ab.", max_size=6))
def test_random_archives_give_an_answer_or_our_error(blocks, path):
    header = index_feed("empty").get(0)
    archive = Archive(feed_of([header, *blocks]), feed_of([b"x"], crypto.key_pair(bytes(32))))
    calls = (
        lambda: archive.stat(path),
        lambda: archive.list(path),
        lambda: list(archive.walk(path)),
        lambda: archive.history(path=path),
        lambda: list(archive.diff(0, archive.version)),
        lambda: archive.manifest(),
    )
    for call in calls:
        try:
            call()
        except DatdError:
            continue


def test_a_sparse_archive_is_read_with_one_round_trip_a_folder(tmp_path):
    with archive_folder("archival-wide", tmp_path) as opened:
        source = opened.archive
        path, stat = max(source.walk(), key=lambda item: item[1].size)
        whole = read(source, stat)
        metadata = sparse_copy(source.metadata, [0, source.version])
        archive = Archive(metadata, sparse_copy(content_of(source)))
        feeds = {feed.discovery_key: feed for feed in (source.metadata, content_of(source))}
        copies = {feed.discovery_key: feed for feed in (metadata, content_of(archive))}
        rounds, data = 0, None
        while data is None:
            try:
                data = read(archive, archive.stat(path))
            except BlockMissing as missing:
                key = missing.discovery_key
                fetch(copies[key], feeds[key], [missing.index, *missing.also])
                rounds += 1
    assert data == whole
    assert rounds <= path.count("/") + stat.blocks
