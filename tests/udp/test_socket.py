import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing

import pytest
import uvloop
from tests.helpers.ports import free_port

from datd.types import Address
from datd.udp.demultiplex import Kind
from datd.udp.socket import UdpSocket

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [
    asyncio.new_event_loop,
    uvloop.new_event_loop,
]
# Generous: what is waited for takes microseconds.
PATIENCE = 60.0

UTP = b"\x01\x00" + bytes(18)
DHT = b"d1:y1:qe"
DNS = b"\x80\x00" + bytes(10)


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def on_loop(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Runs a story on each of the event loops that datd may have."""

    def run(story: Callable[[], object]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(story(), 2 * PATIENCE))  # type: ignore[arg-type]

    return run


class Ear:
    """Hears one kind of datagram of a socket, and notes every flush."""

    def __init__(self, udp: UdpSocket, kind: Kind) -> None:
        self.heard: list[bytes] = []
        self.senders: list[Address] = []
        self.calls: list[int] = []
        self.flushed: list[int] = []
        self._news = asyncio.Event()
        udp.route(kind, self._receive, lambda: self.flushed.append(len(self.heard)))

    def _receive(self, datagrams: Sequence[bytes], sender: Address) -> None:
        self.heard += datagrams
        self.senders += [sender] * len(datagrams)
        self.calls.append(len(datagrams))
        self._news.set()

    async def wait_for(self, count: int) -> list[bytes]:
        async with asyncio.timeout(PATIENCE):
            while len(self.heard) < count:
                self._news.clear()
                await self._news.wait()
        return self.heard


@asynccontextmanager
async def sockets(count: int = 2, host: str = "127.0.0.1") -> AsyncIterator[list[UdpSocket]]:
    made = [UdpSocket() for _ in range(count)]
    try:
        for udp in made:
            await udp.listen(host, 0)
        yield made
    finally:
        for udp in made:
            udp.close()


def at(udp: UdpSocket, host: str = "127.0.0.1") -> Address:
    return Address(host, udp.port)


def stranger(family: int = socket.AF_INET) -> socket.socket:
    return socket.socket(family, socket.SOCK_DGRAM)


def needs_ipv6() -> None:
    try:
        with closing(stranger(socket.AF_INET6)) as sock:
            sock.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")


# ---- binding


async def test_both_families_have_one_number():
    needs_ipv6()
    async with sockets(2, "0.0.0.0") as (here, there):
        assert here.ipv6
        ear = Ear(there, Kind.DHT)
        here.send(DHT, at(there, "127.0.0.1"))
        here.send(DHT, at(there, "::1"))
        await ear.wait_for(2)
        assert set(ear.senders) == {at(here, "127.0.0.1"), at(here, "::1")}


async def test_a_number_that_is_taken_is_another_one_or_an_error_as_asked():
    with closing(stranger()) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        async with sockets(0):
            udp = UdpSocket()
            with pytest.raises(OSError, match="taken") as caught:
                await udp.listen("127.0.0.1", port, exact=True)
            assert caught.value.errno == errno.EADDRINUSE
            assert udp.port == 0
            assert await udp.listen("127.0.0.1", port) not in (0, port)
            udp.close()


async def test_a_number_taken_in_ipv6_only_is_taken():
    needs_ipv6()
    with closing(stranger(socket.AF_INET6)) as taken:
        taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.bind(("::", 0))
        udp = UdpSocket()
        with pytest.raises(OSError, match="taken"):
            await udp.listen("0.0.0.0", taken.getsockname()[1], exact=True)


async def test_listening_again_tells_the_number():
    async with sockets(1) as (udp,):
        assert await udp.listen("127.0.0.1", 1, exact=True) == udp.port


async def test_an_address_of_nobody_here_is_an_error():
    with pytest.raises(OSError):  # noqa: PT011 - each system has its own
        await UdpSocket().listen("203.0.113.77", 0)


async def test_closed_means_free_again():
    udp, port = UdpSocket(), free_port()  # none that the system gives to somebody else meanwhile
    assert await udp.listen("127.0.0.1", port, exact=True) == port
    udp.close()
    udp.close()
    other = UdpSocket()
    assert await other.listen("127.0.0.1", port, exact=True) == port
    other.close()


# ---- who gets what


def test_each_kind_goes_to_its_reader_and_the_rest_is_counted(on_loop):
    async def story() -> None:
        async with sockets() as (here, there):
            ears = {kind: Ear(there, kind) for kind in Kind}
            for datagram in (b"", b"short", UTP, DNS, DHT):
                here.send(datagram, at(there))
            for kind, datagram in ((Kind.UTP, UTP), (Kind.DNS, DNS), (Kind.DHT, DHT)):
                assert await ears[kind].wait_for(1) == [datagram]
                assert ears[kind].flushed == [1]
            assert (there.counts.unknown, there.counts.unknown_bytes) == (2, 5)
            assert there.counts.by_kind[Kind.UTP].bytes_in == len(UTP)
            assert here.counts.by_kind[Kind.UTP].bytes_out == len(UTP)

    on_loop(story)


async def test_where_only_dns_is_spoken_a_message_may_look_like_utp():
    async with sockets() as (here, there):
        ear = Ear(there, Kind.DNS)
        here.send(UTP, at(there))
        here.send(b"d" + DNS, at(there))
        assert sorted(await ear.wait_for(2)) == [UTP, b"d" + DNS]


async def test_a_burst_is_flushed_once_a_wake_up_and_lets_others_in_between():
    async with sockets() as (here, there):
        ear = Ear(there, Kind.UTP)
        for number in range(200):
            here.send(UTP + bytes([number]), at(there))
        async with asyncio.timeout(PATIENCE):
            while len(ear.heard) < 200:
                before = len(ear.flushed)
                await asyncio.sleep(0)  # one turn of the loop, and so one wake-up at most
                assert len(ear.flushed) <= before + 1
        assert sorted(ear.heard) == [UTP + bytes([number]) for number in range(200)]
        assert max(ear.calls) <= 64
        assert ear.flushed[-1] == 200


async def test_two_senders_are_never_in_one_sequence():
    async with sockets(3) as (one, two, there):
        ear = Ear(there, Kind.UTP)
        for number in range(20):
            (one, two)[number % 2].send(UTP + bytes([number]), at(there))
        await ear.wait_for(20)
        for datagram, sender in zip(ear.heard, ear.senders, strict=True):
            assert sender == (at(one), at(two))[datagram[-1] % 2]
        assert sorted(ear.heard) == [UTP + bytes([number]) for number in range(20)]


async def test_a_reader_that_fails_keeps_nobody_else_from_being_flushed():
    problems: asyncio.Queue[dict[str, object]] = asyncio.Queue()
    asyncio.get_running_loop().set_exception_handler(lambda _, news: problems.put_nowait(news))
    async with sockets() as (here, there):
        ear = Ear(there, Kind.DHT)

        def fail(datagrams: Sequence[bytes], sender: Address) -> None:
            raise ZeroDivisionError

        there.route(Kind.UTP, fail)
        here.send(DHT, at(there))
        here.send(UTP, at(there))
        here.send(DHT, at(there))
        await ear.wait_for(2)
        assert ear.flushed[-1] == 2
        async with asyncio.timeout(PATIENCE):
            problem = await problems.get()
        assert isinstance(problem["exception"], ZeroDivisionError)


# ---- runs


@pytest.mark.parametrize("last", [1402, 1, 30])
@pytest.mark.parametrize("count", [1, 2, 46, 47, 150])
def test_a_run_arrives_whole_and_in_order(on_loop, count, last):
    async def story() -> None:
        async with sockets() as (here, there):
            ear = Ear(there, Kind.UTP)
            run = [(UTP + bytes([number]) * 1402)[:1402] for number in range(count)]
            run[-1] = run[-1][: max(last, 20)]
            assert here.send_run(run, at(there)) == count
            assert await ear.wait_for(count) == run
            assert here.counts.by_kind[Kind.UTP].datagrams_out == count
            assert here.counts.by_kind[Kind.UTP].bytes_out == sum(map(len, run))
            assert there.counts.by_kind[Kind.UTP].bytes_in == sum(map(len, run))

    on_loop(story)


@pytest.mark.parametrize("sizes", [[20, 21], [40, 20, 40], [20, 0], [100, 100, 30, 100]])
async def test_datagrams_of_odd_lengths_are_never_cut_elsewhere(sizes):
    async with sockets() as (here, there):
        ear = Ear(there, Kind.UTP)
        run = [(UTP * 10)[:size] for size in sizes]
        assert here.send_run(run, at(there)) == len(run)
        assert await ear.wait_for(len([size for size in sizes if size])) == [d for d in run if d]


async def test_merged_datagrams_of_two_kinds_are_told_apart():
    async with sockets() as (here, there):
        utp, dns = Ear(there, Kind.UTP), Ear(there, Kind.DNS)
        other = DNS + bytes(8)
        here.send_run([UTP, UTP, other, UTP, other], at(there))
        assert await utp.wait_for(3) == [UTP] * 3
        assert await dns.wait_for(2) == [other] * 2


async def test_datagrams_above_the_mtu_are_sent_one_by_one_and_arrive():
    async with sockets() as (here, there):
        ear = Ear(there, Kind.UTP)
        # Loopback carries packets of 64 KiB; together these are more than one call takes.
        run = [UTP + bytes([number]) * 65_000 for number in range(3)]
        assert here.send_run(run, at(there)) == 3
        assert await ear.wait_for(3) == run


def test_after_a_full_buffer_the_rest_goes_when_the_socket_says_so(on_loop):
    async def story() -> None:
        async with sockets(1) as (here,):
            calls: list[int] = []
            woken = asyncio.Event()

            def again() -> None:
                calls.append(1)
                woken.set()

            here.when_writable(again)
            here.when_writable(again)
            assert calls == []  # never before it returned
            async with asyncio.timeout(PATIENCE):
                await woken.wait()
            await asyncio.sleep(0.05)
            assert calls == [1]

    on_loop(story)


# ---- addresses


@pytest.mark.parametrize(
    "address",
    [
        Address("localhost", 9),  # a name would have to be looked up, and that waits
        Address("", 9),
        Address("1.2.3", 9),
        Address("::1%nosuchif", 9),
        Address("fe80::1%99999999999", 9),
        Address("127.0.0.1", 70_000),
        Address("127.0.0.1", -1),
        Address("127.0.0.1\0", 9),
    ],
)
async def test_T31_an_address_that_is_none_is_refused_quietly(address):
    async with sockets(1, "0.0.0.0") as (udp,):
        udp.send(UTP, address)
        assert udp.send_run([UTP, UTP], address) == 2
        assert udp.counts.refused == 3


async def test_before_listening_and_after_closing_everything_is_lost():
    udp = UdpSocket()
    udp.send(UTP, Address("127.0.0.1", 9))
    await udp.listen("127.0.0.1", 0)
    udp.close()
    assert udp.send_run([UTP], Address("127.0.0.1", 9)) == 1
    assert udp.counts.refused == 2


async def test_an_ipv4_address_in_ipv6_clothes_is_reached():
    async with sockets() as (here, there):
        ear = Ear(there, Kind.UTP)
        here.send(UTP, at(there, "::ffff:127.0.0.1"))
        await ear.wait_for(1)
        assert ear.senders == [at(here)]


async def test_L20_ways_to_ten_thousand_strangers_are_not_kept():
    async with sockets(1) as (udp,):
        for number in range(10_000):
            udp.send(UTP, Address(f"127.{number % 100}.{number // 100}.1", 9))
        assert len(udp._ways) <= 4096


def test_nobody_there_does_not_stop_the_socket(on_loop):
    async def story() -> None:
        async with sockets() as (here, there):
            ear = Ear(there, Kind.UTP)
            nobody = Address("127.0.0.1", free_port())
            for number in range(300):
                here.send(UTP, nobody)
                here.send(UTP + bytes([number % 256]), at(there))
            await ear.wait_for(300)
            there.send(UTP, at(here))
            back = Ear(here, Kind.UTP)
            await back.wait_for(1)

    on_loop(story)
