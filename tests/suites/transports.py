"""What every `Transport` and its `Stream`s must do. Test classes derive from the suite."""

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from tests.helpers.ports import free_port

from datd.transport.base import HIGH_WATER, MAX_UNREAD, Stream, Transport
from datd.types import Address


class Pair(NamedTuple):
    caller: Stream
    called: Stream


async def everything(stream: Stream) -> bytes:
    data = bytearray()
    while piece := await stream.read():
        assert len(piece) <= MAX_UNREAD
        data += piece
    return bytes(data)


# Turns of the event loop after which a writer that is not done waits for the other side. They are
# counted, not timed: while a busy machine stands still there are none.
_TURNS = 100


async def fill(stream: Stream) -> int:
    """Write until the writer has to wait. Gives the bytes written before."""
    written = 0
    while True:
        write = asyncio.get_running_loop().create_task(stream.write(bytes(HIGH_WATER)))
        for _ in range(_TURNS):
            await asyncio.wait([write], timeout=0.002)
            if write.done():
                break
        else:
            write.cancel()
            await asyncio.wait([write])
            return written
        await write
        written += HIGH_WATER


async def until_it_breaks(stream: Stream) -> OSError:
    try:
        while True:
            await stream.write(bytes(HIGH_WATER))
    except OSError as error:
        return error


class TransportSuite:
    host: str

    @pytest.fixture
    def transport(self) -> Transport:
        raise AssertionError("each test class gives its own")

    @pytest.fixture
    async def pair(self, transport: Transport) -> AsyncIterator[Pair]:
        calls: asyncio.Queue[Stream] = asyncio.Queue()
        port = await transport.listen(self.host, 0, calls.put_nowait)
        caller = await transport.dial(Address(self.host, port))
        called = await calls.get()
        yield Pair(caller, called)
        caller.abort()
        called.abort()
        await transport.close()
        await asyncio.sleep(0)

    async def test_what_is_written_is_read(self, pair):
        await pair.caller.write(b"hello")
        assert await pair.called.read() == b"hello"
        await pair.called.write(bytearray(b"and back"))
        assert await pair.caller.read() == b"and back"

    async def test_both_sides_name_each_other(self, pair, transport):
        assert pair.caller.remote.host == pair.called.remote.host == self.host
        assert pair.caller.kind == pair.called.kind == transport.kind

    async def test_reading_waits_for_the_first_byte(self, pair):
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(pair.called.read())
            await asyncio.sleep(0)
            assert not reading.done()
            await pair.caller.write(b"x")
        assert reading.result() == b"x"

    async def test_many_bytes_arrive_whole_and_in_order(self, pair):
        sent = bytes(range(256)) * 32768
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(everything(pair.called))
            for start in range(0, len(sent), 100_000):
                await pair.caller.write(memoryview(sent)[start : start + 100_000])
            pair.caller.close()
        assert reading.result() == sent

    async def test_a_writer_waits_for_a_reader_that_does_not_read(self, pair):
        assert await fill(pair.caller) < 1000 * HIGH_WATER
        assert await pair.called.read()

    async def test_after_a_close_the_other_side_reads_what_was_sent_and_then_the_end(self, pair):
        await pair.caller.write(b"last words")
        pair.caller.close()
        assert await everything(pair.called) == b"last words"
        assert await pair.called.read() == b""

    async def test_after_its_own_close_a_side_reads_nothing_and_may_not_write(self, pair):
        pair.caller.close()
        assert await pair.caller.read() == b""
        with pytest.raises(OSError, match="closed"):
            await pair.caller.write(b"more")

    async def test_closing_ends_a_read_that_waits(self, pair):
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(pair.caller.read())
            await asyncio.sleep(0)
            pair.caller.close()
        assert reading.result() == b""

    async def test_an_abort_ends_a_writer_that_waits(self, pair):
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(until_it_breaks(pair.caller))
            await fill(pair.caller)
            assert not writing.done()
            pair.caller.abort()
        assert isinstance(writing.result(), OSError)

    async def test_closing_twice_does_no_harm(self, pair):
        pair.caller.close()
        pair.caller.close()
        assert await pair.called.read() == b""

    async def test_aborting_what_is_closed_does_no_harm(self, pair):
        pair.caller.close()
        pair.caller.abort()
        pair.caller.abort()
        assert await pair.caller.read() == b""

    async def test_a_taken_port_gives_way_to_a_free_one(self, transport):
        first = await transport.listen(self.host, 0, lambda stream: stream.abort())
        second = await transport.listen(self.host, first, lambda stream: stream.abort())
        assert second not in (0, first)
        await transport.close()

    async def test_where_nobody_listens_a_dial_fails(self, transport):
        # None that the system may hand out to somebody else in between.
        port = await transport.listen(self.host, free_port(), lambda stream: stream.abort())
        await transport.close()
        with pytest.raises(OSError):  # noqa: PT011  # the text is the system's
            await transport.dial(Address(self.host, port))
