import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.vectors import vectors

from datd.errors import StorageError
from datd.hosting.descriptors import Descriptors
from datd.storage.disk import DiskFile
from datd.storage.memory import MemoryFile
from datd.storage.sleep import (
    BITFIELD,
    HEADER_SIZE,
    SIGNATURES,
    TREE,
    SleepFile,
    SleepKind,
    read_entry_size,
)

KINDS = {"tree": TREE, "signatures": SIGNATURES, "bitfield": BITFIELD}
FEEDS = ("singles", "batch", "batches", "pages", "page-3328", "sparse", "sparse-grown", "static")


def entry(number: int) -> bytes:
    return number.to_bytes(40, "big")


def recorded(feed: str, name: str) -> MemoryFile:
    return MemoryFile((vectors("feeds") / "sleep" / feed / name).read_bytes(), name=name)


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("name", KINDS)
def test_headers_are_those_of_the_original_programs(feed: str, name: str):
    file = recorded(feed, name)
    size = read_entry_size(file, KINDS[name])
    assert size is not None
    assert file.read(0, HEADER_SIZE) == KINDS[name].header(size)
    assert size == {"tree": 40, "signatures": 64}.get(name, 3328 if "3328" in feed else 3584)


@pytest.mark.parametrize("feed", FEEDS)
def test_entries_of_recorded_feeds_are_found_at_their_places(feed: str):
    told = json.loads((vectors("feeds") / "sleep" / f"{feed}.json").read_text())
    tree = SleepFile(recorded(feed, "tree"), TREE)
    nodes = [index for index, _ in tree.scan()]
    if "treeNodes" in told:
        ranges = told["treeNodes"]
        assert nodes == [index for start, end in ranges for index in range(start, end)]
    assert [tree.get(index) for index in nodes] == [found for _, found in tree.scan()]
    assert tree.highest() == (nodes[-1] if nodes else None)
    signatures = SleepFile(recorded(feed, "signatures"), SIGNATURES)
    assert [index for index, _ in signatures.scan()] == told["signaturesAt"]


def test_an_absent_file_has_no_entries_and_opening_makes_none(tmp_path: Path, pool: Descriptors):
    tree = SleepFile(DiskFile(tmp_path / "tree", pool), TREE)
    assert (tree.get(0), tree.get(10**9), tree.count(), tree.highest()) == (None, None, 0, None)
    assert list(tree.scan()) == []
    assert list(tmp_path.iterdir()) == []


def test_the_header_comes_with_the_first_entry(tmp_path: Path, pool: Descriptors):
    tree = SleepFile(DiskFile(tmp_path / "tree", pool), TREE)
    tree.put(1, entry(7))
    assert (tmp_path / "tree").read_bytes() == TREE.header(40) + bytes(40) + entry(7)
    tree.put(0, entry(5))
    assert (tmp_path / "tree").read_bytes() == TREE.header(40) + entry(5) + entry(7)


def test_d6_a_right_header_is_never_written_again():
    odd_but_right = bytearray(TREE.header(40) + entry(5))
    odd_but_right[20:25] = b"notes"  # behind the name: nobody's business
    file = MemoryFile(odd_but_right)
    SleepFile(file, TREE).put(1, entry(6))
    assert file.read(0, HEADER_SIZE) == odd_but_right[:HEADER_SIZE]


@pytest.mark.parametrize("kind", [TREE, SIGNATURES, BITFIELD])
@pytest.mark.parametrize(
    ("at", "byte"), [(0, 4), (2, 0x58), (3, 9), (4, 1), (5, 1), (6, 1), (7, 9)]
)
def test_c11_a_header_that_is_not_ours_is_refused_by_name(kind: SleepKind, at: int, byte: int):
    header = bytearray(kind.header(kind.entry_sizes[0]))
    header[at] = byte
    with pytest.raises(StorageError, match="oddly named"):
        read_entry_size(MemoryFile(header + bytes(100), name="oddly named"), kind)


def test_c4_a_header_torn_by_a_crash_counts_as_not_written_and_is_mended():
    for cut in range(HEADER_SIZE):
        file = MemoryFile(TREE.header(40)[:cut])
        tree = SleepFile(file, TREE)
        assert tree.get(0) is None
        tree.put(0, entry(9))
        assert file.read(0, 100) == TREE.header(40) + entry(9)


