"""The client over real sockets, with our own server as partner."""

import asyncio
import random
import socket
import threading
import tracemalloc
from collections.abc import Callable

import pytest
from tests.helpers.virtual_time import in_virtual_time
from tests.suites.discovery_networks import KEY, OTHER, DiscoveryNetworkSuite, Host

from datd.discovery import dns_message
from datd.discovery.dns import DnsDiscovery
from datd.discovery.dns_server import DiscoveryServer
from datd.discovery.dns_servers import ServerView
from datd.discovery.dns_text import Text
from datd.discovery.public import PublicAddress
from datd.discovery_server import Doors
from datd.types import Address
from datd.udp.socket import UdpSocket


@pytest.fixture
async def server():
    """A discovery server in this process, as its clients know it."""
    doors = opened()
    yield f"127.0.0.1:{doors.addresses[0].port}"
    doors.close()


def opened() -> Doors:
    now = asyncio.get_running_loop().time()
    machine = DiscoveryServer(secret=lambda: bytes(32), choose=random.Random(3).randrange, now=now)
    doors = Doors(machine)
    doors.open("127.0.0.1", 0)
    return doors


@pytest.fixture
def sockets():
    """All sockets of a test; they end with it."""
    opened: list[UdpSocket] = []
    yield opened
    for udp in opened:
        udp.close()


async def client(
    sockets: list[UdpSocket], *servers: str, public: PublicAddress | None = None, **options
) -> DnsDiscovery:
    """A network over a socket of its own."""
    udp = UdpSocket()
    await udp.listen("127.0.0.1", 0)
    sockets.append(udp)
    options.setdefault("clock", asyncio.get_running_loop().time)
    return DnsDiscovery(
        udp,
        servers=servers,
        public=public or PublicAddress(),
        choose=random.Random(5).randrange,
        **options,
    )


class TestDnsDiscovery(DiscoveryNetworkSuite):
    @pytest.fixture
    async def networks(self, sockets, server):
        return await client(sockets, server), await client(sockets, server)


async def started(network: DnsDiscovery, port: int = 3282) -> Host:
    host = Host(network, port)
    await host.start()
    return host


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(120):
        while not condition():  # noqa: ASYNC110 - what is waited for has no bell
            await asyncio.sleep(0.005)


def view(host: Host) -> ServerView:
    """The first server of a network."""
    assert isinstance(host.network, DnsDiscovery)
    return host.network.servers[0]


async def test_who_closes_is_not_found_any_more(server, sockets):
    leaving = await started(await client(sockets, server))
    staying = await started(await client(sockets, server), 4444)
    late = await started(await client(sockets, server), 5555)
    for host in (leaving, staying):
        host.network.join(KEY, True)
        host.network.lookup(KEY)
    await staying.finds(KEY, 3282)
    await leaving.finds(KEY, 4444)
    before = asyncio.get_running_loop().time()
    await leaving.network.close()
    assert asyncio.get_running_loop().time() - before < 8
    late.network.join(KEY, False)
    late.network.lookup(KEY)
    await late.finds(KEY, 4444)
    assert (KEY, 3282) not in late.found
    for host in (staying, late):
        await host.network.close()


def test_the_end_waits_a_second_at_most_for_a_server_that_is_gone():
    async def story():
        sockets: list[UdpSocket] = []
        doors, clock = opened(), asyncio.get_running_loop().time
        name = f"127.0.0.1:{doors.addresses[0].port}"
        host = await started(await client(sockets, name, find_addresses=frozenset))
        host.network.join(KEY, True)
        host.network.lookup(KEY)
        await until(lambda: view(host).announced)
        doors.close()
        before = clock()
        await host.network.close()
        assert clock() - before <= 1.1
        sockets[0].close()

    in_virtual_time(story())


async def test_without_any_server_nothing_happens(sockets):
    network = await client(sockets)
    host = await started(network)
    network.join(KEY, True)
    network.lookup(KEY)
    await network.close()
    assert network.servers == []
    assert host.found == []


async def test_a_network_that_was_never_started_can_be_closed(sockets):
    await (await client(sockets, "192.0.2.1")).close()


async def test_a_public_port_is_what_others_are_told(server, sockets):
    public = PublicAddress()
    public.mapped(None, 7777)
    host = await started(await client(sockets, server, public=public))
    other = await started(await client(sockets, server), 4444)
    for one in (host, other):
        one.network.join(OTHER, True)
        one.network.lookup(OTHER)
    await other.finds(OTHER, 7777)
    public.mapped("127.0.0.1", 8888)
    await other.finds(OTHER, 8888)
    for one in (host, other):
        await one.network.close()


async def test_it_says_where_the_server_sees_us(server, sockets):
    public = PublicAddress()
    # Its clock stands still: nothing is asked twice, however long a busy machine takes to answer.
    host = await started(await client(sockets, server, public=public, clock=lambda: 1000.0))
    await until(lambda: public.host)
    assert (public.host, public.port) == ("127.0.0.1", None)
    seen = view(host)
    assert seen.answering
    assert seen.sees == ("127.0.0.1", sockets[0].port)
    assert (seen.queries, seen.answers, seen.refused) == (1, 1, 0)
    await host.network.close()


