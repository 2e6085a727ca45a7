import json
import tracemalloc
from pathlib import Path

import pytest
from bitarray import bitarray
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.index_positions import positions
from tests.helpers.vectors import vectors

from datd.errors import StorageError
from datd.feed.bitfield import MAX_BLOCKS, PAGE_BLOCKS, PAGE_NODES, Bitfield
from datd.storage.memory import MemoryFile
from datd.storage.sleep import BITFIELD, HEADER_SIZE

CASES = json.loads((vectors("feeds") / "bitfield-pages.json").read_text())["cases"]
SLEEP = vectors("feeds") / "sleep"
FEEDS = sorted(path.stem for path in SLEEP.glob("*.json") if path.stem != "damaged")


def ranges_of(bits: bitarray) -> list[list[int]]:
    found, at = [], 0
    while (start := bits.find(1, at)) >= 0:
        at = bits.find(0, start)
        at = len(bits) if at < 0 else at
        found.append([start, at])
    return found


@pytest.mark.parametrize("number", range(len(CASES)))
def test_pages_are_the_bytes_of_the_original(number: int):
    case = CASES[number]
    file = MemoryFile()
    bitfield = Bitfield(file, page_size=case["pageSize"])
    for start, end in case["set"]:
        bitfield.set_range(start, end)
    for block in case["clear"]:
        bitfield.clear(block)
    bitfield.set_nodes(case["tree"])
    bitfield.write_pages()
    size = case["pageSize"]
    assert file.read(0, HEADER_SIZE) == BITFIELD.header(size)
    for page, stretches in enumerate(case["pages"]):
        expected = bytearray(size)
        for offset, byte, count in stretches or ():
            expected[offset : offset + count] = bytes([byte]) * count
        compared = size if case["indexComparable"] else 3072
        got = file.read(HEADER_SIZE + size * page, size).ljust(size, b"\0")
        assert got[:compared] == expected[:compared], f"page {page}"


@pytest.mark.parametrize("feed", FEEDS)
def test_recorded_feeds_have_what_their_bitfields_say(feed: str):
    told = json.loads((SLEEP / f"{feed}.json").read_text())
    bitfield = Bitfield.open(MemoryFile((SLEEP / feed / "bitfield").read_bytes()))
    assert list(map(list, bitfield.runs())) == told["have"]
    assert bitfield.have_count == sum(end - start for start, end in told["have"])
    assert ranges_of(bitfield.nodes()) == told["treeNodes"]
    assert bitfield.page_size == (3328 if "3328" in feed else 3584)


@pytest.mark.parametrize("feed", FEEDS)
def test_d6_opening_a_recorded_bitfield_writes_nothing_and_changes_nothing(feed: str):
    recorded = (SLEEP / feed / "bitfield").read_bytes()
    file = MemoryFile(recorded)
    bitfield = Bitfield.open(file)
    assert not bitfield.dirty
    assert bitfield.write_pages() == 0
    if bitfield.have_count:
        block = next(bitfield.runs())[0]
        assert bitfield.clear(block)
        assert bitfield.set(block)
        bitfield.write_pages()
    assert file.read(0, file.size()) == recorded


def test_an_old_file_stays_old():
    file = MemoryFile((SLEEP / "page-3328" / "bitfield").read_bytes())
    bitfield = Bitfield.open(file)
    bitfield.set(PAGE_BLOCKS + 5)
    bitfield.write_pages()
    assert file.size() == HEADER_SIZE + 2 * 3328
    again = Bitfield.open(file)
    assert (again.page_size, again.get(PAGE_BLOCKS + 5)) == (3328, True)