def test_c3_a_lost_header_write_leaves_the_entries_readable():
    file = MemoryFile(bytes(HEADER_SIZE) + entry(3))
    tree = SleepFile(file, TREE)
    assert tree.get(0) == entry(3)
    tree.put(1, entry(4))
    assert file.read(0, 200) == TREE.header(40) + entry(3) + entry(4)


def test_a_cut_last_entry_is_absent():
    tree = SleepFile(MemoryFile(TREE.header(40) + entry(1) + entry(2)[:39]), TREE)
    assert tree.get_many([0, 1, 2]) == [entry(1), None, None]
    assert tree.count() == 1


def test_of_two_entries_for_one_index_the_later_counts():
    tree = SleepFile(MemoryFile(), TREE)
    tree.put_many([(3, entry(1)), (2, entry(2)), (3, entry(3))])
    assert tree.get_many([2, 3]) == [entry(2), entry(3)]


def test_an_entry_of_the_wrong_size_is_refused_before_anything_is_written():
    file = MemoryFile()
    with pytest.raises(ValueError, match="40 bytes"):
        SleepFile(file, TREE).put_many([(0, entry(1)), (1, b"short")])
    assert file.size() == 0


def test_l9_entries_far_out_are_absent_and_cannot_be_written(tmp_path: Path, pool: Descriptors):
    tree = SleepFile(DiskFile(tmp_path / "tree", pool), TREE)
    tree.put(0, entry(1))
    assert tree.get_many([2**33 - 1, 2**33, 2**62]) == [None, None, None]
    with pytest.raises(ValueError, match="L-9"):
        tree.put(2**33, entry(1))
    assert (tmp_path / "tree").stat().st_size == HEADER_SIZE + 40


def test_reading_everything_keeps_a_bounded_cache():
    file = MemoryFile(TREE.header(40) + b"".join(entry(number + 1) for number in range(20_000)))
    tree = SleepFile(file, TREE)
    assert [tree.get(number) for number in range(20_000)] == [
        entry(number + 1) for number in range(20_000)
    ]
    assert len(tree._pages) <= 64
    tree.forget()
    assert not tree._pages


def test_d12_after_a_failed_batch_the_file_is_asked_again():
    class Full(MemoryFile):
        full = False

        def write_many(self, writes):
            if self.full:
                raise StorageError("disk full")
            super().write_many(writes)

    file = Full()
    tree = SleepFile(file, TREE)
    tree.put(0, entry(1))
    file.full = True
    with pytest.raises(StorageError):
        tree.put_many([(0, entry(2)), (500, entry(3))])
    assert tree.get_many([0, 500]) == [entry(1), None]


def test_truncate_forgets_the_entries_from_there_on():
    tree = SleepFile(MemoryFile(), TREE)
    tree.put_many((number, entry(number + 1)) for number in range(300))
    tree.truncate(200)
    assert (tree.get(199), tree.get(200), tree.count()) == (entry(200), None, 200)
    tree.put(201, entry(7))
    assert (tree.get(200), tree.get(201)) == (None, entry(7))


@given(
    batches=st.lists(
        st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), max_size=30), max_size=8
    )
)
@settings(deadline=None)
def test_any_order_of_batches_gives_the_entries_of_a_model(batches):
    file = MemoryFile()
    tree = SleepFile(file, TREE)
    model: dict[int, bytes] = {}
    for batch in batches:
        tree.put_many((index, entry(number)) for index, number in batch)
        model.update((index, entry(number)) for index, number in batch)
    present = {index: value for index, value in model.items() if any(value)}
    for reader in (tree, SleepFile(file, TREE)):
        assert {n: found for n in range(710) if (found := reader.get(n))} == present
        assert dict(reader.scan()) == present
        assert reader.highest() == max(present, default=None)


@given(data=st.binary(max_size=400))
def test_c11_any_bytes_are_refused_or_read_as_entries(data: bytes):
    for prefix in (b"", TREE.header(40)):
        try:
            tree = SleepFile(MemoryFile(prefix + data), TREE)
        except StorageError:
            continue
        found = dict(tree.scan())
        assert all(len(value) == 40 and any(value) for value in found.values())
        assert all(tree.get(index) == value for index, value in found.items())
        assert tree.highest() == max(found, default=None)
