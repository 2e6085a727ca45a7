"""The addresses of hosts, as this system looks them up, without holding up the end of the daemon.

The event loop's own look-ups would be waited for when the process ends; these are not (C-18).
"""

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from aiohttp.abc import AbstractResolver, ResolveResult

from datd import errand

# Look-ups under way, also those that nobody waits for any more: each has a thread.
MAX_LOOKUPS = 8

_Answer: TypeAlias = asyncio.Future[list[tuple[Any, ...]]]
GetAddresses = Callable[[str, int, int], list[tuple[Any, ...]]]


def _ask_system(host: str, port: int, family: int) -> list[tuple[Any, ...]]:
    return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)


class SystemLookup(AbstractResolver):
    """What the system says; asked in threads that end with the process."""

    def __init__(self, ask: GetAddresses = _ask_system) -> None:
        """Nothing is asked yet.

        Args:
            ask: Gives what `getaddrinfo` does, of a host, a port and a family; blocks.
        """
        self._ask = ask
        self._free = asyncio.Semaphore(MAX_LOOKUPS)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Look a host up.

        Raises:
            OSError: Nobody knows it.
            UnicodeError: It cannot be a name.
        """
        await self._free.acquire()
        answer: _Answer = asyncio.get_running_loop().create_future()
        errand.start(
            partial(self._ask, host, port, family),
            partial(self._done, answer),
            name="looking up a host",
        )
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in await answer
        ]

    async def close(self) -> None:
        """Nothing is kept; what is under way is forgotten."""

    def _done(self, answer: _Answer, found: list[tuple[Any, ...]] | Exception) -> None:
        self._free.release()
        if answer.done():
            return  # nobody waits any more
        if isinstance(found, Exception):
            answer.set_exception(found)
        else:
            answer.set_result(found)
