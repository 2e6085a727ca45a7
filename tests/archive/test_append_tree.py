from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.feeds import (
    FILE_MODE,
    ArchiveWriter,
    feed_of,
    fetch,
    index_feed,
    index_names,
    index_vector,
    sparse_copy,
)

from datd.archive import append_tree
from datd.archive.append_tree import MAX_ENTRIES_READ, AppendTree
from datd.archive.entries import MAX_DEPTH, Stat, encode_entry, split_name
from datd.errors import ArchiveFormatError, BlockMissing, LookUpTooLong

FILE = Stat(FILE_MODE)


@pytest.mark.parametrize("name", index_names())
def test_look_ups_find_what_the_reference_finds_at_every_version(name):
    tree = AppendTree(index_feed(name))
    for table in index_vector(name)["versions"]:
        for path, expected in table["get"].items():
            tree.begin()
            found = tree.get(table["version"], split_name(path))
            assert (found and found.seq) == expected, (table["version"], path)


@pytest.mark.parametrize("name", index_names())
def test_folders_hold_what_the_reference_lists_in_its_order(name):
    tree = AppendTree(index_feed(name))
    for table in index_vector(name)["versions"]:
        for path, expected in table["list"].items():
            tree.begin()
            found = tree.list(table["version"], split_name(path))
            assert (found and list(found.children)) == expected, (table["version"], path)


def test_a_small_memory_changes_no_answer(monkeypatch):
    monkeypatch.setattr(append_tree, "ENTRY_CACHE_SIZE", 3000)
    monkeypatch.setattr(append_tree, "FOLDER_CACHE_SIZE", 4)
    test_look_ups_find_what_the_reference_finds_at_every_version("folder-300")
    test_folders_hold_what_the_reference_lists_in_its_order("random-fs-3")


def test_wide_folders_do_not_fill_the_memory_with_lists_of_siblings():
    tree = AppendTree(index_feed("folder-300"))
    for seq in range(1, 305):
        tree.entry(seq)
    assert tree._entries.weight < 304 * 1000


def test_a_sparse_tree_names_all_that_one_folder_lacks():
    source = index_feed("folder-300")
    copy = sparse_copy(source, [source.length - 1])
    tree = AppendTree(copy)
    path, expected = next(
        (path, seq)
        for path, seq in index_vector("folder-300")["versions"][-1]["get"].items()
        if seq is not None and seq < 200
    )
    names = split_name(path)
    found, rounds = None, 0
    while found is None:
        try:
            found = tree.get(copy.length - 1, names)
        except BlockMissing as missing:
            fetch(copy, source, [missing.index, *missing.also])
            rounds += 1
    assert found.seq == expected
    # One round trip for each folder on the way, as the reference needs.
    assert rounds <= len(names)


def test_a_sparse_tree_answers_without_the_siblings_it_does_not_need():
    source = index_feed("folder-300")
    head = source.length - 1
    tree = AppendTree(source)
    folder = tree.list(head, ())
    assert folder is not None
    name, seq = next(iter(folder.children.items()))
    found = AppendTree(sparse_copy(source, [head, seq])).get(head, (name,))
    assert found is not None
    assert found.name == f"/{name}"


@pytest.mark.parametrize(
    "rows",
    [
        [[1, 2, 3, 4]],  # to itself, in the middle of nowhere
        [[5]],
        [[1, 2, 9]],
        [[2, 1]],
        [[1, 1]],
        [[0]],
    ],
)
def test_t25_a_row_that_points_forward_or_nowhere_is_empty(rows):
    writer = ArchiveWriter()
    writer.entry("/a", [[1], [1]])
    writer.entry("/b", [[1, 2], [2]])
    # Differences of a row cannot be negative: write them as the numbers would wrap.
    numbers = rows[0]
    differences = [right - left for left, right in zip([0, *numbers], numbers, strict=False)]
    paths = bytes((0, len(numbers), *(difference % 128 for difference in differences)))
    writer.raw(b"\x0a\x02/c\x12\x03\x08\xa4\x03\x1a" + bytes((len(paths),)) + paths)
    tree = AppendTree(writer.archive().metadata)
    assert tree.get(3, ("a",)) is None
    assert tree.list(3, ()) is None


def test_t25_a_ring_of_entries_ends():
    # Each says that /x/y is found at the other; the newer one may, the older may not.
    writer = ArchiveWriter()
    writer.entry("/x/a", [[2], [2], [2]])
    writer.entry("/x/b", [[1], [1], [1]])
    tree = AppendTree(writer.archive().metadata)
    for head in (1, 2):
        assert tree.get(head, ("x", "y")) is None


