"""uTP datagrams: a header of 20 bytes, extensions, payload. Pure.

Source: transports.md section 3.1 (BEP 29), held against packets of utp-native.
"""

import struct
from typing import NamedTuple

# Kinds of packets, as they stand in the high half of the first byte.
DATA = 0
FIN = 1
STATE = 2
RESET = 3
SYN = 4

VERSION = 1
HEADER_SIZE = 20
# Kind, extension, id, timestamp, difference, window, sequence number, acknowledged number.
HEADER = struct.Struct(">BBHIIIHH")
FIRST_BYTE = {kind: kind << 4 | VERSION for kind in (DATA, FIN, STATE, RESET, SYN)}

SELECTIVE_ACK = 1
# libutp takes a packet whose first extension is of a higher kind for something else than uTP.
_HIGHEST_FIRST_EXTENSION = 2
# Longest selective acknowledgement that is sent: 256 packets above the first hole.
SELECTIVE_ACK_SIZE = 32

# 1,402 bytes of datagram, as libutp sends them: 1,500 less IP, UDP, tunnels and a reserve.
PAYLOAD = 1382
# What passes a path of 576 bytes, the smallest that every IPv4 host must take.
NARROW_PAYLOAD = 556

SEQUENCE = 0xFFFF
MICROSECONDS = 0xFFFFFFFF


class Packet(NamedTuple):
    """One datagram, taken apart.

    Attributes:
        kind: DATA, FIN, STATE, RESET or SYN.
        id: Connection id.
        stamp: The sender's clock, microseconds modulo 2^32.
        difference: How much later than its stamp the last packet reached the sender; 0: none did.
        window: Bytes that the sender can still take.
        seq: Number of this packet; of the next DATA if this is a STATE.
        ack: Last number that the sender got in order.
        selective: Bits of the packets that it got behind a hole; the first is for `ack + 2`.
        payload: What a DATA packet carries.
    """

    kind: int
    id: int
    stamp: int
    difference: int
    window: int
    seq: int
    ack: int
    selective: bytes = b""
    payload: bytes = b""


def decode(datagram: bytes) -> Packet | None:
    """Take a datagram apart; None if it is not uTP or is cut short. Never raises (T-31)."""
    if len(datagram) < HEADER_SIZE:
        return None
    first, extension, id_, stamp, difference, window, seq, ack = HEADER.unpack_from(datagram)
    if first & 0x0F != VERSION or first >> 4 > SYN:
        return None
    body = extensions(datagram, extension)
    if body is None:
        return None
    selective, start = body
    kind = first >> 4
    return Packet(kind, id_, stamp, difference, window, seq, ack, selective, datagram[start:])


def extensions(datagram: bytes, kind: int) -> tuple[bytes, int] | None:
    """Walk over the extensions.

    Args:
        datagram: At least a header.
        kind: Of the first extension, 0 for none.

    Returns:
        The bits of the selective acknowledgement (empty if there is none) and the place where the
        payload starts; None if an extension is cut short, or the first one is nobody's.
    """
    if kind > _HIGHEST_FIRST_EXTENSION:
        return None
    selective = b""
    at = HEADER_SIZE
    size = len(datagram)
    while kind:  # each step moves on by two bytes at least
        if at + 2 > size:
            return None
        following, length = datagram[at], datagram[at + 1]
        at += 2
        if at + length > size:
            return None
        if kind == SELECTIVE_ACK and not selective:
            selective = datagram[at : at + length]
        at += length
        kind = following
    return selective, at


def encode(packet: Packet) -> bytes:
    """Put a packet together; its selective acknowledgement has a multiple of four bytes."""
    extension = SELECTIVE_ACK if packet.selective else 0
    header = HEADER.pack(
        FIRST_BYTE[packet.kind],
        extension,
        packet.id,
        packet.stamp,
        packet.difference,
        packet.window,
        packet.seq,
        packet.ack,
    )
    if not extension:
        return header + packet.payload
    bits = packet.selective
    return header + bytes((0, len(bits))) + bits + packet.payload


def reset(datagram: bytes) -> bytes:
    """The refusal of a packet that belongs to no connection: its id, and its number as known."""
    id_, seq = HEADER.unpack_from(datagram)[2::4]
    return encode(Packet(RESET, id_, 0, 0, 0, 0, seq))
