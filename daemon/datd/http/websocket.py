"""`/archives/{key}/replicate`: the ordinary wire protocol over a WebSocket.

For browsers and for hosts that let only HTTPS out. To the library it is one more caller, with the
limits of callers (L-18); who knows an archive's key may read it, as at the peer port.

Source: transports.md section 7.
"""

import asyncio
from collections.abc import Callable
from ipaddress import ip_address

from aiohttp import web

from datd.hosting.archive import HostedArchive
from datd.hosting.web.socket import CLOSE_SECONDS, MAX_MESSAGE, WebSocketStream
from datd.http.operation import ARCHIVE, Operation
from datd.http.problems import Problem
from datd.transport.base import Stream
from datd.types import Address

# Proxies end connections on which nothing goes for a minute; the wire's own keep-alive is faster,
# but pings show a broken way to both sides.
_HEARTBEAT = 30.0

Call = Callable[[Stream], None]


class ReplicationRoutes:
    """The handler of the WebSocket."""

    def __init__(self, call: Call, find: Callable[[web.Request], HostedArchive]) -> None:
        """Answer.

        Args:
            call: Takes a stream from somebody who calls.
            find: The archive that a request is about.
        """
        self._call = call
        self._find = find

    def operations(self) -> list[Operation]:
        """What can be asked."""
        return [
            Operation(
                "GET",
                f"{ARCHIVE}/replicate",
                self.get,
                name="replicate_archive",
                summary="A WebSocket that speaks the replication protocol of Dat",
                scope="read",
                tag="Network",
                answers={101: None},
                errors=("unknown_archive", "bad_request"),
                description="Binary messages whose borders mean nothing; no compression, no "
                "subprotocol. Either side may speak first.",
            )
        ]

    async def get(self, request: web.Request) -> web.StreamResponse:
        """`GET /archives/{key}/replicate`."""
        self._find(request)
        return await replicate(request, self._call)


def refuse_other_sites(request: web.Request) -> None:
    """Let no page of another site replicate through its visitor's own gateway.

    Browsers let any page open any WebSocket: it would learn what is hosted here, and read archives
    that are announced nowhere (T-41, T-46). On a domain, a gateway is there for other sites, too.

    Raises:
        Problem: Such a page asks.
    """
    host = request.url.host or ""
    if host != "localhost" and not host.endswith(".localhost") and not _is_loopback(host):
        return
    own = f"{request.scheme}://{request.host}"
    if any(origin != own for origin in request.headers.getall("Origin", [])):
        raise Problem("forbidden", "Pages of other sites cannot replicate through this gateway.")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


async def replicate(request: web.Request, call: Call) -> web.StreamResponse:
    """Take a WebSocket as a call from a peer; ends with it.

    Args:
        request: The request to upgrade.
        call: Takes the stream.

    Raises:
        Problem: The request is not for a WebSocket.
    """
    socket = web.WebSocketResponse(
        compress=False, max_msg_size=MAX_MESSAGE, heartbeat=_HEARTBEAT, timeout=CLOSE_SECONDS
    )
    if not socket.can_prepare(request).ok:
        raise Problem("bad_request", "This address speaks WebSocket: ask it to upgrade.")
    await socket.prepare(request)
    secure = request.secure or request.headers.get("X-Forwarded-Proto") == "https"
    stream = WebSocketStream(socket, "wss" if secure else "ws", _caller(request))
    call(stream)
    try:
        await stream.closed.wait()
    finally:
        stream.abort()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await socket.close()
        except (TimeoutError, ConnectionError):
            pass
    return socket


def _caller(request: web.Request) -> Address:
    found = request.transport.get_extra_info("peername") if request.transport else None
    # A Unix socket has no address: whoever may use it is on this host.
    return Address(found[0], found[1]) if isinstance(found, tuple) else Address("127.0.0.1", 0)
