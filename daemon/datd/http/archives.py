"""Routes of the archives: which are hosted, host another, stop, pause, their peers and numbers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Annotated, Any, Literal, NamedTuple

from aiohttp import web
from pydantic import Field

from datctl.models import (
    ArchiveChanges,
    ArchivePage,
    NewArchive,
    NoFields,
    PeerAddress,
    State,
)
from datctl.models_writing import NewEmpty, NewFolder
from datd.errors import KeyFormatError, UnknownArchive, VersionNotFound
from datd.hosting.archive import HostedArchive
from datd.hosting.library import Library
from datd.hosting.views import ArchiveView
from datd.http import shapes
from datd.http.inputs import Query, read_address, read_body, read_one_of, read_query
from datd.http.own_archives import OwnRoutes
from datd.http.paging import DEFAULT_PAGE, Limit, decode_cursor, encode_cursor, page_of
from datd.http.problems import SAFE_HEADERS, Problem
from datd.http.settings import SettingsReader
from datd.http.stats import NoQuery, PeersQuery, peer_page
from datd.http.version_names import split_link, version_of
from datd.keys import Key, Link, parse_version
from datd.naming.lookup import SystemLookup
from datd.naming.resolver import Names, Resolved

# Ten thousand views take a while; after so many of them others have their turn.
_VIEWS_AT_ONCE = 200


class _Order(NamedTuple):
    """One way to sort: the value of an archive, and what JSON makes of it in a cursor."""

    value: Callable[[ArchiveView], Any]
    types: tuple[type, ...]


_ORDERS = {
    "added": _Order(lambda view: view.added_at, (int, float)),
    "name": _Order(lambda view: (view.name or view.title).casefold(), (str,)),
    "size": _Order(lambda view: view.size, (int,)),
    "progress": _Order(lambda view: view.progress, (int, float)),
    "peers": _Order(lambda view: view.peers_connected, (int,)),
    "updated": _Order(lambda view: view.updated_at or 0.0, (int, float)),
}
Sort = Literal[
    "added", "name", "size", "progress", "peers", "updated",
    "-added", "-name", "-size", "-progress", "-peers", "-updated",
]  # fmt: skip


class ArchivesQuery(Query):
    """Parameters of `GET /archives`. `tag` may be given several times: all must be there."""

    state: State | None = None
    tag: Annotated[list[str], Field(default_factory=list)]
    q: Annotated[str, Field(max_length=200)] | None = None
    sort: Sort = "added"
    limit: Limit = DEFAULT_PAGE
    cursor: str | None = None


class RemoveQuery(Query):
    """Parameters of `DELETE /archives/{key}`."""

    keep_data: bool = False
    force: bool = False
    delete_key: bool = False


class ArchiveRoutes:
    """Handlers of `/archives` and below, but for the files."""

    def __init__(self, library: Library, own: OwnRoutes, names: Names | None = None) -> None:
        self._library = library
        self._names = names
        self._lookup = SystemLookup()
        self._reader = SettingsReader(library)
        self._own = own

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

    async def list(self, request: web.Request) -> web.Response:
        """`GET /archives`."""
        query = read_query(request, ArchivesQuery)
        order, descending = _ORDERS[query.sort.lstrip("-")], query.sort.startswith("-")
        after = None
        if query.cursor is not None:
            _, *after = decode_cursor(query.cursor, (str,), order.types, (str,))
        tagged = [a for a in self._library.archives() if set(query.tag) <= set(a.tags)]
        views = [view async for view in _views(tagged) if _matches(view, query)]
        page, position = page_of(
            views,
            lambda view: [order.value(view), view.key],
            after=after,
            limit=query.limit,
            descending=descending,
        )
        jobs = {key.hex: job.id for key, job in self._library.workshop.jobs.by_archive().items()}
        return shapes.json_response(
            ArchivePage(
                archives=[shapes.archive(view, job=jobs.get(view.key)) for view in page],
                next_cursor=encode_cursor(query.sort, *position) if position else None,
            )
        )

    async def add(self, request: web.Request) -> web.Response:
        """`POST /archives`: 201, or 200 if it is hosted already and nothing else is asked."""
        read_query(request, NoQuery)
        asked = await read_one_of(
            request, {"link": NewArchive, "folder": NewFolder, "new": NewEmpty}
        )
        stale, new = False, True
        if isinstance(asked, NewFolder):
            archive = await self._own.publish(asked)
        elif isinstance(asked, NewEmpty):
            archive = await self._own.create(asked)
        elif isinstance(asked, NewArchive):
            archive, new, stale = await self._add(asked)
        else:
            raise AssertionError(asked)
        status = 201 if new else 200
        response = await shapes.archive_response(self._library, archive, status, stale=stale)
        response.headers["Location"] = f"/api/v1/archives/{archive.key.hex}"
        return response

    async def _add(self, asked: NewArchive) -> tuple[HostedArchive, bool, bool]:
        settings = self._reader.settings(asked)
        bare, named = split_link(asked.link)
        resolved = await self._resolve(bare)
        link = resolved.link
        version = self._version(link.key, named)
        if asked.version and version and asked.version != version:
            raise Problem(
                "bad_request",
                f"The link names version {version} and `version` says {asked.version}; "
                "give one of them.",
            )
        archive, new = await self._library.add(
            link.key,
            version=asked.version or version,
            peers=await self._reader.peers(asked.peers),
            shortname=resolved.name,
            **settings,
        )
        return archive, new, resolved.stale

    async def show(self, request: web.Request) -> web.Response:
        """`GET /archives/{key}`."""
        read_query(request, NoQuery)
        return await self._answer(self.find(request))

    async def change(self, request: web.Request) -> web.Response:
        """`PATCH /archives/{key}`."""
        read_query(request, NoQuery)
        asked = await read_body(request, ArchiveChanges)
        archive = self.find(request)
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
        return await self._answer(archive)

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
        await self._library.remove(archive, keep_data=query.keep_data, delete_key=query.delete_key)
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
        await archive.add_peer(await read_address(asked.address, self._lookup))
        return await self._answer(archive)

    async def _resolve(self, text: str) -> Resolved:
        try:
            if self._names is not None:
                return await self._names.resolve(text)
            return Resolved(Link.parse(text))
        except KeyFormatError as error:
            raise Problem("bad_link", f"{error}.", fields=[("/link", str(error))]) from error

    def _version(self, key: Key, named: str | None) -> int | None:
        """What stands behind the + of a link. Tags are ours: only of what is hosted they say a lot.

        Raises:
            Problem: It is nothing that names a version, or none here.
        """
        if named is None or named.lower() == "latest":
            return None
        try:
            known = self._library.of_discovery_key(key.discovery_key.raw)
            if known is not None:
                return version_of(known.record, named)
            return parse_version(named, f"{key.link}+{named}")
        except (KeyFormatError, VersionNotFound) as error:
            raise Problem("bad_link", f"{error}.", fields=[("/link", str(error))]) from error

    async def _verb(self, request: web.Request) -> HostedArchive:
        read_query(request, NoQuery)
        await read_body(request, NoFields)
        return self.find(request)

    async def _answer(self, archive: HostedArchive) -> web.Response:
        return await shapes.archive_response(self._library, archive)


async def _views(archives: Iterable[HostedArchive]) -> AsyncIterator[ArchiveView]:
    for count, archive in enumerate(archives, 1):
        yield await archive.view()
        if count % _VIEWS_AT_ONCE == 0:
            await asyncio.sleep(0)


def _matches(view: ArchiveView, query: ArchivesQuery) -> bool:
    if query.state not in (None, view.state):
        return False
    if query.q is None:
        return True
    wanted = query.q.casefold()
    words = (view.name or "", view.title, view.description, *view.tags)
    return view.key.startswith(wanted) or any(wanted in word.casefold() for word in words)
