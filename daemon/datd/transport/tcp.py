"""TCP streams, on asyncio's protocols: no task for each connection, no copy kept when idle.

Source: transports.md section 2.
"""

import asyncio
import contextlib
import errno
import socket
import struct
import time
from collections.abc import Callable
from typing import cast

from datd.accepting import Entrance, listen
from datd.shortage import Shortage
from datd.transport.base import HIGH_WATER, LOW_WATER, MAX_UNREAD, Stream
from datd.types import Address

BACKLOG = 511
# Reading pauses while less than this is free: many small reads cost more than a short wait.
_MIN_FREE = 64 * 1024
# A peer that stopped reading could hold a closed connection, and its unsent bytes, for ever.
CLOSE_GRACE = 5.0
# A peer that vanished without a word is noticed after 60 s of silence and four probes.
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
# Pairs of ports tried when the IPv6 twin of a free IPv4 port is taken.
_PAIR_ATTEMPTS = 8

_LINGER_NOT = struct.pack("ii", 1, 0)

# Bytes land here first and are copied out at their true size. One loop reads one socket at a time,
# so all streams share it, and a connection without unread bytes holds no buffer at all.
_landing = memoryview(bytearray(MAX_UNREAD))


class TcpStream(asyncio.BufferedProtocol):
    """One TCP connection: `Stream` for its owner, a protocol of asyncio for the event loop."""

    kind = "tcp"

    def __init__(self, on_stream: Callable[[Stream], None] | None = None) -> None:
        self.remote = Address("", 0)
        self._on_stream = on_stream
        self._unread = bytearray()
        self._reading = True
        self._ended = False
        self._error: OSError | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writers: asyncio.Future[None] | None = None
        self._lost = False
        self._grace: asyncio.TimerHandle | None = None

    # ---- for the owner of the stream

    async def read(self) -> bytearray:
        while not self._unread:
            if self._ended:
                if self._error is not None:
                    raise self._error
                return bytearray()
            if self._reader is not None:
                raise RuntimeError("the stream is being read already")
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        data, self._unread = self._unread, bytearray()
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._lost or self._transport.is_closing():
            raise self._error or ConnectionResetError(
                f"the connection with {self.remote} is closed"
            )
        self._transport.write(data)
        if self._writers is not None:
            # Shielded: one cancelled writer must not cancel what the others wait for.
            await asyncio.shield(self._writers)

    def close(self) -> None:
        if self._lost or self._transport.is_closing():
            return
        self._end()
        self._transport.close()
        self._grace = self._loop.call_later(CLOSE_GRACE, self.abort)

    def abort(self) -> None:
        if self._lost:
            return
        self._end()
        # A reset: else the kernel would go on sending what it has, and keep the memory for it.
        with contextlib.suppress(OSError):
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self._transport.abort()

    # ---- for asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._loop = asyncio.get_running_loop()
        # uvloop's transports do all that asyncio.Transport says without deriving from it.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER, low=LOW_WATER)
        self.remote = _remote(transport)
        _tune(transport.get_extra_info("socket"))
        if self._on_stream is not None:
            self._on_stream(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _landing[: MAX_UNREAD - len(self._unread)]

    def buffer_updated(self, nbytes: int) -> None:
        if self._ended:
            return
        self._unread += _landing[:nbytes]
        if len(self._unread) > MAX_UNREAD - _MIN_FREE:
            self._reading = False
            self._transport.pause_reading()
        self._wake_reader()

    def eof_received(self) -> bool:
        self._end()
        return True  # half-close: the other direction stays open

    def pause_writing(self) -> None:
        self._writers = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writers is not None:
            self._writers.set_result(None)
            self._writers = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if not self._ended and isinstance(exc, OSError):
            self._error = exc
        if self._grace is not None:
            self._grace.cancel()
        if self._writers is not None:
            gone = self._error or ConnectionResetError(f"{self.remote} closed the connection")
            self._writers.set_exception(gone)
            self._writers.exception()  # nobody may be waiting; then it is no news
            self._writers = None
        self._end()

    def _end(self) -> None:
        self._ended = True
        self._wake_reader()

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


class TcpTransport:
    """Listens on one port of both address families, and dials."""

    kind = "tcp"

    def __init__(self, shortage: Shortage | None = None) -> None:
        """Neither listening nor dialling yet.

        Args:
            shortage: Is told when there is no descriptor for who calls.
        """
        self._shortage = shortage or Shortage(time.monotonic)
        self._entrances: list[Entrance] = []

    async def listen(self, host: str, port: int, on_stream: Callable[[Stream], None]) -> int:
        sockets = _bind(host, port)
        found = int(sockets[0].getsockname()[1])
        what = f"peers that call TCP port {found} wait"
        for sock in sockets:
            self._entrances.append(
                Entrance(sock, lambda: TcpStream(on_stream), self._shortage, what=what)
            )
        return found

    async def dial(self, address: Address) -> TcpStream:
        loop = asyncio.get_running_loop()
        _, stream = await loop.create_connection(TcpStream, address.host, address.port)
        return stream

    async def close(self) -> None:
        for entrance in self._entrances:
            await entrance.close()
        self._entrances.clear()


def _remote(transport: asyncio.BaseTransport) -> Address:
    # A caller may be gone before its connection is looked at; then nobody needs the name either.
    name = transport.get_extra_info("peername")
    return Address(name[0], name[1]) if name else Address("0.0.0.0", 0)


def _tune(sock: socket.socket) -> None:
    # OSError: the other side may have reset the connection between accept and here.
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):  # they differ between systems
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _bind(host: str, port: int) -> list[socket.socket]:
    """Bound sockets, one for each family, with one number; any free number if `port` is taken."""
    hosts = ["0.0.0.0", "::"] if host in ("", "0.0.0.0", "::") else [host]
    for wanted in [port] + [0] * _PAIR_ATTEMPTS:
        try:
            return _bind_all(hosts, wanted)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, f"no port of {host} is free for both IPv4 and IPv6")


def _bind_all(hosts: list[str], port: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for host in hosts:
            try:
                sockets.append(listen((host, port), BACKLOG))
            except OSError as error:
                # Many hosts have one family only; a number that is taken is for the caller.
                if error.errno == errno.EADDRINUSE or (host == hosts[-1] and not sockets):
                    raise
                continue
            port = sockets[0].getsockname()[1]
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets
