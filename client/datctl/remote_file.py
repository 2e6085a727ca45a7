"""A file of an archive as an object that reads and seeks, like one open in binary mode."""

import io
from collections.abc import Awaitable, Callable

# Small reads one after the other (a ZIP directory, a film's index) become few requests.
READ_AHEAD = 256 * 1024


class RemoteFile:
    """A file that is read piece by piece, always the same version of it.

    Attributes:
        size: Its bytes.
    """

    def __init__(self, size: int, fetch: Callable[[int, int], Awaitable[bytes]]) -> None:
        """A file at its beginning.

        Args:
            size: Its bytes.
            fetch: Gives the bytes from a start up to a stop.
        """
        self.size = size
        self._fetch = fetch
        self._position = 0
        self._buffer = b""
        self._buffer_start = 0

    def tell(self) -> int:
        """Where the next read begins."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move, as `io.IOBase.seek` does; nothing is fetched by that.

        Raises:
            ValueError: To before the beginning, or `whence` is none.
        """
        bases = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}
        if whence not in bases:
            raise ValueError(f"whence {whence!r} is none of 0, 1, 2")
        position = bases[whence] + offset
        if position < 0:
            raise ValueError(f"position {position} lies before the beginning of the file")
        self._position = position
        return position

    async def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, by default all that follow; b"" at the end.

        Raises:
            ApiError: The file changed in between, or nobody gives its bytes.
        """
        start = self._position
        stop = self.size if size < 0 else min(self.size, start + size)
        if start >= stop:
            return b""
        buffered_stop = self._buffer_start + len(self._buffer)
        if not self._buffer_start <= start <= stop <= buffered_stop:
            await self._fill(start, stop)
        data = self._buffer[start - self._buffer_start : stop - self._buffer_start]
        self._position = start + len(data)
        return data

    async def _fill(self, start: int, stop: int) -> None:
        ahead = min(self.size, max(stop, start + READ_AHEAD))
        self._buffer = await self._fetch(start, ahead)
        self._buffer_start = start