def test_one_changed_bit_writes_one_page():
    class Recording(MemoryFile):
        def __init__(self) -> None:
            super().__init__()
            self.writes: list[tuple[int, int]] = []

        def write(self, offset, data):
            self.writes.append((offset, len(data)))
            super().write(offset, data)

    file = Recording()
    bitfield = Bitfield(file)
    bitfield.set_range(0, 5 * PAGE_BLOCKS - 100)
    bitfield.write_pages()
    file.writes.clear()
    bitfield.clear(3 * PAGE_BLOCKS + 17)
    bitfield.write_pages()
    # Pages above which the index changed from "all" to "mixed" go along, once.
    assert (HEADER_SIZE + 3 * 3584, 3584) in file.writes
    file.writes.clear()
    bitfield.clear(3 * PAGE_BLOCKS + 19)
    assert bitfield.write_pages() == 1
    assert file.writes == [(HEADER_SIZE + 3 * 3584, 3584)]


def test_marking_says_what_changed_and_counts_it():
    bitfield = Bitfield(MemoryFile())
    assert bitfield.set(7)
    assert not bitfield.set(7)
    assert bitfield.set_range(5, 10) == 4
    assert bitfield.have_count == 5
    assert bitfield.clear(6)
    assert not bitfield.clear(6)
    assert bitfield.clear_range(0, 10**9) == 4
    assert bitfield.have_count == 0
    assert list(bitfield.runs()) == []


def test_runs_go_across_pages_and_stay_within_bounds():
    bitfield = Bitfield(MemoryFile())
    bitfield.set_range(PAGE_BLOCKS - 2, 2 * PAGE_BLOCKS + 3)
    bitfield.set(5 * PAGE_BLOCKS)
    whole = [(PAGE_BLOCKS - 2, 2 * PAGE_BLOCKS + 3), (5 * PAGE_BLOCKS, 5 * PAGE_BLOCKS + 1)]
    assert list(bitfield.runs()) == whole
    assert list(bitfield.runs(PAGE_BLOCKS, PAGE_BLOCKS + 9)) == [(PAGE_BLOCKS, PAGE_BLOCKS + 9)]
    assert list(bitfield.runs(5 * PAGE_BLOCKS + 1, 10**9)) == []
    assert list(bitfield.runs(9, 9)) == []


def test_tree_bits_stay_when_blocks_go():
    bitfield = Bitfield(MemoryFile())
    bitfield.set(0)
    bitfield.set_nodes([0, 1, 3, PAGE_NODES + 1])
    bitfield.set_node_range(PAGE_NODES - 1, PAGE_NODES + 1)
    bitfield.clear(0)
    known = [0, 1, 3, PAGE_NODES - 1, PAGE_NODES, PAGE_NODES + 1]
    assert [node for node in range(2 * PAGE_NODES) if bitfield.has_node(node)] == known
    assert bitfield.set_node(2)
    assert not bitfield.set_node(2)


def test_copies_do_not_follow_later_changes():
    bitfield = Bitfield(MemoryFile())
    bitfield.set_range(3, 6)
    copy = bitfield.have(0, 8)
    bitfield.set(0)
    assert copy.to01() == "00011100"
    assert bitfield.have(2, 5).to01() == "011"
    assert bitfield.have(PAGE_BLOCKS, PAGE_BLOCKS + 4).to01() == "0000"


def test_c4_a_cut_last_page_is_read_as_far_as_it_goes():
    whole = (SLEEP / "singles" / "bitfield").read_bytes()
    for cut in (0, 10, HEADER_SIZE, HEADER_SIZE + 1, HEADER_SIZE + 1025, len(whole)):
        bitfield = Bitfield.open(MemoryFile(whole[:cut]))
        assert bitfield.have_count == (6 if cut > HEADER_SIZE else 0)
        assert bitfield.has_node(9) == (cut > HEADER_SIZE + 1024 + 1)


def test_a_stale_index_is_put_right_with_the_next_write():
    file = MemoryFile()
    bitfield = Bitfield(file)
    bitfield.set(0)
    bitfield.set(2 * PAGE_BLOCKS)
    bitfield.write_pages()
    right = file.read(0, file.size())
    file.write(HEADER_SIZE + 3583, b"\0")  # the byte above pages 0 and 1, as old programs lose it
    reopened = Bitfield.open(file)
    reopened.clear(2 * PAGE_BLOCKS)
    reopened.set(2 * PAGE_BLOCKS)
    reopened.write_pages()
    assert file.read(0, file.size()) == right


