import asyncio
import logging
from collections.abc import Callable, Sequence

import pytest
from tests.helpers.dht import Rounds, dht_on
from tests.helpers.pieces import has_ipv6
from tests.helpers.virtual_time import in_virtual_time
from tests.suites.discovery_networks import KEY, OTHER, DiscoveryNetworkSuite, Host

from datd.discovery.dht import krpc
from datd.discovery.dht import state as node_state
from datd.discovery.dht.contacts import Contact
from datd.discovery.dht.network import FIRST_RETRY, DhtDiscovery
from datd.discovery.public import PublicAddress
from datd.errors import ConfigError
from datd.types import Address
from datd.udp.demultiplex import Kind
from datd.udp.socket import UdpSocket

NAME = KEY[:20]


@pytest.fixture
def sockets():
    made: list[UdpSocket] = []

    def make(one: UdpSocket | None = None) -> UdpSocket:
        made.append(one or UdpSocket())
        return made[-1]

    yield make
    for one in made:
        one.close()


class Overheard(UdpSocket):
    """Keeps a copy of what is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[bytes] = []

    def send(self, datagram: bytes, address: Address, *, awaited: bool = False) -> None:
        self.said.append(datagram)
        super().send(datagram, address, awaited=awaited)


class Member:
    """A network that was started, and what it was told."""

    def __init__(self, network: DhtDiscovery, port: int) -> None:
        self.network = network
        self._host = Host(network, port)
        self.found = self._host.found
        self.start = self._host.start


class TestDhtDiscovery(DiscoveryNetworkSuite):
    @pytest.fixture
    async def networks(self, sockets):
        one, other = sockets(), sockets()
        a = await dht_on(one)
        return Rounds(a), Rounds(await dht_on(other, one.port))


async def until(true) -> None:
    async with asyncio.timeout(60):
        # What is waited for is counted by the machine, which has nobody to wake.
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def started(network: DhtDiscovery, port: int = 3282) -> Member:
    host = Member(network, port)
    await host.start()
    return host


async def announced_at(sockets, *, implied: bool, public: PublicAddress | None = None):
    """The peer that a node holds after an announcement, and the port that it came from."""
    entry, udp = sockets(), sockets()
    node = await started(await dht_on(entry))
    network = await dht_on(udp, entry.port, implied_port=implied, public=public)
    announcer = await started(network)
    network.join(KEY, True)
    network.lookup(KEY)
    await until(lambda: node.network.statistics["peers"])
    node.network.join(KEY, False)
    node.network.lookup(KEY)
    await until(lambda: node.found)
    await announcer.network.close()
    await node.network.close()
    return node.found[0][1], udp.port


async def test_the_local_port_is_announced(sockets):
    port, _ = await announced_at(sockets, implied=False)
    assert port == 3282


async def test_with_utp_nodes_take_the_port_that_they_see(sockets):
    port, udp_port = await announced_at(sockets, implied=True)
    assert port == udp_port


async def test_a_public_port_that_is_known_is_announced_rather_than_implied(sockets):
    public = PublicAddress()
    public.learn("192.0.2.1", 4711)
    port, _ = await announced_at(sockets, implied=True, public=public)
    assert port == 4711


async def test_a_restarted_node_needs_no_bootstrap_and_keeps_its_id(sockets):
    entry = sockets()
    saved: list[bytes] = []
    node = await started(await dht_on(entry))
    first = await started(await dht_on(sockets(), entry.port, saved=saved))
    await until(lambda: first.network.statistics["nodes"])
    await first.network.close()
    second = await started(await dht_on(sockets(), state=saved[-1], saved=saved))
    await until(lambda: second.network.statistics["nodes"])
    await second.network.close()
    await node.network.close()
    before, after = node_state.decode(saved[0]), node_state.decode(saved[-1])
    assert before is not None
    assert after is not None
    assert after == before
    assert after.contacts[0].address == Address("127.0.0.1", entry.port)


@pytest.mark.parametrize("state", [b"", b"x" * 100_000, b"d2:id20:", b"i1e", b"d7:versioni9ee"])
async def test_a_state_that_makes_no_sense_is_left_aside(sockets, state):
    saved: list[bytes] = []
    host = await started(await dht_on(sockets(), state=state, saved=saved))
    await host.network.close()
    assert node_state.decode(saved[-1]) is not None


async def test_an_outage_does_not_cost_the_nodes_of_better_days(sockets):
    gone = sockets()
    await gone.listen("127.0.0.1", 0)
    contacts = [Contact(b"n" * 20, Address("127.0.0.1", gone.port))]
    saved: list[bytes] = []
    state = node_state.encode(b"i" * 20, contacts)
    host = await started(await dht_on(sockets(), state=state, saved=saved))
    await host.network.close()
    assert not saved or node_state.decode(saved[-1]) == node_state.decode(state)


async def test_with_nobody_known_it_is_silent_and_says_so_once(sockets, caplog):
    udp = sockets(Overheard())
    with caplog.at_level(logging.DEBUG):
        host = await started(await dht_on(udp))
        host.network.join(KEY, True)
        for _ in range(3):
            host.network.lookup(KEY)
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
    assert len([line for line in caplog.messages if "silent" in line]) == 1
    assert udp.said == []
    assert host.network.statistics["waiting"] == 1
    await host.network.close()


async def test_whoever_asks_a_silent_node_leads_it_in(sockets):
    silent, udp = sockets(), sockets()
    quiet = await started(await dht_on(silent), 1111)
    quiet.network.join(KEY, True)
    quiet.network.lookup(KEY)
    loud = await started(await dht_on(udp, silent.port))
    await until(lambda: loud.network.statistics["peers"] == 1)
    await quiet.network.close()
    await loud.network.close()


async def test_a_bootstrap_node_that_comes_up_late_is_asked_again(sockets):
    late = sockets()
    await late.listen("127.0.0.1", 0)
    early = await started(await dht_on(sockets(), late.port))
    await until(lambda: early.network.statistics["sent"])
    node = await started(await dht_on(late))
    await until(lambda: early.network.statistics["nodes"])
    await early.network.close()
    await node.network.close()


class Wire(UdpSocket):
    """A socket without a system: nodes of a test answer what is sent, or nobody does."""

    def __init__(self) -> None:
        super().__init__()
        self.port = 6881
        self.living = {Address(f"10.0.0.{number}", 6881) for number in range(1, 21)}
        self.asked: list[tuple[float, Address, bytes]] = []
        self._takers: list[Callable[[Sequence[bytes], Address], None]] = []

    async def listen(self, host: str, port: int, *, exact: bool = False) -> int:
        return self.port

    def route(self, kind, receive, flush=None) -> None:
        def take(datagrams: Sequence[bytes], source: Address) -> None:
            receive(datagrams, source)
            if flush is not None:
                flush()

        self._takers.append(take)

    def send(self, datagram: bytes, address: Address, *, awaited: bool = False) -> None:
        loop = asyncio.get_running_loop()
        query = krpc.decode(datagram)
        assert isinstance(query, krpc.Query)
        self.asked.append((loop.time(), address, query.target or b""))
        if address in self.living:
            contacts = tuple(Contact(self._id(one), one) for one in sorted(self.living))
            answer = krpc.Answer(
                query.transaction,
                self._id(address),
                contacts=contacts,
                families=frozenset({4}),
                token=b"t",
            )
            data = krpc.encode(answer)
            for take in self._takers:
                loop.call_later(0.05, take, [data], address)

    def _id(self, address: Address) -> bytes:
        return address.host.rpartition(".")[2].encode().rjust(20, b"i")


@pytest.mark.parametrize(("remembered", "at_once"), [(0, True), (3, True), (8, False)])
def test_bootstrap_nodes_are_asked_last_when_enough_others_are_remembered(remembered, at_once):
    async def story() -> None:
        udp, entry = Wire(), Address("10.0.0.1", 6881)
        gone = [
            Contact(bytes([number]) * 20, Address(f"10.0.1.{number + 1}", 6881))
            for number in range(remembered)
        ]
        began = asyncio.get_running_loop().time()
        state = node_state.encode(b"i" * 20, gone)
        host = await started(await dht_on(udp, entry.host, state=state))
        await asyncio.sleep(60)
        asked = min(when - began for when, address, _ in udp.asked if address == entry)
        assert (asked < FIRST_RETRY) == at_once
        assert host.network.statistics["nodes"] == 20
        await host.network.close()

    in_virtual_time(story())


def test_when_the_known_nodes_go_bootstrap_nodes_are_asked_at_once_and_names_follow():
    async def story() -> None:
        udp, loop = Wire(), asyncio.get_running_loop()
        every, entry = set(udp.living), Address("10.0.0.1", 6881)
        network = await dht_on(udp, entry.host)
        host = await started(network)
        await asyncio.sleep(7200)
        assert network.statistics["nodes"] == 20
        network.join(KEY, True)
        udp.living.clear()
        began, before = loop.time(), len(udp.asked)
        network.lookup(KEY)
        await asyncio.sleep(120)
        own = {
            when - began
            for when, address, target in udp.asked[before:]
            if address == entry and target not in (NAME, b"")
        }
        assert min(own) < 30
        assert len(own) < 20
        udp.living |= every
        await asyncio.sleep(130)
        assert network.statistics["announced"] == 8
        await host.network.close()

    in_virtual_time(story())


def test_when_the_few_nodes_of_a_private_network_go_its_first_one_is_asked_at_once():
    async def story() -> None:
        udp, loop = Wire(), asyncio.get_running_loop()
        entry = Address("10.0.0.1", 6881)
        udp.living = few = {entry, Address("10.0.0.2", 6881), Address("10.0.0.3", 6881)}
        network = await dht_on(udp, entry.host)
        host = await started(network)
        await asyncio.sleep(7200)
        assert network.statistics["nodes"] == 3
        network.join(KEY, True)
        udp.living = set()
        began, before = loop.time(), len(udp.asked)
        for _ in range(3):
            network.lookup(KEY)
            await asyncio.sleep(5)
        udp.living = few
        await asyncio.sleep(30)
        own = [when - began for when, address, _ in udp.asked[before:] if address == entry]
        assert max(own) > 15
        assert len(own) < 30
        assert network.statistics["announced"] == 3
        await host.network.close()

    in_virtual_time(story())


async def test_names_of_bootstrap_nodes_are_looked_up(sockets):
    entry = sockets()
    node = await started(await dht_on(entry))
    host = await started(await dht_on(sockets(), f"localhost:{entry.port}"))
    await until(lambda: host.network.statistics["nodes"])
    await host.network.close()
    await node.network.close()


async def test_a_bootstrap_node_that_makes_no_sense_is_refused(sockets):
    with pytest.raises(ConfigError, match="expected host:port"):
        await dht_on(sockets(), "host:port")


async def test_leaving_ends_what_is_under_way(sockets):
    entry = sockets()
    heard: list[bytes] = []
    entry.route(Kind.DHT, lambda datagrams, source: heard.extend(datagrams))
    await entry.listen("127.0.0.1", 0)
    host = await started(await dht_on(sockets(), entry.port))
    for key in (KEY, OTHER):
        host.network.join(key, True)
        host.network.lookup(key)
    host.network.leave(KEY)
    assert host.network.statistics["waiting"] == 1
    await until(lambda: heard)
    assert not [datagram for datagram in heard if NAME in datagram]
    await host.network.close()


async def test_no_datagram_holds_more_than_the_name_of_a_key(sockets):
    entry, udp = sockets(), sockets(Overheard())
    node = await started(await dht_on(entry))
    host = await started(await dht_on(udp, entry.port))
    host.network.join(KEY, True)
    host.network.lookup(KEY)
    await until(lambda: node.network.statistics["peers"])
    assert any(NAME in datagram for datagram in udp.said)
    assert not any(KEY[20:] in datagram for datagram in udp.said)
    await host.network.close()
    await node.network.close()


@pytest.mark.skipif(not has_ipv6(), reason="this host has no IPv6")
async def test_both_address_families_are_spoken_where_they_are(sockets):
    entry, udp = sockets(), sockets()
    await entry.listen("::", 0)
    node = await started(await dht_on(entry))
    await udp.listen("::", 0)
    network = await dht_on(udp, f"127.0.0.1:{entry.port}", f"[::1]:{entry.port}")
    host = await started(network)
    network.join(KEY, True)
    network.lookup(KEY)
    await until(lambda: node.network.statistics["peers"] == 2)
    node.network.join(KEY, False)
    node.network.lookup(KEY)
    await until(lambda: len(node.found) == 2)
    await host.network.close()
    await node.network.close()