def test_t25_a_row_cannot_lead_out_of_its_folder():
    writer = ArchiveWriter()
    writer.entry("/other/f")
    writer.entry("/x/g", [[1, 2], [1, 2], [2]])
    tree = AppendTree(writer.archive().metadata)
    folder = tree.list(2, ("x",))
    assert folder is not None
    assert folder.children == {"g": 2}
    assert tree.get(2, ("x", "f")) is None


def test_t25_a_look_up_reads_no_more_than_it_may(monkeypatch):
    monkeypatch.setattr(append_tree, "MAX_ENTRIES_READ", 40)
    writer = ArchiveWriter()
    for number in range(1, 100):
        writer.entry(f"/{number}", [[number], [number]])
    writer.entry("/last", [list(range(1, 101)), [100]])
    tree = AppendTree(writer.archive().metadata)
    tree.begin()
    with pytest.raises(ArchiveFormatError, match="more than 40 entries"):
        tree.get(100, ("1",))
    # What was read stays known: a person who tries again gets further.
    tree.begin()
    with pytest.raises(ArchiveFormatError):
        tree.get(100, ("1",))
    tree.begin()
    found = tree.get(100, ("1",))
    assert found is not None
    assert found.seq == 1


def test_t25_a_row_that_is_not_read_any_more_is_no_empty_one(monkeypatch):
    monkeypatch.setattr(append_tree, "_ROWS_KEPT", 0)
    writer = ArchiveWriter()
    writer.entry("/a/b/c", [[1]] * 4)
    writer.entry("/z", [[1, 2], [2]])
    for most in range(1, 9):
        tree = AppendTree(writer.archive().metadata, most_reads=most)
        for _ in range(9):
            tree.begin()
            with suppress(LookUpTooLong):
                found = tree.list(2, ("a", "b"))
                assert found is not None
                assert found.children == {"c": 1}


def test_t25_the_limit_lets_a_folder_of_ten_thousand_pass():
    assert MAX_ENTRIES_READ >= 10_000


def test_t27_paths_deeper_than_the_limit_are_not_found():
    writer = ArchiveWriter()
    writer.entry("/x" * 10_000)
    tree = AppendTree(writer.archive().metadata)
    assert tree.get(1, ("x",) * 10_000) is None
    assert tree.get(1, ("x",) * (MAX_DEPTH + 1)) is None
    assert tree.list(1, ("x",) * 5) is not None


def test_an_entry_that_cannot_be_decoded_hides_no_sibling():
    writer = ArchiveWriter()
    writer.entry("/a", [[1], [1]])
    writer.raw(b"\x0a\x02\xff\xfe")
    writer.raw(encode_entry(3, "/empty value", None, [[3], [3]]) + b"\x12\x00")
    writer.raw(b"\x0a\x02/s\x12\x02\x08")
    writer.entry("/z", [[1, 2, 3, 4, 5], [5]])
    tree = AppendTree(writer.archive().metadata)
    folder = tree.list(5, ())
    assert folder is not None
    assert {"a", "z"} <= set(folder.children)
    found = tree.get(5, ("a",))
    assert found is not None
    assert found.seq == 1
    for dead in ("empty value", "s"):
        assert tree.get(5, (dead,)) is None


def test_a_version_whose_own_entry_cannot_be_decoded_says_so():
    writer = ArchiveWriter()
    writer.raw(b"\x0a\x02\xff\xfe")
    with pytest.raises(ArchiveFormatError, match="entry 1"):
        AppendTree(writer.archive().metadata).get(1, ("a",))


NAMES = st.lists(st.sampled_from("abc"), max_size=4).map(lambda parts: "/" + "/".join(parts))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(NAMES, st.booleans(), st.lists(st.lists(st.integers(1, 12), max_size=5))),
        min_size=1,
        max_size=12,
    ),
    st.lists(st.sampled_from("abc"), max_size=4),
)
def test_t25_random_indexes_end_and_never_show_another_path(history, wanted):
    writer = ArchiveWriter()
    for name, put, rows in history:
        seq = writer.next
        writer.raw(encode_entry(seq, name, FILE if put else None, [sorted(row) for row in rows]))
    tree = AppendTree(writer.archive().metadata)
    head = writer.next - 1
    found = tree.get(head, wanted)
    if found is not None:
        assert list(found.components) == wanted
        assert found.stat is not None
    folder = tree.list(head, wanted)
    for name, number in (folder.children if folder else {}).items():
        assert tree.entry(number).components[: len(wanted) + 1] == (*wanted, name)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=6), NAMES)
def test_random_blocks_give_an_answer_or_our_error(blocks, path):
    tree = AppendTree(feed_of([b"header", *blocks]))
    try:
        tree.get(len(blocks), split_name(path))
        tree.list(len(blocks), split_name(path))
    except ArchiveFormatError:
        pass
