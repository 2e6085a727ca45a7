"""A SLEEP file whose header is wrong, shown with the right one while its entries are being checked.

Writing the right header at once could spoil a file that is something else altogether.
"""

from collections.abc import Iterable

from datd.storage.base import RandomAccess


class MendedFile:
    """A RandomAccess that reads as if it began with another header."""

    def __init__(self, file: RandomAccess, header: bytes) -> None:
        self._file = file
        self._header = header

    @property
    def name(self) -> str:
        return self._file.name

    def write_header(self) -> None:
        """Put the right header into the file."""
        self._file.write(0, self._header)

    def read(self, offset: int, length: int) -> bytes:
        data = self._file.read(offset, length)
        return (
            self._header[offset : offset + len(data)] + data[max(0, len(self._header) - offset) :]
        )

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        self._file.write(offset, data)

    def write_many(self, writes: Iterable[tuple[int, bytes | bytearray | memoryview]]) -> None:
        self._file.write_many(writes)

    def truncate(self, size: int) -> None:
        self._file.truncate(size)

    def sync(self) -> None:
        self._file.sync()

    def punch(self, offset: int, length: int) -> None:
        self._file.punch(offset, length)

    def size(self) -> int:
        return self._file.size()

    def close(self) -> None:
        self._file.close()
