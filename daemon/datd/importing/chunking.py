"""Cuts files into blocks: of equal size as the original does, or where their content says.

Bytes go in as they come, blocks come out; how the bytes were split changes nothing. Readers take
blocks of any length (archives.md section 8), so either way is for every peer.
"""

from typing import Literal, Protocol

from pyfastcdc import FastCDC, NormalizedChunking

Chunking = Literal["fixed", "content"]

# What hyperdrive's streams and `writeFile` cut (archives.md section 8).
FIXED_SIZE = 65536

# FastCDC as of 2020 with its own table, normalization 2 as its paper advises. Random bytes give
# blocks of 18 KiB on average. Other numbers would cut everything anew, and every mirror would fetch
# it all again.
AVERAGE_SIZE = 16 * 1024
MINIMUM_SIZE = 4 * 1024
MAXIMUM_SIZE = 64 * 1024
NORMALIZATION: NormalizedChunking = 2
# Bytes that are looked at together: the last block of them may go on, and is looked at again.
_LOOKED_AT = 4 * MAXIMUM_SIZE


class Chunker(Protocol):
    """Cuts one file; for the next one take another."""

    def feed(self, piece: bytes) -> list[bytes]:
        """Take the next bytes; gives the blocks that are complete."""

    def end(self) -> list[bytes]:
        """Give what is left when there are no more bytes."""


def chunker(chunking: Chunking) -> Chunker:
    """Begin a file."""
    return ByContent() if chunking == "content" else Fixed()


class Fixed:
    """Blocks of 64 KiB; the last one is shorter."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[bytes]:
        if not self._rest and len(piece) == FIXED_SIZE:
            return [piece]  # read as it is to be cut: nothing to copy
        data = self._rest + piece if self._rest else piece
        whole = len(data) - len(data) % FIXED_SIZE
        self._rest = data[whole:]
        return [data[start : start + FIXED_SIZE] for start in range(0, whole, FIXED_SIZE)]

    def end(self) -> list[bytes]:
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


class ByContent:
    """Blocks that end where the content says: an insertion moves only those around it."""

    def __init__(self) -> None:
        self._cutter = FastCDC(
            AVERAGE_SIZE,
            min_size=MINIMUM_SIZE,
            max_size=MAXIMUM_SIZE,
            normalized_chunking=NORMALIZATION,
        )
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> list[bytes]:
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size < _LOOKED_AT:
            return []
        # Where a block ends depends on its own bytes only, but for the last one: what follows it
        # may belong to it.
        blocks = self._cut()
        rest = blocks.pop()
        self._pieces, self._size = [rest], len(rest)
        return blocks

    def end(self) -> list[bytes]:
        blocks = self._cut()
        self._pieces, self._size = [], 0
        return blocks

    def _cut(self) -> list[bytes]:
        data = b"".join(self._pieces)
        return [bytes(chunk.data) for chunk in self._cutter.cut_buf(data)] if data else []
