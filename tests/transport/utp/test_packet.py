import json

from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.vectors import vectors

from datd.transport.utp.packet import (
    DATA,
    HEADER_SIZE,
    RESET,
    STATE,
    SYN,
    Packet,
    decode,
    encode,
    reset,
)


def captured() -> list[bytes]:
    """Packets of utp-native; those of the lossy connection have lost their payload."""
    story = json.loads((vectors("network") / "utp.json").read_text())
    return [bytes.fromhex(row[3]) for row in story["echo"] + story["lossy"]]


def test_every_captured_packet_is_understood_and_made_again_byte_by_byte():
    packets = captured()
    assert len(packets) > 100
    for datagram in packets:
        packet = decode(datagram)
        assert packet is not None
        assert encode(packet) == datagram


def test_the_first_packets_of_a_connection_say_what_the_specification_reads_in_them():
    syn, state, data = (decode(datagram) for datagram in captured()[:3])
    assert syn == Packet(SYN, 0x4567, 0xF5381BBE, 0, 0x100000, 0x23C6, 0)
    assert state is not None
    assert (state.kind, state.id, state.seq, state.ack) == (STATE, 0x4567, 0x4567, 0x23C6)
    assert data is not None
    assert (data.kind, data.id, data.payload) == (DATA, 0x4568, bytes(range(10)))


def test_bits_of_packets_behind_a_hole_are_found_among_other_extensions():
    header = bytes.fromhex("2102456700000000000000000010000023c64566")
    extension_bits = bytes([1, 8]) + bytes(8)
    selective = bytes([9, 4]) + b"\x03\0\0\x80"
    unknown = bytes([0, 3]) + b"???"
    packet = decode(header + extension_bits + selective + unknown + b"rest")
    assert packet is not None
    assert packet.selective == b"\x03\0\0\x80"
    assert packet.payload == b"rest"


def test_255_bytes_of_bits_can_be_read():
    header = bytes.fromhex("2101456700000000000000000010000023c64566")
    packet = decode(header + bytes([0, 255]) + b"\xff" * 255)
    assert packet is not None
    assert packet.selective == b"\xff" * 255


def test_packets_that_are_cut_short_are_none():
    header = bytes.fromhex("2101456700000000000000000010000023c64566")
    whole = header + bytes([0, 4, 1, 2, 3, 4])
    assert decode(whole) is not None
    assert all(decode(whole[:size]) is None for size in range(len(whole)))


def test_other_versions_kinds_and_first_extensions_are_none():
    header = bytearray.fromhex("2100456700000000000000000010000023c64566")
    for first in (0x20, 0x22, 0x51, 0xF1):
        assert decode(bytes([first]) + header[1:]) is None
    header[1] = 3
    assert decode(bytes(header) + b"\0\0") is None


@given(st.binary(max_size=200))
def test_t31_any_bytes_are_a_packet_or_none(data):
    packet = decode(data)
    assert packet is None or len(packet.payload) <= len(data) - HEADER_SIZE


@given(st.binary(min_size=19, max_size=60))
def test_t31_any_bytes_behind_a_good_beginning_are_a_packet_or_none(data):
    packet = decode(b"\x21\x01" + data)
    assert packet is None or packet.kind == STATE


packets = st.builds(
    Packet,
    st.integers(DATA, SYN),
    st.integers(0, 0xFFFF),
    *[st.integers(0, 0xFFFFFFFF)] * 3,
    *[st.integers(0, 0xFFFF)] * 2,
    st.integers(0, 8).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n)),
    st.binary(max_size=50),
)


@given(packets)
def test_what_is_put_together_is_taken_apart_as_it_was(packet):
    assert decode(encode(packet)) == packet


def test_a_refusal_names_the_packet_it_refuses():
    refused = Packet(DATA, 4567, 1, 2, 3, seq=77, ack=5, payload=b"x")
    packet = decode(reset(encode(refused)))
    assert packet is not None
    assert (packet.kind, packet.id, packet.ack) == (RESET, 4567, 77)
