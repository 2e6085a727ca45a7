"""A file of an archive as an object that reads and seeks, like one open in binary mode."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from datctl.windows import Windows

# What is looked through at once for the end of a line.
_LINE_STEP = 8 * 1024


class RemoteFile:
    """A file that is read piece by piece, always the same version of it.

    Its methods are those of a file open in binary mode; all that may fetch are awaited. What is
    read in order is fetched in growing pieces, what is read here and there in small ones. Iterating
    gives lines. Of several tasks that read it, each gets bytes of its own, one after the other.

        async with dat.open("recipes", "/soups/leek.md") as file:
            async for line in file:
                print(line.decode(), end="")

    Attributes:
        size: Its bytes.
        etag: Stands for exactly these bytes.
    """

    def __init__(
        self, size: int, fetch: Callable[[int, int], Awaitable[bytes]], *, etag: str = ""
    ) -> None:
        """A file at its beginning.

        Args:
            size: Its bytes.
            fetch: Gives the bytes from a start up to a stop.
            etag: Stands for exactly these bytes.
        """
        self.size = size
        self.etag = etag
        self._fetch = fetch
        self._windows = Windows(size)
        self._position = 0
        self._reading = asyncio.Lock()
        self._closed = False

    async def __aenter__(self) -> Self:
        self._check()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        line = await self.readline()
        if not line:
            raise StopAsyncIteration
        return line

    @property
    def closed(self) -> bool:
        """Whether it can be read no more."""
        return self._closed

    def close(self) -> None:
        """Forget what was fetched; every read fails from now on."""
        self._closed = True
        self._windows.forget()

    def readable(self) -> bool:
        """It is."""
        self._check()
        return True

    def seekable(self) -> bool:
        """It is."""
        self._check()
        return True

    def writable(self) -> bool:
        """It is not: `Client.put` writes files."""
        self._check()
        return False

    def tell(self) -> int:
        """Where the next read begins."""
        self._check()
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move, as `io.IOBase.seek` does; nothing is fetched by that.

        Raises:
            ValueError: To before the beginning, or `whence` is none.
        """
        self._check()
        bases = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}
        if whence not in bases:
            raise ValueError(f"whence {whence!r} is none of 0, 1, 2")
        position = bases[whence] + offset
        if position < 0:
            raise ValueError(f"position {position} lies before the beginning of the file")
        self._position = position
        return position

    async def read(self, size: int | None = -1) -> bytes:
        """At most `size` bytes, by default all that follow; b"" at the end.

        Raises:
            ApiError: `precondition`: the file changed since it was opened.
            NoPeers: Nobody gave its bytes in time.
        """
        async with self._reading:
            return await self._read_on(size)

    async def read_from(self, start: int, size: int | None = -1) -> bytes:
        """As `read`, from another place, wherever the last read has ended."""
        async with self._reading:
            self._position = start
            return await self._read_on(size)

    async def _read_on(self, size: int | None) -> bytes:
        self._check()
        start = self._position
        stop = self.size if size is None or size < 0 else min(self.size, start + size)
        if start >= stop:
            return b""
        data = self._windows.beginning_of(start, stop)
        at = start + len(data)
        if at < stop:
            fetched = await self._fetch(at, self._windows.end_of_fetch(at, stop))
            self._windows.keep(at, fetched, stop - at)
            data += fetched[: stop - at]
        self._position = start + len(data)
        return data

    async def readinto(self, buffer: bytearray | memoryview) -> int:
        """Fill a buffer as far as bytes follow; gives their number."""
        view = memoryview(buffer).cast("B")
        data = await self.read(len(view))
        view[: len(data)] = data
        return len(data)

    async def readline(self, size: int | None = -1) -> bytes:
        r"""What follows up to and with the next `\n`, but at most `size` bytes; b"" at the end."""
        self._check()
        limit = self.size if size is None or size < 0 else size
        async with self._reading:
            start, pieces, length = self._position, list[bytes](), 0
            try:
                while length < limit:
                    piece = await self._read_on(min(_LINE_STEP, limit - length))
                    end = piece.find(b"\n") + 1
                    pieces.append(piece[:end] if end else piece)
                    length += len(pieces[-1])
                    if end or not piece:
                        break
            except BaseException:
                # Who comes again gets the whole line.
                self._position = start
                raise
            self._position = start + length
            return b"".join(pieces)

    async def readlines(self) -> list[bytes]:
        """All lines that follow."""
        return [line async for line in self]

    def _check(self) -> None:
        if self._closed:
            raise ValueError("the file is closed")
