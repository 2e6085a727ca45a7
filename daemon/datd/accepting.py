"""Takes the connections that come to a listening socket; while no descriptor is left they wait.

Servers of the event loops do it otherwise: one of them asks the kernel again and again, the other
one logs a traceback for each connection that waits.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import Any, Final, cast

from datd.shortage import OUT_OF_DESCRIPTORS, Shortage

log = logging.getLogger(__name__)

# C-17: between two looks whether there is a descriptor again. A peer waits longer for a handshake,
# and looking costs some microseconds.
PAUSE_SECONDS: Final = 0.5
# So many are taken in one turn of the loop. One a turn would let a queue of callers grow while the
# loop is busy; all there are would hold up those who were taken before.
BURST: Final = 32
# The kernel has no memory for a connection just now, which passes as well.
_PASSING: Final = (*OUT_OF_DESCRIPTORS, errno.ENOBUFS, errno.ENOMEM)
# Linux gives the error of one connection, which has left the queue, instead of that connection.
_OF_ONE_CALLER: Final = (
    errno.ECONNABORTED,
    errno.EPROTO,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ETIMEDOUT,
)


def listen(address: tuple[Any, ...], backlog: int) -> socket.socket:
    """A TCP socket that listens, for an `Entrance`.

    Args:
        address: As the socket module writes it: host, port, and for IPv6 also flow and zone. An
            IPv6 address takes no IPv4 connections: those have a socket of their own.
        backlog: So many connections wait when we are busy.

    Raises:
        OSError: The address cannot be used. A port can also be taken by a listener that only
            `listen` meets, not `bind`.
    """
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(backlog)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


class Entrance:
    """One listening socket, in the charge of the running event loop until `close`."""

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.BaseProtocol],
        shortage: Shortage,
        *,
        what: str,
    ) -> None:
        """Begin.

        Args:
            listener: Listens already, and does not block; it is closed at the end.
            protocol: Makes what talks to a new connection.
            shortage: Is told when there is no descriptor for one.
            what: What waits then, for people: "connections to the API wait".
        """
        self._listener = listener
        self._protocol = protocol
        self._shortage = shortage
        self._what = what
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._taking: set[asyncio.Task[None]] = set()
        self._look()

    async def close(self) -> None:
        """Take no more. Connections that were taken go on: their protocols know of them."""
        self._stop_looking()
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self._listener.close()
        if self._taking:
            await asyncio.wait(self._taking)

    def _look(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listener, self._accept)

    def _stop_looking(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)

    def _accept(self) -> None:
        for _ in range(BURST):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _OF_ONE_CALLER:
                    continue
                if error.errno in _PASSING:
                    self._shortage.met(error, self._what)
                else:
                    log.debug("%s: %s", self._what, error)
                # Whatever it is may be so for long, and must not keep the loop busy.
                self._stop_looking()
                self._pause = self._loop.call_later(PAUSE_SECONDS, self._look)
                return
            connection.setblocking(False)
            task = self._loop.create_task(self._take(connection))
            self._taking.add(task)
            task.add_done_callback(self._taking.discard)

    async def _take(self, connection: socket.socket) -> None:
        # Nobody waits for this task, and one caller must not shut the others out.
        try:
            protocol = self._protocol()
        except Exception:
            connection.close()
            log.exception("a connection could not be taken")
            return
        try:
            # From here on the socket is the loop's, which closes it also when this fails.
            transport, _ = await self._loop.connect_accepted_socket(lambda: protocol, connection)
        except Exception:
            log.exception("a connection could not be taken")
            return
        # uvloop's transports do not derive from asyncio's. They close the number by themselves, but
        # if `connection_made` raised the object goes on believing that it owns it: what it closed
        # when it is collected would be another connection, or a file.
        if not isinstance(cast(object, transport), asyncio.BaseTransport):
            connection.detach()
