"""`/archives/{key}/files/…`: the bytes of a file, whole or in ranges, and listings of folders.

What an archive holds is untrusted: it is sent so that no browser runs it, and its names appear in
JSON only.
"""

import mimetypes
import re
from collections.abc import Callable
from typing import Annotated
from urllib.parse import quote, unquote_to_bytes

from aiohttp import web
from pydantic import Field

from datctl.models import Listing
from datd.hosting.archive import HostedArchive
from datd.hosting.versions import Versions
from datd.http import shapes
from datd.http.file_answer import FileAnswer
from datd.http.inputs import Query, read_query, shown
from datd.http.operation import ARCHIVE, Operation
from datd.http.paging import MAX_PAGE, Limit, decode_cursor, encode_cursor
from datd.http.problems import SAFE_HEADERS, Problem
from datd.http.version_names import VersionText, asked_version, find_version

# T-46: no script, no form, no other origin, whatever the file contains.
_UNTRUSTED = SAFE_HEADERS | {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# A version never changes; what the newest one is may change at any time.
_IMMUTABLE = "private, max-age=31536000, immutable"
_REVALIDATE = "private, no-cache"

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


_ERRORS = ("unknown_archive", "no_such_version", "damaged", "no_peers")
_OF_FILES = ("no_such_file", "gone", "precondition", "bad_range")
_CONDITIONS = {
    "If-Match": "An ETag: 412 unless the file still has it.",
    "If-None-Match": "An ETag: 304 if the file still has it.",
    "If-Range": "An ETag: the whole file instead of the range, unless it still has it.",
    "Range": "As in `bytes=0-499`, up to 16 parts.",
}
_SENT = {
    "ETag": "Strong: the same bytes for ever.",
    "Content-Range": "Of a 206 with one part.",
    "Content-Disposition": "With `download`: the name to save it under.",
}


class FileQuery(Query):
    """Parameters of a file or folder; the last three are for folders.

    Attributes:
        version: Number, tag or time of the version that is meant; the newest one if absent.
        wait: Seconds to wait for what has to come from peers.
        download: Of a file: tell browsers to save it under its name.
        recursive: All that lies below, not only in it.
        limit: Entries on a page.
        cursor: The `next_cursor` of the page before.
    """

    version: VersionText | None = None
    wait: Annotated[float, Field(ge=0, le=MAX_WAIT)] = 30.0
    download: bool = False
    recursive: bool = False
    limit: Limit = MAX_PAGE
    cursor: str | None = None


class FileRoutes:
    """Handlers of the files."""

    def __init__(self, versions: Versions, find: Callable[[web.Request], HostedArchive]) -> None:
        self._versions = versions
        self._find = find

    def operations(self) -> list[Operation]:
        """What can be asked of files."""
        return [
            Operation(
                "GET",
                path,
                self.get,
                name=name,
                summary=summary,
                scope="read",
                tag="Files",
                query=FileQuery,
                headers=_CONDITIONS if slashes else {},
                answers={200: Listing, 206: None, 304: None} if slashes else {200: Listing},
                gives="*/*" if slashes else None,
                sends=_SENT if slashes else {},
                errors=_ERRORS + _OF_FILES if slashes else _ERRORS,
                slashes=slashes,
            )
            for path, name, summary, slashes in (
                (f"{ARCHIVE}/files", "list_root", "The root folder", False),
                (
                    f"{ARCHIVE}/files/{{path}}",
                    "get_file",
                    "The bytes of a file, whole or in ranges; of a folder, its entries",
                    True,
                ),
            )
        ]

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
        headers = _UNTRUSTED | {
            "Cache-Control": _IMMUTABLE if (query.version or "").isdigit() else _REVALIDATE
        }
        if query.download:
            headers["Content-Disposition"] = _attachment(path)
        answer = FileAnswer(
            request, archive, stat, media_type=content_type(path), headers=headers, wait=query.wait
        )
        return await answer.respond()


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


def _attachment(path: str) -> str:
    """RFC 6266, with the name in percent encoding (RFC 8187): it may be any text."""
    name = quote(path.rpartition("/")[2], safe="")
    return f"attachment; filename*=UTF-8''{name}"


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
