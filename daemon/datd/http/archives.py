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
from datd.errors import KeyFormatError
from datd.hosting.archive import HostedArchive
from datd.hosting.changes import Changes
from datd.hosting.library import Library
from datd.hosting.views import ArchiveView
from datd.http import shapes
from datd.http.inputs import Query, read_address, read_body, read_query, shown
from datd.http.paging import DEFAULT_PAGE, Limit, decode_cursor, encode_cursor, page_of
from datd.http.problems import SAFE_HEADERS, Problem
from datd.http.stats import NoQuery, PeersQuery, peer_page
from datd.keys import Link
from datd.naming.lookup import SystemLookup
from datd.naming.names import host_name
from datd.naming.resolver import Names, Resolved

# Ten thousand views take a while; after so many of them others have their turn.
_VIEWS_AT_ONCE = 200
# `ARCHIVE` may be the beginning of a key; a name of that form would be read as one.
_KEY_BEGINNING = 6


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


class ArchiveRoutes:
    """Handlers of `/archives` and below, but for the files."""

    def __init__(self, library: Library, names: Names | None = None) -> None:
        self._library = library
        self._names = names
        self._lookup = SystemLookup()

    def find(self, request: web.Request) -> HostedArchive:
        """The archive that the path names by key, link, name or beginning of a key.

        Raises:
            UnknownArchive: It is not hosted.
        """
        return self._library.find(request.match_info["key"])

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
        return shapes.json_response(
            ArchivePage(
                archives=[shapes.archive(view) for view in page],
                next_cursor=encode_cursor(query.sort, *position) if position else None,
            )
        )

    async def add(self, request: web.Request) -> web.Response:
        """`POST /archives`: 201, or 200 if it is hosted already and nothing else is asked."""
        read_query(request, NoQuery)
        asked = await read_body(request, NewArchive)
        _check_name(asked.name)
        self._check_networks(asked.networks)
        domain = _domain(asked.domain)
        resolved = await self._resolve(asked.link)
        link = resolved.link
        if asked.version and link.version and asked.version != link.version:
            raise Problem(
                "bad_request",
                f"The link names version {link.version} and `version` says {asked.version}; "
                "give one of them.",
            )
        archive, new = await self._library.add(
            link.key,
            name=asked.name,
            tags=asked.tags,
            mode=asked.mode,
            version=asked.version or link.version,
            paused=asked.paused,
            peers=[await read_address(peer, self._lookup) for peer in asked.peers],
            networks=asked.networks,
            shortname=resolved.name,
            domain=domain,
        )
        response = await self._answer(archive, 201 if new else 200, stale=resolved.stale)
        response.headers["Location"] = f"/api/v1/archives/{archive.key.hex}"
        return response

    async def show(self, request: web.Request) -> web.Response:
        """`GET /archives/{key}`."""
        read_query(request, NoQuery)
        return await self._answer(self.find(request))

    async def change(self, request: web.Request) -> web.Response:
        """`PATCH /archives/{key}`."""
        read_query(request, NoQuery)
        asked = await read_body(request, ArchiveChanges)
        archive = self.find(request)
        fields: dict[str, Any] = {}
        if "networks" in asked.model_fields_set:
            self._check_networks(asked.networks)
            fields["networks"] = asked.networks and sorted(set(asked.networks))
        if "domain" in asked.model_fields_set:
            fields["domain"] = _domain(asked.domain)
        if fields:
            await self._library.change(archive, Changes(fields))
        return await self._answer(archive)

    async def remove(self, request: web.Request) -> web.Response:
        """`DELETE /archives/{key}`."""
        query = read_query(request, RemoveQuery)
        await read_body(request, NoFields)
        await self._library.remove(self.find(request), keep_data=query.keep_data)
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

    def _check_networks(self, asked: Iterable[str] | None) -> None:
        here = self._library.networks
        for number, name in enumerate(asked or ()):
            if name not in here:
                raise Problem(
                    "bad_request",
                    f"{shown(name)} is no discovery network of this daemon; there are: "
                    f"{', '.join(here) or 'none'}.",
                    fields=[(f"/networks/{number}", "there is no such network")],
                )

    async def _resolve(self, text: str) -> Resolved:
        try:
            if self._names is not None:
                return await self._names.resolve(text)
            return Resolved(Link.parse(text))
        except KeyFormatError as error:
            raise Problem("bad_link", f"{error}.", fields=[("/link", str(error))]) from error

    async def _verb(self, request: web.Request) -> HostedArchive:
        read_query(request, NoQuery)
        await read_body(request, NoFields)
        return self.find(request)

    async def _answer(
        self, archive: HostedArchive, status: int = 200, *, stale: bool = False
    ) -> web.Response:
        return shapes.json_response(shapes.archive(await archive.view(), stale=stale), status)


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


def _domain(text: str | None) -> str | None:
    """A domain as requests will name it.

    Raises:
        Problem: It is none.
    """
    if text is None:
        return None
    domain = host_name(text)
    if domain is None:
        raise Problem(
            "bad_request",
            f"{shown(text)} is no domain: expected a name such as dat.example.org.",
            fields=[("/domain", "is no domain")],
        )
    return domain


def _check_name(name: str | None) -> None:
    looks_like_key = (
        name is not None
        and len(name) >= _KEY_BEGINNING
        and all(digit in "0123456789abcdefABCDEF" for digit in name)
    )
    odd = name is not None and (name != name.strip() or ":" in name or name in {".", ".."})
    if looks_like_key or odd:
        raise Problem(
            "bad_request",
            f"{shown(name or '')} cannot be a name: it could be taken for a link, a path or the "
            "beginning of a key, or has space around it.",
            fields=[("/name", "choose another name")],
        )
