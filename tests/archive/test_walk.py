import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.feeds import (
    FILE_MODE,
    ArchiveWriter,
    fetch,
    index_feed,
    index_names,
    index_vector,
    sparse_copy,
)

from datd.archive.archive import Archive
from datd.archive.entries import Stat, encode_entry
from datd.errors import BlockMissing, EntryNotFound


def seqs(archive, version, path="/"):
    return {path: archive.find(path, version).seq for path, _ in archive.walk(path, version)}


@pytest.mark.parametrize("name", index_names())
def test_a_walk_finds_exactly_what_look_ups_find(name):
    archive = Archive(index_feed(name))
    for table in index_vector(name)["versions"]:
        version = table["version"]
        live = {path: seq for path, seq in table["get"].items() if seq is not None and path != "/"}
        found = seqs(archive, version)
        # Tables of large trees are samples: then there is more to find than they hold.
        assert live.items() <= found.items()
        if name not in ("folder-300", "two-folders-interleaved"):
            assert found == live


def test_a_walk_tells_each_path_once_and_its_stat():
    archive = Archive(index_feed("random-any-1"))
    found = list(archive.walk())
    assert len({path for path, _ in found}) == len(found)
    assert all(stat == archive.stat(path) for path, stat in found)


def test_a_walk_below_a_folder_stays_there():
    archive = Archive(index_feed("delete-simple"))
    assert sorted(path for path, _ in archive.walk("/c", 5)) == ["/c/d", "/c/e"]
    assert [path for path, _ in archive.walk("/c/e", 5)] == ["/c/e"]
    with pytest.raises(EntryNotFound):
        archive.walk("/nowhere")


def test_a_path_that_is_file_and_folder_is_both():
    archive = Archive(index_feed("file-becomes-folder"))
    assert seqs(archive, 2) == {"/a": 1, "/a/b": 2}


@pytest.mark.parametrize("size", [1, 3, 50])
@pytest.mark.parametrize("name", ["random-any-2", "random-fs-4", "folder-300", "empty"])
def test_t27_pages_go_on_where_the_last_one_ended(name, size):
    archive = Archive(index_feed(name))
    whole = list(archive.walk())
    found = []
    cursor: tuple[int, ...] = ()
    finished = False
    while not finished:
        walk = archive.walk(after=cursor)  # a new request: nothing is remembered but the cursor
        page = walk.page(size)
        assert len(page) <= size
        found += page
        cursor, finished = walk.cursor, walk.finished
    assert found == whole


@given(st.lists(st.integers(0, 50), max_size=6).map(tuple))
def test_no_cursor_breaks_a_walk(cursor):
    archive = Archive(index_feed("random-any-2"))
    whole = dict(archive.walk())
    for path, stat in archive.walk(after=cursor):
        assert whole[path] == stat


def test_a_walk_through_a_sparse_archive_goes_on_once_blocks_are_here():
    source = index_feed("folder-300")
    whole = list(Archive(source).walk())
    copy = sparse_copy(source, [0, source.length - 1])
    walk, found, rounds = Archive(copy).walk(), [], 0
    while not walk.finished:
        try:
            found += walk.page(1000)
        except BlockMissing as missing:
            fetch(copy, source, [missing.index, *missing.also])
            rounds += 1
    assert found == whole
    assert rounds < 10


def test_t27_a_walk_holds_no_list_of_what_it_passes():
    # A folder of 20,000: honest ones have longer rows in each entry, the newest is all that counts.
    count = 20_000
    writer = ArchiveWriter()
    for seq in range(1, count):
        name = f"/folder/{seq:06}-{'x' * 200}"
        writer.raw(encode_entry(seq, name, Stat(FILE_MODE), [[seq], [seq], [seq]]))
    writer.entry("/folder/last", [[count], list(range(1, count + 1)), [count]])
    archive = writer.archive()
    tracemalloc.start()
    walked = sum(1 for _ in archive.walk())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert walked == count
    assert peak < 16 * 2**20


def test_t27_names_of_a_depth_of_ten_thousand_do_not_stop_a_walk():
    writer = ArchiveWriter()
    writer.entry("/x" * 10_000)
    writer.entry("/ok", [[1, 2], [2]])
    assert [path for path, _ in writer.archive().walk()] == ["/ok"]


def test_t25_a_thousand_ways_to_each_entry_are_gone_once():
    # Every row lists every entry: followed blindly these are 60^60 paths.
    writer = ArchiveWriter()
    for seq in range(1, 61):
        writer.entry("/a" * 60, [list(range(1, seq + 1))] * 61)
    assert len(list(writer.archive().walk())) <= 60


NAMES = st.lists(st.sampled_from("ab"), max_size=3).map(lambda parts: "/" + "/".join(parts))
ROWS = st.lists(st.lists(st.integers(1, 10), max_size=5).map(sorted), max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(NAMES, st.booleans(), ROWS), min_size=1, max_size=10))
def test_t25_walks_of_random_indexes_end_and_tell_true_names(history):
    writer = ArchiveWriter()
    names = set()
    for name, put, rows in history:
        seq = writer.next
        names.add(name)
        writer.raw(encode_entry(seq, name, Stat(FILE_MODE) if put else None, rows))
    found = [path for path, _ in writer.archive().walk()]
    assert set(found) <= names
    assert len(found) <= len(history)
