import asyncio
import random
import time

import pytest
import uvloop
from tests.helpers.pieces import has_ipv6
from tests.suites.transports import Pair, TransportSuite, everything, fill

from datd.transport.base import Stream
from datd.transport.utp import connection
from datd.transport.utp.receiving import WINDOW
from datd.transport.utp.transport import UtpTransport
from datd.types import Address
from datd.udp.socket import UdpSocket

PATIENCE = 60.0
HOST = "127.0.0.1"


class BusySocket(UdpSocket):
    """Over a system that takes three datagrams at once."""

    def send_run(self, datagrams, address):
        return super().send_run(datagrams[:3], address)


def transport_over(udp: UdpSocket) -> UtpTransport:
    return UtpTransport(udp, clock=time.monotonic, choose=random.Random(7).randrange)


class Utp(TransportSuite):
    """The acceptor learns of a call by its first byte, so each pair begins with one."""

    @pytest.fixture
    async def udp(self):
        udp = UdpSocket()
        yield udp
        udp.close()

    @pytest.fixture
    def transport(self, udp):
        return transport_over(udp)

    @pytest.fixture
    async def pair(self, transport):
        calls: asyncio.Queue[Stream] = asyncio.Queue()
        port = await transport.listen(self.host, 0, calls.put_nowait)
        caller = await transport.dial(Address(self.host, port))
        await caller.write(b"!")
        called = await calls.get()
        assert await called.read() == b"!"
        yield Pair(caller, called)
        caller.abort()
        called.abort()
        await transport.close()
        await asyncio.sleep(0)

    async def test_a_taken_port_gives_way_to_a_free_one(self, transport):
        # The socket is shared and bound once, so it takes another one to ask for the same port.
        first = await transport.listen(self.host, 0, lambda stream: stream.abort())
        assert await transport.listen(self.host, 0, lambda stream: stream.abort()) == first
        other = UdpSocket()
        second = await transport_over(other).listen(self.host, first, lambda stream: stream.abort())
        assert second not in (0, first)
        other.close()

    async def test_the_other_side_may_still_be_written_to_after_it_ended(self, pair):
        await pair.caller.write(b"question")
        pair.caller.machine.outgoing.end()
        assert await everything(pair.called) == b"question"
        await pair.called.write(b"answer" * 1000)
        pair.called.close()
        assert await everything(pair.caller) == b"answer" * 1000

    async def test_a_window_full_lies_unread_and_no_more(self, pair):
        written = await fill(pair.caller)
        assert pair.called.machine.incoming.unread <= WINDOW
        assert written > WINDOW // 2
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            reading = group.create_task(everything(pair.called))  # goes on after the pause
            await pair.caller.write(b"the last")
            pair.caller.close()
        assert len(reading.result()) > written
        assert reading.result().endswith(b"the last")

    async def test_a_reset_is_an_error_after_what_came_before_it(self, pair):
        await pair.caller.write(b"then")
        await until(lambda: pair.called.machine.incoming.unread == 4)
        pair.caller.abort()
        assert await pair.called.read() == b"then"
        with pytest.raises(ConnectionResetError):
            await pair.called.read()
        with pytest.raises(OSError, match=r"reset|closed"):
            await pair.called.write(b"x")

    async def test_a_closed_stream_that_nobody_reads_is_given_up(self, pair, monkeypatch):
        monkeypatch.setattr(connection, "CLOSE_GRACE", 0.0)
        await fill(pair.caller)
        pair.caller.close()
        with pytest.raises(ConnectionResetError):
            await everything(pair.called)

    async def test_a_caller_may_be_turned_away_at_once(self, transport):
        port = await transport.listen(self.host, 0, lambda stream: stream.abort())
        stream = await transport.dial(Address(self.host, port))
        await stream.write(b"hello")
        with pytest.raises(ConnectionResetError):
            await stream.read()

    async def test_streams_live_on_when_no_more_calls_are_taken(self, pair, transport):
        await transport.close()
        await pair.caller.write(b"still here")
        assert await pair.called.read() == b"still here"

    async def test_ended_streams_leave_nothing_behind(self, pair, transport):
        pair.caller.close()
        assert await pair.called.read() == b""
        pair.called.close()
        await until(lambda: not transport.connections)

    async def test_two_calls_between_the_same_addresses_are_two_connections(self, pair, transport):
        calls: asyncio.Queue[Stream] = asyncio.Queue()
        port = await transport.listen(self.host, 0, calls.put_nowait)
        other = await transport.dial(Address(self.host, port))
        await other.write(b"second")
        assert await (await calls.get()).read() == b"second"
        await pair.caller.write(b"first")
        assert await pair.called.read() == b"first"


