"""`PUT` and `DELETE /archives/{key}/files/…`: files and folders of archives of our own."""

import asyncio
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from datctl.models_writing import Written
from datd.archive.entries import Stat
from datd.hosting.archive import HostedArchive
from datd.hosting.library import Library
from datd.hosting.own.publishing import Check, Put
from datd.hosting.views import EntryView
from datd.http import shapes
from datd.http.file_answer import etag_of
from datd.http.files import entry_path
from datd.http.inputs import Query, read_query, shown
from datd.http.operation import ARCHIVE, Operation
from datd.http.problems import SAFE_HEADERS, Problem
from datd.http.stats import NoQuery
from datd.http.version_names import asked_version

# A sender that is silent for so long has gone; what it sent is forgotten.
STALLED_SECONDS = 60.0
_PIECE = 256 * 1024


class RemoveFileQuery(Query):
    """Parameters of `DELETE /archives/{key}/files/{path}`."""

    recursive: bool = False


class WritingRoutes:
    """Handlers of the routes that change files."""

    def __init__(self, library: Library, find: Callable[[web.Request], HostedArchive]) -> None:
        self._publisher = library.publisher
        self._find = find

    def operations(self) -> list[Operation]:
        """What can be asked to be changed."""
        path = f"{ARCHIVE}/files/{{path}}"
        conditions = {
            "If-Match": "An ETag: 412 unless the file still has it.",
            "If-None-Match": "`*`: 412 if anything is there already.",
        }
        errors = ("unknown_archive", "forbidden", "behind", "conflict", "precondition", "busy")
        disk = ("damaged", "disk_full", "read_only")
        return [
            Operation(
                "PUT",
                path,
                self.put,
                name="put_file",
                summary="Write a file of an archive of ours; a path that ends in `/` is a folder",
                scope="control",
                tag="Files",
                headers=conditions,
                takes="application/octet-stream",
                answers={200: Written, 201: Written},
                sends={"ETag": "Of the file as it is now."},
                errors=(*errors, "exists", "media_type", *disk),
                slashes=True,
            ),
            Operation(
                "DELETE",
                path,
                self.delete,
                name="remove_file",
                summary="Remove a file or folder of an archive of ours",
                scope="control",
                tag="Files",
                query=RemoveFileQuery,
                headers=conditions,
                answers={204: None},
                errors=(*errors, "no_such_file", *disk),
                slashes=True,
            ),
        ]

    async def put(self, request: web.Request) -> web.Response:
        """`PUT /archives/{key}/files/{path}`: 201 for what is new, 200 in place of something."""
        read_query(request, NoQuery)
        archive, path = self._find(request), entry_path(request)
        _check_headers(request)
        _require_newest(request, archive)
        check = _conditions(request, archive)
        if request.rel_url.raw_path.endswith("/"):
            put = await self._mkdir(request, archive, path, check)
        else:
            put = await self._publisher.put(archive, path, _body(request), check=check)
        entry = shapes.entry(_view(put))
        response = shapes.json_response(
            Written(**entry.model_dump(), version=put.version), 201 if put.new else 200
        )
        if put.stat.is_file:
            response.headers["ETag"] = etag_of(archive, put.stat)
        return response

    async def delete(self, request: web.Request) -> web.Response:
        """`DELETE /archives/{key}/files/{path}`."""
        query = read_query(request, RemoveFileQuery)
        archive, path = self._find(request), entry_path(request)
        _require_newest(request, archive)
        check = _conditions(request, archive)
        async with self._publisher.writing(archive) as desk:
            await desk.remove(path, recursive=query.recursive, check=check)
        return web.Response(status=204, headers=SAFE_HEADERS)

    async def _mkdir(
        self, request: web.Request, archive: HostedArchive, path: str, check: Check
    ) -> Put:
        async for _ in _body(request):
            raise Problem("bad_request", "A path that ends in / means a folder: it has no bytes.")

        def free(old: Stat | None) -> None:
            check(old)
            if old is not None:
                raise Problem("exists", f"{shown(path)} exists already.")

        async with self._publisher.writing(archive) as desk:
            return await desk.mkdir(path, check=free)


def _require_newest(request: web.Request, archive: HostedArchive) -> None:
    version = asked_version(request, archive, None)
    if version is not None and version.lower() != "latest":
        raise Problem(
            "bad_request",
            f"The link names version {shown(version)}, and a version never changes: leave it out.",
        )


def _check_headers(request: web.Request) -> None:
    if "Content-Range" in request.headers:
        raise Problem("bad_request", "Files are written whole: send no Content-Range.")
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise Problem("media_type", "Send the bytes of the file as they are: no Content-Encoding.")


async def _body(request: web.Request) -> AsyncIterator[bytes]:
    while True:
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                piece = await request.content.read(_PIECE)
        except TimeoutError:
            raise Problem(
                "timeout", f"Nothing more of the body came in {STALLED_SECONDS:.0f} seconds."
            ) from None
        if not piece:
            return
        yield piece


def _conditions(request: web.Request, archive: HostedArchive) -> Check:
    """RFC 9110, 13.1: what has to be true of what is there."""
    required, unwanted = request.if_match, request.if_none_match
    if "If-None-Match" in request.headers and not unwanted:
        # To take it for nothing could overwrite what it was to keep.
        raise Problem("bad_request", 'If-None-Match holds no ETag: expected "…" in quotes, or *.')

    def check(old: Stat | None) -> None:
        tag = etag_of(archive, old) if old is not None and old.is_file else None
        if required is not None and not any(
            (one.value == "*" and old is not None) or (not one.is_weak and f'"{one.value}"' == tag)
            for one in required
        ):
            raise Problem("precondition", "The file has changed: its ETag is another one now.")
        if any(
            (one.value == "*" and old is not None) or f'"{one.value}"' == tag
            for one in unwanted or ()
        ):
            raise Problem("precondition", "There is something at this path already.")

    return check


def _view(put: Put) -> EntryView:
    stat = put.stat
    return EntryView(
        path=put.path,
        kind="directory" if stat.is_directory else "file",
        size=stat.size,
        mode=stat.mode,
        mtime=stat.mtime / 1000,
        blocks=stat.blocks,
        available=stat.blocks,
    )
