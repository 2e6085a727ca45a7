from hypothesis import given
from hypothesis import strategies as st

from datd import varint
from datd.archive.growing_row import GrowingRow
from datd.archive.rows import encode_rows


def encoded(row: GrowingRow) -> bytes:
    """The row as the only one of an entry that is not in it."""
    return b"\x00" + varint.encode(len(row.numbers)) + row.encoded


@given(
    st.lists(st.integers(1, 400), max_size=30),
    st.lists(st.tuples(st.booleans(), st.integers(0, 10**6)), max_size=60),
)
def test_a_row_that_grew_and_shrank_has_the_bytes_of_one_encoded_anew(steps, changes):
    numbers: list[int] = []
    for step in steps:
        numbers.append((numbers[-1] if numbers else 0) + step)
    row = GrowingRow(numbers)
    for removing, choice in changes:
        if removing and numbers:
            row.remove(numbers.pop(choice % len(numbers)))
        else:
            numbers.append((numbers[-1] if numbers else 0) + 1 + choice % 20_000)
            row.append(numbers[-1])
        assert row.numbers.tolist() == numbers
        assert encoded(row) == encode_rows(10**9, [numbers])


def test_numbers_are_taken_in_any_order():
    assert GrowingRow([300, 1, 2]).numbers.tolist() == [1, 2, 300]


def test_a_number_in_the_middle_of_a_wide_row_goes_among_differences_of_two_bytes():
    numbers = [200 * number for number in range(1, 1000)]
    row = GrowingRow(numbers)
    row.remove(100_000)
    numbers.remove(100_000)
    assert encoded(row) == encode_rows(10**9, [numbers])
