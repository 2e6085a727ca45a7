"""The route of events: a stream that goes on for ever, or pages for who would rather ask.

Source: the HTML standard, "Server-sent events".
"""

import asyncio
import json
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field

from datctl.models_events import EventPage, Kind
from datd.books.events import Event
from datd.hosting.library import Library
from datd.hosting.telling.event_kinds import Interest, Position, Told, named_kinds
from datd.hosting.telling.following import BATCH, Following
from datd.http.access import Access, access_of, find_visible
from datd.http.inputs import Query, read_query, shown
from datd.http.operation import PREFIX, Operation
from datd.http.paging import DEFAULT_PAGE, Limit
from datd.http.problems import SAFE_HEADERS, Problem
from datd.keys import Key

# L-22: each stream holds a connection for as long as its reader likes.
MAX_STREAMS = 32
# Proxies give up silent connections after a minute; and it is how we notice that somebody has gone.
KEEPALIVE_SECONDS = 15.0
# How soon a gone reader gives back its place among the streams.
_LOOK_SECONDS = 1.0
# What a browser waits before it connects again.
RETRY_MILLISECONDS = 2_000
# A place is free again when a reader goes, which may take any time.
_RETRY_AFTER = "10"


class EventsQuery(Query):
    """Parameters of `GET /events`."""

    since: str | None = Field(
        default=None,
        max_length=40,
        description="Id of an event: what came behind it is told first. `0`: all that is kept. "
        "Without it, and without `Last-Event-ID`: what comes from now on.",
    )
    archive: str | None = Field(default=None, description="Only events about this archive.")
    path: str | None = Field(
        default=None,
        max_length=4_096,
        description="Also the files of that archive that versions change, at or below this path. "
        "Of a sparse archive just what this takes is fetched.",
    )
    kind: list[str] = Field(
        default=[], max_length=64, description="Only these kinds, or as in `archive.*`."
    )
    tag: str | None = Field(default=None, description="Only events about archives with this tag.")
    format: Literal["sse", "json"] = Field(
        default="sse", description="`json`: one page, for programs that would rather ask again."
    )
    limit: Limit = Field(default=DEFAULT_PAGE, description="Of a page: at most so many events.")
    wait: Annotated[float, Field(ge=0, le=600)] = Field(
        default=0, description="Of a page that would be empty: wait up to so many seconds."
    )


