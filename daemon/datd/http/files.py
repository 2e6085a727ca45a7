"""`/archives/{key}/files/…`: the bytes of a file, whole or in ranges, and listings of folders.

What an archive holds is untrusted: it is sent so that no browser runs it, and its names appear in
JSON only.
"""

import asyncio
import mimetypes
import re
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Annotated
from urllib.parse import unquote_to_bytes

from aiohttp import web
from pydantic import Field

from datctl.models import Listing
from datd.archive.entries import Stat
from datd.hosting.archive import HostedArchive
from datd.hosting.versions import Versions
from datd.http import shapes
from datd.http.inputs import Query, read_query, shown
from datd.http.paging import MAX_PAGE, Limit, decode_cursor, encode_cursor
from datd.http.problems import SAFE_HEADERS, Problem
from datd.http.ranges import ByteRange, RangeNotSatisfiable, parse_ranges
from datd.http.version_names import VersionText, asked_version, find_version

# T-46: no script, no form, no other origin, whatever the file contains.
_UNTRUSTED = SAFE_HEADERS | {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Accept-Ranges": "bytes",
}
# A version never changes; what the newest one is may change at any time.
_IMMUTABLE = "private, max-age=31536000, immutable"
_REVALIDATE = "private, no-cache"

# A reader may pause (a film, a slow disk); who takes nothing for so long has gone.
STALLED_SECONDS = 300.0
MAX_WAIT = 3_600.0

# The table of Python alone: the same answer on every host, whatever its /etc/mime.types says.
_TYPES = mimetypes.MimeTypes()
for _suffix, _type in {
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
    ".toml": "application/toml",
    ".flac": "audio/flac",
    ".opus": "audio/ogg",
}.items():
    _TYPES.add_type(_type, _suffix)
_COMPRESSED = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "br": "application/x-brotli",
    "compress": "application/x-compress",
}

# Where a walk stands: numbers of entries, one for each folder on the way down.
_WALK_POSITION = re.compile(r"[0-9]{1,16}(,[0-9]{1,16}){0,2000}")


class FileQuery(Query):
    """Parameters of a file or folder; the last three are for folders."""

    version: VersionText | None = None
    wait: Annotated[float, Field(ge=0, le=MAX_WAIT)] = 30.0
    recursive: bool = False
    limit: Limit = MAX_PAGE
    cursor: str | None = None


class FileRoutes:
    """Handlers of the files."""

    def __init__(self, versions: Versions, find: Callable[[web.Request], HostedArchive]) -> None:
        self._versions = versions
        self._find = find

    async def get(self, request: web.Request) -> web.StreamResponse:
        """`GET` and `HEAD /archives/{key}/files/{path}`."""
        archive = self._find(request)
        query = read_query(request, FileQuery)
        path = entry_path(request)
        named = asked_version(request, archive, query.version)
        version = await find_version(self._versions, archive, named, wait=query.wait)
        stat = await archive.stat(path, version, wait=query.wait)
        if stat.is_directory:
            return await _listing(archive, path, version, query)
        if not stat.is_file or request.rel_url.raw_path.endswith("/"):
            raise Problem("no_such_file", f"{shown(path)} is not a folder.")
        unused = query.model_fields_set & {"recursive", "limit", "cursor"}
        if unused:
            raise Problem("bad_request", f"{shown(path)} is a file; {min(unused)} is for folders.")
        return await _File(request, archive, stat, path, query).respond()


async def _listing(
    archive: HostedArchive, path: str, asked: int | None, query: FileQuery
) -> web.Response:
    """One page of a folder. All pages are of the version that the first one showed."""
    version, after = asked, None
    if query.cursor is not None:
        version, recursive, after = decode_cursor(query.cursor, (int,), (int,), (str,))
        if asked not in (None, version) or recursive != query.recursive:
            raise Problem("bad_request", "`cursor` belongs to another listing.")
        if recursive and not _WALK_POSITION.fullmatch(after):
            raise Problem("bad_request", "`cursor` is not one that this list gave out.")
    if version is None:
        version = (await archive.view()).version
    entries, following = await archive.list(
        path, version, recursive=query.recursive, after=after, limit=query.limit, wait=query.wait
    )
    return shapes.json_response(
        Listing(
            key=archive.key.hex,
            path=path,
            version=version,
            entries=[shapes.entry(entry) for entry in entries],
            next_cursor=following and encode_cursor(version, int(query.recursive), following),
        )
    )


class _File:
    """One answer with the bytes of one file."""

    def __init__(
        self,
        request: web.Request,
        archive: HostedArchive,
        stat: Stat,
        path: str,
        query: FileQuery,
    ) -> None:
        self._request = request
        self._archive = archive
        self._stat = stat
        self._wait = query.wait
        self._etag = etag_of(archive, stat)
        self._type = content_type(path)
        self._headers = _UNTRUSTED | {
            "ETag": self._etag,
            "Cache-Control": _IMMUTABLE if (query.version or "").isdigit() else _REVALIDATE,
        }

    async def respond(self) -> web.StreamResponse:
        """The answer, sent to its end."""
        size = self._stat.size
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
        whole = ByteRange(0, size)
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
                await self._write(response, chunk)
                chunk = await anext(chunks, b"")
        return response

    async def _write(self, response: web.StreamResponse, chunk: bytes) -> None:
        """Give the connection a chunk, and wait while its buffer is full."""
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                await response.write(chunk)
        except TimeoutError:
            # Closing would first wait for the buffer, which nobody empties.
            if self._request.transport is not None:
                self._request.transport.abort()
            raise ConnectionResetError("the reader took nothing for too long") from None

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


def etag_of(archive: HostedArchive, stat: Stat) -> str:
    """A strong ETag: content feeds only grow, so a place in one has the same bytes for ever."""
    feed = str(archive.key.discovery_key)[:16]
    return f'"{feed}-{stat.offset}-{stat.byte_offset}-{stat.size}"'


def content_type(path: str) -> str:
    """The media type that the ending of a name stands for; never a Content-Encoding."""
    kind, encoding = _TYPES.guess_type(path.rpartition("/")[2])
    if encoding is not None:
        return _COMPRESSED.get(encoding, "application/octet-stream")
    if kind is None:
        return "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def entry_path(request: web.Request) -> str:
    """The path of the entry, starting with `/`, without one at its end.

    Read from the raw address, since what the router decoded can no longer tell `%2F` from `/`, nor
    `%FF` from a literal.

    Raises:
        Problem: It is not UTF-8 in percent encoding, or has parts that no entry can have (T-45).
    """
    # "", "api", "v1", "archives", KEY, "files" and the rest.
    rest = request.rel_url.raw_path.split("/", 6)[6:]
    return "/" + decode_path("".join(rest))


def decode_path(raw: str) -> str:
    """Text of a percent-encoded path below the root, without the slash at its end.

    Raises:
        Problem: The encoding is broken, or a part of it is empty, `.` or `..`, or holds a NUL.
    """
    if re.search("%(?![0-9A-Fa-f]{2})", raw):
        raise Problem("bad_request", f"{shown(raw)} has a % without two hex digits behind it.")
    try:
        text = unquote_to_bytes(raw).decode("utf-8").removesuffix("/")
    except UnicodeDecodeError:
        raise Problem("bad_request", f"{shown(raw)} is not UTF-8 in percent encoding.") from None
    parts = text.split("/") if text else []
    if "\0" in text or not {"", ".", ".."}.isdisjoint(parts):
        raise Problem("bad_request", f"{shown(text)} is not a path: no part may be empty, . or ..")
    return text
