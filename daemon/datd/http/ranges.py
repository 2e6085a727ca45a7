"""Range headers: which bytes of a file are asked for. Pure; no header but this one, no file.

Source: RFC 9110, 14.1 to 14.4.
"""

import re
from typing import NamedTuple

# L-24: more parts cost more in headers than they save; the whole file is a legal answer.
MAX_RANGES = 16

# 2^53 has 16 digits. Longer numbers are not sizes, and converting them takes its time.
_PART = re.compile(r"([0-9]{0,19})-([0-9]{0,19})")


class ByteRange(NamedTuple):
    """Bytes `start` to `stop`, the last one not included."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """How many bytes."""
        return self.stop - self.start

    def content_range(self, size: int) -> str:
        """The Content-Range header of a file of `size` bytes."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


class RangeNotSatisfiable(ValueError):
    """None of the ranges asked for lies within the file."""


def parse_ranges(header: str | None, size: int) -> list[ByteRange]:
    """The parts of a file that a Range header names.

    Args:
        header: As sent; None if there was none.
        size: Bytes of the file.

    Returns:
        The parts in the order asked for. Empty means the whole file: there is no header, it is
        malformed or in another unit (RFC 9110 wants it ignored then), has more than `MAX_RANGES`
        parts, or its parts overlap so much that together they exceed the file.

    Raises:
        RangeNotSatisfiable: It is well formed, and no part of it lies within the file.
    """
    if header is None:
        return []
    unit, equals, rest = header.partition("=")
    parts = [part.strip(" \t") for part in rest.split(",")]
    named = [part for part in parts if part]
    if unit.strip(" \t").lower() != "bytes" or not equals or not named or len(parts) > MAX_RANGES:
        return []
    found = []
    for part in named:
        match = _PART.fullmatch(part)
        if match is None or not _is_ordered(match[1], match[2]):
            return []
        inside = _resolve(match[1], match[2], size)
        if inside is not None:
            found.append(inside)
    if not found:
        raise RangeNotSatisfiable(header)
    return found if sum(part.length for part in found) <= size else []


def _is_ordered(first: str, last: str) -> bool:
    """Whether a part means something: not just a dash, and not backwards."""
    if not first or not last:
        return bool(first or last)
    return int(first) <= int(last)


def _resolve(first: str, last: str, size: int) -> ByteRange | None:
    if not first:  # the last N bytes
        count = min(int(last), size)
        return ByteRange(size - count, size) if count else None
    start = int(first)
    if start >= size:
        return None
    return ByteRange(start, min(int(last) + 1, size) if last else size)