class EventRoutes:
    """Handlers of `/events`."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._streams = 0

    def operations(self) -> list[Operation]:
        """What can be asked of events."""
        kinds = ", ".join(f"`{kind}`" for kind in Kind.__args__)  # type: ignore[attr-defined]
        return [
            Operation(
                "GET",
                f"{PREFIX}/events",
                self.get,
                name="follow_events",
                summary="What happens, as it happens; what was missed comes first",
                scope="read",
                tag="Events",
                query=EventsQuery,
                headers={
                    "Last-Event-ID": "As `since`, and before it: browsers send it when they "
                    "connect again."
                },
                answers={200: EventPage},
                gives="text/event-stream",
                errors=("unknown_archive", "busy"),
                description=(
                    "A stream of server-sent events. Each has an id, its kind as `event`, and as "
                    "`data` the JSON object that a page has. Who was away sends the last id as "
                    "`Last-Event-ID` (browsers do) or `since`, and misses nothing, restarts of the "
                    "daemon included; if too many have come since, `events.lost` says so. With "
                    f"`format=json`: one page.\n\nKinds: {kinds}."
                ),
                selective=True,
            ),
        ]

    async def get(self, request: web.Request) -> web.StreamResponse:
        """`GET /events`."""
        query = read_query(request, EventsQuery)
        access = access_of(request)
        interest = self._interest(query, access)
        # A browser that connects again asks for the same address, `since` included: what it has
        # heard since then stands in the header.
        given = request.headers.get("Last-Event-ID") or query.since
        since = None if given is None else _position(given)
        if query.format == "json":
            return await self._page(request, query, self._follow(interest, since, access))
        if request.method == "HEAD":
            return web.Response(headers=_STREAM_HEADERS)
        if self._streams >= MAX_STREAMS:
            raise Problem(
                "busy",
                f"All {MAX_STREAMS} event streams are taken: close one, or ask with format=json.",
                headers={"Retry-After": _RETRY_AFTER},
            )
        self._streams += 1
        try:
            return await self._stream(request, interest, since, access)
        finally:
            self._streams -= 1

    def _interest(self, query: EventsQuery, access: Access) -> Interest:
        archive = None
        if query.archive is not None:
            archive = find_visible(self._library.find, query.archive, access).key
        return interest_of(archive, query.path, query.kind, query.tag)

    def _follow(
        self,
        interest: Interest,
        since: Position | None,
        access: Access,
        transport: asyncio.WriteTransport | None = None,
    ) -> Following:
        def may_see(event: Event) -> bool:
            if not access.holds():
                return False
            if event.archive is None:
                return access.archives is None
            return access.may_see(Key(bytes.fromhex(event.archive)))

        def cut() -> None:
            if transport is not None:
                transport.abort()

        return self._library.herald.follow(interest, since, may_see=may_see, on_cut=cut)

    # ---- pages

    async def _page(
        self, request: web.Request, query: EventsQuery, following: Following
    ) -> web.Response:
        found: list[Told] = []
        deadline = asyncio.get_running_loop().time() + query.wait
        async with following.opened():
            while len(found) < query.limit and not following.ended:
                if following.behind:
                    found += await following.read(min(BATCH, query.limit - len(found)))
                    continue
                left = deadline - asyncio.get_running_loop().time()
                if found or left <= 0 or _is_gone(request):
                    break
                await following.wait(min(left, _LOOK_SECONDS))
        document = {
            "events": [told.document() for told in found],
            "next": str(following.position),
            "more": following.behind,
        }
        return web.Response(
            body=json.dumps(document).encode("ascii"),
            content_type="application/json",
            headers=SAFE_HEADERS,
        )

    # ---- streams

    async def _stream(
        self, request: web.Request, interest: Interest, since: Position | None, access: Access
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers=_STREAM_HEADERS)
        following = self._follow(interest, since, access, request.transport)
        async with following.opened():
            await response.prepare(request)
            # Whoever is cut off before the first event knows where to go on, too.
            await response.write(b"retry: %d\n%s" % (RETRY_MILLISECONDS, _place(following)))
            await self._send(request, response, following, access)
        return response

    async def _send(
        self,
        request: web.Request,
        response: web.StreamResponse,
        following: Following,
        access: Access,
    ) -> None:
        loop = asyncio.get_running_loop()
        told_at, told_of = loop.time(), following.position
        while not following.ended and not _is_gone(request):
            if not access.holds():
                return  # the token was revoked, or its time has passed
            text = b""
            if await following.wait(_LOOK_SECONDS):
                found = await following.read()
                text = b"".join(_text(told) for told in found)
                if found:
                    told_of = found[-1].position
            if not text and loop.time() >= told_at + KEEPALIVE_SECONDS:
                # What was passed over need not be looked at again after the next connection.
                text = b": still here\n\n" if told_of == following.position else _place(following)
                told_of = following.position
            if text:
                following.sending = True
                await response.write(text)
                following.sending = False
                told_at = loop.time()


_STREAM_HEADERS = {
    **SAFE_HEADERS,
    "Content-Type": "text/event-stream; charset=utf-8",
    # Proxies are to pass each event on at once.
    "X-Accel-Buffering": "no",
}


def interest_of(
    archive: Key | None, path: str | None, kinds: list[str], tag: str | None
) -> Interest:
    """What somebody wants to hear of.

    Raises:
        Problem: It makes no sense.
    """
    if path is not None and archive is None:
        raise Problem("bad_request", "Give the `archive` that `path` is in, too.")
    try:
        named = named_kinds(kinds)
    except ValueError as error:
        raise Problem(
            "bad_request",
            f"{shown(str(error))} is no kind of event: expected one such as archive.version, or "
            "archive.* for all of those.",
        ) from None
    return Interest(archive, path, named, tag)


def _position(text: str) -> Position:
    try:
        return Position.parse(text)
    except ValueError:
        raise Problem(
            "bad_request", f"{shown(text)} is no id of an event: expected a number."
        ) from None


def _place(following: Following) -> bytes:
    """An id without an event: browsers remember it, and tell nobody."""
    return b"id: %s\n\n" % str(following.position).encode()


def _text(told: Told) -> bytes:
    document = json.dumps(told.document())
    return f"id: {told.position}\nevent: {told.kind}\ndata: {document}\n\n".encode("ascii")


def _is_gone(request: web.Request) -> bool:
    transport = request.transport
    return transport is None or transport.is_closing()
