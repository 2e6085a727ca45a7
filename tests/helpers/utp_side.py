"""datd's uTP as a program, with the roles of `utp.js`: `python -m tests.helpers.utp_side --help`.

Prints one JSON object a line. Every byte is checked: byte i of what is sent is i % 251.
"""

import argparse
import asyncio
import json
import random
import signal
import sys
import time
from contextlib import suppress

import uvloop

from datd.transport.base import Stream
from datd.transport.utp.transport import UtpTransport
from datd.types import Address
from datd.udp.socket import UdpSocket

_PERIOD = 251
_PATTERN = bytes(n % _PERIOD for n in range(_PERIOD * 1200))
# What is written at once.
_PIECE = _PERIOD * 256
_ROLES = """
echo      sends back what it gets, while it gets it
late      sends it back after the other side has ended
sink      checks what it gets
source    sends --bytes and ends
send      calls, and does what source does
recv      calls, says a word, and does what sink does
echoed    calls an echo, sends --bytes, checks what comes back, ends
"""


def say(event: str, **more: object) -> None:
    """A line for the test."""
    sys.stdout.write(f"{json.dumps({'event': event, **more})}\n")
    sys.stdout.flush()


class Meter:
    """Processor time, and what was received."""

    def __init__(self) -> None:
        self.bytes = 0
        self.bad = 0
        self.cpu = time.process_time()
        self._start = 0.0

    def take(self, data: bytes | bytearray) -> None:
        """Check a piece of the stream."""
        self._start = self._start or time.perf_counter()
        for at in range(0, len(data), _PIECE):
            piece = data[at : at + _PIECE]
            begin = (self.bytes + at) % _PERIOD
            self.bad += piece != _PATTERN[begin : begin + len(piece)]
        self.bytes += len(data)

    def tell(self) -> None:
        """Say what came, from the first byte to the end."""
        seconds = time.perf_counter() - self._start if self._start else 0.0
        rate = self.bytes / seconds / 1e6 if seconds else 0.0
        say("received", bytes=self.bytes, bad=self.bad, seconds=seconds, MBps=rate)


async def transmit(stream: Stream, count: int) -> None:
    """Write so many bytes of the pattern."""
    for at in range(0, count, _PIECE):
        await stream.write(_PATTERN[: min(_PIECE, count - at)])


async def receive(stream: Stream, meter: Meter, count: int | None = None) -> None:
    """Read to the end, or so many bytes."""
    while count is None or meter.bytes < count:
        data = await stream.read()
        if not data:
            break
        meter.take(data)
    meter.tell()


async def serve(role: str, stream: Stream, count: int, meter: Meter) -> None:
    """What a called side does with one call."""
    match role:
        case "sink":
            await receive(stream, meter)
        case "source":
            await transmit(stream, count)
        case "echo":
            while data := await stream.read():
                await stream.write(data)
        case "late":
            kept = bytearray()
            while data := await stream.read():
                kept += data
            say("ended", bytes=len(kept))
            await stream.write(kept)
        case _:
            raise AssertionError(role)


async def call(role: str, stream: Stream, count: int, meter: Meter) -> None:
    """What a calling side does."""
    match role:
        case "send":
            await transmit(stream, count)
        case "recv":
            await stream.write(b"go")
            await receive(stream, meter)
        case "echoed":
            async with asyncio.TaskGroup() as group:
                group.create_task(transmit(stream, count))
                group.create_task(receive(stream, meter, count))
        case _:
            raise AssertionError(role)


async def run(given: argparse.Namespace) -> None:
    """Play the role until it is over, or until SIGTERM for one that is called."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    udp = UdpSocket()
    transport = UtpTransport(udp, clock=loop.time, choose=random.SystemRandom().randrange)
    meter = Meter()
    calls: asyncio.Queue[Stream] = asyncio.Queue()
    dialling = given.host is not None
    port = await transport.listen("0.0.0.0", 0 if dialling else given.port, calls.put_nowait)

    async def talk(stream: Stream) -> None:
        meter.cpu = time.process_time()
        try:
            if dialling:
                await call(given.role, stream, given.bytes, meter)
            else:
                await serve(given.role, stream, given.bytes, meter)
            stream.close()
            while await stream.read():
                pass
            say("close")
        except* OSError as errors:
            for error in errors.exceptions:
                say("error", message=str(error), kind=type(error).__name__)
            stream.abort()

    async def take_calls() -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                stream = await calls.get()
                say("connection", host=stream.remote.host, port=stream.remote.port)
                group.create_task(talk(stream))

    async def dial() -> None:
        try:
            stream = await transport.dial(Address(given.host, given.port))
        except OSError as error:
            say("error", message=str(error), kind=type(error).__name__)
            return
        say("connected")
        await talk(stream)
        # Close means "what was written is still sent": by whom, if the process ended now?
        with suppress(TimeoutError):
            await asyncio.wait_for(told.wait(), given.linger)

    say("listening", port=port)
    async with asyncio.TaskGroup() as group:
        work = group.create_task(dial() if dialling else take_calls())
        work.add_done_callback(lambda _: told.set())
        await told.wait()
        work.cancel()
    await transport.close()
    say("usage", cpu=time.process_time() - meter.cpu, bytes=meter.bytes)
    udp.close()


def main() -> None:
    """Read the command line, play."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.helpers.utp_side",
        description=f"{__doc__}\n{_ROLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("role", choices=[line.split()[0] for line in _ROLES.split("\n") if line])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", help="whom to call; absent: be called")
    parser.add_argument("--bytes", type=int, default=1 << 20)
    parser.add_argument("--linger", type=float, default=60, help="seconds to stay after a call")
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(given))


if __name__ == "__main__":
    main()
