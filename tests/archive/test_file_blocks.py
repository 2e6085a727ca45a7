import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.feeds import FILE_MODE, archive_folder, content_of, feed_of, fetch, sparse_copy

from datd import crypto
from datd.archive import file_blocks
from datd.archive.entries import Stat
from datd.archive.file_blocks import spans
from datd.errors import ArchiveFormatError, BlockMissing

PAIR = crypto.key_pair(b"content of a made-up archive....")


class File:
    """A file somewhere in a content feed, of blocks of any sizes."""

    def __init__(self, sizes, before=(5, 0, 3), after=(4,)):
        sizes = [*before, *sizes, *after]
        blocks = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
        self.content = feed_of(blocks, PAIR)
        inner = blocks[len(before) : len(blocks) - len(after)]
        self.data = b"".join(inner)
        self.stat = Stat(
            FILE_MODE,
            size=len(self.data),
            blocks=len(inner),
            offset=len(before),
            byte_offset=sum(before),
        )


def read(content, stat, start, stop, source=None):
    """What a reader does: take what is known, fetch what is missing. Gives bytes and fetches."""
    data, fetched = b"", 0
    stop = min(stop, stat.size)
    while start + len(data) < stop:
        try:
            for block, begin, end in spans(content, stat, start + len(data), stop):
                data += content.get(block)[begin:end]
        except BlockMissing as missing:
            if source is None:
                raise
            fetch(content, source, [missing.index])
            fetched += 1
    return data, fetched


SIZES = st.lists(st.integers(0, 40), min_size=1, max_size=40).filter(any)


@settings(deadline=None)
@given(SIZES, st.integers(0, 900), st.integers(0, 900))
def test_any_range_of_any_chunking_is_found(sizes, start, stop):
    file = File(sizes)
    assert read(file.content, file.stat, start, stop)[0] == file.data[start:stop]


@settings(max_examples=60, deadline=None)
@given(SIZES, st.data())
def test_a_sparse_copy_finds_any_range_too(sizes, data):
    file = File(sizes)
    start = data.draw(st.integers(0, len(file.data)))
    stop = data.draw(st.integers(start, len(file.data)))
    held = data.draw(st.sets(st.integers(0, file.content.length - 1), max_size=5))
    copy = sparse_copy(file.content, held)
    assert read(copy, file.stat, start, stop, file.content)[0] == file.data[start:stop]


@pytest.mark.parametrize(
    ("sizes", "most"),
    [
        ([100] * 500, 1),  # even blocks: right at once
        ([65_536] * 60 + [1], 1),  # the usual cut, with a short end that shifts the mean
        ([100_000] + [1] * 499, 14),  # nearly all in the first
        ([1] * 499 + [100_000], 14),
        ([2**number % 1000 for number in range(500)], 14),
        ([300, 1] * 250, 14),
    ],
    ids=["even", "usual", "front", "back", "powers", "alternating"],
)
def test_a_byte_is_found_after_few_fetches_however_the_file_is_cut(sizes, most):
    file = File(sizes)
    for part in range(0, 97, 8):
        start = len(file.data) * part // 97
        copy = sparse_copy(file.content)
        data, fetched = read(copy, file.stat, start, start + 1, file.content)
        assert data == file.data[start : start + 1]
        assert fetched <= most


def test_the_ranges_of_a_half_fetched_file_of_the_reference_are_found(tmp_path):
    with archive_folder("clone-sparse", tmp_path) as opened:
        content = content_of(opened.archive)
        stat = opened.archive.stat("/big.log")
        for block in range(30, 37):
            start = content.block_offset(block) - stat.byte_offset
            data, _ = read(content, stat, start, start + 65_536)
            assert len(data) == 65_536
        with pytest.raises(BlockMissing) as missing:
            read(content, stat, 10 * 65_536, 11 * 65_536)
        assert missing.value.discovery_key == content.discovery_key
        assert missing.value.index == stat.offset + 10


def test_what_is_known_is_given_before_what_is_missing():
    file = File([10] * 6)
    copy = sparse_copy(file.content, [3, 4])
    found = spans(copy, file.stat, 5, 60)
    assert found[0] == (3, 5, 10)
    assert found[1] == (4, 0, 10)


def test_ranges_end_with_the_file():
    file = File([10, 10])
    assert spans(file.content, file.stat, 15, 10**9) == [(4, 5, 10)]
    assert spans(file.content, file.stat, 20, 30) == []
    assert spans(file.content, file.stat, 7, 7) == []
    assert spans(file.content, Stat(FILE_MODE), 0, 10) == []


def claims(file, **changes):
    values = {
        "size": file.stat.size,
        "blocks": file.stat.blocks,
        "offset": file.stat.offset,
        "byte_offset": file.stat.byte_offset,
    }
    return Stat(FILE_MODE, **{**values, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"offset": 2},
        {"offset": 4},
        {"byte_offset": 0},
        {"byte_offset": 9},
        {"size": 29},
        {"size": 31},
        {"blocks": 2},
        {"blocks": 4},
        {"blocks": 0},
    ],
)
def test_t26_claims_that_do_not_fit_the_signed_sizes_are_refused(changes):
    file = File([10, 10, 10])
    with pytest.raises(ArchiveFormatError, match="file"):
        spans(file.content, claims(file, **changes), 0, 30)


def test_t26_a_claimed_size_of_petabytes_allocates_nothing():
    file = File([10, 10, 10])
    for stat in (
        claims(file, size=2**52, blocks=1),
        claims(file, offset=2**40, byte_offset=2**50),
    ):
        for start in (0, 15, stat.size - 1):
            with pytest.raises((BlockMissing, ArchiveFormatError)):
                spans(file.content, stat, start, stat.size)
    # A feed that is still growing may hold such a file: what is there of it is given.
    growing = claims(file, size=2**52, blocks=2**36)
    assert len(spans(file.content, growing, 0, growing.size)) == 4


def test_t26_blocks_beyond_the_feed_are_missing_not_wrong():
    file = File([10, 10, 10], after=())
    stat = claims(file, size=60, blocks=6)
    with pytest.raises(BlockMissing) as missing:
        spans(file.content, stat, 45, 46)
    assert missing.value.index >= file.content.length


@settings(max_examples=80, deadline=None)
@given(
    SIZES,
    st.fixed_dictionaries(
        {
            name: st.integers(0, 60) | st.integers(0, 2**52)
            for name in ("size", "blocks", "offset", "byte_offset")
        }
    ),
    st.integers(0, 100),
)
def test_t26_random_claims_give_signed_bytes_or_an_error(sizes, changes, start):
    file = File(sizes)
    stat = claims(file, **changes)
    whole = b"".join(file.content.get(block) for block in range(file.content.length))
    try:
        data = b"".join(
            file.content.get(block)[begin:end]
            for block, begin, end in spans(file.content, stat, start, start + 50)
        )
    except (ArchiveFormatError, BlockMissing):
        return
    position = stat.byte_offset + start
    assert data == whole[position : position + min(50, max(stat.size - start, 0))]


def test_no_more_spans_are_made_than_are_fetched_ahead(monkeypatch):
    monkeypatch.setattr(file_blocks, "MAX_SPANS", 4)
    file = File([0, 10] * 10)
    assert len(spans(file.content, file.stat, 0, 100)) <= 4
    assert read(file.content, file.stat, 0, 100)[0] == file.data
