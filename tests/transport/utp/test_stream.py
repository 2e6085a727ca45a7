import asyncio

import pytest
from tests.transport.utp.simulated_wire import Wire, pattern

from datd.transport.base import HIGH_WATER, LOW_WATER, MAX_UNREAD
from datd.transport.utp.stream import UtpStream
from datd.types import Address

REMOTE = Address("192.0.2.1", 4001)


class Scene:
    """The called side's stream over a fake wire; nothing moves but by `carry`."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.wire.caller.to_write = b"!"
        assert self.wire.run(lambda: bool(self.wire.called.heard))
        self.wire.called.reads = False
        machine = self.wire.called.machine
        assert machine is not None
        self.stirred = 0
        self.stream = UtpStream(
            machine, REMOTE, inbound=True, clock=lambda: self.wire.now, stirred=self._stir
        )

    def _stir(self, stream: UtpStream) -> None:
        assert stream is self.stream
        self.stirred += 1

    def carry(self, seconds: float = 5.0) -> None:
        self.wire.run(limit=seconds)
        self.stream.notice()


async def begun(coroutine) -> "asyncio.Task[bytes | None]":
    task = asyncio.get_running_loop().create_task(coroutine)
    await asyncio.sleep(0)
    return task


async def test_a_reader_is_woken_by_what_arrives():
    scene = Scene()
    reading = await begun(scene.stream.read())
    scene.stream.notice()
    await asyncio.sleep(0)
    assert not reading.done()
    scene.wire.caller.machine.write(b"hello")
    scene.carry()
    assert await reading == b"hello"


async def test_a_read_gives_at_most_256_kib_and_asks_for_more_when_the_window_opens():
    scene = Scene()
    scene.wire.caller.to_write = pattern(3_000_000)
    scene.carry(20)
    before = scene.stirred
    data = b""
    while len(data) < 1_000_000:
        piece = await scene.stream.read()
        assert len(piece) <= MAX_UNREAD
        data += piece
    assert scene.stirred > before  # to tell the peer
    assert pattern(3_000_000).startswith(data)


async def test_two_readers_are_a_mistake():
    scene = Scene()
    reading = await begun(scene.stream.read())
    with pytest.raises(RuntimeError, match="already"):
        await scene.stream.read()
    reading.cancel()


async def test_a_cancelled_read_loses_nothing():
    scene = Scene()
    reading = await begun(scene.stream.read())
    reading.cancel()
    await asyncio.sleep(0)
    scene.wire.caller.machine.write(b"kept")
    scene.carry()
    assert await scene.stream.read() == b"kept"


async def test_a_writer_waits_above_the_high_mark_until_the_low_one():
    scene = Scene()
    await scene.stream.write(bytes(HIGH_WATER))
    writing = await begun(scene.stream.write(b"more"))
    scene.stream.notice()
    await asyncio.sleep(0)
    assert not writing.done()
    while scene.stream.machine.outgoing.waiting > LOW_WATER:
        assert not writing.done()
        scene.carry(0.01)
    await writing


async def test_a_cancelled_writer_does_not_cancel_the_others():
    scene = Scene()
    first = await begun(scene.stream.write(bytes(HIGH_WATER + 1)))
    second = await begun(scene.stream.write(b"more"))
    first.cancel()
    scene.carry(60)
    await second


async def test_what_was_written_is_the_callers_again():
    scene = Scene()
    data = bytearray(b"before")
    await scene.stream.write(data)
    data[:] = b"behind"
    scene.carry()
    assert scene.wire.caller.heard == b"before"


async def test_an_abort_ends_those_who_wait():
    scene = Scene()
    writing = await begun(scene.stream.write(bytes(2 * HIGH_WATER)))
    reading = await begun(scene.stream.read())
    scene.stream.abort()
    with pytest.raises(OSError, match="closed"):
        await writing
    assert await reading == b""


async def test_after_a_close_nothing_is_read_or_written():
    scene = Scene()
    scene.wire.caller.machine.write(b"unread")
    scene.carry()
    scene.stream.close()
    assert await scene.stream.read() == b""
    with pytest.raises(OSError, match="closed"):
        await scene.stream.write(b"x")


async def test_a_peer_that_falls_silent_is_an_error_for_reader_and_writer():
    scene = Scene()
    scene.wire.drop = lambda _, __: True
    writing = await begun(scene.stream.write(bytes(2 * HIGH_WATER)))
    reading = await begun(scene.stream.read())
    scene.carry(200)
    for waiting in (reading, writing):
        with pytest.raises(TimeoutError):
            await waiting
