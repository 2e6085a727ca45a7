"""Base-128 integers, low group first, as protobuf and the wire's frames use them."""

from collections.abc import Sized
from typing import Protocol


class _Bytes(Sized, Protocol):
    def __getitem__(self, index: int, /) -> int: ...


def encode(value: int) -> bytes:
    """Write a number of at least 0."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode(data: _Bytes, offset: int = 0, limit: int = 10) -> tuple[int, int] | None:
    """Read one number.

    Args:
        data: Bytes to read from.
        offset: Where the number starts.
        limit: Most bytes it may take.

    Returns:
        The number and the offset behind it, or None if `data` ends inside it.

    Raises:
        ValueError: It is longer than `limit` bytes.
    """
    value = shift = 0
    end = min(len(data), offset + limit)
    position = offset
    while position < end:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    if position == offset + limit:
        raise ValueError(f"a number takes more than {limit} bytes")
    return None


def length(value: int) -> int:
    """How many bytes `encode` gives."""
    return max(1, (value.bit_length() + 6) // 7)
