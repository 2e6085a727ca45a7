import pytest
from hypothesis import given
from hypothesis import strategies as st

from datd.errors import GatewayError
from datd.gateways import pcp

NONCE = bytes(range(12))
# Laid out by hand after figures 2, 3, 9 and 10 of RFC 6887.
REQUEST = bytes.fromhex(
    "02 01 0000 00000e10 00000000000000000000ffff0a000002"
    "000102030405060708090a0b 11 000000 0cd2 1f90 00000000000000000000ffff00000000"
)
ANSWER = bytes.fromhex(
    "02 81 00 00 00000e10 00012345 000000000000000000000000"
    "000102030405060708090a0b 11 000000 0cd2 1f90 00000000000000000000ffffc0000207"
)


def changed(at: int, value: int) -> bytes:
    return ANSWER[:at] + bytes([value]) + ANSWER[at + 1 :]


def test_a_request_is_laid_out_as_in_the_rfc():
    assert pcp.encode_map("10.0.0.2", NONCE, "udp", 3282, 8080, 3600) == REQUEST
    ended = pcp.encode_map("2001:db8::1", NONCE, "tcp", 3282, 0, 0)
    assert ended[4:24] == bytes(4) + bytes.fromhex("20010db8000000000000000000000001")
    assert ended[36:44] == bytes.fromhex("06 000000 0cd2 0000")


def test_an_answer_is_read_as_in_the_rfc():
    assert pcp.decode_map(ANSWER, NONCE, "udp", 3282) == ("192.0.2.7", 8080, 3600)
    assert pcp.decode_map(ANSWER + bytes(40), NONCE, "udp", 3282) is not None


def test_an_answer_to_something_else_is_none():
    assert pcp.decode_map(REQUEST, NONCE, "udp", 3282) is None
    assert pcp.decode_map(ANSWER, NONCE, "tcp", 3282) is None
    assert pcp.decode_map(ANSWER, NONCE, "udp", 3283) is None
    assert pcp.decode_map(ANSWER[:59], NONCE, "udp", 3282) is None
    assert pcp.decode_map(changed(1, 0x82), NONCE, "udp", 3282) is None
    assert pcp.decode_map(b"", NONCE, "udp", 3282) is None


def test_who_does_not_know_the_nonce_is_not_heard_not_even_with_a_refusal():
    for at in (24, 35):
        assert pcp.decode_map(changed(at, 99), NONCE, "udp", 3282) is None
    refused = changed(3, 8)
    assert pcp.decode_map(refused, bytes(12), "udp", 3282) is None
    with pytest.raises(GatewayError, match="no room"):
        pcp.decode_map(refused, NONCE, "udp", 3282)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (changed(3, 2), "not allow"),
        (changed(3, 12), "another NAT"),
        (changed(3, 200), "code 200"),
        # Who speaks NAT-PMP only answers in its own way; other versions with a bare header.
        (bytes.fromhex("00 81 0001 00012345"), "does not speak"),
        (bytes.fromhex("02 81 00 01") + bytes(20), "does not speak"),
        (bytes.fromhex("03 81 00 00") + bytes(56), "does not speak"),
    ],
)
def test_a_refusal_says_why(answer, reason):
    with pytest.raises(GatewayError, match=reason):
        pcp.decode_map(answer, NONCE, "udp", 3282)


@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda tail: ANSWER[:36] + tail))
def test_t31_no_answer_is_too_odd(datagram):
    try:
        found = pcp.decode_map(datagram, NONCE, "udp", 3282)
    except GatewayError:
        return
    assert found is None or 0 <= found.external < 65_536
