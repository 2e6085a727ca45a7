"""Routes of one archive: what it is, how it is hosted, its peers and numbers."""

import asyncio

from aiohttp import web

from datctl.models import (
    Archive,
    ArchiveChanges,
    ArchiveStats,
    ChosenFields,
    NoFields,
    PeerAddress,
    PeerPage,
)
from datd.errors import UnknownArchive
from datd.hosting.archive import HostedArchive
from datd.hosting.library import Library
from datd.http import shapes
from datd.http.access import access_of
from datd.http.archive_lists import Fields, chosen
from datd.http.inputs import Query, read_address, read_body, read_query
from datd.http.operation import ARCHIVE, Operation
from datd.http.problems import SAFE_HEADERS, Problem
from datd.http.settings import SettingsReader
from datd.http.stats import NoQuery, PeersQuery, peer_page
from datd.http.tags import not_modified, require_match
from datd.http.version_names import split_link
from datd.naming.lookup import SystemLookup

_DISK = ("damaged", "disk_full", "read_only")
_IF_MATCH = {"If-Match": "An ETag: 412 if the archive's settings are not those of that answer."}
_ETAG = {"ETag": "Of the answer; send it as `If-Match` when you change what you saw."}


class OneQuery(Query):
    """Parameters of `GET /archives/{key}`.

    Attributes:
        fields: Only these fields, with commas between them; `key` is always there.
    """

    fields: Fields | None = None


class RemoveQuery(Query):
    """Parameters of `DELETE /archives/{key}`.

    Attributes:
        keep_data: Leave its files where they are.
        force: Also if it is ours.
        delete_key: Of an archive of ours, delete the secret key, too.
    """

    keep_data: bool = False
    force: bool = False
    delete_key: bool = False


