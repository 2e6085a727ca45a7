"""Files of the fsspec filesystem: read in windows that suit the reader, written as a whole."""

import tempfile
from typing import Any

from fsspec.asyn import AbstractAsyncStreamedFile
from fsspec.caching import BaseCache
from fsspec.spec import AbstractBufferedFile

from datctl.windows import Windows

# A file that is written waits in memory up to this size, then in a temporary file.
_IN_MEMORY = 16 * 2**20


class AdaptiveCache(BaseCache):  # type: ignore[misc]
    """Fetches more and more ahead for who reads on, and hardly more than asked for who jumps.

    fsspec's own default fetches 5 MiB ahead of every read, which for one column of a parquet file
    is most of the file.
    """

    name = "adaptive"

    def __init__(self, blocksize: int, fetcher: Any, size: int) -> None:
        super().__init__(blocksize, fetcher, size)
        self._windows = Windows(size)

    def _fetch(self, start: int | None, stop: int | None) -> bytes:
        start = start or 0
        stop = self.size if stop is None else min(stop, self.size)
        if start >= stop:
            return b""
        data = self._windows.beginning_of(start, stop)
        at = start + len(data)
        if at == stop:
            self.hit_count += 1
            return data
        self.miss_count += 1
        end = self._windows.end_of_fetch(at, stop)
        fetched: bytes = self.fetcher(at, end)
        self.total_requested_bytes += end - at
        self._windows.keep(at, fetched, stop - at)
        return data + fetched[: stop - at]


class DatFile(AbstractBufferedFile):  # type: ignore[misc]
    """A file that is read, always the same version of it, or written and put in place at its end.

    Attributes:
        etag: Of the bytes that are read; None where the path names the version.
    """

    def __init__(
        self,
        fs: Any,
        path: str,
        mode: str = "rb",
        *args: Any,
        cache_type: str = AdaptiveCache.name,
        etag: str | None = None,
        size: int | None = None,
        **options: Any,
    ) -> None:
        self._whole: Any = None
        self.closed = True  # until everything is in order
        if mode == "ab":
            raise ValueError("a file of an archive is written as a whole: it cannot be appended to")
        if mode == "rb":
            self._details = details = fs.info(path, etag=True)
            if details["type"] != "file":
                raise IsADirectoryError(path)
            self.etag = etag or details.get("ETag")
            size = details["size"]
        elif mode == "xb" and fs.exists(path):
            raise FileExistsError(path)
        adaptive = cache_type == AdaptiveCache.name
        super().__init__(
            fs, path, mode, *args, cache_type="none" if adaptive else cache_type, size=size,
            **options,
        )  # fmt: skip
        if mode == "rb":
            # A file that is pickled is opened again with these.
            self.kwargs |= {"etag": self.etag}
            if adaptive:
                # Not by its name in fsspec's register: nothing is changed for other filesystems.
                self.cache = AdaptiveCache(self.blocksize, self._fetch_range, self.size)

    def readuntil(self, char: bytes = b"\n", blocks: int | None = None) -> bytes:
        """What follows up to and with `char`; looked through in small steps, lines being short."""
        found: bytes = super().readuntil(char, blocks or 8_192)
        return found

    def _fetch_range(self, start: int, end: int) -> bytes:
        data: bytes = self.fs.cat_file(self.path, start=start, end=end, etag=self.etag, again=True)
        return data

    def _initiate_upload(self) -> None:
        self._whole = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115

    def _upload_chunk(self, final: bool = False) -> bool:
        self._whole.write(self.buffer.getbuffer())
        if final and self.autocommit:
            self.commit()
        return True

    def commit(self) -> None:
        """Put what was written in its place."""
        try:
            self._whole.seek(0)
            self.fs.write_open_file(self.path, self._whole, new=self.mode == "xb")
        finally:
            self._whole.close()

    def discard(self) -> None:
        """Forget what was written."""
        self._whole.close()


class StreamedDatFile(AbstractAsyncStreamedFile):  # type: ignore[misc]
    """A file that is read by a program which awaits; see `DatFileSystem.open_async`."""

    def __init__(self, fs: Any, path: str, details: dict[str, Any]) -> None:
        self._details = details
        super().__init__(fs, path, "rb", cache_type="none", size=details["size"])

    async def _fetch_range(self, start: int, end: int) -> bytes:
        etag = self._details.get("ETag")
        data: bytes = await self.fs._cat_file(
            self.path, start=start, end=end, etag=etag, again=True
        )
        return data
