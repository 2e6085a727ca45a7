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
        self._file: RemoteFile = call(opening.__aenter__())
        self.size = self._file.size
        self.etag = self._file.etag

    def readable(self) -> bool:
        return self._file.readable()

    def seekable(self) -> bool:
        return self._file.seekable()

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def readinto(self, buffer: "WriteableBuffer") -> int:
        return int(self._call(self._file.readinto(memoryview(buffer))))

    def readall(self) -> bytes:
        return bytes(self._call(self._file.read()))

    def close(self) -> None:
        # Nothing but memory is freed, so that it can be closed wherever it is collected.
        if hasattr(self, "_file"):  # else it could not be opened; what is collected is closed, too
            self._file.close()
        super().close()
