"""A file that somebody watches over: told of each read, and able to refuse all writes."""

from collections.abc import Callable, Iterable

from datd.errors import ReadOnlyError
from datd.storage.base import RandomAccess
from datd.storage.disk import Piece


class GuardedFile:
    """A RandomAccess in front of another one."""

    def __init__(
        self,
        file: RandomAccess,
        *,
        on_read: Callable[[int], None] | None = None,
        writable: bool = True,
    ) -> None:
        """Stand before a file.

        Args:
            file: Where the bytes are.
            on_read: Is told how many bytes are about to be read; may raise to end it.
            writable: Whether anything may change. If not, it is like a disk that takes no writes.
        """
        self._file = file
        self._on_read = on_read
        self._writable = writable

    @property
    def name(self) -> str:
        return self._file.name

    def read(self, offset: int, length: int) -> bytes:
        if self._on_read is not None:
            self._on_read(length)
        return self._file.read(offset, length)

    def write(self, offset: int, data: Piece) -> None:
        self._require_writable()
        self._file.write(offset, data)

    def write_many(self, writes: Iterable[tuple[int, Piece]]) -> None:
        self._require_writable()
        self._file.write_many(writes)

    def truncate(self, size: int) -> None:
        self._require_writable()
        self._file.truncate(size)

    def sync(self) -> None:
        if self._writable:
            self._file.sync()

    def punch(self, offset: int, length: int) -> None:
        self._require_writable()
        self._file.punch(offset, length)

    def size(self) -> int:
        return self._file.size()

    def close(self) -> None:
        self._file.close()

    def _require_writable(self) -> None:
        if not self._writable:
            raise ReadOnlyError(f"{self._file.name!r} is only read, and stays as it is")