def test_after_a_failed_write_the_pages_are_still_to_be_written():
    class Full(MemoryFile):
        full = True

        def write_many(self, writes):
            if self.full:
                raise StorageError("disk full")
            super().write_many(writes)

    file = Full()
    bitfield = Bitfield(file)
    bitfield.set(3)
    with pytest.raises(StorageError):
        bitfield.write_pages()
    assert bitfield.dirty
    file.full = False
    assert bitfield.write_pages() == 1
    assert Bitfield.open(file).get(3)


def test_l9_blocks_beyond_what_is_kept_are_refused():
    bitfield = Bitfield(MemoryFile())
    assert not bitfield.get(MAX_BLOCKS)
    assert not bitfield.has_node(2**60)
    with pytest.raises(ValueError, match="L-9"):
        bitfield.set(MAX_BLOCKS)


def test_l9_a_file_of_terabytes_is_refused_without_reading_it(tmp_path: Path):
    class Endless(MemoryFile):
        def size(self) -> int:
            return 2**40

    with pytest.raises(StorageError, match="move it away"):
        Bitfield.open(Endless(BITFIELD.header(3584), name="bitfield"))


def test_far_apart_blocks_cost_memory_for_their_own_pages_only():
    tracemalloc.start()
    bitfield = Bitfield(MemoryFile())
    bitfield.set(0)
    bitfield.set(MAX_BLOCKS - 1)
    assert list(bitfield.runs()) == [(0, 1), (MAX_BLOCKS - 1, MAX_BLOCKS)]
    assert tracemalloc.get_traced_memory()[1] < 50_000
    tracemalloc.stop()


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["set", "clear", "range", "clear range", "nodes", "write", "reopen"]),
            st.integers(0, 30_000),
            st.integers(0, 9_000),
        ),
        max_size=25,
    ),
    page_size=st.sampled_from([3584, 3328]),
)
@settings(deadline=None, max_examples=60)
def test_any_history_gives_the_bits_of_a_model(steps, page_size: int):
    file = MemoryFile()
    bitfield = Bitfield(file, page_size=page_size)
    have: set[int] = set()
    nodes: set[int] = set()
    for step, start, count in steps:
        blocks = range(start, start + count)
        if step == "set":
            assert bitfield.set(start) == (start not in have)
            have.add(start)
        elif step == "clear":
            assert bitfield.clear(start) == (start in have)
            have.discard(start)
        elif step == "range":
            assert bitfield.set_range(blocks.start, blocks.stop) == len(set(blocks) - have)
            have.update(blocks)
        elif step == "clear range":
            assert bitfield.clear_range(blocks.start, blocks.stop) == len(have & set(blocks))
            have.difference_update(blocks)
        elif step == "nodes":
            bitfield.set_nodes(blocks)
            nodes.update(blocks)
        else:
            bitfield.write_pages()
            if step == "reopen" and file.size():
                bitfield = Bitfield.open(file)
    assert bitfield.have_count == len(have)
    assert {n for run in bitfield.runs() for n in range(*run)} == have
    assert set(bitfield.have().search(1)) == have
    assert set(bitfield.nodes().search(1)) == nodes
    # Whatever happened on the way, the index on disk is the one that the bits alone define.
    bitfield.write_pages()
    raw = file.read(HEADER_SIZE, file.size())
    pages = [raw[at : at + page_size] for at in range(0, len(raw), page_size)]
    expected = positions([page[:1024] for page in pages], page_size - 3072)
    assert b"".join(page[3072:] for page in pages) == expected


@given(data=st.binary(max_size=5000))
@settings(deadline=None)
def test_c11_any_bytes_are_refused_or_read_as_bits(data: bytes):
    for prefix in (b"", BITFIELD.header(3584), BITFIELD.header(3328)):
        try:
            bitfield = Bitfield.open(MemoryFile(prefix + data))
        except StorageError:
            continue
        assert bitfield.have_count == sum(end - start for start, end in bitfield.runs())
        assert bitfield.have_count == bitfield.have().count()
