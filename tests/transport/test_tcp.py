import asyncio
import socket
import sys

import pytest
import uvloop
from tests.helpers.pieces import has_ipv6
from tests.suites.transports import TransportSuite, everything, fill, until_it_breaks

from datd.transport import tcp
from datd.transport.base import MAX_UNREAD, Stream
from datd.transport.tcp import TcpStream, TcpTransport
from datd.types import Address


class TestTcp(TransportSuite):
    host = "127.0.0.1"

    @pytest.fixture
    def transport(self):
        return TcpTransport()

    async def test_the_other_side_may_still_be_written_to_after_it_ended(self, transport):
        calls: asyncio.Queue[Stream] = asyncio.Queue()
        port = await transport.listen(self.host, 0, calls.put_nowait)
        reader, writer = await asyncio.open_connection(self.host, port)
        called = await calls.get()
        writer.write(b"question")
        writer.write_eof()
        assert await called.read() == b"question"
        assert await called.read() == b""
        await called.write(b"answer")
        called.close()
        assert await reader.read() == b"answer"
        writer.close()
        await writer.wait_closed()
        await transport.close()

    async def test_at_most_256_kib_lie_unread(self, pair):
        await fill(pair.caller)
        async with asyncio.TaskGroup() as group:
            group.create_task(until_it_breaks(pair.caller))
            total = 0
            while total <= 4 * MAX_UNREAD:  # reading goes on after each pause
                piece = await pair.called.read()
                assert len(piece) <= MAX_UNREAD
                total += len(piece)
            pair.caller.abort()

    async def test_a_reset_is_an_error_after_what_came_before_it(self, transport):
        calls: asyncio.Queue[Stream] = asyncio.Queue()
        port = await transport.listen(self.host, 0, calls.put_nowait)
        with socket.create_connection((self.host, port)) as sock:
            called = await calls.get()
            sock.send(b"then")
            assert await called.read() == b"then"
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        with pytest.raises(ConnectionResetError):
            await called.read()
        with pytest.raises(OSError, match=r"reset|closed"):
            await called.write(b"x")
        await transport.close()

    async def test_a_closed_stream_that_nobody_reads_is_given_up(self, pair, monkeypatch):
        monkeypatch.setattr(tcp, "CLOSE_GRACE", 0.0)
        await fill(pair.caller)
        pair.caller.close()
        await asyncio.sleep(0.01)
        with pytest.raises(ConnectionResetError):
            await everything(pair.called)

    async def test_one_port_serves_both_families(self, transport):
        calls: asyncio.Queue[Stream] = asyncio.Queue()
        port = await transport.listen("0.0.0.0", 0, calls.put_nowait)
        hosts = ["127.0.0.1"] + (["::1"] if has_ipv6() else [])
        for host in hosts:
            stream = await transport.dial(Address(host, port))
            called = await calls.get()
            assert called.remote.host == host
            stream.abort()
            called.abort()
        await transport.close()

    async def test_a_port_that_is_taken_in_one_family_only_is_not_used(self, transport):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            assert await transport.listen("0.0.0.0", port, lambda stream: stream.abort()) != port
        await transport.close()

    async def test_an_address_of_another_host_cannot_be_listened_on(self, transport):
        with pytest.raises(OSError, match=r"."):
            await transport.listen("203.0.113.1", 0, lambda stream: stream.abort())

    async def test_a_caller_may_be_turned_away_at_once(self, transport):
        port = await transport.listen(self.host, 0, lambda stream: stream.abort())
        stream = await transport.dial(Address(self.host, port))
        with pytest.raises(ConnectionResetError):
            await stream.read()
        await transport.close()


def test_uvloop_carries_the_same_streams():
    async def story():
        transport = TcpTransport()
        calls: asyncio.Queue[Stream] = asyncio.Queue()
        port = await transport.listen("127.0.0.1", 0, calls.put_nowait)
        caller = await transport.dial(Address("127.0.0.1", port))
        called = await calls.get()
        got = 0
        async with asyncio.TaskGroup() as group:
            group.create_task(send(caller))
            while piece := await called.read():
                got += len(piece)
        assert got == 20 * 250_000
        called.close()
        await transport.close()

    async def send(stream: Stream):
        for _ in range(20):
            await stream.write(bytes(250_000))
        stream.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())


async def test_idle_connections_hold_no_buffers():
    transport = TcpTransport()
    calls: asyncio.Queue[Stream] = asyncio.Queue()
    port = await transport.listen("127.0.0.1", 0, calls.put_nowait)
    caller = await transport.dial(Address("127.0.0.1", port))
    called = await calls.get()
    async with asyncio.TaskGroup() as group:
        group.create_task(caller.write(bytes(MAX_UNREAD)))
        left = MAX_UNREAD
        while left:
            left -= len(await called.read())
    assert isinstance(called, TcpStream)
    assert sys.getsizeof(called._unread) < 100
    caller.abort()
    called.abort()
    await transport.close()
    await asyncio.sleep(0)