class TestUtp(Utp):
    host = HOST


@pytest.mark.skipif(not has_ipv6(), reason="this host has no IPv6")
class TestUtpOverIpv6(Utp):
    host = "::1"


async def until(holds):
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110  # what changes is inside of machines
            await asyncio.sleep(0.001)


# ---- many


async def test_hundreds_of_idle_connections_have_one_timer_and_no_task():
    udp = UdpSocket()
    transport = transport_over(udp)
    port = await transport.listen(HOST, 0, lambda stream: None)
    streams = []
    for _ in range(30):
        streams.append(await transport.dial(Address(HOST, port)))
        await streams[-1].write(b"!")
    await until(lambda: transport.connections == 60)
    loop = asyncio.get_running_loop()
    timers = [timer for timer in loop._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
    assert len(timers) <= 2  # its own, and that of the test
    assert len(asyncio.all_tasks()) == 1
    for stream in streams:
        stream.abort()
    await until(lambda: transport.connections == 0)
    udp.close()


async def test_connecting_and_leaving_many_times_leaves_nothing_behind():
    udp = UdpSocket()
    transport = transport_over(udp)
    calls: asyncio.Queue[Stream] = asyncio.Queue()
    port = await transport.listen(HOST, 0, calls.put_nowait)
    transport._door._tokens = 1e9  # as if they had come over minutes
    for _ in range(150):
        caller = await transport.dial(Address(HOST, port))
        await caller.write(b"!")
        called = await calls.get()
        caller.close()
        called.close()
        await until(lambda: transport.connections == 0)
    assert len(transport._agenda) < 1000
    assert not transport._touched
    assert not transport._dialling
    udp.close()


async def test_a_host_behind_a_narrow_path_is_called_with_small_packets_from_then_on(udp_pair):
    transport, address = udp_pair
    stream = await transport.dial(address)
    stream.machine.outgoing.narrow_down()
    stream.abort()
    await until(lambda: transport.connections == 0)
    again = await transport.dial(address)
    assert again.machine.outgoing.narrow
    again.abort()


@pytest.fixture
async def udp_pair():
    udp = UdpSocket()
    transport = transport_over(udp)
    port = await transport.listen(HOST, 0, lambda stream: None)
    yield transport, Address(HOST, port)
    udp.close()


def test_uvloop_carries_the_same_streams():
    async def story():
        udp = UdpSocket()
        transport = transport_over(udp)
        calls: asyncio.Queue[Stream] = asyncio.Queue()
        port = await transport.listen(HOST, 0, calls.put_nowait)
        caller = await transport.dial(Address(HOST, port))
        async with asyncio.TaskGroup() as group:
            group.create_task(send(caller))
            called = await calls.get()
            got = len(await everything(called))
        assert got == 20 * 250_000
        called.close()
        udp.close()

    async def send(stream: Stream):
        for _ in range(20):
            await stream.write(bytes(250_000))
        stream.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())


class TestOverABusySystem(Utp):
    """What is not taken at once goes out later, in order; all of the suite holds."""

    host = HOST

    @pytest.fixture
    async def udp(self):
        udp = BusySocket()
        yield udp
        udp.close()
