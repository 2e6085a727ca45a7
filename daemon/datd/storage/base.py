"""The interface of everything that keeps bytes, and the set of files a feed is made of."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class RandomAccess(Protocol):
    """Bytes at offsets, like one sparse file. Nothing is created by reading.

    All methods raise StorageError when the disk is at fault, ReadOnlyError when it takes no writes.
    """

    @property
    def name(self) -> str:
        """What an error message calls it: a path where there is one."""

    def read(self, offset: int, length: int) -> bytes:
        """Give up to `length` bytes; fewer where the file ends, zeros where nothing was written."""

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Put bytes at an offset; the file is made, and grows, as needed."""

    def write_many(self, writes: Iterable[tuple[int, bytes | bytearray | memoryview]]) -> None:
        """Put several pieces; neighbours may be joined. Later ones win where they overlap."""

    def truncate(self, size: int) -> None:
        """Cut or extend to `size` bytes."""

    def sync(self) -> None:
        """Return when all that was written is on the disk, the folder of a new file included."""

    def punch(self, offset: int, length: int) -> None:
        """Forget bytes: they read as zeros from now on and take no room if the disk can do that."""

    def size(self) -> int:
        """Bytes up to the last one written; 0 if there is no file.

        Where no end can be known (`MappedFiles`), more than any feed has.
        """

    def close(self) -> None:
        """Give back what is held; a later call opens again."""


class DescriptorPool(Protocol):
    """Lends open files, so that ten thousand feeds do not hold ten thousand descriptors."""

    def lease(self, path: Path, *, create: bool) -> AbstractContextManager[int]:
        """Lend a descriptor for the time of a `with`.

        Args:
            path: The file.
            create: Open for writing and make the file if it is absent; else it may be read only.

        Raises:
            FileNotFoundError: It is absent and `create` is false.
            OSError: As the system says.
        """

    def forget(self, path: Path) -> None:
        """Close what is held for a path: before a rename or removal, or when its feed is closed."""


@dataclass(frozen=True, slots=True)
class FeedStorage:
    """The six files of one feed (sleep.md section 1)."""

    key: RandomAccess
    secret_key: RandomAccess
    tree: RandomAccess
    signatures: RandomAccess
    bitfield: RandomAccess
    data: RandomAccess

    def close(self) -> None:
        """Close all six."""
        for file in (
            self.key,
            self.secret_key,
            self.tree,
            self.signatures,
            self.bitfield,
            self.data,
        ):
            file.close()
