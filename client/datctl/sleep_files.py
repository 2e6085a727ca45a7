"""SLEEP files of archives as the daemon keeps them: what makes a copy a source for others."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from datctl.connection import Connection
from datctl.errors import ApiError
from datctl.routes import archive_path

FEEDS = ("content", "metadata")
# In the order in which they are to be read: what comes later holds all that is told of earlier.
PARTS = ("key", "signatures", "bitfield", "tree", "data")


class SleepFile(NamedTuple):
    """A file that is on its way.

    Attributes:
        start: Its first byte: 0, unless a part was asked for.
        etag: Changes when the file does; None while it is being written.
        pieces: Its bytes.
    """

    start: int
    etag: str | None
    pieces: AsyncIterator[bytes]


class SleepFiles:
    """The methods of `Client` that read SLEEP files."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @asynccontextmanager
    async def sleep_file(
        self,
        archive: str,
        name: str,
        *,
        newest: bool = False,
        unless: str | None = None,
        start: int = 0,
    ) -> AsyncIterator[SleepFile | None]:
        """A SLEEP file, such as "metadata.tree", for the time of an `async with`.

        Args:
            archive: Which.
            name: A feed ("metadata", "content") and a part of it ("key", "tree", "signatures",
                "bitfield", "data").
            newest: Of "content.bitfield": only the blocks of the newest version's files.
            unless: An ETag: None is given if the file still has it.
            start: The first byte wanted; the whole file comes if there are none from there on.

        Raises:
            NotFound: There is no such archive, or no such file yet.
        """
        query = {"newest": True} if newest else {}
        headers = {"If-None-Match": unless} if unless else {}
        if start:
            headers["Range"] = f"bytes={start}-"
        try:
            async with self._connection.request(
                "GET", f"{archive_path(archive)}/sleep/{name}", query=query, headers=headers
            ) as response:
                yield SleepFile(
                    start if response.status == 206 else 0,
                    response.headers.get("ETag"),
                    response.pieces(),
                )
        except ApiError as error:
            if error.status != 304:
                raise
            yield None
