import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.helpers.vectors import vectors

from datd import varint
from datd.errors import ProtocolError
from datd.feed import rle

VECTORS = json.loads((vectors("feeds") / "bitfield-rle.json").read_text())
WIRE = json.loads((vectors("wire") / "vectors" / "rle.json").read_text())["cases"]
PAGES = json.loads((vectors("feeds") / "bitfield-pages.json").read_text())["cases"]
NO_LIMIT = 2**24


def bits_of(case: dict[str, Any]) -> bytes:
    if "hex" in case:
        return bytes.fromhex(case["hex"])
    return b"".join(bytes([byte]) * count for byte, count in case["runs"])


def reference_choice(bits: bytes) -> bytes:
    """The encoder of the original program, byte by byte as feeds.md section 11 tells it."""
    data, out, done, run = bits.rstrip(b"\0"), bytearray(), 0, 0
    for at in range(len(data) + 1):
        if run and at < len(data) and data[at] == data[at - 1]:
            run += 1
            continue
        if run:
            head, flags = at - run - done, 3 if data[at - 1] else 1
            as_run = varint.length(4 * run + flags) + (
                varint.length(2 * head) + head if head else 0
            )
            if as_run < varint.length(2 * (at - done)) + at - done:
                out += (varint.encode(2 * head) + data[done : done + head]) if head else b""
                out += varint.encode(4 * run + flags)
                done = at
        run = 1 if at < len(data) and data[at] in (0x00, 0xFF) else 0
    rest = data[done:]
    return bytes(out + (varint.encode(2 * len(rest)) + rest if rest else b""))


@pytest.mark.parametrize("case", VECTORS["encode"], ids=lambda case: case["encoded"][:20])
def test_encoding_gives_the_bytes_of_the_original(case):
    assert rle.encode(bits_of(case)).hex() == case["encoded"]
    assert reference_choice(bits_of(case)).hex() == case["encoded"]
    decoded = rle.decode(bytes.fromhex(case["encoded"]), limit=NO_LIMIT)
    assert decoded == bits_of(case).rstrip(b"\0")
    assert len(decoded) == case.get("decodedLength", len(decoded))


@pytest.mark.parametrize("case", WIRE, ids=lambda case: case["encoded"][:20])
def test_fields_seen_on_the_wire(case):
    assert rle.encode(bytes.fromhex(case["bits"])).hex() == case["encoded"]
    decoded = rle.decode(bytes.fromhex(case["encoded"]), limit=NO_LIMIT)
    assert decoded.ljust(len(case["decoded"]) // 2, b"\0").hex() == case["decoded"]


@pytest.mark.parametrize(("encoded", "decoded"), VECTORS["decode"])
def test_any_choice_of_runs_can_be_decoded(encoded: str, decoded: str):
    data = bytes.fromhex(encoded)
    assert rle.decode(data, limit=100).hex() == decoded
    assert rle.decoded_size(data, limit=100) == len(decoded) // 2


@pytest.mark.parametrize("encoded", [case[0] for case in VECTORS["bad"]])
def test_malformed_fields_are_the_peers_fault(encoded: str):
    for use in (rle.decode, rle.decoded_size):
        with pytest.raises(ProtocolError):
            use(bytes.fromhex(encoded), limit=2**40)


@pytest.mark.parametrize(
    "bomb",
    [
        varint.encode(2**34 + 1),  # five bytes, four gigabytes of zeros
        varint.encode(2**34 + 3),
        varint.encode(2**63 + 1),
        varint.encode(4 * 1001 + 3),
        varint.encode(4 * 999 + 3) + b"\x09",
        varint.encode(2 * 1001) + b"x" * 1001,
        b"\xff" * 2000,
        b"\x80" * 11,
    ],
)
def test_t13_run_length_bomb_is_refused_before_memory_is_taken(bomb: bytes):
    tracemalloc.start()
    for use in (rle.decode, rle.decoded_size):
        with pytest.raises(ProtocolError):
            use(bomb, limit=1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


def test_l8_the_limit_itself_may_be_reached():
    full = b"\xff" * 1000
    assert rle.decode(rle.encode(full), limit=1000) == full
    with pytest.raises(ProtocolError, match="999"):
        rle.decode(rle.encode(full), limit=999)


def test_t13_megabytes_of_empty_runs_are_not_even_looked_at():
    with pytest.raises(ProtocolError, match="8388608 encoded bytes"):
        rle.decode(b"\x01" * 2**23, limit=2**17)
    assert rle.decode(b"\x01" * 2000, limit=1000) == b""


@given(st.lists(st.sampled_from([0, 0, 0xFF, 0xFF, 1, 0x80, 0x7F]), max_size=300).map(bytes))
@example(b"\x01" * 63 + b"\x00\x01")
@example(b"\x01" * 63 + b"\xff\x00\xff\x01")
@example(b"\x01" * 64 + b"\x00\x01")
@example(b"\x00\xff\x00" + b"\x01" * 63 + b"\xff\x01")
@settings(deadline=None, max_examples=300)
def test_the_choice_of_runs_is_that_of_the_original(bits: bytes):
    encoded = rle.encode(bits)
    assert encoded == reference_choice(bits)
    assert rle.decode(encoded, limit=len(bits)) == bits.rstrip(b"\0")


@pytest.mark.parametrize("length", [63, 64, 8190, 8191, 8192, 1048575])
def test_where_a_literals_number_grows_a_single_byte_is_taken_out(length: int):
    literal = bytes(1 + at % 200 for at in range(length))
    for tail in (b"\x00\x01", b"\xff\x00\xff\x01", b"\x00" * 5 + b"\x01", b"\x00\x01\x00\x01"):
        encoded = rle.encode(literal + tail)
        assert encoded == reference_choice(literal + tail)
        assert rle.decode(encoded, limit=2 * length) == literal + tail


def test_long_mixtures_do_not_grow_the_stack_or_the_clock():
    alternating = (b"\x01" * 63 + b"\x00") * 16_384
    assert rle.decode(rle.encode(alternating), limit=2**20) == alternating.rstrip(b"\0")


@pytest.mark.parametrize("case", PAGES[:20], ids=range(20))
def test_have_bits_of_recorded_bitfields(case):
    have = bytearray(131_072)
    for page, stretches in enumerate(case["pages"]):
        for offset, byte, count in stretches or ():
            if offset < 1024:
                have[1024 * page + offset : 1024 * page + offset + count] = bytes([byte]) * count
    assert rle.encode(have).hex() == case["rle"]


@given(st.binary(max_size=200), st.integers(0, 5000))
def test_t13_any_bytes_give_a_field_within_the_limit_or_a_protocol_error(data: bytes, limit: int):
    try:
        decoded = rle.decode(data, limit=limit)
    except ProtocolError:
        with pytest.raises(ProtocolError):
            rle.decoded_size(data, limit=limit)
        return
    assert len(decoded) == rle.decoded_size(data, limit=limit) <= limit
