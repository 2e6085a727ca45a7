"""Our node and those of others in one DHT, each also as the only way in."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from tests.helpers.dht import Libtorrent, Rounds, dht_on
from tests.helpers.ports import free_port, free_ports
from tests.helpers.reference import Program, Reference
from tests.suites.discovery_networks import Host

from datd.discovery.dht.network import DhtDiscovery
from datd.discovery.dht.service import ServiceLimits
from datd.udp.socket import UdpSocket

# The names on the network are their first 20 bytes.
THEIRS, THEIRS_IMPLIED = b"a" * 32, b"b" * 32
OURS, OURS_IMPLIED = b"c" * 32, b"d" * 32
# libtorrent and the reference take some seconds until they know somebody.
PATIENCE = 120.0

Start = Callable[..., Program]


@pytest.fixture(params=["bittorrent-dht 7", "bittorrent-dht 10", "libtorrent"])
def partner(request, reference: Reference):
    """Starts nodes of one other program."""
    if request.param == "libtorrent":
        with Libtorrent() as libtorrent:
            yield libtorrent.start
        return
    ten = ["--ten"] if request.param.endswith("10") else []
    yield lambda *arguments: reference.start("dht-node.js", *ten, *arguments)


@asynccontextmanager
async def our_node(*bootstrap: int, implied_port: bool = False) -> AsyncIterator[tuple[Host, int]]:
    """One of ours that repeats its rounds, and its UDP port."""
    udp = UdpSocket()
    # All the nodes of a test share one address and begin at the same time.
    limits = ServiceLimits(bytes_per_second=100_000)
    network: DhtDiscovery = await dht_on(udp, *bootstrap, implied_port=implied_port, limits=limits)
    host = Host(Rounds(network), 3282)
    await host.start()
    try:
        yield host, udp.port
    finally:
        await host.network.close()
        udp.close()


async def finds(host: Host, key: bytes, port: int) -> None:
    host.network.join(key, False)
    host.network.lookup(key)
    await until(lambda: (key, port) in host.found)


def announces(host: Host, key: bytes) -> None:
    host.network.join(key, True)
    host.network.lookup(key)


async def all_find_all(start: Start, entry: int) -> None:
    """Each of both kinds announces, with a port and with the one that is seen; the others find it.

    Args:
        start: Starts a node of the other program.
        entry: The only node that anybody knows.
    """
    way_in = ("--bootstrap", f"127.0.0.1:{entry}")
    seen = free_port()
    start("--port", free_port(), *way_in, "--announce", THEIRS[:20].hex(), "--as", 4444)
    start("--port", seen, *way_in, "--announce", THEIRS_IMPLIED[:20].hex(), "--as", 0)
    async with our_node(entry) as (ours, _), our_node(entry, implied_port=True) as (implied, port):
        announces(ours, OURS)
        announces(implied, OURS_IMPLIED)
        await finds(ours, THEIRS, 4444)
        await finds(ours, THEIRS_IMPLIED, seen)
        # Ours is found by our own kind first: then it is there for others to find.
        await finds(ours, OURS_IMPLIED, port)
        await finds(implied, OURS, 3282)
        for key, expected in ((OURS, 3282), (OURS_IMPLIED, port)):
            asker = start("--port", free_port(), *way_in, "--lookup", key[:20].hex())
            await asker.heard("peer", timeout=PATIENCE, host="127.0.0.1", port=expected)


async def test_both_find_each_other_when_theirs_is_the_way_in(partner: Start):
    entry = free_port()
    await partner("--port", entry).heard("listening")
    await all_find_all(partner, entry)


async def test_both_find_each_other_when_ours_is_the_way_in(partner: Start):
    async with our_node() as (_, entry):
        await all_find_all(partner, entry)


@pytest.mark.parametrize("role", ["announces", "asks"])
async def test_a_dht_of_thirty_nodes_of_the_reference(reference: Reference, role: str):
    first, *_ = free_ports(32)
    swarm = reference.start("dht-swarm.js", "--nodes", 32, "--port", first)
    await swarm.heard("ready", timeout=PATIENCE)
    far = first + 17
    async with our_node(first) as (ours, _):
        if role == "announces":
            announces(ours, OURS)
            await until(lambda: statistics(ours)["announced"] >= 8)
            arguments = ("--bootstrap", f"127.0.0.1:{far}", "--lookup", OURS[:20].hex())
            asker = reference.start("dht-node.js", "--port", free_port(), *arguments)
            await asker.heard("peer", timeout=PATIENCE, host="127.0.0.1", port=3282)
        else:
            arguments = ("--bootstrap", f"127.0.0.1:{far}", "--announce", THEIRS[:20].hex())
            reference.start("dht-node.js", "--port", free_port(), *arguments, "--as", 4444)
            await finds(ours, THEIRS, 4444)
        await until(lambda: statistics(ours)["nodes"] >= 20)


def statistics(host: Host) -> dict[str, int]:
    assert isinstance(host.network, Rounds)
    return host.network.network.statistics


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        # What is waited for is counted by the machine, which has nobody to wake.
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
