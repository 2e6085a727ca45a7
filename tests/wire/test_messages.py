import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.sessions import as_recorded, fields_of
from tests.helpers.vectors import vectors

from datd import varint
from datd.errors import ProtocolError
from datd.types import Node
from datd.wire import messages
from datd.wire.messages import (
    Cancel,
    Data,
    Extension,
    Feed,
    Handshake,
    Have,
    Info,
    MalformedMessage,
    Message,
    Request,
    Unhave,
    Unwant,
    Want,
    decode,
    encode,
)

KINDS = {
    "Feed": messages.FEED,
    "Handshake": messages.HANDSHAKE,
    "Info": messages.INFO,
    "Have": messages.HAVE,
    "Unhave": messages.UNHAVE,
    "Want": messages.WANT,
    "Unwant": messages.UNWANT,
    "Request": messages.REQUEST,
    "Cancel": messages.CANCEL,
    "Data": messages.DATA,
    "Extension": messages.EXTENSION,
}

VECTORS = json.loads((vectors("wire") / "vectors" / "messages.json").read_text())

# What the reference says of its lenient decoder, and we refuse.
REFUSED = {
    "unknown field 31, varint, its value missing",
    "required start missing",
    "group: rejected",
    "63-bit value: the reference loses precision above 2^53",
    "value runs past the end: the reference takes what is there",
}

# Shapes that the reference can write and does not: we write the field that it leaves away here,
# or leave away the one that it writes. Both mean the same to everybody.
NOT_OUR_SHAPE = {"", "1001", "08051001", "0803", "08808040", "0807"} | {
    "080120818080808020",
    "0880808080808008",
}


def body_of(message: Message) -> bytes:
    frame = encode(0, message)
    _, header = varint.decode(frame) or (0, 0)
    return frame[header + 1 :]


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["hex"][:24])
def test_bodies_of_the_reference_decode_to_its_fields_and_encode_to_its_bytes(case):
    kind = KINDS[case["message"]]
    message = decode(kind, bytes.fromhex(case["hex"]))
    assert fields_of(message) == as_recorded(case["decoded"])
    if case["hex"] in NOT_OUR_SHAPE:
        assert decode(kind, body_of(message)) == message
    else:
        assert body_of(message).hex() == case["hex"]


@pytest.mark.parametrize("case", VECTORS["odd"], ids=lambda case: case["note"][:24])
def test_odd_bodies_are_refused_or_mean_the_same(case):
    body = bytes.fromhex(case["hex"])
    if case["note"] in REFUSED:
        with pytest.raises(MalformedMessage):
            decode(KINDS[case["message"]], body)
    else:
        message = decode(KINDS[case["message"]], body)
        assert fields_of(message) == as_recorded(case["result"])


def test_presence_of_a_value_tells_an_empty_block_from_a_hash_answer():
    node = Node(2, b"\x11" * 32, 0)
    assert decode(9, body_of(Data(1, b""))) == Data(1, b"")
    assert decode(9, body_of(Data(1, None, (node,)))) == Data(1, None, (node,))


def test_presence_of_a_bitfield_tells_nothing_from_all():
    assert decode(3, body_of(Have(0, 1024, b""))) == Have(0, 1024, b"")
    assert decode(3, body_of(Have(0, 1024))) == Have(0, 1024)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (messages.DATA, "0800"),
        (messages.DATA, "0800 2240" + "11" * 64),
        (messages.DATA, "0800 1200 2202 1111"),
        (messages.DATA, "0800 1200 1a24 0800 121f" + "11" * 31 + "1800"),
        (messages.DATA, "0800 1200 1a24 0800 1220" + "11" * 32),
        (messages.DATA, "1200"),
        (messages.HAVE, "0a0100"),
        (messages.HAVE, "0805 1201 61"),
        (messages.HAVE, "0805 fb01 fc01"),
        (messages.HANDSHAKE, "2202 ff61"),
        (messages.HANDSHAKE, "0a41" + "11" * 65),
        (messages.FEED, "0a1f" + "11" * 31),
        (messages.FEED, "0a20" + "11" * 32 + "1217" + "22" * 23),
        (messages.EXTENSION, ""),
        (messages.EXTENSION, "ff" * 11),
        (10, "0800"),
        (14, ""),
    ],
)
def test_t12_undecodable_bodies_are_malformed(kind, body):
    with pytest.raises(MalformedMessage):
        decode(kind, bytes.fromhex(body))


