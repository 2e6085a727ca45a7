import pytest
from hypothesis import given
from hypothesis import strategies as st

from datd.errors import GatewayError
from datd.gateways import nat_pmp

# Laid out by hand after the figures of RFC 6886, 3.2 and 3.3.
ADDRESS_ANSWER = bytes.fromhex("00 80 0000 00012345 c0000207")
TCP_ANSWER = bytes.fromhex("00 82 0000 00012345 0cd2 1f90 00000e10")


def test_requests_are_laid_out_as_in_the_rfc():
    assert nat_pmp.encode_address_request() == bytes.fromhex("00 00")
    assert nat_pmp.encode_map("udp", 3282, 8080, 3600) == bytes.fromhex(
        "00 01 0000 0cd2 1f90 00000e10"
    )
    assert nat_pmp.encode_map("tcp", 3282, 0, 0) == bytes.fromhex("00 02 0000 0cd2 0000 00000000")


def test_answers_are_read_as_in_the_rfc():
    assert nat_pmp.decode_address(ADDRESS_ANSWER) == "192.0.2.7"
    assert nat_pmp.decode_map(TCP_ANSWER, "tcp", 3282) == (3282, 8080, 3600)


def test_an_answer_to_something_else_is_none():
    assert nat_pmp.decode_address(TCP_ANSWER) is None
    assert nat_pmp.decode_map(TCP_ANSWER, "udp", 3282) is None
    assert nat_pmp.decode_map(TCP_ANSWER, "tcp", 3283) is None
    assert nat_pmp.decode_map(ADDRESS_ANSWER, "tcp", 3282) is None
    assert nat_pmp.decode_map(nat_pmp.encode_map("tcp", 3282, 1, 1), "tcp", 3282) is None


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("00 82 0002 00012345 0cd2 0000 00000000", "switched off"),
        ("00 82 0004 00012345", "no room"),
        ("00 80 0001 00012345", "does not speak"),
        ("00 82 0063 00012345", "code 99"),
        ("02 81 0001 00000000" + "00" * 16, "does not speak"),
    ],
)
def test_a_refusal_says_why(answer, reason):
    with pytest.raises(GatewayError, match=reason):
        nat_pmp.decode_map(bytes.fromhex(answer), "tcp", 3282)


@given(st.binary(max_size=40) | st.binary(max_size=20).map(lambda tail: TCP_ANSWER[:4] + tail))
def test_t31_no_answer_is_too_odd(datagram):
    for read in (
        nat_pmp.decode_address,
        lambda data: nat_pmp.decode_map(data, "tcp", 3282),
    ):
        try:
            read(datagram)
        except GatewayError:
            continue
