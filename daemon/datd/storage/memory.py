"""Bytes in memory behind the interface of a file: for tests, and for feeds nobody keeps."""

from collections.abc import Iterable

from datd.storage.base import FeedStorage


class MemoryFile:
    """A RandomAccess that lives and dies with the process.

    Gaps are filled with real zeros, so it is not for sparse feeds of strangers.
    """

    def __init__(self, data: bytes | bytearray = b"", *, name: str = "memory") -> None:
        self._bytes = bytearray(data)
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self._bytes[offset : offset + length])

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        if not data:
            return
        if len(self._bytes) < offset:
            self.truncate(offset)
        self._bytes[offset : offset + len(data)] = data

    def write_many(self, writes: Iterable[tuple[int, bytes | bytearray | memoryview]]) -> None:
        for offset, data in writes:
            self.write(offset, data)

    def truncate(self, size: int) -> None:
        if size < len(self._bytes):
            del self._bytes[size:]
        else:
            self._bytes.extend(bytes(size - len(self._bytes)))

    def sync(self) -> None:
        pass

    def punch(self, offset: int, length: int) -> None:
        end = min(offset + length, len(self._bytes))
        if offset < end:
            self._bytes[offset:end] = bytes(end - offset)

    def size(self) -> int:
        return len(self._bytes)

    def close(self) -> None:
        pass


def memory_feed_storage() -> FeedStorage:
    """Six empty files of a feed that is kept in memory."""
    return FeedStorage(
        key=MemoryFile(name="key"),
        secret_key=MemoryFile(name="secret_key"),
        tree=MemoryFile(name="tree"),
        signatures=MemoryFile(name="signatures"),
        bitfield=MemoryFile(name="bitfield"),
        data=MemoryFile(name="data"),
    )