@pytest.mark.parametrize("number", [2**53, 2**60, 2**64 - 1])
@pytest.mark.parametrize(
    "message_with",
    [
        Have,
        lambda number: Have(0, number),
        Unhave,
        Want,
        Unwant,
        Request,
        lambda number: Request(0, bytes=number),
        lambda number: Request(0, nodes=number),
        Cancel,
        lambda number: Data(number, b""),
        lambda number: Data(0, b"", (Node(number, b"\x11" * 32, 0),)),
        lambda number: Data(0, b"", (Node(0, b"\x11" * 32, number),)),
    ],
)
def test_l9_numbers_from_2_53_on_are_malformed(message_with, number):
    message = message_with(number)
    with pytest.raises(MalformedMessage):
        decode(KINDS[type(message).__name__], body_of(message))


@pytest.mark.parametrize("kind", [Have, Unhave, Want, Unwant])
def test_l9_sums_from_2_53_on_are_malformed(kind):
    with pytest.raises(MalformedMessage):
        decode(KINDS[kind.__name__], body_of(kind(2**53 - 1, 2)))


def test_l9_the_largest_numbers_are_read():
    assert decode(3, body_of(Have(2**53 - 1))) == Have(2**53 - 1)
    request = Request(2**53 - 1, nodes=2**53 - 1)
    assert decode(7, body_of(request)) == request


def test_t20_l14_a_proof_has_at_most_128_nodes():
    nodes = tuple(Node(2**53 - 1, b"\x11" * 32, 2**53 - 1) for _ in range(128))
    for value in (b"x" * 65536, None):
        data = Data(0, value, nodes, b"\x22" * 64)
        assert decode(9, body_of(data)) == data
    small = tuple(Node(1, b"\x11" * 32, 1) for _ in range(129))
    with pytest.raises(ProtocolError):
        decode(9, body_of(Data(0, b"", small)))


def test_l14_millions_of_empty_nodes_are_refused_before_they_are_made():
    with pytest.raises(MalformedMessage):
        decode(9, b"\x08\x00" + b"\x1a\x00" * (4 * 2**20 - 8))


