"""A uTP connection as a `Stream`: futures for its reader and its writers around the machine."""

import asyncio
from collections.abc import Callable

from datd.transport.base import HIGH_WATER, LOW_WATER, MAX_UNREAD
from datd.transport.utp.connection import Connection, State
from datd.types import Address


class UtpStream:
    """One connection. It has no task: the transport tells it when something happened.

    Attributes:
        machine: The connection itself.
        scheduled: When the transport looks at it next; infinite if never.
    """

    kind = "utp"

    __slots__ = ("_clock", "_loop", "_reader", "_stirred", "_writers", "inbound", "machine",
                 "remote", "scheduled")  # fmt: skip

    def __init__(
        self,
        machine: Connection,
        remote: Address,
        *,
        inbound: bool,
        clock: Callable[[], float],
        stirred: Callable[["UtpStream"], None],
    ) -> None:
        """Made by the transport.

        Args:
            machine: The connection.
            remote: Where the other side is.
            inbound: Whether the other side called.
            clock: Monotonic seconds.
            stirred: Called when the machine may have something to send.
        """
        self.machine = machine
        self.remote = remote
        self.inbound = inbound
        self.scheduled = float("inf")
        self._clock = clock
        self._stirred = stirred
        self._loop = asyncio.get_running_loop()
        self._reader: asyncio.Future[None] | None = None
        self._writers: asyncio.Future[None] | None = None

    # ---- for the owner

    async def read(self) -> bytes:
        machine = self.machine
        incoming = machine.incoming
        while not incoming.unread:
            if incoming.ended or machine.broken_off:
                if machine.error is not None and not incoming.ended:
                    raise machine.error
                return b""
            if self._reader is not None:
                raise RuntimeError("the stream is being read already")
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        data = machine.read(MAX_UNREAD)
        if machine.ack_due:
            self._stirred(self)
        return data

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        machine = self.machine
        if machine.broken_off:
            raise machine.error or self._closed()
        machine.write(bytes(data))
        self._stirred(self)
        if machine.outgoing.waiting > HIGH_WATER:
            if self._writers is None:
                self._writers = self._loop.create_future()
            # Shielded: one cancelled writer must not cancel what the others wait for.
            await asyncio.shield(self._writers)

    def close(self) -> None:
        self.machine.close(self._clock())
        self._stirred(self)
        self.notice()

    def abort(self) -> None:
        if self.machine.state is State.GONE:
            self.machine.incoming.discard()
            return
        self.machine.abort()
        self._stirred(self)
        self.notice()

    # ---- for the transport

    def notice(self) -> None:
        """Wake whoever waits for what has happened."""
        machine = self.machine
        reader, writers = self._reader, self._writers
        gone = machine.broken_off
        if (
            reader is not None
            and not reader.done()
            and (machine.incoming.unread or machine.incoming.ended or gone)
        ):
            reader.set_result(None)
        if writers is None:
            return
        if machine.state is State.GONE:
            writers.set_exception(machine.error or self._closed())
            writers.exception()  # nobody may be waiting; then it is no news
            self._writers = None
        elif machine.outgoing.waiting <= LOW_WATER:
            writers.set_result(None)
            self._writers = None

    def _closed(self) -> ConnectionResetError:
        return ConnectionResetError(f"the connection with {self.remote} is closed")
