"""Many datagrams in one system call: UDP_SEGMENT for sending, UDP_GRO for receiving. Linux only.

A Python process spends most of a datagram's time in the call that carries it. With these two the
kernel takes, or gives, one buffer that holds many datagrams of one size; on the wire they are what
they were. Both are optional: elsewhere, and in sandboxes that lack them, every datagram has a call
of its own.

Source: transports.md section 3.7; udp(7).
"""

import socket
import struct
import sys
from collections.abc import Sequence

# <linux/udp.h>; Python's socket module does not name them.
_UDP = 17
_SEGMENT = 103
_GRO = 104

# The kernel takes at most 64 datagrams in one call, and no more bytes than fit into one IP packet
# of 64 KiB together with its headers.
MAX_DATAGRAMS = 64
MAX_BYTES = 65_400

# Room for the one control message that says how long the datagrams are.
ANCILLARY = socket.CMSG_SPACE(4) if hasattr(socket, "CMSG_SPACE") else 0


def can_segment(sock: socket.socket) -> bool:
    """Whether the kernel knows UDP_SEGMENT (Linux 4.18); a path may refuse it all the same."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        sock.getsockopt(_UDP, _SEGMENT)
    except OSError:
        return False
    return True


def merge_arrivals(sock: socket.socket) -> bool:
    """Ask the kernel to merge what it can (Linux 5.0); says whether it will."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        sock.setsockopt(_UDP, _GRO, 1)
    except OSError:
        return False
    return True


def run_length(size: int) -> int:
    """How many datagrams of this size go into one call, at least 1."""
    return max(1, min(MAX_DATAGRAMS, MAX_BYTES // max(1, size)))


def is_run(sizes: Sequence[int]) -> bool:
    """Whether datagrams of these sizes can be one run: all equal, the last not longer."""
    size, last = sizes[0], sizes[-1]
    return 0 < last <= size and sizes.count(size) == len(sizes) - (last != size)


def send_segments(
    sock: socket.socket, datagrams: Sequence[bytes], size: int, name: tuple[str | int, ...]
) -> None:
    """Send a run in one call.

    Args:
        sock: One for which `can_segment` said yes.
        datagrams: At most `run_length(size)`.
        size: Length of all but the last, which may be shorter.
        name: Where to, as the system wants it.

    Raises:
        BlockingIOError: The system's buffer is full; nothing was sent.
        OSError: Not on this path (EMSGSIZE where its MTU is smaller, EIO where the network card
            cannot); nothing was sent, and single datagrams may well pass.
    """
    sock.sendmsg(datagrams, [(_UDP, _SEGMENT, struct.pack("=H", size))], 0, name)


def segment_size(ancillary: Sequence[tuple[int, int, bytes]]) -> int:
    """Length of the datagrams that were merged into what `recvmsg` gave; 0: it is one datagram."""
    for level, kind, data in ancillary:
        if level == _UDP and kind == _GRO and len(data) >= 4:
            return max(0, int.from_bytes(data[:4], sys.byteorder, signed=True))
    return 0
