"""A slow wire: passes a TCP connection on at a given speed, in a thread of its own."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def slow_wire(host: str, port: int, bytes_a_second: int) -> Iterator[int]:
    """Listen on loopback and pass on to an address. Gives the port."""
    started = threading.Event()
    ports: list[int] = []
    loops: list[asyncio.AbstractEventLoop] = []
    stop = asyncio.Event()

    async def serve() -> None:
        async def accept(near: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
            try:
                far, far_out = await asyncio.open_connection(host, port)
            except (OSError, asyncio.CancelledError):  # it is over before it has begun
                near_out.close()
                return
            await asyncio.gather(
                _pass_on(near, far_out, None), _pass_on(far, near_out, bytes_a_second)
            )

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        loops.append(asyncio.get_running_loop())
        ports.append(server.sockets[0].getsockname()[1])
        started.set()
        async with server:
            await stop.wait()

    # `run` ends the connections that are left and closes the loop.
    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(60)
    try:
        yield ports[0]
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(60)


async def _pass_on(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, bytes_a_second: int | None
) -> None:
    try:
        while data := await source.read(16384):
            target.write(data)
            await target.drain()
            if bytes_a_second is not None:
                await asyncio.sleep(len(data) / bytes_a_second)
    except OSError:
        pass
    finally:
        target.close()
