"""The sockets of an HTTP server, on TCP and on a Unix path, and what a connection may do to us."""

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from datd.accepting import Entrance, listen
from datd.errors import ConfigError
from datd.http.guard import MAX_HEADERS
from datd.http.problems import Problem, internal_error
from datd.shortage import Shortage

log = logging.getLogger(__name__)

# L-22. A browser opens six, a script one; a flood must not take all our descriptors.
MAX_CONNECTIONS = 256
# A quarter of it: no one host shuts the others out by keeping connections open.
MAX_CONNECTIONS_OF_ONE = 64
# L-22: from the first byte of a connection, or the end of the last answer, to a whole header.
HEADER_SECONDS = 10.0
# A connection that asks nothing is closed after this; clients open another one unasked.
IDLE_SECONDS = 75.0
# Who takes nothing of an answer for so long has gone: the system ends the connection, also one that
# we have closed, which would wait for ever for its last bytes to be taken.
STALLED_SECONDS = 300
# Requests under way get this long when the daemon ends (it has 10 s for everything).
SHUTDOWN_SECONDS = 2.0
BACKLOG = 128
SOCKET_MODE = 0o660


class Listener:
    """Serves an application on sockets, for as long as it is open."""

    def __init__(
        self, app: web.Application, name: str, section: str, shortage: Shortage | None = None
    ) -> None:
        """Not listening yet.

        Args:
            app: What answers.
            name: What it is to people: "the API".
            section: The settings that say where: "api".
            shortage: Is told when there is no descriptor for a connection.
        """
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        self._name = name
        self._section = section
        self._shortage = shortage or Shortage(time.monotonic)
        self._entrances: list[Entrance] = []
        self._socket_path: Path | None = None

    async def open(
        self, host: str, port: int, socket_path: Path | None = None, *, allow_public: bool = False
    ) -> int:
        """Listen; see `ApiServer.start`.

        Raises:
            ConfigError: Other hosts could reach the address, and nobody said that they may.
            OSError: Address or path cannot be used; the text says which, why, and what to do.
        """
        if not allow_public and not is_loopback(host):
            raise ConfigError(
                f"{self._section}.host: {host!r} can be reached from other hosts; use 127.0.0.1, "
                f"or set {self._section}.allow_public if that is meant"
            )
        await self._runner.setup()
        try:
            if socket_path is not None:
                await self._listen_unix(socket_path)
            return await self._listen_tcp(host, port)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop listening, let requests under way end, remove the socket's file."""
        for entrance in self._entrances:
            await entrance.close()
        self._entrances.clear()
        path, self._socket_path = self._socket_path, None
        try:
            if path is not None:
                path.unlink(missing_ok=True)
        finally:
            await self._runner.cleanup()

    async def _listen_tcp(self, host: str, port: int) -> int:
        try:
            sockets = await _bind_tcp(host, port)
        except OSError as error:
            advice = (
                f"choose another {self._section}.port"
                if error.errno == errno.EADDRINUSE
                else f"see {self._section}.host"
            )
            # What asyncio says of it repeats the address.
            number = error.errno or 0
            reason = os.strerror(number) if number > 0 else _reason(error)
            raise OSError(
                error.errno, f"{self._name} cannot listen on {host}:{port} ({reason}); {advice}"
            ) from error
        found = int(sockets[0].getsockname()[1])
        for sock in sockets:
            self._let_in(sock)
        return found

    async def _listen_unix(self, path: Path) -> None:
        try:
            _remove_stale(path)
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            listener = _bind_unix(path)
        except OSError as error:
            raise OSError(
                error.errno,
                f"{self._name} cannot listen on {path} ({_reason(error)}); "
                f"see {self._section}.socket",
            ) from error
        self._socket_path = path
        self._let_in(listener)

    def _let_in(self, listener: socket.socket) -> None:
        what = f"connections to {self._name} wait"
        self._entrances.append(Entrance(listener, self._protocol, self._shortage, what=what))

    def _protocol(self) -> asyncio.Protocol:
        return _Porter(self._choose)

    def _choose(self, network: str) -> asyncio.Protocol:
        """What talks to a new connection from a network (see `network_of`)."""
        server = self._runner.server
        if server is None or len(server.connections) >= MAX_CONNECTIONS:
            return _Turned(f"All {MAX_CONNECTIONS} connections are in use.")
        # A proxy of this host stands before many people.
        if network and _count(server, network) >= MAX_CONNECTIONS_OF_ONE:
            return _Turned(f"There are {MAX_CONNECTIONS_OF_ONE} connections from your network.")
        return _Connection(
            server,
            network=network,
            loop=asyncio.get_running_loop(),
            access_log=None,  # a path holds the link
            keepalive_timeout=IDLE_SECONDS,
            # A path of 4,096 bytes in percent encoding is three times as long.
            max_line_size=MAX_HEADERS,
            max_field_size=MAX_HEADERS,
        )


