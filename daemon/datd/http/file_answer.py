"""The bytes of one file as an answer: whole, in one range or several, or only what it is.

Who asks with conditions gets them honoured (RFC 9110, 13): `If-Match`, `If-None-Match`, `If-Range`.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from aiohttp import web

from datd.archive.entries import Stat
from datd.hosting.archive import HostedArchive
from datd.http.problems import Problem
from datd.http.ranges import ByteRange, RangeNotSatisfiable, parse_ranges

# A reader may pause (a film, a slow disk); who takes nothing for so long has gone.
STALLED_SECONDS = 300.0


class FileAnswer:
    """One answer with the bytes of one file."""

    def __init__(
        self,
        request: web.Request,
        archive: HostedArchive,
        stat: Stat,
        *,
        media_type: str,
        headers: Mapping[str, str],
        wait: float,
        status: int = 200,
        stalled: float = STALLED_SECONDS,
    ) -> None:
        """Answer a GET or HEAD.

        Args:
            request: What was asked.
            archive: Where the file is.
            stat: Its entry.
            media_type: What its bytes are.
            headers: Further headers of every answer.
            wait: Seconds to wait for each block that has to come from peers.
            status: What the whole file is sent with; other than 200 there are no ranges or
                conditions, since the file stands for another one then.
            stalled: Seconds after which a reader who takes nothing has gone.
        """
        self._request = request
        self._archive = archive
        self._stat = stat
        self._type = media_type
        self._wait = wait
        self._status = status
        self._stalled = stalled
        self._etag = etag_of(archive, stat)
        self._headers = dict(headers)
        if status == 200:
            self._headers |= {"ETag": self._etag, "Accept-Ranges": "bytes"}

    async def respond(self) -> web.StreamResponse:
        """The answer, sent to its end."""
        size = self._stat.size
        whole = ByteRange(0, size)
        if self._status != 200:
            kind = {"Content-Type": self._type}
            return await self._send(self._status, kind, size, [(b"", whole)])
        if self._not_modified():
            return web.Response(status=304, headers=self._headers)
        try:
            ranges = parse_ranges(self._range_header(), size)
        except RangeNotSatisfiable:
            raise Problem(
                "bad_range",
                f"The file has {size} bytes; no range asked for lies within.",
                headers={"Content-Range": f"bytes */{size}"},
            ) from None
        if len(ranges) > 1:
            return await self._send_parts(ranges)
        part = ranges[0] if ranges else whole
        headers = {"Content-Type": self._type}
        if ranges:
            headers["Content-Range"] = part.content_range(size)
        return await self._send(206 if ranges else 200, headers, part.length, [(b"", part)])

    def _not_modified(self) -> bool:
        """RFC 9110, 13.2.2. No dates are compared: an author signs any time he likes."""
        required = self._request.if_match
        if required is not None and not any(
            tag.value == "*" or (not tag.is_weak and f'"{tag.value}"' == self._etag)
            for tag in required
        ):
            raise Problem("precondition", "The file has changed: its ETag is another one now.")
        known = self._request.if_none_match or ()
        return any(tag.value == "*" or f'"{tag.value}"' == self._etag for tag in known)

    def _range_header(self) -> str | None:
        # A range is defined for GET only, and holds only for the file that If-Range names.
        if self._request.method != "GET":
            return None
        condition = self._request.headers.get("If-Range")
        if condition is not None and condition.strip() != self._etag:
            return None
        return self._request.headers.get("Range")

    async def _send_parts(self, ranges: Sequence[ByteRange]) -> web.StreamResponse:
        boundary = secrets.token_hex(16)
        parts = []
        for number, part in enumerate(ranges):
            head = (
                f"{'' if number == 0 else chr(13) + chr(10)}--{boundary}\r\n"
                f"Content-Type: {self._type}\r\n"
                f"Content-Range: {part.content_range(self._stat.size)}\r\n\r\n"
            )
            parts.append((head.encode("ascii"), part))
        end = f"\r\n--{boundary}--\r\n".encode("ascii")
        length = sum(len(head) + part.length for head, part in parts) + len(end)
        headers = {"Content-Type": f"multipart/byteranges; boundary={boundary}"}
        return await self._send(206, headers, length, [*parts, (end, ByteRange(0, 0))])

    async def _send(
        self,
        status: int,
        headers: dict[str, str],
        length: int,
        parts: Sequence[tuple[bytes, ByteRange]],
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers=self._headers | headers)
        response.content_length = length
        if self._request.method == "HEAD":
            await response.prepare(self._request)
            return response
        async with aclosing(self._chunks(parts)) as chunks:
            # The first bytes before the status: until then a missing block can still become a 504.
            chunk = await anext(chunks, b"")
            await response.prepare(self._request)
            while chunk:
                await write(self._request, response, chunk, stalled=self._stalled)
                chunk = await anext(chunks, b"")
        return response

    async def _chunks(self, parts: Sequence[tuple[bytes, ByteRange]]) -> AsyncGenerator[bytes]:
        """Heads and bytes of the parts; exactly as many bytes as the headers promised."""
        for head, part in parts:
            if head:
                yield head
            left = part.length
            if not left:
                continue
            async with aclosing(
                self._archive.read(self._stat, part.start, part.stop, wait=self._wait)
            ) as blocks:
                async for block in blocks:
                    left -= len(block)
                    yield block
            if left:
                raise AssertionError(f"a read of {part} gave {part.length - left} bytes")


async def write(
    request: web.BaseRequest, response: web.StreamResponse, data: bytes, *, stalled: float
) -> None:
    """Give a connection a part of an answer, and wait while its buffer is full.

    Args:
        request: What is answered.
        response: The answer, begun.
        data: The part.
        stalled: Seconds after which a reader who takes nothing has gone.

    Raises:
        ConnectionError: He has gone.
    """
    try:
        async with asyncio.timeout(stalled):
            await response.write(data)
    except TimeoutError:
        # Closing would first wait for the buffer, which nobody empties.
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the reader took nothing for too long") from None


def etag_of(archive: HostedArchive, stat: Stat) -> str:
    """A strong ETag: content feeds only grow, so a place in one has the same bytes for ever."""
    feed = str(archive.key.discovery_key)[:16]
    return f'"{feed}-{stat.offset}-{stat.byte_offset}-{stat.size}"'
