"""Run-length coding of bitfields, as a Have message carries them. Knows bytes, not blocks.

Encoded is a series of runs, each with a number h before it: odd, `h >> 2` bytes of ff (if bit 1 is
set) or of 00; even, the `h >> 1` bytes that follow. Trailing zeros are not encoded.

Source: feeds.md section 11 (bitfield-rle 2.2.1, whose choice of runs is kept byte for byte).
"""

import re
from typing import Final

from datd import varint
from datd.errors import ProtocolError

# Two or more equal bytes are always cheaper as a run, and so are single ones right behind a run.
_RUNS: Final = re.compile(rb"((?:\x00\x00+|\xff\xff+)[\x00\xff]*)")
_SINGLES: Final = re.compile(rb"[\x00\xff]*")
_EQUAL: Final = re.compile(rb"\x00+|\xff+")
_FLAGS: Final = {0x00: 0b01, 0xFF: 0b11}
_RUN_BYTES: Final = {0b00: b"\x00", 0b10: b"\xff"}

# A single 00 or ff inside a literal stays there: its own number takes the byte that it would save.
# Only at these places of a literal it is taken out, as it would make the literal's number longer.
_LITERAL_STEPS: Final = (63, 8191, 1048575)

# What most runs and literals look like: a field full of holes then costs no call for each of them.
_SHORT_LITERAL: Final = [varint.encode(2 * length) for length in range(64)]
_SHORT_RUN: Final = {
    bytes((byte,)) * length: varint.encode(4 * length + flags)
    for byte, flags in _FLAGS.items()
    for length in range(1, 32)
}

_SINGLE: Final = (b"\x00", b"\xff")
_SINGLE_RUN: Final = bytes.maketrans(b"\x00\xff", b"\x05\x07")
_DECODED_RUN: Final = [_RUN_BYTES[header & 2] * (header >> 2) for header in range(0x80)]

# A number of this many bytes speaks of 2^40 bytes: far above any limit, and cheap to refuse.
_VARINT_LIMIT: Final = 6

# An encoder adds at most one byte to each that it writes, and a few for the number of a literal.
_OVERHEAD: Final = 16


def encode(bits: bytes | bytearray) -> bytes:
    """Encode a bitfield; the same input gives the bytes that the reference gives."""
    pieces = _RUNS.split(bytes(bits).rstrip(b"\0"))
    first, last = pieces[0], pieces[-1]
    # Literals and runs take turns. A list comprehension over short ones is what keeps this fast.
    literal, run = _SHORT_LITERAL, _SHORT_RUN.get
    pieces[1::2] = [run(piece) or _runs(piece) for piece in pieces[1::2]]
    pieces[2::2] = [
        literal[len(piece)] + piece if len(piece) < 64 else _literal(piece)
        for piece in pieces[2::2]
    ]
    if not last:
        pieces[-1] = b""  # the only literal that may be empty, but for the first one
    pieces[0] = _literal(first)
    return b"".join(pieces)


def decoded_size(data: bytes, *, limit: int) -> int:
    """How many bytes `decode` gives; allocates nothing.

    Raises:
        ProtocolError: As in `decode`.
    """
    end = len(data)
    _check_encoded(end, limit)
    at = size = 0
    while at < end:
        header, at = _header(data, at)
        if header & 1:
            size += header >> 2
        else:
            size += header >> 1
            at += header >> 1
        if size > limit:
            raise _too_large(limit)
    if at != end:
        raise _cut()
    return size


def decode(data: bytes, *, limit: int) -> bytes:
    """Decode a bitfield.

    Args:
        data: What a peer sent.
        limit: Most bytes the result may have. A number of five bytes can claim gigabytes: it is
            held against this before anything is allocated for it (T-13, L-8).

    Returns:
        The bytes; all behind them are to be taken as zeros.

    Raises:
        ProtocolError: It is malformed, would be larger than `limit`, or is longer than any encoder
            makes a field of that size.
    """
    end = len(data)
    _check_encoded(end, limit)
    parts: list[bytes] = []
    at = size = 0
    while at < end:
        header = data[at]
        if header < 0x80:
            at += 1
        else:
            header, at = _header(data, at)
        if not header & 1:
            stop = at + (header >> 1)
            size += stop - at
            part = data[at:stop]  # cut short where the data end; refused below
            at = stop
        elif header < 0x80:
            part = _DECODED_RUN[header]
            size += header >> 2
        else:
            size += header >> 2
            part = b"" if size > limit else _RUN_BYTES[header & 2] * (header >> 2)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
    if at != end:
        raise _cut()
    return b"".join(parts)


def _check_encoded(size: int, limit: int) -> None:
    # Empty runs are legal: without this, megabytes of them would be looked at one by one.
    if size > 2 * limit + _OVERHEAD:
        raise ProtocolError(
            f"a bitfield of {size} encoded bytes where {limit} decoded ones suffice"
        )


def _too_large(limit: int) -> ProtocolError:
    return ProtocolError(f"a bitfield that decodes to more than the {limit} bytes it may have")


def _cut() -> ProtocolError:
    return ProtocolError("a bitfield whose last run is longer than its bytes")


def _header(data: bytes, at: int) -> tuple[int, int]:
    try:
        found = varint.decode(data, at, _VARINT_LIMIT)
    except ValueError as error:
        raise ProtocolError(f"a bitfield in which {error}") from error
    if found is None:
        raise ProtocolError("a bitfield that ends inside a number")
    return found


def _runs(piece: bytes) -> bytes:
    """Bytes that are all 00 or ff: a number for each stretch of equal ones."""
    first = piece[0]
    if piece.count(first) == len(piece):
        return varint.encode(4 * len(piece) + _FLAGS[first])
    run = _SHORT_RUN.get
    return b"".join([run(part) or _runs(part) for part in _EQUAL.findall(piece)])


def _literal(piece: bytes) -> bytes:
    """Bytes without two equal 00 or ff side by side."""
    out: list[bytes] = []
    at, end = 0, len(piece)
    while True:
        # Behind a run, or at the very start: single 00 and ff are runs of their own.
        start, at = at, _behind_singles(piece, at)
        out.append(piece[start:at].translate(_SINGLE_RUN))
        if at == end:
            return b"".join(out)
        start, at = at, end
        for step in _LITERAL_STEPS:
            if piece[start + step : start + step + 1] in _SINGLE:
                at = start + step
                break
        out += (varint.encode(2 * (at - start)), piece[start:at])


def _behind_singles(piece: bytes, at: int) -> int:
    found = _SINGLES.match(piece, at)
    return found.end() if found else at
