import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.sessions import frames_of

from datd.errors import ProtocolError
from datd.wire.framing import FrameDecoder
from datd.wire.messages import Data, Feed, Have, Info, Request, encode

FIRST = encode(0, Feed(b"\x11" * 32, b"\x22" * 24))


def length_of(value: int, size: int) -> bytes:
    """A length, padded to `size` bytes."""
    digits = [value >> 7 * place & 0x7F | 0x80 for place in range(size)]
    digits[-1] &= 0x7F
    return bytes(digits)


def feed(decoder: FrameDecoder, data: bytes) -> list[tuple[int, int, bytes]]:
    return [(channel, kind, bytes(body)) for channel, kind, body in decoder.frames(bytearray(data))]


def test_frames_are_cut_by_channel_and_type():
    frames = encode(0, Info()) + encode(7, Have(1)) + encode(8, Have(1)) + encode(255, Have(2))
    assert frames_of(frames) == [
        (0, 2, b"\x08\x00\x10\x00"),
        (7, 3, b"\x08\x01"),
        (8, 3, b"\x08\x01"),
        (255, 3, b"\x08\x02"),
    ]


@given(st.lists(st.integers(0, 40000), max_size=6), st.data())
def test_any_cuts_give_the_same_frames(sizes, data):
    stream = b"".join(
        encode(place * 40, Data(place, bytes([place]) * size)) + b"\0"
        for place, size in enumerate(sizes)
    )
    cut = st.integers(1, max(1, len(stream)))
    assert frames_of(stream, lambda _: data.draw(cut)) == frames_of(stream)


def test_frames_come_byte_by_byte():
    stream = encode(3, Data(1, b"x" * 300)) + b"\0" + encode(20, Request(9))
    assert frames_of(stream, lambda _: 1) == frames_of(stream)


@pytest.mark.parametrize("padding", [1, 2, 3, 4])
def test_padded_lengths_are_taken_as_the_reference_does(padding):
    decoder = FrameDecoder()
    assert feed(decoder, length_of(3, padding) + b"\x03\x08\x01") == [(0, 3, b"\x08\x01")]
    assert feed(decoder, length_of(0, padding)) == []
    assert (decoder.completed, decoder.pending) == (2, 0)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (length_of(2**23 + 1, 4), "at most 8388608"),
        (b"\x80\x80\x80\x80", "over 4 bytes"),
        (b"\xff" * 11, "over 4 bytes"),
        (b"\x04\x83\x20\x08\x01", "channels end at 255"),
        (b"\x09\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "channels end at 255"),
    ],
)
def test_t6_lengths_and_headers_beyond_the_limits_are_refused(data, why):
    with pytest.raises(ProtocolError, match=why):
        frames_of(data)
    with pytest.raises(ProtocolError, match=why):
        frames_of(data, lambda _: 1)


def test_l2_a_frame_of_8_mib_passes():
    body = bytes(2**23 - 1)
    [(channel, kind, found)] = frames_of(length_of(2**23, 4) + b"\x09" + body, lambda _: 65536)
    assert (channel, kind, len(found)) == (0, 9, len(body))


@pytest.mark.parametrize(("kind", "limit"), [(0, 2**10), (1, 64 * 2**10), (15, 64 * 2**10 + 5)])
def test_l2_l7_some_types_are_refused_by_their_header_before_the_body_comes(kind, limit):
    for piece in (9, 1):
        decoder = FrameDecoder()
        start = length_of(limit, 4) + bytes([kind])
        for place in range(0, len(start), piece):
            assert feed(decoder, start[place : place + piece]) == []
    with pytest.raises(ProtocolError, match=f"at most {limit}"):
        frames_of(length_of(limit + 1, 4) + bytes([kind]), lambda _: 1)


def test_t7_a_claimed_size_takes_no_memory():
    decoder = FrameDecoder()
    feed(decoder, length_of(2**23, 4) + b"\x09" + b"x" * 100)
    assert decoder.pending == 105


def test_t8_a_flood_of_keep_alives_before_the_first_feed_is_not_looked_through():
    decoder = FrameDecoder()
    with pytest.raises(ProtocolError, match="no Feed among the first 64 frames"):
        decoder.first(bytes(256 * 1024))
    assert decoder.completed < 100


def test_t8_keep_alives_and_empty_frames_are_counted_and_not_kept():
    decoder = FrameDecoder()
    for _ in range(16):
        assert feed(decoder, bytes(65536)) == []
    assert feed(decoder, b"\x01\x09" * 1000) == []
    assert decoder.completed == 16 * 65536 + 1000
    assert decoder.pending == 0


def test_bodies_stay_valid_when_more_arrives():
    decoder = FrameDecoder()
    stream = encode(0, Data(1, b"first")) + encode(0, Data(2, b"second"))
    [(_, _, first)] = decoder.frames(bytearray(stream[:15]))
    [(_, _, second)] = decoder.frames(bytearray(stream[15:]))
    assert bytes(first).endswith(b"first")
    assert bytes(second).endswith(b"second")


@pytest.mark.parametrize("piece", [1, 5, 1000])
def test_the_first_frame_is_cut_off_and_the_rest_kept_for_decryption(piece):
    decoder = FrameDecoder()
    stream = b"\0\x80\0" + FIRST + b"encrypted"
    body = None
    rest = bytearray()
    for start in range(0, len(stream), piece):
        if body is None:
            body = decoder.first(stream[start : start + piece])
        else:
            rest += stream[start : start + piece]
    assert body is not None
    assert bytes(body) == FIRST[2:]
    assert decoder.take() + rest == b"encrypted"
    assert decoder.pending == 0


@pytest.mark.parametrize("first", [b"\x02\x10\x0a", b"\x02\x01\x0a", b"\x02\x80\x20", b"\x01\x09"])
def test_a_first_frame_that_is_no_feed_of_channel_0_is_refused(first):
    with pytest.raises(ProtocolError, match="no Feed"):
        FrameDecoder().first(first)


@pytest.mark.parametrize("length", [2**10 + 1, 2**23, 2**28 - 1])
def test_t2_a_first_frame_over_1_kib_is_refused_at_once(length):
    with pytest.raises(ProtocolError):
        FrameDecoder().first(length_of(length, 4))


@given(st.lists(st.binary(max_size=30), max_size=30))
def test_any_bytes_are_frames_or_refused(pieces):
    decoder = FrameDecoder()
    try:
        for piece in pieces:
            for channel, kind, _ in decoder.frames(bytearray(piece)):
                assert 0 <= channel <= 255
                assert 0 <= kind <= 15
    except ProtocolError:
        return
    assert decoder.pending <= sum(map(len, pieces))