class OneArchiveRoutes:
    """Handlers of `/archives/{key}` and what is told of one archive, but for the files."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._lookup = SystemLookup()
        self._reader = SettingsReader(library)
        # What is changed depends on what is there (tags of versions, If-Match): one at a time.
        self._changing = asyncio.Lock()

    def operations(self) -> list[Operation]:
        """What can be asked of one archive."""
        return [
            Operation(
                "GET",
                ARCHIVE,
                self.show,
                name="get_archive",
                summary="One archive",
                scope="read",
                tag="Archives",
                query=OneQuery,
                headers={"If-None-Match": "An ETag: 304 if nothing of the answer has changed."},
                answers={200: (Archive, ChosenFields), 304: None},
                sends=_ETAG,
                errors=("unknown_archive",),
            ),
            Operation(
                "PATCH",
                ARCHIVE,
                self.change,
                name="change_archive",
                summary="Change how an archive is hosted",
                scope="control",
                tag="Archives",
                headers=_IF_MATCH,
                bodies=(ArchiveChanges,),
                examples={
                    "A name and a tag": {"name": "my-data", "tags": ["mine"]},
                    "A name for a version": {"version_tags": {"first": 1}},
                },
                answers={200: Archive},
                sends=_ETAG,
                errors=("unknown_archive", "exists", "conflict", "precondition", *_DISK),
                description="What is not named stays as it is.",
            ),
            Operation(
                "DELETE",
                ARCHIVE,
                self.remove,
                name="remove_archive",
                summary="Stop hosting an archive, and delete its files unless they are to be kept",
                scope="control",
                tag="Archives",
                query=RemoveQuery,
                headers=_IF_MATCH,
                bodies=(NoFields,),
                answers={204: None},
                errors=("unknown_archive", "conflict", "precondition", *_DISK),
            ),
            *(
                Operation(
                    "POST",
                    f"{ARCHIVE}/{verb}",
                    handler,
                    name=f"{verb}_archive",
                    summary=summary,
                    scope="control",
                    tag="Archives",
                    bodies=(NoFields,),
                    answers={200: Archive},
                    errors=("unknown_archive", *_DISK),
                )
                for verb, handler, summary in (
                    ("pause", self.pause, "Neither fetch nor serve an archive"),
                    ("resume", self.resume, "Fetch and serve it again"),
                )
            ),
            Operation(
                "GET",
                f"{ARCHIVE}/stats",
                self.stats,
                name="get_archive_stats",
                summary="The numbers of an archive that move",
                scope="read",
                tag="Archives",
                answers={200: ArchiveStats},
                errors=("unknown_archive",),
            ),
            Operation(
                "GET",
                f"{ARCHIVE}/peers",
                self.peers,
                name="list_archive_peers",
                summary="Peers of an archive, the dropped ones and why included",
                scope="read",
                tag="Archives",
                query=PeersQuery,
                answers={200: PeerPage},
                errors=("unknown_archive",),
            ),
            Operation(
                "POST",
                f"{ARCHIVE}/peers",
                self.add_peer,
                name="add_archive_peer",
                summary="Try a source now",
                scope="control",
                tag="Archives",
                bodies=(PeerAddress,),
                examples={"An address": {"address": "127.0.0.1:3282"}},
                answers={200: Archive},
                errors=("unknown_archive", "forbidden", *_DISK),
                description=(
                    "Addresses of the daemon's own host and network are for the scope `admin`."
                ),
            ),
        ]

    def find(self, request: web.Request) -> HostedArchive:
        """The archive that the path names by key, link, name or beginning of a key.

        Raises:
            UnknownArchive: It is not hosted.
        """
        reference = request.match_info["key"]
        try:
            return self._library.find(reference)
        except UnknownArchive:
            bare, version = split_link(reference)
            if version is None:
                raise
            return self._library.find(bare)

    async def show(self, request: web.Request) -> web.Response:
        """`GET /archives/{key}`."""
        query = read_query(request, OneQuery)
        archive = self.find(request)
        if query.fields is None:
            response = await self._answer(archive)
        else:
            job = self._library.workshop.jobs.of(archive.key)
            whole = shapes.archive(await archive.view(), job=None if job is None else job.id)
            response = shapes.tagged_response(chosen(whole, query.fields), archive)
        if not_modified(request, response.headers["ETag"]):
            return web.Response(
                status=304, headers=SAFE_HEADERS | {"ETag": response.headers["ETag"]}
            )
        return response

    async def change(self, request: web.Request) -> web.Response:
        """`PATCH /archives/{key}`."""
        read_query(request, NoQuery)
        asked = await read_body(request, ArchiveChanges)
        archive = self.find(request)
        async with self._changing:
            require_match(request, archive.record)
            await self._change(archive, asked)
        return await self._answer(archive)

    async def _change(self, archive: HostedArchive, asked: ArchiveChanges) -> None:
        newest = (await archive.view()).version
        drops = asked.prune or (asked.mode == "latest" and archive.record.mode != "latest")
        if drops and archive.record.writable and not asked.force:
            raise Problem(
                "conflict",
                "This archive is ours: what that drops may exist nowhere else. "
                "Say `force` if it is meant.",
            )
        changes = self._reader.changes(archive, asked, newest)
        if changes.fields:
            await self._library.change(archive, changes, prune=asked.prune)

    async def remove(self, request: web.Request) -> web.Response:
        """`DELETE /archives/{key}`."""
        query = read_query(request, RemoveQuery)
        await read_body(request, NoFields)
        archive = self.find(request)
        if archive.record.writable and not query.force:
            raise Problem(
                "conflict",
                "This archive is ours: once it is removed here, it may exist nowhere else. "
                "Say force=true if that is meant; its secret key stays unless delete_key=true.",
            )
        if query.delete_key and not query.force:
            raise Problem("bad_request", "delete_key goes with force=true only.")
        async with self._changing:
            require_match(request, archive.record)
            await self._library.remove(
                archive, keep_data=query.keep_data, delete_key=query.delete_key
            )
        return web.Response(status=204, headers=SAFE_HEADERS)

    async def pause(self, request: web.Request) -> web.Response:
        """`POST /archives/{key}/pause`."""
        archive = await self._verb(request)
        await archive.pause()
        return await self._answer(archive)

    async def resume(self, request: web.Request) -> web.Response:
        """`POST /archives/{key}/resume`."""
        archive = await self._verb(request)
        await archive.resume()
        return await self._answer(archive)

    async def stats(self, request: web.Request) -> web.Response:
        """`GET /archives/{key}/stats`."""
        read_query(request, NoQuery)
        return shapes.json_response(shapes.archive_stats(await self.find(request).view()))

    async def peers(self, request: web.Request) -> web.Response:
        """`GET /archives/{key}/peers`."""
        query = read_query(request, PeersQuery)
        return shapes.json_response(peer_page(self.find(request).peers(), query))

    async def add_peer(self, request: web.Request) -> web.Response:
        """`POST /archives/{key}/peers`: try this source now."""
        read_query(request, NoQuery)
        archive = self.find(request)
        asked = await read_body(request, PeerAddress)
        address = await read_address(asked.address, self._lookup, access_of(request))
        await archive.add_peer(address)
        return await self._answer(archive)

    async def _verb(self, request: web.Request) -> HostedArchive:
        read_query(request, NoQuery)
        await read_body(request, NoFields)
        return self.find(request)

    async def _answer(self, archive: HostedArchive) -> web.Response:
        return await shapes.archive_response(self._library, archive)
