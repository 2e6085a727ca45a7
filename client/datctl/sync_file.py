"""A file of an archive for code that does not await: `io.RawIOBase` over a file that does."""

import io
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from datctl.remote_file import RemoteFile

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class SyncFile(io.RawIOBase):
    """A file that reads and seeks. Wrapped into an `io.BufferedReader`, everything takes it.

    Attributes:
        name: Its path in the archive.
        mode: "rb", as files have it.
        size: Its bytes.
        etag: Stands for exactly these bytes.
    """

    mode = "rb"

    def __init__(
        self,
        call: Callable[[Coroutine[Any, Any, Any]], Any],
        opening: AbstractAsyncContextManager[RemoteFile],
        name: str,
    ) -> None:
        """Open it.

        Args:
            call: Runs a coroutine to its end.
            opening: What `Client.open` gives.
            name: Its path in the archive.
        """
        super().__init__()
        self.name = name
        self._call = call
        self._opening = opening
        # Ours, and not that of the file: of a read whose caller was interrupted nobody knows how
        # far it came, nor when it ends.
        self._at = 0
        self._file: RemoteFile = call(opening.__aenter__())
        self.size = self._file.size
        self.etag = self._file.etag

    def readable(self) -> bool:
        return self._file.readable()

    def seekable(self) -> bool:
        return self._file.seekable()

    def tell(self) -> int:
        self._file.tell()  # unless it is closed
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_CUR:
            offset, whence = self._at + offset, io.SEEK_SET
        self._at = self._file.seek(offset, whence)
        return self._at

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        # Copied here: such a read must not write into memory of somebody who does not wait for it.
        data = self._call(self._file.read_from(self._at, len(view)))
        count = len(data)
        view[:count] = data
        self._at += count
        return count

    def readall(self) -> bytes:
        data = bytes(self._call(self._file.read_from(self._at)))
        self._at += len(data)
        return data

    def close(self) -> None:
        # Nothing but memory is freed, so that it can be closed wherever it is collected.
        if hasattr(self, "_file"):  # else it could not be opened; what is collected is closed, too
            self._file.close()
        super().close()