def is_loopback(host: str) -> bool:
    """Whether only this host can reach an address. Names other than localhost count as public."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def network_of(address: str) -> str:
    """Who an address is: IPv6 hosts own a /64. "" is this host."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""  # no network: a socket of this host
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    if parsed.is_loopback:
        return ""
    return str(parsed) if parsed.version == 4 else parsed.exploded[:19]


def _count(server: web.Server, network: str) -> int:
    """How many connections a network has."""
    open_ones = (one for one in server.connections if isinstance(one, _Connection))
    return sum(one.network == network for one in open_ones)


class _Porter(asyncio.Protocol):
    """A connection of which is not known yet who calls."""

    def __init__(self, choose: Callable[[str], asyncio.Protocol]) -> None:
        self._choose = choose

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        protocol = self._choose(network_of(peer[0] if isinstance(peer, tuple) else ""))
        transport.set_protocol(protocol)
        protocol.connection_made(transport)


class _Connection(web.RequestHandler):
    """One connection: a deadline for headers, and errors of the parser as problems."""

    _deadline: asyncio.TimerHandle | None = None

    def __init__(self, server: web.Server, *, network: str, **settings: Any) -> None:
        super().__init__(server, **settings)
        self.network = network

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._deadline = asyncio.get_running_loop().call_later(HEADER_SECONDS, self._too_slow)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self._request_count
        super().data_received(data)
        if self._request_count > before:
            self._stop_clock()
        elif self._deadline is None and self._waiter is not None and not self._messages:
            # It waits for a request: this is the beginning of one. (Whether one is under way
            # `_current_request` tells a turn of the loop too late, when its body may have come.)
            self._deadline = asyncio.get_running_loop().call_later(HEADER_SECONDS, self._too_slow)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What could not be parsed, as a problem. Nothing of it is logged: it may hold a token."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer had begun")
        if isinstance(exc, HttpProcessingError):
            problem = _unparsable(exc)
        else:
            log.error("a request failed outside of its handler", exc_info=exc)
            problem = internal_error()
        response = problem.response()
        response.force_close()
        return response

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if self.transport is not None:
            _write_raw(
                self.transport,
                Problem("timeout", f"No whole header came in {HEADER_SECONDS:.0f} seconds."),
            )
        self.force_close()


class _Turned(asyncio.Protocol):
    """A connection above a limit: told so, and closed."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do all that asyncio's do without deriving from them.
        _write_raw(cast(asyncio.WriteTransport, transport), Problem("busy", self._reason))
        transport.close()


def _write_raw(transport: asyncio.WriteTransport, problem: Problem) -> None:
    """An answer where there is no request to answer to."""
    body = problem.document()
    head = (
        f"HTTP/1.1 {problem.status} \r\nContent-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
    )
    transport.write(head.encode("ascii") + body)


def _unparsable(error: HttpProcessingError) -> Problem:
    if "'Host' header" in error.message:  # T-39: exactly one
        return Problem("wrong_host", "A request needs exactly one Host header.")
    if isinstance(error, LineTooLong) and bytes(error.args[0][:1]) == b"/":
        return Problem("uri_too_long", f"The address is longer than {MAX_HEADERS} bytes.")
    if isinstance(error, LineTooLong) or "Too many headers" in error.message:
        return Problem("headers", f"More or longer headers than the {MAX_HEADERS} bytes read.")
    return Problem("bad_request", "This is not a request in HTTP/1.1.")


def _remove_stale(path: Path) -> None:
    """Remove the socket of a daemon that died; never one that answers, nor another kind of file."""
    if not path.is_socket():
        if path.exists():
            raise OSError(errno.EEXIST, "a file that is no socket lies there")
        return
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except FileNotFoundError:
            pass
        else:
            raise OSError(errno.EADDRINUSE, "another daemon answers there")


def _bind_unix(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Narrow from the start: between bind and chmod nobody else may slip in.
        previous = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(previous)
        path.chmod(SOCKET_MODE)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


async def _bind_tcp(host: str, port: int) -> list[socket.socket]:
    """Listening sockets, one for each address that a host has."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    refusal: OSError | None = None
    try:
        for address in dict.fromkeys(address for *_, address in found):
            try:
                sockets.append(listen(address, BACKLOG))
                # What is accepted inherits it. A name that only Linux has.
                if hasattr(socket, "TCP_USER_TIMEOUT"):
                    sockets[-1].setsockopt(
                        socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_SECONDS * 1000
                    )
            except OSError as error:
                # A name like localhost often means both families on hosts that have one only.
                if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                    raise
                refusal = refusal or error
        if not sockets and refusal is not None:
            raise refusal
    except BaseException:
        for listener in sockets:
            listener.close()
        raise
    return sockets


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
