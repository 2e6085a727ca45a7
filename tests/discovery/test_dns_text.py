import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datd.discovery.dns_text import MAX_PEERS, Text, decode_text, encode_text
from datd.types import Address

PORTS = st.integers(0, 65535)
PEERS = st.lists(st.tuples(st.ip_addresses(v=4).map(str), PORTS).map(lambda one: Address(*one)))


def peers(count: int) -> tuple[Address, ...]:
    return tuple(Address(f"10.1.{n // 200}.{n % 200}", 3000 + n) for n in range(count))


def as_the_reference_writes(*strings: bytes) -> bytes:
    """The length byte wraps around, whatever the length is."""
    return b"".join(bytes((len(string) % 256,)) + string for string in strings)


def listed(many: tuple[Address, ...]) -> bytes:
    packed = b"".join(
        bytes(map(int, host.split("."))) + port.to_bytes(2, "big") for host, port in many
    )
    return b"peers=" + base64.b64encode(packed)


def test_the_announce_of_the_specification():
    token = "HVM7" + "x" * 36 + "ofY="
    data = encode_text(Text(subscribe=True, token=token, announce=3282))
    assert data == b"\x0esubscribe=true\x32token=" + token.encode() + b"\x0dannounce=3282"
    assert decode_text(data) == Text(subscribe=True, token=token, announce=3282)


def test_31_peers_fit_into_a_string_and_32_do_not():
    most = Text(peers=peers(MAX_PEERS))
    assert decode_text(encode_text(most)) == most
    with pytest.raises(ValueError, match="255"):
        encode_text(Text(peers=peers(MAX_PEERS + 1)))


@pytest.mark.parametrize("count", [1, 31, 32, 33, 40, 63, 64, 73, 74, 75, 95, 96, 100])
def test_answers_of_the_reference_are_rescued_above_31_peers(count: int):
    data = as_the_reference_writes(b"token=t", listed(peers(count)))
    assert decode_text(data) == Text(token="t", peers=peers(count))


def test_a_string_after_the_peers_stays_one():
    data = as_the_reference_writes(listed(peers(2)), b"token=" + b"A" * 249)
    assert len(data) == 23 + 256
    assert decode_text(data) == Text(token="A" * 249, peers=peers(2))
    flag = as_the_reference_writes(listed(peers(2)), b"A" * 65)
    assert flag.endswith(b"A" * 66)
    assert decode_text(flag) == Text(peers=peers(2))


@pytest.mark.parametrize(
    ("written", "port"),
    [("3282", 3282), ("0", 0), ("00080", 80), ("65535", 65535), ("65536", None), ("000080", None),
     ("99999", None), ("-1", None), ("3282 ", None), ("", None), ("0x10", None), ("٣", None)],
)  # fmt: skip
def test_ports_have_one_to_five_digits(written: str, port: int | None):
    for key in ("announce", "unannounce", "port"):
        data = as_the_reference_writes(f"{key}={written}".encode())
        assert getattr(decode_text(data), key) == port


def test_keys_are_read_without_regard_to_case_and_only_once():
    data = as_the_reference_writes(b"Announce=1", b"announce=2", b"SUBSCRIBE")
    assert decode_text(data) == Text(subscribe=True, announce=1)


def test_whatever_stands_at_subscribe_it_is_there():
    assert decode_text(b"\x0fsubscribe=false").subscribe
    assert not decode_text(b"\x0bsubscribers").subscribe


@given(st.booleans(), st.sampled_from(["", "a", "x" * 249]), PORTS, PORTS, PEERS)
def test_what_is_written_is_read(
    subscribe: bool, token: str, announce: int, port: int, many: list[Address]
):
    text = Text(
        subscribe=subscribe,
        token=token,
        announce=announce,
        unannounce=port,
        host="10.0.0.1",
        port=port,
        peers=tuple(many[:MAX_PEERS]),
    )
    assert decode_text(encode_text(text)) == text


@given(st.binary(max_size=1500))
def test_t31_any_data_are_read(data: bytes):
    text = decode_text(data)
    assert len(text.peers) <= 250
    assert text.announce is None or 0 <= text.announce <= 65535


@given(st.integers(0, 110), st.binary(max_size=30))
def test_t31_damage_behind_the_peers_is_read(count: int, tail: bytes):
    decode_text(as_the_reference_writes(b"token=t", listed(peers(count))) + tail)
