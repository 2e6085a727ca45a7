"""Takes the connections that come to a listening socket; while no descriptor is left they wait.

Servers of the event loops do it otherwise: one of them asks the kernel again and again, the other
one logs a traceback for each connection that waits.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import Final, cast

from datd.shortage import OUT_OF_DESCRIPTORS, Shortage

log = logging.getLogger(__name__)

# C-17: between two looks whether there is a descriptor again. A peer waits longer for a handshake,
# and looking costs some microseconds.
PAUSE_SECONDS: Final = 0.5
# The kernel has no memory for a connection just now, which passes as well.
_PASSING: Final = (*OUT_OF_DESCRIPTORS, errno.ENOBUFS, errno.ENOMEM)


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
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Take no more. Connections that were taken go on."""
        self._task.cancel()
        await asyncio.wait([self._task])
        # Where it was cancelled before its first step.
        self._listener.close()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        with self._listener:
            while True:
                try:
                    connection, _ = await loop.sock_accept(self._listener)
                except ConnectionAbortedError:  # it ended before it began
                    continue
                except OSError as error:
                    if error.errno in _PASSING:
                        self._shortage.met(error, self._what)
                    else:
                        log.debug("%s: %s", self._what, error)
                    # Whatever it is may be so for long, and must not keep the loop busy.
                    await asyncio.sleep(PAUSE_SECONDS)
                    continue
                await self._take(loop, connection)

    async def _take(self, loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
        # Nobody waits for this task, and one caller must not shut the others out.
        try:
            protocol = self._protocol()
        except Exception:
            connection.close()
            log.exception("a connection could not be taken")
            return
        try:
            # From here on the socket is the loop's, which closes it also when this fails.
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection)
        except Exception:
            log.exception("a connection could not be taken")
            return
        # uvloop's transports do not derive from asyncio's. They close the number by themselves, but
        # if `connection_made` raised the object goes on believing that it owns it: what it closed
        # when it is collected would be another connection, or a file.
        if not isinstance(cast(object, transport), asyncio.BaseTransport):
            connection.detach()