@pytest.mark.parametrize("size", [2**13, 2**16, 8 * 2**20 - 4096])
def test_large_blocks_keep_their_bytes_and_their_proof(size):
    data = Data(7, bytes(range(256)) * (size // 256), (Node(12, b"\x11" * 32, 3),), b"\x22" * 64)
    body = body_of(data)
    assert decode(9, body) == data
    assert decode(9, memoryview(bytearray(body))) == data


def test_a_large_body_with_two_values_is_malformed():
    body = body_of(Data(7, bytes(20000))) + b"\x12\x01a"
    with pytest.raises(MalformedMessage):
        decode(9, body)


def test_large_bitfields_are_read():
    have = Have(0, 2**20, b"\x5a" * 100000)
    assert decode(3, body_of(have)) == have


def test_l7_at_most_128_extensions_of_128_bytes():
    names = tuple(f"{number:0128}" for number in range(128))
    handshake = Handshake(b"\x11" * 32, extensions=names)
    assert decode(1, body_of(handshake)) == handshake
    for bad in (tuple(str(number) for number in range(129)), ("é" * 65,)):
        with pytest.raises(ProtocolError):
            decode(1, body_of(Handshake(b"\x11" * 32, extensions=bad)))


@pytest.mark.parametrize(
    ("channel", "message", "frame"),
    [
        (0, Info(True, False), "05 02 0801 1000"),
        (7, Request(1), "09 77 0801 1000 1800 2000"),
        (8, Request(1), "0a 8701 0801 1000 1800 2000"),
        (255, Info(), "06 f21f 0800 1000"),
        (0, Extension(300, b"hi"), "05 0f ac02 6869"),
    ],
)
def test_frames_carry_length_and_header(channel, message, frame):
    assert encode(channel, message) == bytes.fromhex(frame)


@pytest.mark.parametrize("size", [122, 123, 124, 125, 16376, 16377, 16378, 16379])
def test_lengths_grow_by_a_byte_where_they_must(size):
    frame = encode(0, Data(0, bytes(size)))
    head = 1 if size <= 122 else 2 if size <= 16377 else 3
    assert len(frame) in (head + 1 + 2 + 2 + size, head + 1 + 2 + 3 + size, head + 1 + 2 + 4 + size)
    length = 0
    for place in range(head):
        length |= (frame[place] & 0x7F) << 7 * place
    assert not frame[head - 1] & 0x80
    assert length == len(frame) - head


@pytest.mark.parametrize("channel", [-1, 256])
def test_channels_end_at_255(channel):
    with pytest.raises(ValueError, match="channel"):
        encode(channel, Info())


def test_t6_frames_above_8_mib_are_not_made():
    with pytest.raises(ValueError, match="at most"):
        encode(0, Data(0, bytes(8 * 2**20)))
    with pytest.raises(ValueError, match=r"."):
        encode(0, Request(-1))


numbers = st.integers(0, 2**53 - 1)
hashes = st.binary(min_size=32, max_size=32)
proofs = st.lists(st.builds(Node, numbers, hashes, numbers), max_size=5).map(tuple)
signatures = st.none() | st.binary(min_size=64, max_size=64)
blocks = st.binary(max_size=300) | st.integers(0, 20000).map(bytes)
anything = st.one_of(
    st.builds(Feed, hashes, st.none() | st.binary(min_size=24, max_size=24)),
    st.builds(
        Handshake,
        st.binary(max_size=64),
        st.booleans(),
        st.none() | st.binary(max_size=99),
        st.lists(st.text(max_size=20), max_size=9).map(tuple),
        st.booleans(),
    ),
    st.builds(Info, st.booleans(), st.booleans()),
    st.builds(Have, st.integers(0, 2**52), st.integers(0, 2**52), st.none() | blocks),
    st.builds(Unhave, st.integers(0, 2**52), st.integers(0, 2**52)),
    st.builds(Want, st.integers(0, 2**52), st.integers(0, 2**52)),
    st.builds(Unwant, st.integers(0, 2**52), st.integers(0, 2**52)),
    st.builds(Request, numbers, numbers, st.booleans(), numbers),
    st.builds(Cancel, numbers, numbers, st.booleans()),
    st.builds(Data, numbers, blocks, proofs, signatures),
    st.builds(Extension, st.integers(0, 200), st.binary(max_size=300)),
)


@given(anything)
def test_what_is_encoded_is_decoded(message):
    kind = KINDS[type(message).__name__]
    assert decode(kind, body_of(message)) == message


@given(st.integers(0, 15), st.binary(max_size=200))
def test_any_body_is_a_message_or_refused(kind, body):
    try:
        message = decode(kind, body)
    except ProtocolError:
        return
    assert decode(kind, body_of(message)) == message


@given(anything, st.data())
def test_damaged_bodies_are_a_message_or_refused(message, data):
    kind = KINDS[type(message).__name__]
    body = bytearray(body_of(message))
    for _ in range(data.draw(st.integers(1, 3))):
        if body:
            body[data.draw(st.integers(0, min(len(body), 40) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(kind, bytes(body))
    except ProtocolError:
        return
