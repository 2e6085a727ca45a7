"""One folder's row of the index, kept encoded while entries are written.

Entries written after each other repeat nearly all of their rows. So a row is not encoded anew for
each of them: a new number is appended to the bytes, and one that goes changes the few around it.
Source: archives.md section 4.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable

from datd import varint

_HIGH_BYTES = bytes(range(0x80, 0x100))


class GrowingRow:
    """Entry numbers, ascending, with the bytes of their differences beside them.

    Attributes:
        numbers: The numbers, 8 bytes each.
        encoded: Their differences as an entry holds them, without the count in front.
    """

    __slots__ = ("encoded", "numbers")

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        self.numbers = array("Q", sorted(numbers))
        self.encoded = bytearray()
        previous = 0
        for number in self.numbers:
            self.encoded += varint.encode(number - previous)
            previous = number

    def append(self, number: int) -> None:
        """Add a number above all others."""
        numbers = self.numbers
        difference = number - numbers[-1] if numbers else number
        if difference < 0x80:
            self.encoded.append(difference)
        else:
            self.encoded += varint.encode(difference)
        numbers.append(number)

    def remove(self, number: int) -> None:
        """Take out a number that is there."""
        numbers, encoded = self.numbers, self.encoded
        if numbers[-1] == number:  # the folder that is being filled is the newest of its row
            numbers.pop()
            before = numbers[-1] if numbers else 0
            del encoded[-varint.length(number - before) :]
            return
        place = bisect_left(numbers, number)
        before = numbers[place - 1] if place else 0
        behind = numbers[place + 1]
        start = self._offset(place)
        end = start + varint.length(number - before) + varint.length(behind - number)
        encoded[start:end] = varint.encode(behind - before)
        del numbers[place]

    def _offset(self, place: int) -> int:
        # A difference ends at its first byte below 0x80: as many such bytes must be passed.
        encoded, offset = self.encoded, 0
        while place:
            piece = encoded[offset : offset + place]
            offset += len(piece)
            place -= len(piece) if piece.isascii() else len(piece.translate(None, _HIGH_BYTES))
        return offset
