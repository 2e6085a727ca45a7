"""A stream that remembers when something last came: who is silent may be gone. Time is given.

A peer says something every 5 s at least (the original's keep-alive; ours is 3 s). Only time in
which somebody waited for its words counts: while we do not read, the silence is ours.
"""

from collections.abc import Callable

from datd.transport.base import Stream
from datd.types import Address


class HeardStream:
    """Another stream, and its silence."""

    def __init__(self, stream: Stream, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._clock = clock
        self._since = clock()
        self._waiting = True

    @property
    def kind(self) -> str:
        return self._stream.kind

    @property
    def remote(self) -> Address:
        return self._stream.remote

    def silence(self, now: float) -> float:
        """Seconds that somebody has waited for a byte; 0 while nobody waits.

        Once the reading has failed it goes on growing: that may have been the reason.
        """
        return now - self._since if self._waiting else 0.0

    async def read(self) -> bytes | bytearray:
        if not self._waiting:
            self._waiting = True
            self._since = self._clock()
        data = await self._stream.read()
        self._waiting = False
        return data

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.write(data)

    def close(self) -> None:
        self._stream.close()

    def abort(self) -> None:
        self._stream.abort()
