import pytest
from hypothesis import given
from hypothesis import strategies as st

from datd.discovery.dht import bencode
from datd.discovery.dht.bencode import MAX_DEPTH, MAX_DIGITS
from datd.errors import ProtocolError

VALUES = st.recursive(
    st.integers(-(10**MAX_DIGITS) + 1, 10**MAX_DIGITS - 1) | st.binary(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=9), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"i0e", 0),
        (b"i-42e", -42),
        (b"0:", b""),
        (b"4:spam", b"spam"),
        (b"le", []),
        (b"l4:spam4:eggse", [b"spam", b"eggs"]),
        (b"d3:cow3:moo4:spaml1:a1:bee", {b"cow": b"moo", b"spam": [b"a", b"b"]}),
    ],
)
def test_the_examples_of_bep_3(data, value):
    assert bencode.decode(data) == value
    assert bencode.encode(value) == data


def test_keys_are_written_in_order_and_read_in_any():
    assert bencode.encode({b"b": 1, b"a": 2}) == b"d1:ai2e1:bi1ee"
    assert bencode.decode(b"d1:bi1e1:ai2ee") == {b"a": 2, b"b": 1}


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"i", b"ie", b"i-e", b"i-0e", b"i03e", b"i 3e", b"i3", b"i--3e", b"i+3e"),
        *(b"4:abc", b"04:spam", b"-1:a", b"1", b"1:", b":", b"1 :a"),
        *(b"l", b"lx", b"d", b"d1:a", b"d1:ae", b"di1ei2ee", b"d1:ai1e1:ai2ee"),
        *(b"i1ei2e", b"4:spamx", b"x", b"\xff", b"e"),
    ],
)
def test_what_is_no_bencode_is_refused(data):
    with pytest.raises(ProtocolError, match="bencode"):
        bencode.decode(data)


def test_t36_depth_is_limited():
    assert bencode.decode(b"l" * MAX_DEPTH + b"e" * MAX_DEPTH)
    for kind in (b"l", b"d1:a"):
        with pytest.raises(ProtocolError, match="16 deep"):
            bencode.decode(kind * (MAX_DEPTH + 1))
    with pytest.raises(ProtocolError):
        bencode.decode(b"l" * 100_000)


def test_t36_numbers_are_limited():
    longest = int("9" * MAX_DIGITS)
    assert bencode.decode(b"i-%de" % longest) == -longest
    for data in (
        b"i%de" % (10 * longest),
        b"i" + b"9" * 100_000 + b"e",
        b"9" * 100_000 + b":x",
        b"99999999999999999999:x",
    ):
        with pytest.raises(ProtocolError):
            bencode.decode(data)


@given(VALUES)
def test_what_is_written_is_read_again(value):
    assert bencode.decode(bencode.encode(value)) == value


@given(st.binary(max_size=60) | st.text("ilde0123456789:-ab", max_size=60).map(str.encode))
def test_t31_nothing_but_a_protocol_error_comes_of_garbage(data):
    try:
        value = bencode.decode(data)
    except ProtocolError:
        return
    assert bencode.decode(bencode.encode(value)) == value
