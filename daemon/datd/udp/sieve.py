"""Datagrams of strangers dropped by the kernel, before they take room or time. Linux only.

A filter of the socket (classic BPF, which needs no privilege) lets pass who is known, and of all
others one in so many, by chance. Elsewhere, and in sandboxes without it, the buffer decides.

Source: socket(7), SO_ATTACH_FILTER; <linux/filter.h>.
"""

import ctypes
import errno
import socket
import struct
import sys
from collections.abc import Iterable

_ATTACH, _DETACH = 26, 27
# <linux/bpf_common.h>: load a word, jump if equal, and, return.
_LOAD, _EQUAL, _AND, _RETURN = 0x20, 0x15, 0x54, 0x06
# Where the IP header begins, as the kernel names it, and the address of the sender in it.
_NETWORK = 0xFFF00000
_SENDER: dict[int, int] = {socket.AF_INET: 12, socket.AF_INET6: 8}
# A random number, likewise.
_CHANCE = 0xFFFFF000 + 56
_ALL_OF_IT = 0x7FFFFFFF
_instruction = struct.Struct("=HBBI").pack
_PASS = _instruction(_RETURN, 0, 0, _ALL_OF_IT)


def program(family: int, known: Iterable[str], share: int) -> bytes:
    """The filter.

    Args:
        family: AF_INET or AF_INET6, that of the socket.
        known: Numeric addresses of who passes; those of the other family do not matter. Of IPv6
            the network (/64) counts.
        share: Of so many others one passes; a power of two.

    Returns:
        Instructions of 8 bytes: 2 for each known host, 5 with IPv6.
    """
    at = _NETWORK + _SENDER[family]
    parts: list[bytes] = []
    if family == socket.AF_INET:
        parts.append(_instruction(_LOAD, 0, 0, at))
    for host in known:
        try:
            packed = socket.inet_pton(family, host.partition("%")[0])
        except OSError:
            continue
        first, second = struct.unpack_from(">II", packed + bytes(4))
        if family == socket.AF_INET:
            parts += _instruction(_EQUAL, 0, 1, first), _PASS
            continue
        parts += (
            _instruction(_LOAD, 0, 0, at),
            _instruction(_EQUAL, 0, 3, first),
            _instruction(_LOAD, 0, 0, at + 4),
            _instruction(_EQUAL, 0, 1, second),
            _PASS,
        )
    parts += (
        _instruction(_LOAD, 0, 0, _CHANCE),
        _instruction(_AND, 0, 0, share - 1),
        _instruction(_EQUAL, 0, 1, 0),
        _PASS,
        _instruction(_RETURN, 0, 0, 0),
    )
    return b"".join(parts)


def attach(sock: socket.socket, instructions: bytes) -> bool:
    """Have the kernel use a filter in place of the one before; says whether it does."""
    if not sys.platform.startswith("linux"):
        return False
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    given = struct.pack("@HP", len(instructions) // 8, ctypes.addressof(buffer))
    try:
        try:
            sock.setsockopt(socket.SOL_SOCKET, _ATTACH, given)
        except OSError as error:
            if error.errno != errno.ENOMEM:
                raise
            # Older kernels have 20 KiB for this, and both at once may be too much.
            detach(sock)
            sock.setsockopt(socket.SOL_SOCKET, _ATTACH, given)
    except OSError:
        return False
    return True


def detach(sock: socket.socket) -> None:
    """Let everything pass again."""
    if sys.platform.startswith("linux"):
        try:
            sock.setsockopt(socket.SOL_SOCKET, _DETACH, 0)
        except OSError as error:
            if error.errno != errno.ENOENT:  # there was none
                raise
