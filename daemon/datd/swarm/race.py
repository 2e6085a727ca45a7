"""All transports to one address at once: the best that connects is taken.

Source: transports.md section 5, for TCP and uTP. A dialler that is given up says nothing to the
other side, which then sees a caller that stays silent: that is nobody's fault, on either side.
"""

import asyncio
from collections.abc import Callable, Sequence

from datd.swarm.limits import DIAL_TIMEOUT, HEAD_START
from datd.transport.base import Stream, Transport
from datd.types import Address

Report = Callable[[str, OSError | None], None]
"""Told how a transport fared: its kind, and the error, or None if it connected."""


async def race(
    transports: Sequence[Transport], address: Address, *, report: Report | None = None
) -> Stream:
    """Dial an address.

    Args:
        transports: Best first. One that connects waits for the better ones, but not for long.
        address: Where.
        report: Told of each transport that came to an end of its own.

    Raises:
        OSError: Nobody answered in time, or all failed: the error of the best one that has any.
    """
    heat = _Heat(transports, address, report)
    try:
        return await heat.run()
    except BaseException:
        heat.abandon(None)
        raise


class _Heat:
    def __init__(
        self, transports: Sequence[Transport], address: Address, report: Report | None
    ) -> None:
        self._transports = transports
        self._address = address
        self._report = report
        self._streams: dict[Transport, Stream] = {}
        self._errors: dict[Transport, OSError] = {}
        self._news = asyncio.Event()

    async def run(self) -> Stream:
        async with asyncio.TaskGroup() as group:
            dials = [group.create_task(self._dial(one)) for one in self._transports]
            try:
                async with asyncio.timeout(DIAL_TIMEOUT):
                    winner = await self._decide()
            except TimeoutError:
                winner = self._best()  # it was waiting for a better one
            finally:
                for dial in dials:
                    dial.cancel()
        self.abandon(winner)
        if winner is not None:
            return self._streams[winner]
        for transport in self._transports:
            if transport in self._errors:
                raise self._errors[transport]
        raise TimeoutError("nobody answered in time")

    def abandon(self, winner: Transport | None) -> None:
        """Close what connected and is not wanted."""
        for transport, stream in self._streams.items():
            if transport is not winner:
                stream.abort()

    async def _dial(self, transport: Transport) -> None:
        try:
            self._streams[transport] = await transport.dial(self._address)
        except OSError as error:
            self._errors[transport] = error
        if self._report is not None:
            self._report(transport.kind, self._errors.get(transport))
        self._news.set()

    async def _decide(self) -> Transport | None:
        while not self._streams and len(self._errors) < len(self._transports):
            await self._change()
        try:
            async with asyncio.timeout(HEAD_START):
                while self._still_hoped_for():
                    await self._change()
        except TimeoutError:
            pass
        return self._best()

    async def _change(self) -> None:
        self._news.clear()
        await self._news.wait()

    def _best(self) -> Transport | None:
        return next((one for one in self._transports if one in self._streams), None)

    def _still_hoped_for(self) -> bool:
        """Whether one that is better than all that connected is still trying."""
        for transport in self._transports:
            if transport in self._streams:
                return False
            if transport not in self._errors:
                return True
        return False
