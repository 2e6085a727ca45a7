"""What the daemon tells about itself: version, numbers, liveness."""

import time
from collections.abc import Callable

from aiohttp import web

from datctl.models import ApiInfo, DaemonStats, Health, PeerPage
from datd import __version__
from datd.hosting.library import Library
from datd.hosting.views import PeerView
from datd.http import shapes
from datd.http.inputs import Query, read_query
from datd.http.operation import PREFIX, Operation
from datd.http.paging import DEFAULT_PAGE, Limit, decode_cursor, encode_cursor, page_of
from datd.http.problems import Problem


class NoQuery(Query):
    """A route without parameters."""


class PeersQuery(Query):
    """Parameters of the routes that list peers.

    Attributes:
        state: Only those in this state, as in `Peer`.
        limit: Peers on a page.
        cursor: The `next_cursor` of the page before.
    """

    state: str | None = None
    limit: Limit = DEFAULT_PAGE
    cursor: str | None = None


class StatsRoutes:
    """Handlers of the routes that concern no single archive."""

    def __init__(self, library: Library, is_ready: Callable[[], bool]) -> None:
        self._library = library
        self._is_ready = is_ready

    def operations(self) -> list[Operation]:
        """What can be asked of the daemon as a whole."""
        return [
            Operation(
                "GET",
                "/healthz",
                self.alive,
                name="get_health",
                summary="Whether the daemon lives",
                scope="public",
                tag="Daemon",
                answers={200: Health},
            ),
            Operation(
                "GET",
                "/readyz",
                self.ready,
                name="get_readiness",
                summary="Whether archives are loaded and peers can come",
                scope="public",
                tag="Daemon",
                answers={200: Health},
                errors=("busy",),
            ),
            *(
                Operation(
                    "GET",
                    path,
                    self.info,
                    name=name,
                    summary="What this is",
                    scope="read",
                    tag="Daemon",
                    answers={200: ApiInfo},
                    selective=True,
                )
                for path, name in ((PREFIX, "get_info"), (f"{PREFIX}/", "get_info_of_folder"))
            ),
            Operation(
                "GET",
                f"{PREFIX}/stats",
                self.stats,
                name="get_stats",
                summary="The whole daemon in numbers",
                scope="read",
                tag="Daemon",
                answers={200: DaemonStats},
            ),
            Operation(
                "GET",
                f"{PREFIX}/peers",
                self.peers,
                name="list_peers",
                summary="Peers of all archives, by archive and address",
                scope="read",
                tag="Daemon",
                query=PeersQuery,
                answers={200: PeerPage},
            ),
        ]

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
        return shapes.json_response(Health(status="alive"))

    async def ready(self, request: web.Request) -> web.Response:
        """`GET /readyz`: archives are loaded and peers can come."""
        if not self._is_ready():
            raise Problem(
                "busy", "The daemon is starting or ending; ask again.", headers={"Retry-After": "1"}
            )
        return shapes.json_response(Health(status="ready"))


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
