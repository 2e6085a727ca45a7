"""Packets under way: what the peer has of them, and which got lost. Pure.

libutp tells of 30 packets above a hole and of nothing beyond them. A burst that overflowed its
socket buffer leaves a longer hole: then no bit is set, and that the bits are there at all says that
something came after them.

Source: transports.md sections 3.4 and 3.5.
"""

from collections import deque
from itertools import islice

# Packets acknowledged above a hole before it counts as lost rather than late.
_LATE = 3
# A hole so long is no disorder, whatever came after it.
_LONG = 28
# What libutp's bits cover, the packet before the first bit included.
_COVERED = 31


class Sent:
    """One packet from its first sending until it is acknowledged."""

    __slots__ = ("acked", "at", "kind", "lost", "payload", "seq", "times")

    def __init__(self, seq: int, kind: int, payload: bytes, at: float) -> None:
        self.seq = seq
        self.kind = kind
        self.payload = payload
        self.at = at  # seconds, of the last sending
        self.times = 1
        self.lost = False  # to be sent again
        self.acked = False


def marked(packets: deque[Sent], selective: bytes) -> list[Sent]:
    """Packets that the bits tell of for the first time.

    Args:
        packets: Those under way, oldest first; the bits begin with the second one.
        selective: The bits, least significant first.
    """
    bits = int.from_bytes(selective, "little")
    fresh = []
    for packet in islice(packets, 1, 1 + bits.bit_length()):
        if bits & 1 and not packet.acked:
            fresh.append(packet)
        bits >>= 1
    return fresh


def overtaken(packets: deque[Sent]) -> int:
    """How many packets, from the oldest on, are lost if they are not acknowledged.

    The peer has said that it has something above the oldest one.
    """
    here = [place for place, packet in enumerate(packets) if packet.acked]
    if len(here) >= _LATE:
        return here[-_LATE]
    last = here[-1] if here else _COVERED
    return last if last >= _LONG else 0
