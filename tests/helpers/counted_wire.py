"""A wire that counts: passes TCP connections on as fast as it can, in a thread of its own."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass


@dataclass
class Wire:
    """Where to connect to, and what went through so far.

    Attributes:
        port: On loopback.
        to_here: Bytes from the far end to whoever connected.
        to_there: Bytes to the far end.
    """

    port: int = 0
    to_here: int = 0
    to_there: int = 0

    @property
    def total(self) -> int:
        return self.to_here + self.to_there


@contextmanager
def counted_wire(port: int) -> Iterator[Wire]:
    """Listen on loopback, and pass on to another port there."""
    wire, started, stop = Wire(), threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def accept(near: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        try:
            far, far_out = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        except OSError:
            near_out.close()
            return
        # Python 3.11 logs a connection that is cut off at the end as an error.
        with suppress(asyncio.CancelledError):
            await asyncio.gather(
                _pass_on(near, far_out, wire, "to_there"), _pass_on(far, near_out, wire, "to_here")
            )

    async def serve() -> None:
        server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=2**20)
        loops.append(asyncio.get_running_loop())
        wire.port = server.sockets[0].getsockname()[1]
        started.set()
        async with server:
            await stop.wait()

    # `run` ends the connections that are left and closes the loop.
    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield wire
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(10)


async def _pass_on(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, wire: Wire, direction: str
) -> None:
    try:
        while data := await source.read(2**18):
            setattr(wire, direction, getattr(wire, direction) + len(data))
            target.write(data)
            await target.drain()
    except ConnectionError:
        pass
    finally:
        target.close()
