"""SLEEP files over HTTP: with them, a plain file server or this daemon is a source for others.

`/archives/{key}/sleep/{name}` of the API, and `/{key}/.dat/{name}` of the gateway. Ranges, strong
ETags and conditional requests; secret keys are not among them, whatever name is asked for.
"""

from collections.abc import Callable, Mapping
from functools import partial

from aiohttp import web

from datd.errors import DatdError
from datd.hosting import sleep_files
from datd.hosting.archive import HostedArchive
from datd.hosting.open_archive import OpenArchive
from datd.hosting.sleep_files import SleepView
from datd.http.file_answer import STALLED_SECONDS, write
from datd.http.inputs import Query, read_query, shown
from datd.http.operation import ARCHIVE, Operation
from datd.http.problems import SAFE_HEADERS, Problem
from datd.http.ranges import ByteRange, RangeNotSatisfiable, parse_ranges

# One call into the lane, so that a large file holds nobody else up.
_PIECE = 256 * 1024


class SleepQuery(Query):
    """Parameters of a SLEEP file.

    Attributes:
        newest: Of `content.bitfield`: claim only the blocks of the newest version's files, as fits
            a folder that has those files and no older ones.
    """

    newest: bool = False


class SleepFileRoutes:
    """Handlers of the SLEEP files."""

    def __init__(self, find: Callable[[web.Request], HostedArchive]) -> None:
        self._find = find

    def operations(self) -> list[Operation]:
        """What can be asked of them."""
        return [
            Operation(
                "GET",
                f"{ARCHIVE}/sleep/{{name}}",
                self.get,
                name="get_sleep_file",
                summary="A SLEEP file: key, hashes, signatures, bits or bytes of a feed",
                scope="read",
                tag="Files",
                query=SleepQuery,
                answers={200: None, 206: None, 304: None},
                gives="application/octet-stream",
                errors=("unknown_archive", "no_such_file", "bad_range", "damaged", "no_peers"),
                description=f"`name` is one of {', '.join(sleep_files.NAMES)}.",
            )
        ]

    async def get(self, request: web.Request) -> web.StreamResponse:
        """`GET` and `HEAD /archives/{key}/sleep/{name}`."""
        archive = self._find(request)
        query = read_query(request, SleepQuery)
        name = request.match_info["name"]
        if query.newest and name != "content.bitfield":
            raise Problem("bad_request", "`newest` is for content.bitfield.")
        return await answer(request, archive, name, newest=query.newest)


async def answer(
    request: web.Request,
    archive: HostedArchive,
    name: str,
    *,
    newest: bool = False,
    headers: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    """Answer a GET or HEAD for one of `sleep_files.NAMES`.

    Args:
        request: What was asked.
        archive: Whose file.
        name: Such as "metadata.tree"; anything else is not found.
        newest: See `SleepQuery`.
        headers: Further ones of the answer.

    Raises:
        Problem: There is no such file, or none of the ranges lies in it.
    """
    if name not in sleep_files.NAMES:
        raise Problem("no_such_file", f"{shown(name)} is no SLEEP file that is given out.")
    async with archive.opened() as opened:
        if newest:
            view = await sleep_files.newest_bits(opened)
        else:
            view = await sleep_files.look(opened, name)
        if view is None:
            raise Problem("no_such_file", f"{name} is not known here yet.")
        return await _send(request, opened, view, {**SAFE_HEADERS, **(headers or {})})


async def _send(
    request: web.Request, opened: OpenArchive, view: SleepView, headers: dict[str, str]
) -> web.StreamResponse:
    headers |= {
        "Accept-Ranges": "bytes",
        "Cache-Control": "no-cache",
        "Content-Type": "application/octet-stream",
    }
    if view.tag is not None:
        headers["ETag"] = view.tag
    if _unchanged(request, view):
        return web.Response(status=304, headers=headers)
    try:
        ranges = parse_ranges(_range_header(request, view), view.size)
    except RangeNotSatisfiable:
        raise Problem(
            "bad_range",
            f"The file has {view.size} bytes; no range asked for lies within.",
            headers={"Content-Range": f"bytes */{view.size}"},
        ) from None
    # Several ranges get the whole file, which is a legal answer.
    part = ranges[0] if len(ranges) == 1 else ByteRange(0, view.size)
    response = web.StreamResponse(status=206 if len(ranges) == 1 else 200, headers=headers)
    response.content_length = part.length
    if len(ranges) == 1:
        response.headers["Content-Range"] = part.content_range(view.size)
    # What cannot be read is told before the first byte goes out.
    piece = await _read(opened, view, part.start, part.stop) if request.method != "HEAD" else b""
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    at = part.start
    while piece:
        await write(request, response, piece, stalled=STALLED_SECONDS)
        at += len(piece)
        try:
            piece = await _read(opened, view, at, part.stop)
        except DatdError:
            # The headers are out: only a broken connection tells that this is not all.
            if request.transport is not None:
                request.transport.abort()
            raise
    await response.write_eof()
    return response


async def _read(opened: OpenArchive, view: SleepView, at: int, stop: int) -> bytes:
    size = min(_PIECE, stop - at)
    return await opened.run(partial(view.read, at, size)) if size > 0 else b""


def _unchanged(request: web.Request, view: SleepView) -> bool:
    asked = request.if_none_match
    if not asked or view.tag is None:
        return False
    return any(one.value in ("*", view.tag.strip('"')) for one in asked)


def _range_header(request: web.Request, view: SleepView) -> str | None:
    condition = request.headers.get("If-Range")
    if condition is not None and condition.strip() != view.tag:
        return None
    return request.headers.get("Range")
