import pytest
from hypothesis import given
from hypothesis import strategies as st

from datd import varint


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (0, "00"),
        (1, "01"),
        (127, "7f"),
        (128, "8001"),
        (300, "ac02"),  # the example of the protobuf documentation
        (2**53, "8080808080808010"),
        (2**64 - 1, "ffffffffffffffffff01"),
    ],
)
def test_numbers_are_written_as_protobuf_writes_them(value, data):
    assert varint.encode(value).hex() == data
    assert varint.decode(bytes.fromhex(data)) == (value, len(data) // 2)
    assert varint.length(value) == len(data) // 2


@given(st.integers(0, 2**64 - 1), st.binary(max_size=5), st.binary(max_size=5))
def test_a_number_is_read_from_the_midst_of_others(value, before, after):
    data = before + varint.encode(value) + after
    assert varint.decode(data, len(before)) == (value, len(data) - len(after))
    assert varint.decode(bytearray(data), len(before)) == (value, len(data) - len(after))


@given(st.integers(0, 2**64 - 1), st.data())
def test_a_cut_number_is_not_there_yet(value, data):
    whole = varint.encode(value)
    assert varint.decode(whole[: data.draw(st.integers(0, len(whole) - 1))]) is None


def test_t6_a_number_that_does_not_end_is_refused():
    with pytest.raises(ValueError, match="10 bytes"):
        varint.decode(b"\x80" * 10 + b"\x01")
    with pytest.raises(ValueError, match="3 bytes"):
        varint.decode(b"\xff\xff\xff\x01", limit=3)
    assert varint.decode(b"\xff\xff\x01", limit=3) == (0x7FFF, 3)


@given(st.binary(max_size=20))
def test_any_bytes_give_a_number_nothing_or_an_error(data):
    try:
        found = varint.decode(data)
    except ValueError:
        return
    assert found is None or (0 <= found[0] < 2**70 and 0 < found[1] <= 10)
