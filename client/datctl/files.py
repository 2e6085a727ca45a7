"""Files of archives, read over the API: listings, bytes, objects that seek."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from datctl.connection import Connection
from datctl.errors import ApiError, NoDaemon, TransferError, UsageError
from datctl.models import Entry, Listing
from datctl.remote_file import RemoteFile
from datctl.routes import DEFAULT_WAIT, PAGE, Version, file_path, patience, version_text

# Seconds before each further try for an open file: a daemon that restarts is back after a few.
RETRY_PAUSES = (0.5, 1.0, 2.0, 4.0)


class FileHead(NamedTuple):
    """What is known of a file before it is read: its bytes, its ETag, its media type."""

    size: int
    etag: str
    content_type: str


class Files:
    """The methods of `Client` that read files.

        async for entry in dat.walk("recipes", "/soups"):
            beginning = await dat.read("recipes", entry.path, stop=6)
            print(entry.path, entry.size, beginning)

    `version` is always a number, a name given to a version, or a time: the archive as it was then;
    None for the newest.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def list(
        self,
        archive: str,
        path: str = "/",
        *,
        version: Version | None = None,
        recursive: bool = False,
        wait: float = DEFAULT_WAIT,
        limit: int = PAGE,
        cursor: str | None = None,
    ) -> Listing:
        """One page of a folder. `wait`: seconds for what has to come from peers first.

        Raises:
            NotFound: No such archive, version or folder.
            NoPeers: Nobody gave the entries in time.
        """
        query = {
            "version": version_text(version), "recursive": recursive, "wait": wait, "limit": limit,
            "cursor": cursor,
        }  # fmt: skip
        return await self._connection.get(
            file_path(archive, path.rstrip("/") + "/"), Listing, query, silence=patience(wait)
        )

    async def walk(
        self,
        archive: str,
        path: str = "/",
        *,
        version: Version | None = None,
        recursive: bool = True,
        wait: float = DEFAULT_WAIT,
    ) -> AsyncIterator[Entry]:
        """Entries of all pages, by default with everything below."""
        cursor = None
        while True:
            page = await self.list(
                archive, path, version=version, recursive=recursive, wait=wait, cursor=cursor
            )
            for entry in page.entries:
                yield entry
            cursor = page.next_cursor
            if cursor is None:
                return
            # The pages that follow are of the same version, whatever a name means by then.
            version = page.version

    async def head(
        self,
        archive: str,
        path: str,
        *,
        version: Version | None = None,
        wait: float = DEFAULT_WAIT,
    ) -> FileHead | None:
        """What is known of a file; None if the path is a folder."""
        address, query = file_path(archive, path), {"version": version_text(version), "wait": wait}
        try:
            async with self._connection.request(
                "HEAD", address, query=query, silence=patience(wait)
            ) as response:
                etag = response.headers.get("ETag")
                size = int(response.headers.get("Content-Length", 0))
                return FileHead(size, etag, response.content_type) if etag else None
        except ApiError:
            # An answer to HEAD has no body, and so no reason in it. Nobody waits a second time.
            async with self._connection.request("GET", address, query=query | {"wait": 0}):
                raise

    @asynccontextmanager
    async def stream(
        self,
        archive: str,
        path: str,
        *,
        version: Version | None = None,
        start: int = 0,
        stop: int | None = None,
        etag: str | None = None,
        wait: float = DEFAULT_WAIT,
    ) -> AsyncIterator[AsyncGenerator[bytes]]:
        """The bytes of a file as they come, for the time of an `async with`.

        Args:
            archive: Which one.
            path: Of the file.
            version: Of the archive; None for the newest.
            start: First byte; a negative number counts from the end, and `stop` is None then.
            stop: Behind the last byte; None for the end of the file.
            etag: Only if the file is still the one that had this ETag.
            wait: Seconds for what has to come from peers first.

        Raises:
            NotFound: No such archive, version or file.
            NoPeers: Nobody gave the bytes in time.
            TransferError: The bytes end early (while iterating).
            ApiError: `bad_range`: the file ends before `start`; `precondition`: it has changed.
        """
        headers = _range(start, stop)
        if etag is not None:
            headers["If-Match"] = etag
        async with self._connection.request(
            "GET",
            file_path(archive, path),
            query={"version": version_text(version), "wait": wait},
            headers=headers,
            silence=patience(wait),
        ) as response:
            if "ETag" not in response.headers:
                raise UsageError(f"{path} is a folder")
            if headers.get("Range") and response.status != 206:
                raise TransferError("the answer is the whole file, not the range asked for")
            yield response.pieces()

    async def read(
        self,
        archive: str,
        path: str,
        *,
        version: Version | None = None,
        start: int = 0,
        stop: int | None = None,
        etag: str | None = None,
        wait: float = DEFAULT_WAIT,
    ) -> bytes:
        """The bytes of a file, or some of them; for the arguments see `stream`."""
        async with self.stream(
            archive, path, version=version, start=start, stop=stop, etag=etag, wait=wait
        ) as chunks:
            return b"".join([chunk async for chunk in chunks])

    @asynccontextmanager
    async def open(
        self,
        archive: str,
        path: str,
        *,
        version: Version | None = None,
        wait: float = DEFAULT_WAIT,
    ) -> AsyncIterator[RemoteFile]:
        """A file object that seeks, for the time of an `async with`.

        Of the newest version, it is the file as it is now: once it has changed, reads fail with an
        `ApiError` of kind `precondition`, and never mix old and new bytes. A daemon that is started
        again meanwhile is waited for, 7.5 s at most.

        Raises:
            NotFound: No such archive, version or file.
            UsageError: It is a folder.
        """
        found = await self.head(archive, path, version=version, wait=wait)
        if found is None:
            raise UsageError(f"{path} is a folder")

        async def fetch(start: int, stop: int) -> bytes:
            return await read_on(
                self, archive, path, start, stop, version=version, etag=found.etag, wait=wait
            )

        async with RemoteFile(found.size, fetch, etag=found.etag) as file:
            yield file


async def read_on(
    files: Files,
    archive: str,
    path: str,
    start: int,
    stop: int,
    *,
    version: Version | None,
    etag: str | None,
    wait: float,
) -> bytes:
    """Bytes of a file that is open, so that they were to be had just now.

    If the daemon goes away it is asked again, for what is still missing. The ETag, or a version's
    number, makes that the same file. For the arguments see `Files.stream`.

    Raises:
        NoDaemon: It does not come back.
        TransferError: The bytes end early, again and again.
    """
    pieces: list[bytes] = []
    pauses = iter(RETRY_PAUSES)
    at = start
    while True:
        try:
            async with files.stream(
                archive, path, version=version, start=at, stop=stop, etag=etag, wait=wait
            ) as coming:
                async for piece in coming:
                    pieces.append(piece)
                    at += len(piece)
                    pauses = iter(RETRY_PAUSES)
            return b"".join(pieces)
        except (NoDaemon, TransferError):
            if at >= stop:
                return b"".join(pieces)
            pause = next(pauses, None)
            if pause is None:
                raise
            await asyncio.sleep(pause)


def _range(start: int, stop: int | None) -> dict[str, str]:
    if start < 0:
        if stop is not None:
            raise UsageError(f"from the end, byte {start} on, all is read: `stop` is None then")
        return {"Range": f"bytes={start}"}
    if stop is not None and stop <= start:
        raise UsageError(f"there is nothing between byte {start} and byte {stop}")
    if start == 0 and stop is None:
        return {}
    return {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"}
