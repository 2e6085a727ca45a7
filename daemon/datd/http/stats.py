"""What the daemon tells about itself: version, numbers, liveness."""

import time
from collections.abc import Callable

from aiohttp import web

from datctl.models import ApiInfo, PeerPage
from datd import __version__
from datd.hosting.library import Library
from datd.hosting.views import PeerView
from datd.http import shapes
from datd.http.inputs import Query, read_query
from datd.http.paging import DEFAULT_PAGE, Limit, decode_cursor, encode_cursor, page_of
from datd.http.problems import SAFE_HEADERS, Problem


class NoQuery(Query):
    """A route without parameters."""


class PeersQuery(Query):
    """Parameters of the routes that list peers."""

    state: str | None = None
    limit: Limit = DEFAULT_PAGE
    cursor: str | None = None


class StatsRoutes:
    """Handlers of the routes that concern no single archive."""

    def __init__(self, library: Library, is_ready: Callable[[], bool]) -> None:
        self._library = library
        self._is_ready = is_ready

    async def info(self, request: web.Request) -> web.Response:
        """`GET /`."""
        read_query(request, NoQuery)
        return shapes.json_response(ApiInfo(name="datd", version=__version__, api="v1"))

    async def stats(self, request: web.Request) -> web.Response:
        """`GET /stats`."""
        read_query(request, NoQuery)
        return shapes.json_response(shapes.daemon(await self._library.view(), time.time()))

    async def peers(self, request: web.Request) -> web.Response:
        """`GET /peers`."""
        query = read_query(request, PeersQuery)
        return shapes.json_response(peer_page(self._library.peers(), query))

    async def alive(self, request: web.Request) -> web.Response:
        """`GET /healthz`: the loop turns."""
        return web.json_response({"status": "alive"}, headers=SAFE_HEADERS)

    async def ready(self, request: web.Request) -> web.Response:
        """`GET /readyz`: archives are loaded and peers can come."""
        if not self._is_ready():
            raise Problem(
                "busy", "The daemon is starting or ending; ask again.", headers={"Retry-After": "1"}
            )
        return web.json_response({"status": "ready"}, headers=SAFE_HEADERS)


def peer_page(peers: list[PeerView], query: PeersQuery) -> PeerPage:
    """One page of peers, by archive and address."""
    after = None
    if query.cursor is not None:
        after = tuple(decode_cursor(query.cursor, (str,), (str,), (str,)))
    wanted = [peer for peer in peers if query.state in (None, peer.state)]
    page, position = page_of(wanted, _position, after=after, limit=query.limit, descending=False)
    return PeerPage(
        peers=[shapes.peer(peer) for peer in page],
        next_cursor=encode_cursor(*position) if position else None,
    )


def _position(peer: PeerView) -> tuple[str, str, str]:
    return peer.archive, str(peer.address), peer.source