async def test_names_of_servers_are_looked_up_beside_the_loop(server, sockets):
    asked = []

    def find(host: str) -> list[str]:
        asked.append((host, threading.current_thread() is threading.main_thread()))
        return ["127.0.0.1"]

    name = f"discovery.example:{server.split(':')[1]}"
    host = await started(await client(sockets, name, find_hosts=find))
    await until(lambda: view(host).answering)
    assert asked == [("discovery.example", False)]
    await host.network.close()


async def test_a_name_server_that_hangs_holds_nobody_up(sockets):
    hanging = threading.Event()

    def find(host: str) -> list[str]:
        hanging.wait(30)
        return ["127.0.0.1"]

    host = await started(await client(sockets, "discovery.example", find_hosts=find))
    host.network.join(KEY, True)
    host.network.lookup(KEY)
    before = asyncio.get_running_loop().time()
    await host.network.close()
    assert asyncio.get_running_loop().time() - before < 8
    hanging.set()


async def test_a_name_that_nobody_knows_is_trouble_and_no_error(sockets):
    def find(host: str) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    host = await started(await client(sockets, "nowhere.example", find_hosts=find))
    await until(lambda: view(host).trouble)
    assert view(host).trouble == "its name has no IPv4 address"
    await host.network.close()


async def test_localhost_is_looked_up_by_the_system(server, sockets):
    host = await started(await client(sockets, f"localhost:{server.split(':')[1]}"))
    await until(lambda: view(host).answering)
    await host.network.close()


def test_what_is_no_server_is_refused_at_once():
    with pytest.raises(ValueError, match="is not a discovery server"):
        DnsDiscovery(
            UdpSocket(),
            servers=["example.org:x"],
            public=PublicAddress(),
            clock=lambda: 0.0,
            choose=lambda n: 0,
        )


def test_servers_that_come_and_go_are_told_on_the_log(caplog):
    """A silent server is worth one line, not one for each probe."""

    async def story():
        sockets: list[UdpSocket] = []
        network = await client(sockets, "127.0.0.1:9", find_addresses=frozenset)
        host = await started(network)
        host.network.join(KEY, True)
        for _ in range(60):
            host.network.lookup(KEY)
            await asyncio.sleep(60)
        await network.close()
        sockets[0].close()

    with caplog.at_level("INFO"):
        in_virtual_time(story())
    lines = [record.message for record in caplog.records if "discovery" in record.message]
    assert lines == ["discovery server 127.0.0.1:9: does not answer"]


class HostileServer(asyncio.DatagramProtocol):
    """Answers every query many times, wrongly and rightly, and pushes what comes to its mind."""

    def __init__(self) -> None:
        self.noise = random.Random(66)
        self.flood = 0

    def connection_made(self, transport) -> None:
        self.transport = transport

    def datagram_received(self, data, addr) -> None:
        message = dns_message.decode(data, "dat.local")
        if message is None or message.response or not message.head:
            return
        noise = self.noise
        hosts = [f"{noise.choice((10, 127, 203, 224, 255))}.0.113.{n}" for n in range(31)]
        peers = tuple(Address(host, number) for number, host in enumerate(hosts))
        lie = Text(token=f"t{noise.random()}", host="198.51.100.66", port=6666, peers=peers)
        reply = dns_message.encode_reply(message.id, message.head, [dns_message.text_record(lie)])
        for _ in range(50):
            spoiled = bytearray(reply)
            spoiled[noise.randrange(len(reply))] ^= 1 << noise.randrange(8)
            self.transport.sendto(bytes(spoiled), addr)
        self.transport.sendto(reply, addr)
        for number in range(200):
            peer = Address(f"203.0.{number}.7", 1 + number)
            push = dns_message.encode_push(number + 1, KEY[:20], "dat.local", peer)
            self.transport.sendto(push, addr)
            self.transport.sendto(noise.randbytes(noise.randrange(1400)), addr)
        self.flood += 1


async def test_t31_a_hostile_server_is_survived_and_others_are_heard(server, sockets):
    loop = asyncio.get_running_loop()
    transport, hostile = await loop.create_datagram_endpoint(
        HostileServer, local_addr=("127.0.0.3", 0)
    )
    text = "127.0.0.3:{}".format(transport.get_extra_info("sockname")[1])
    public = PublicAddress()
    host = await started(await client(sockets, text, server, public=public))
    friend = await started(await client(sockets, server), 4444)
    tracemalloc.start()
    before, began = tracemalloc.get_traced_memory()[0], loop.time()
    host.network.join(KEY, True)
    for number in range(30):
        host.network.join(bytes([number]) * 32, True)
        host.network.lookup(bytes([number]) * 32)
    host.network.lookup(KEY)
    friend.network.join(KEY, True)
    friend.network.lookup(KEY)
    await host.finds(KEY, 4444)
    await until(lambda: hostile.flood > 30)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 4 * 2**20
    # 31 peers an answer, two answers a query, and the pushes that are read: a hundred a second.
    assert len(host.found) < hostile.flood * 2 * 31 + 100 * (loop.time() - began + 1)
    assert public.port is None
    for one in (host, friend):
        await one.network.close()
    transport.close()
