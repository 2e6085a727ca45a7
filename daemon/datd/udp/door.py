"""Keeps strangers out of a socket while there is no time for all of them.

`crowd` says when and whom, `sieve` has the kernel do it; here is the timer that ends it.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Mapping

from datd.udp import sieve
from datd.udp.crowd import PAUSE, Crowd

_log = logging.getLogger(__name__)

# A burst must fit until we come round. Linux caps it at net.core.rmem_max, often 208 KiB.
BUFFER = 4 * 1024 * 1024
# A flood that cannot be thinned out any more waits for a tenth of a second in this, not for four.
SHORT_BUFFER = 128 * 1024


class Door:
    """One for all sockets of a number. It costs nothing while we keep up."""

    def __init__(self, sockets: Mapping[int, socket.socket]) -> None:
        """Take the sockets by address family; they may come and go."""
        self._sockets = sockets
        self._crowd = Crowd()
        self._timer: asyncio.TimerHandle | None = None

    def took(self, datagrams: int, *, all_of_it: bool) -> None:
        """Count what was taken in one go; `all_of_it`: nothing was left."""
        if all_of_it and not self._crowd.behind:
            return
        loop = asyncio.get_running_loop()
        if not self._crowd.took(datagrams, all_of_it=all_of_it, now=loop.time()):
            return
        if self._timer is None:
            _log.warning("more datagrams arrive than can be handled: few strangers are heard now")
            self._timer = loop.call_later(PAUSE, self._relax)
        self._sift()

    def spoke_to(self, host: str) -> None:
        """Somebody's answers are waited for; to be told before they are asked for."""
        if self._crowd.spoke_to(host) and self._crowd.steps:
            self._sift()

    def close(self) -> None:
        """Forget everything; the sockets are closed by who opened them."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._crowd = Crowd()

    def _relax(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        if self._crowd.relax(loop.time()):
            self._sift()
        if self._crowd.steps:
            self._timer = loop.call_later(PAUSE / 4, self._relax)
        else:
            _log.info("there is time for all datagrams again")

    def _sift(self) -> None:
        known = self._crowd.known
        size = SHORT_BUFFER if self._crowd.short else BUFFER
        for family, sock in self._sockets.items():
            set_buffer(sock, socket.SO_RCVBUF, size)
            if self._crowd.steps:
                sieve.attach(sock, sieve.program(family, known, self._crowd.share))
            else:
                sieve.detach(sock)


def set_buffer(sock: socket.socket, option: int, size: int) -> None:
    """Ask for room for so many bytes; what the system gives may be less."""
    with contextlib.suppress(OSError):  # some systems refuse instead of capping
        sock.setsockopt(socket.SOL_SOCKET, option, size)
