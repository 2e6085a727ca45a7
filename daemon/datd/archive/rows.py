"""The index that every entry carries: for each folder on its way, the newest entry of each child.

Numbers only: what child a number stands for is told by that entry's name. Source: archives.md
section 4, as append-tree 2.4.4 writes it.
"""

import re
from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import TypeAlias

from datd import varint
from datd.errors import ArchiveFormatError

Row: TypeAlias = "array[int]"
"""Entry numbers, ascending, 8 bytes each."""

NO_ROW: Row = array("Q")
"""What is said of a folder that an entry has no row for."""

_OWN = 1  # flag in the first byte: the entry's own number ends each row and is left out
_HIGH_BYTES = bytes(range(0x80, 0x100))
# Differences of a row: a stretch of one byte each, or one number of several. 0 matches neither,
# since numbers must ascend; 8 bytes hold more than 2^53.
_DIFFERENCES = re.compile(rb"([\x01-\x7f]+)|[\x80-\xff]{1,7}[\x00-\x7f]")


class Rows:
    """The rows of one entry, decoded one at a time and when asked for.

    An entry lists all siblings on its way; most callers need its name only.

    Attributes:
        first: Rows below this one are not held (see `since`).
    """

    __slots__ = ("_data", "_own", "_seq", "first")

    def __init__(self, seq: int, data: bytes, *, own: bool, first: int = 0) -> None:
        self._seq = seq
        self._data = data
        self._own = own
        self.first = first

    @classmethod
    def decode(cls, seq: int, paths: bytes) -> "Rows":
        """Take the `paths` field of entry `seq`. Nothing in it is checked yet."""
        try:
            head = varint.decode(paths)
        except ValueError:
            head = None
        flags, start = head or (0, len(paths))
        return cls(seq, paths[start:], own=bool(flags & _OWN))

    def __len__(self) -> int:
        """Bytes held."""
        return len(self._data)

    def __getitem__(self, index: int) -> Row:
        """Give one row.

        Args:
            index: 0 for `/`; the number of the name's components for the path itself.

        Returns:
            Entry numbers, ascending; empty if there is no such row.

        Raises:
            ArchiveFormatError: Its numbers do not ascend from 1 to at most the entry's own, or it
                is cut short.
        """
        offset = self._offset(index)
        if offset == len(self._data):
            return NO_ROW
        count, offset = self._count(offset)
        return self._numbers(offset, count)

    def since(self, index: int) -> "Rows":
        """The same without the rows below `index`: small, if those listed many siblings."""
        try:
            data = self._data[self._offset(index) :]
        except ArchiveFormatError:
            data = b""  # what cannot be read has no rows
        return Rows(self._seq, data, own=self._own, first=index)

    def decoded(self) -> list[list[int]]:
        """Give all rows that are held.

        Raises:
            ArchiveFormatError: One of them is invalid.
        """
        found = []
        offset = 0
        while offset < len(self._data):
            count, offset = self._count(offset)
            found.append(self._numbers(offset, count).tolist())
            offset = self._skip(offset, count)
        return found

    def _offset(self, index: int) -> int:
        if index < self.first:
            raise AssertionError(f"row {index} was dropped, rows start at {self.first}")
        offset = 0
        for _ in range(index - self.first):
            if offset == len(self._data):
                break
            count, offset = self._count(offset)
            offset = self._skip(offset, count)
        return offset

    def _count(self, offset: int) -> tuple[int, int]:
        try:
            found = varint.decode(self._data, offset)
        except ValueError:
            found = None
        # Each number takes a byte at least: nothing is made from a count that cannot be true.
        if found is None or found[0] > len(self._data) - found[1]:
            raise ArchiveFormatError(f"the index of entry {self._seq} is cut short")
        return found

    def _skip(self, offset: int, count: int) -> int:
        # A number ends at its first byte below 0x80: as many such bytes must pass as numbers.
        while count:
            piece = self._data[offset : offset + count]
            if not piece:
                raise ArchiveFormatError(f"the index of entry {self._seq} is cut short")
            offset += len(piece)
            count -= len(piece) if piece.isascii() else len(piece.translate(None, _HIGH_BYTES))
        return offset

    def _numbers(self, offset: int, count: int) -> Row:
        if count > self._seq:
            raise ArchiveFormatError(f"the index of entry {self._seq} lists more than there is")
        numbers = array("Q")
        previous = 0
        while len(numbers) < count:
            found = _DIFFERENCES.match(self._data, offset)
            if found is None:
                raise ArchiveFormatError(f"the index of entry {self._seq} does not ascend")
            if found.group(1) is None:
                difference = varint.decode(self._data, offset)
                if difference is None or difference[0] == 0:
                    raise ArchiveFormatError(f"the index of entry {self._seq} does not ascend")
                offset = found.end()
                numbers.append(previous + difference[0])
            else:
                end = min(found.end(), offset + count - len(numbers))
                differences = self._data[offset:end]
                numbers.extend(accumulate(differences[1:], initial=previous + differences[0]))
                offset = end
            previous = numbers[-1]
            # Every number is below the entry's own, which may stand at the end only. That is what
            # ends every look-up (reliability.md T-25; the reference can be sent round in circles).
            if previous > self._seq or (self._own and previous == self._seq):
                raise ArchiveFormatError(f"the index of entry {self._seq} points to later ones")
        if self._own:
            numbers.append(self._seq)
        return numbers


def encode_rows(seq: int, rows: Sequence[Sequence[int]]) -> bytes:
    """Give the `paths` field of entry `seq`, byte for byte as the reference writes it.

    Args:
        seq: Number of the entry.
        rows: Row i is that of folder i; numbers ascend, the last may be `seq`.
    """
    own = bool(rows) and all(row and row[-1] == seq for row in rows)
    parts = [b"\x01" if own else b"\x00"]
    for row in rows:
        numbers = row[:-1] if own else row
        parts.append(varint.encode(len(numbers)))
        previous = 0
        for number in numbers:
            parts.append(varint.encode(number - previous))
            previous = number
    return b"".join(parts)
