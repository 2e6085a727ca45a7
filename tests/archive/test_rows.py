import pytest
from hypothesis import given
from hypothesis import strategies as st

from datd import varint
from datd.archive.rows import Rows, encode_rows
from datd.errors import ArchiveFormatError


def slow_rows(seq: int, paths: bytes) -> list[list[int]] | None:
    """The rules of the index, number by number; None if they are broken."""
    found = varint.decode(paths)
    if found is None:
        return []
    own, offset = found[0] & 1, found[1]
    rows: list[list[int]] = []
    while offset < len(paths):
        found = varint.decode(paths, offset)
        if found is None:
            return None
        count, offset = found
        row: list[int] = []
        for _ in range(count):
            found = varint.decode(paths, offset, 8)
            if found is None or found[0] == 0:
                return None
            row.append((row[-1] if row else 0) + found[0])
            offset = found[1]
        if row and row[-1] > seq - own:
            return None
        rows.append([*row, seq] if own else row)
    return rows


@pytest.mark.parametrize(
    ("seq", "rows", "paths"),
    [
        (1, [[1], [1]], "010000"),
        (2, [[1, 2], [2], [2]], "0101010000"),
        (7, [[2, 5, 7], [4]], "00030203020104"),
        (9, [[]], "0000"),
        (2, [[1], [2]], "0001010102"),
        (70_000, [[3, 4, 500, 501, 69_999], []], "000503 01 f003 01 fa9e04 00"),
    ],
)
def test_rows_are_written_and_read_as_the_reference_does(seq, rows, paths):
    assert encode_rows(seq, rows) == bytes.fromhex(paths)
    held = Rows.decode(seq, bytes.fromhex(paths))
    assert held.decoded() == rows
    assert [held[index].tolist() for index in range(len(rows))] == rows
    assert not held[len(rows)]


def test_rows_above_a_path_can_be_dropped():
    rows = [[1, 2, 300, 900], [500, 900], [900]]
    held = Rows.decode(900, encode_rows(900, rows)).since(2)
    assert held[2].tolist() == [900]
    assert len(held) == 1


@pytest.mark.parametrize(
    "paths",
    [
        "0001",  # a number is missing
        "00ff",  # the count is cut
        "00ffffffff0f01",  # a count of 2^32
        "000100",  # 0
        "00020500",  # twice the same
        "000106",  # beyond the entry itself
        "010105",  # itself, though it is left out
        "0002018000",  # a difference of 0, written long
        "0001ffffffffffffffffff01",
        "00" + "80" * 12,
    ],
)
def test_t25_rows_that_do_not_ascend_below_their_entry_are_refused(paths):
    with pytest.raises(ArchiveFormatError):
        Rows.decode(5, bytes.fromhex(paths))[0]


def test_a_bad_row_spoils_no_row_before_it():
    held = Rows.decode(5, bytes.fromhex("000201010109"))
    assert held[0].tolist() == [1, 2]
    with pytest.raises(ArchiveFormatError):
        held[1]


@given(st.integers(1, 2**40), st.data())
def test_rows_survive_writing_and_reading(seq, data):
    numbers = st.lists(st.integers(1, seq), unique=True, max_size=300).map(sorted)
    rows = data.draw(st.lists(numbers, max_size=5))
    assert Rows.decode(seq, encode_rows(seq, rows)).decoded() == rows


BYTES = st.binary(max_size=40) | st.lists(st.sampled_from([0, 1, 2, 3, 127, 128, 129, 255])).map(
    bytes
)


@given(st.integers(1, 2**20), BYTES)
def test_fast_decoding_agrees_with_the_rules_number_by_number(seq, paths):
    try:
        expected = slow_rows(seq, paths)
    except ValueError:
        expected = None
    try:
        assert Rows.decode(seq, paths).decoded() == (expected or [])
    except ArchiveFormatError:
        assert expected is None
