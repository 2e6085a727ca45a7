import hashlib
import random

import pytest

from datd.importing.chunking import MAXIMUM_SIZE, MINIMUM_SIZE, Chunking, chunker


def cut(data: bytes, chunking: Chunking, piece: int = 2**20) -> list[bytes]:
    cutter = chunker(chunking)
    blocks = []
    for start in range(0, len(data), piece):
        blocks += cutter.feed(data[start : start + piece])
    return blocks + cutter.end()


def noise(size: int) -> bytes:
    """The same bytes on every machine and in every version of Python."""
    return hashlib.shake_128(b"noise").digest(size)


@pytest.mark.parametrize("size", [1, 65_535, 65_536, 65_537, 131_072, 300_000])
def test_blocks_of_equal_size_are_those_of_the_original(size: int):
    blocks = cut(bytes(size), "fixed", piece=50_000)
    assert [len(block) for block in blocks[:-1]] == [65_536] * ((size - 1) // 65_536)
    assert sum(map(len, blocks)) == size


@pytest.mark.parametrize("chunking", ["fixed", "content"])
def test_an_empty_file_has_no_blocks(chunking: Chunking):
    assert cut(b"", chunking) == []
    assert chunker(chunking).feed(b"") == []


@pytest.mark.parametrize("chunking", ["fixed", "content"])
def test_it_does_not_matter_how_bytes_arrive(chunking: Chunking):
    data = random.Random(4).randbytes(3_000_000)
    blocks = cut(data, chunking)
    assert b"".join(blocks) == data
    for piece in (7_777, 65_536, 262_144, 1_000_003):
        assert cut(data, chunking, piece) == blocks


def test_one_byte_at_the_front_changes_at_most_five_blocks_of_20_mb():
    data = random.Random(5).randbytes(20_000_000)
    before = set(cut(data, "content"))
    after = cut(b"!" + data, "content")
    assert len([block for block in after if block not in before]) <= 5


def test_blocks_by_content_have_16_to_20_kib_on_average_and_keep_their_limits():
    blocks = cut(random.Random(6).randbytes(20_000_000), "content")
    assert 16 * 1024 <= 20_000_000 / len(blocks) <= 20 * 1024
    assert all(MINIMUM_SIZE <= len(block) <= MAXIMUM_SIZE for block in blocks[:-1])


def test_what_repeats_for_ever_is_cut_at_the_limit():
    blocks = cut(bytes(1_000_000), "content")
    assert max(map(len, blocks)) <= MAXIMUM_SIZE
    assert b"".join(blocks) == bytes(1_000_000)


def test_cuts_are_those_that_were_published_before():
    # Known answer: if another version of the package cut elsewhere, every mirror of every archive
    # with this chunking would have to fetch its next version whole.
    sizes = [len(block) for block in cut(noise(200_000), "content")]
    assert sizes == [
        21396, 24536, 20895, 18812, 22627, 28404, 17426, 18521, 23714, 3669
    ]  # fmt: skip
