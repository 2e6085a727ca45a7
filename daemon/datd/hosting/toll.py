"""What one connection uses of the bandwidth, and when it has to wait for that.

Answers with blocks are paid before they go. They wait as a whole, before they join the stream, so
that keep-alives and what is said of feeds never stand behind them, and no frame is held up half
sent, which receivers take for a peer that drips (L-4). So a block goes out in one piece, however
slow the limit. All else that is sent, and what is read, is paid afterwards: the next answers, or
the next read, wait for it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from datd.hosting.batches import Served
from datd.replication.window import BYTES_IN_FLIGHT
from datd.transport.bandwidth import Bandwidth
from datd.transport.bucket import QUANTUM, Account

# A batch of answers is read, proven and encoded in one go; its size bounds memory and how long
# others wait for their turn (8 greedy peers beside a polite one: reliability, section 5).
SERVE_BYTES: Final = 512 * 1024
# Under a limit a batch takes no longer than this, if it is more than a usual block: the original
# ends a connection when its oldest request is not answered within 7.5 s (wire.md section 9).
_BATCH_SECONDS: Final = 0.25
# Under a limit only so much is asked for that it comes within this time: more would lie in the
# buffers of the network, before what the peers have to say.
_AHEAD_SECONDS: Final = 2.0
_USUAL_BLOCK: Final = 64 * 1024  # the original's
# So much may be owed before anybody waits with reading: most of what peers say is words.
_CREDIT: Final = QUANTUM
# What peers make us say is owed, too: who makes it more than the largest answers are, two feeds'
# (8 MiB each), asks for bitfields faster than it takes them, and is not read meanwhile.
_MOST_OWED: Final = 20 * 2**20


class Toll:
    """One connection's part of the bandwidth.

    Attributes:
        answers_may_go: Called when those may that had to wait.
    """

    def __init__(self, bandwidth: Bandwidth, *, counted: Account | None = None) -> None:
        """Begin.

        Args:
            bandwidth: Of all connections.
            counted: Who owes what is read, if somebody else counts that; else it is counted here.
        """
        self.answers_may_go: Callable[[], object] = lambda: None
        self._limits = bandwidth
        self._up = Account(self._up_cleared)
        self._own = counted is None
        self._may_read = asyncio.Event()
        self._down = counted or Account(self._may_read.set)
        if counted is not None:
            counted.cleared = self._may_read.set
        self._prepaid = 0

    @property
    def in_flight(self) -> int:
        """Bytes that may be asked of the peer before they come."""
        limit = self._limits.download
        if limit.rate is None:
            return BYTES_IN_FLIGHT
        share = limit.rate * _AHEAD_SECONDS / max(1, limit.waiting)
        return max(1, min(BYTES_IN_FLIGHT, int(share)))

    @property
    def batch(self) -> int:
        """Bytes of answers to make in one go."""
        rate = self._limits.upload.rate
        if rate is None:
            return SERVE_BYTES
        return min(SERVE_BYTES, max(_USUAL_BLOCK, int(rate * _BATCH_SECONDS)))

    # ---- reading

    def received(self, size: int) -> None:
        """So many bytes were read."""
        if self._own:
            self._limits.download.owe(self._down, size)

    @property
    def reading_waits(self) -> bool:
        """Whether something is to be paid before more is read."""
        return self._down.owed > _CREDIT or self._up.owed > _MOST_OWED

    async def may_read(self) -> None:
        """Wait until it is paid."""
        while self.reading_waits:
            self._may_read.clear()
            await self._may_read.wait()

    # ---- writing

    async def announced(self, answers: Awaitable[Served]) -> Served:
        """Answers that are ready to go, as soon as nothing is owed: what they take is, now."""
        served = await answers
        if self._limits.upload.rate is not None:
            self._limits.upload.owe(self._up, len(served.frames))
            self._prepaid += len(served.frames)
        return served

    @property
    def answers_wait(self) -> bool:
        """Whether something is owed for what was or is to be sent."""
        return self._up.owed > 0

    def sent(self, size: int) -> None:
        """So many bytes are written, announced ones included."""
        paid = min(size, self._prepaid)
        self._prepaid -= paid
        self._limits.upload.owe(self._up, size - paid)

    def close(self) -> None:
        """The connection has ended."""
        self._limits.upload.close(self._up, unused=self._prepaid)
        if self._own:
            self._limits.download.close(self._down)

    def _up_cleared(self) -> None:
        self._may_read.set()
        self.answers_may_go()
