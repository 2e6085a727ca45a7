"""A wire that counts: passes TCP connections on, as far away as a test likes."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Wire:
    """Passes connections on to one address.

    Attributes:
        port: Where it listens, on loopback.
        delay: Seconds that every byte is under way, in each direction.
        speed: Bytes a second that it carries from far to near; None: as fast as it can.
        to_near: Bytes that came back from the address.
        to_far: Bytes that went there.
    """

    def __init__(self, host: str, port: int, delay: float, speed: float | None) -> None:
        self.port = 0
        self.delay = delay
        self.speed = speed
        self.to_near = 0
        self.to_far = 0
        self._to = (host, port)

    @property
    def total(self) -> int:
        """Bytes both ways."""
        return self.to_near + self.to_far

    async def accept(self, near: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        """Carry one connection until either end closes it."""
        try:
            far, far_out = await asyncio.open_connection(*self._to)
        except (OSError, asyncio.CancelledError):  # it is over before it has begun
            near_out.close()
            return
        # Python 3.11 logs a connection that is cut off at the end as an error.
        with suppress(asyncio.CancelledError):
            await asyncio.gather(
                self._carry(near, far_out, True), self._carry(far, near_out, False)
            )

    async def _carry(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, outwards: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(4096)

        async def deliver() -> None:
            while True:
                due, data = await queue.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                if not data:
                    return
                target.write(data)
                await target.drain()

        task = asyncio.create_task(deliver())  # noqa: TID251 - awaited below
        free = 0.0
        try:
            while data := await source.read(65536):
                if outwards:
                    self.to_far += len(data)
                else:
                    self.to_near += len(data)
                free = max(free, loop.time())
                if self.speed is not None and not outwards:
                    free += len(data) / self.speed
                await queue.put((free + self.delay, data))
            await queue.put((loop.time() + self.delay, b""))
            await task
        except OSError:
            pass
        finally:
            task.cancel()
            target.close()


@contextmanager
def counting_wire(
    host: str, port: int, *, delay: float = 0.0, speed: float | None = None
) -> Iterator[Wire]:
    """Listen on loopback and pass on to an address, in a thread of its own."""
    wire = Wire(host, port, delay, speed)
    started = threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []
    stop = asyncio.Event()

    async def serve() -> None:
        server = await asyncio.start_server(wire.accept, "127.0.0.1", 0)
        loops.append(asyncio.get_running_loop())
        wire.port = server.sockets[0].getsockname()[1]
        started.set()
        async with server:
            await stop.wait()

    # `run` ends the connections that are left and closes the loop.
    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(60)
    try:
        yield wire
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(60)
