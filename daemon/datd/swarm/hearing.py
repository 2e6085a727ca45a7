"""A stream that remembers when something last came or went. Time is given.

Who is silent may be gone; who is idle may make room for others.

A peer says something every 5 s at least (the original's keep-alive; ours is 3 s). Only time in
which somebody waited for its words counts: while we do not read, the silence is ours.
"""

from collections.abc import Callable

from datd.transport.base import Stream
from datd.types import Address

# Keep-alives are of one byte, and what peers tell of their blocks is seldom longer than this.
# Whoever knows of a shorter block says so, see `used`.
_SMALL_TALK = 1024


class HeardStream:
    """Another stream, its silence, and its idleness.

    Attributes:
        ended: Whether the other side has ended, so that nothing will be heard any more. That is no
            silence; we may still be writing.
    """

    def __init__(self, stream: Stream, clock: Callable[[], float]) -> None:
        self.ended = False
        self._stream = stream
        self._clock = clock
        self._since = clock()
        self._waiting = True
        self._used_at = self._since
        self._writing = 0

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

    def used(self) -> None:
        """A block came or went."""
        self._used_at = self._clock()

    def idleness(self, now: float) -> float:
        """Seconds without a block or part of one, either way; 0 while something is written."""
        return 0.0 if self._writing else now - self._used_at

    async def read(self) -> bytes | bytearray:
        if not self._waiting:
            self._waiting = True
            self._since = self._clock()
        data = await self._stream.read()
        self._waiting = False
        self.ended = self.ended or not data
        if len(data) > _SMALL_TALK:
            self.used()
        return data

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        large = len(data) > _SMALL_TALK
        self._writing += 1
        try:
            await self._stream.write(data)
        finally:
            self._writing -= 1
            if large:
                self.used()

    def close(self) -> None:
        self._stream.close()

    def abort(self) -> None:
        self._stream.abort()
