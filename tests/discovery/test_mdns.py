import asyncio
import contextlib
import logging
import random
import socket
import sys
import textwrap
import tracemalloc
from ipaddress import IPv4Network

import pytest
from tests.helpers.lab import Lab, needs_lab
from tests.suites.discovery_networks import KEY, OTHER, DiscoveryNetworkSuite, Host

from datd.discovery import dns_message, hyperswarm_message, mdns
from datd.discovery.dns_message import TYPE_A, TYPE_SRV, TYPE_TXT, Answer, Question
from datd.discovery.dns_text import Text
from datd.discovery.interfaces import Interface
from datd.discovery.mdns import MulticastDns
from datd.types import Address

LOOPBACK = [Interface("127.0.0.1", IPv4Network("127.0.0.0/8"), True)]
NAME = KEY[:20]


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def network(port, secret=b"a", found=None) -> MulticastDns:
    loop = asyncio.get_running_loop()
    interfaces = LOOPBACK if found is None else found
    return MulticastDns(
        secret=secret, clock=loop.time, port=port, find_interfaces=lambda: list(interfaces)
    )


class Neighbour:
    """Another program on the link: it hears everything, and says what it is told to say."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.sock.bind(("0.0.0.0", port))
        here = socket.inet_aton("127.0.0.1")
        group = socket.inet_aton(mdns.GROUP) + here
        self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, here)
        self.sock.setblocking(False)

    def say(self, datagram: bytes) -> None:
        self.sock.sendto(datagram, (mdns.GROUP, self.port))

    async def hears(self, kind: bytes, about: bytes = b"\x03dat") -> bytes:
        """The next datagram with these flags about dat's names, or about dat 14's."""
        while True:
            try:
                datagram = self.sock.recv(2000)
            except BlockingIOError:
                await asyncio.sleep(0.001)
                continue
            if datagram[2:4] == kind and about in datagram:
                return datagram


QUESTION, ANSWER = b"\0\0", b"\x84\0"
DAT_14 = b"\x0ahyperswarm"


class TestMulticastDns(DiscoveryNetworkSuite):
    @pytest.fixture
    async def networks(self):
        port = free_port()
        return network(port, b"a"), network(port, b"b")


@pytest.fixture
async def link():
    port = free_port()
    host, neighbour = Host(network(port), 3282), Neighbour(port)
    await host.start()
    async with asyncio.timeout(5):
        yield host, neighbour
    await host.network.close()
    neighbour.sock.close()


async def test_a_lookup_is_the_question_of_the_reference(link):
    host, neighbour = link
    host.network.join(KEY, False)
    host.network.lookup(KEY)
    assert await neighbour.hears(QUESTION) == dns_message.encode_question(NAME, "dat.local")


async def test_only_20_bytes_of_the_discovery_key_go_out(link):
    host, neighbour = link
    host.network.join(KEY, True)
    host.network.lookup(KEY)
    for kind in (QUESTION, ANSWER):
        datagram = await neighbour.hears(kind)
        assert KEY[:20].hex().encode() in datagram
        assert KEY[20:].hex().encode() not in datagram
        assert KEY[20:] not in datagram


async def test_an_announcer_answers_everybody_with_its_port(link):
    host, neighbour = link
    host.network.join(KEY, True)
    neighbour.say(dns_message.encode_question(NAME, "dat.local"))
    answer = answer_in(await neighbour.hears(ANSWER))
    assert answer.peers == (("0.0.0.0", 3282),)
    assert len(answer.token) == 44


@pytest.mark.parametrize("kind", [TYPE_SRV, TYPE_A])
async def test_srv_and_address_questions_are_answered(link, kind):
    host, neighbour = link
    host.network.join(KEY, True)
    neighbour.say(question_of(kind))
    assert await neighbour.hears(ANSWER) == dns_message.encode_answer(
        Question(NAME, kind), "dat.local", host="127.0.0.1", port=3282, token=""
    )


async def test_names_that_are_only_looked_for_are_not_answered(link):
    host, neighbour = link
    host.network.join(KEY, False)
    host.network.join(OTHER, True)
    neighbour.say(dns_message.encode_question(NAME, "dat.local"))
    neighbour.say(question_of(12))  # PTR: not dat's
    neighbour.say(dns_message.encode_question(OTHER[:20], "dat.local"))
    answer = answer_in(await neighbour.hears(ANSWER))
    assert answer.name == OTHER[:20]


async def test_a_response_is_never_answered_though_it_repeats_the_question(link):
    host, neighbour = link
    host.network.join(KEY, True)
    host.network.join(OTHER, True)
    neighbour.say(answer_of(4444))
    await host.finds(KEY, 4444)
    neighbour.say(dns_message.encode_question(OTHER[:20], "dat.local"))
    assert answer_in(await neighbour.hears(ANSWER)).name == NAME  # the neighbour's own words
    assert answer_in(await neighbour.hears(ANSWER)).name == OTHER[:20]


async def test_dat_14_is_asked_as_it_asks(link):
    host, neighbour = link
    host.network.join(KEY, False)
    host.network.lookup(KEY)
    heard = await neighbour.hears(QUESTION, DAT_14)
    assert heard == hyperswarm_message.encode_question(NAME)


async def test_dat_14_is_answered_for_what_is_announced(link):
    host, neighbour = link
    host.network.join(KEY, True)
    host.network.join(OTHER, False)
    neighbour.say(hyperswarm_message.encode_question(OTHER[:20]))
    neighbour.say(hyperswarm_message.encode_question(NAME))
    heard = hyperswarm_message.decode(await neighbour.hears(ANSWER, DAT_14))
    assert heard is not None
    [told] = heard.answers
    assert (told.name, told.peer) == (NAME, ("0.0.0.0", 3282))
    assert len(told.id) == 32


async def test_an_announcer_of_dat_14_is_found(link):
    host, neighbour = link
    host.network.join(KEY, False)
    neighbour.say(
        hyperswarm_message.encode_answer(NAME, port=4444, id=bytes(32), asker="127.0.0.1")
    )
    await host.finds(KEY, 4444)
    assert host.sources[0].host == "127.0.0.1"


async def test_an_own_answer_to_dat_14_is_known_by_its_id(link):
    host, neighbour = link
    host.network.join(KEY, True)
    neighbour.say(hyperswarm_message.encode_question(NAME))
    mine = await neighbour.hears(ANSWER, DAT_14)
    neighbour.say(mine.replace(b"\x0c\xd2", b"\x0c\xd3"))  # port 3283
    neighbour.say(answer_of(9999))
    await host.finds(KEY, 9999)
    assert (KEY, 3283) not in host.found


async def test_answers_are_heard_whoever_asked(link):
    host, neighbour = link
    host.network.join(KEY, False)
    neighbour.say(answer_of(4444))
    await host.finds(KEY, 4444)
    assert host.sources[0].host == "127.0.0.1"


async def test_own_address_and_port_are_not_a_peer(link):
    host, neighbour = link
    host.network.join(KEY, True)
    neighbour.say(answer_of(3282))
    neighbour.say(answer_of(3283))
    await host.finds(KEY, 3283)
    assert host.found == [(KEY, 3283)]


async def test_an_own_answer_that_comes_back_changed_is_known_by_its_token(link):
    host, neighbour = link
    host.network.join(KEY, True)
    neighbour.say(dns_message.encode_question(NAME, "dat.local"))
    mine = await neighbour.hears(ANSWER)
    neighbour.say(mine.replace(b"AAAAAAzS", b"AAAAAAzT"))  # port 3283
    neighbour.say(answer_of(9999))
    await host.finds(KEY, 9999)
    assert (KEY, 3283) not in host.found


async def test_at_most_ten_names_a_second_are_asked_for(link):
    host, neighbour = link
    keys = [bytes([n]) * 32 for n in range(25)]
    for key in keys:
        host.network.join(key, False)
        host.network.lookup(key)
    loop = asyncio.get_running_loop()
    start = loop.time()
    asked = {await neighbour.hears(QUESTION) for _ in range(15)}
    assert len(asked) == 15
    assert loop.time() - start >= 0.4  # ten at once, then one each tenth of a second


async def test_t38_of_a_flood_100_packets_a_second_are_looked_at(link):
    host, neighbour = link
    host.network.join(KEY, False)
    for port in range(1, 500):
        neighbour.say(answer_of(port))
    await host.finds(KEY, 100)
    await asyncio.sleep(0.05)
    assert 100 <= len(host.found) <= 110


async def test_t31_garbage_on_the_group_is_passed_over(link):
    host, neighbour = link
    host.network.join(KEY, False)
    for datagram in (b"", b"\0", bytes(12), bytes(1501), b"\xc0" * 1400, b"d1:q4:pinge"):
        neighbour.say(datagram)
    neighbour.say(answer_of(4444) + bytes(1501))
    neighbour.say(answer_of(5555))
    await host.finds(KEY, 5555)
    assert host.found == [(KEY, 5555)]


async def test_t38_a_hostile_host_costs_little_and_tells_little(link):
    host, neighbour = link
    host.network.join(KEY, True)
    noise = random.Random(38)
    real = (answer_of(1), crowd(), dns_message.encode_question(NAME, "dat.local"))
    hostile = [*(noise.randbytes(noise.randrange(1500)) for _ in range(100)), *real]
    hostile += [bytes(cut(datagram, noise)) for datagram in real for _ in range(100)]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    loop = asyncio.get_running_loop()
    start, longest = loop.time(), 0.0
    for _ in range(1000):
        for _ in range(100):
            with contextlib.suppress(BlockingIOError):
                neighbour.say(noise.choice(hostile))
        turn = loop.time()
        await asyncio.sleep(0)
        longest = max(longest, loop.time() - turn)
    seconds = loop.time() - start + 1
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert longest < 0.25
    assert grown < 2**20 + sys.getsizeof(host.found) * 20
    # No datagram of a frame's size tells more than 180 peers, and 100 of them a second are read.
    assert 31 <= len(host.found) < 100 * seconds * 180
    await asyncio.sleep(1.05)  # the budget is full again: an honest neighbour is heard at once
    neighbour.say(answer_of(5555))
    await host.finds(KEY, 5555)


async def test_without_multicast_it_says_so_once_and_goes_on_trying(caplog, monkeypatch):
    monkeypatch.setattr(mdns, "INTERFACE_INTERVAL", 0.01)
    found: list[Interface] = []
    port = free_port()
    host, neighbour = Host(network(port, found=found), 3282), Neighbour(port)
    with caplog.at_level(logging.WARNING):
        await host.start()
        host.network.join(KEY, False)
        host.network.lookup(KEY)
        await asyncio.sleep(0.05)
        assert [record.message for record in caplog.records] == [
            "no peers can be found on the local network: no interface does multicast;"
            " trying again every 0.01 s"
        ]
    found += LOOPBACK  # an interface comes up: every joined name is asked for
    async with asyncio.timeout(5):
        assert await neighbour.hears(QUESTION)
    await host.network.close()
    neighbour.sock.close()


async def test_a_port_that_cannot_be_had_is_no_reason_to_fail(caplog):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("0.0.0.0", 0))
        host = Host(network(taken.getsockname()[1]), 3282)
        await host.start()
        host.network.join(KEY, True)
        host.network.lookup(KEY)
        await host.network.close()
    assert "Address already in use" in caplog.text


def question_of(kind: int) -> bytes:
    data = dns_message.encode_question(NAME, "dat.local")
    return data[:-4] + kind.to_bytes(2, "big") + data[-2:]


def answer_of(port: int) -> bytes:
    return dns_message.encode_answer(
        Question(NAME, TYPE_TXT), "dat.local", host="127.0.0.1", port=port, token="somebody"
    )


def crowd() -> bytes:
    """An answer with as many peers as a string holds, at addresses that nobody should dial."""
    hosts = ("127.0.0.1", "10.0.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1")
    peers = tuple(Address(hosts[n % 5], n) for n in range(31))
    record = dns_message.text_record(Text(token="x", peers=peers))
    question = dns_message.encode_question(NAME, "dat.local")
    return dns_message.encode_reply(0, question[12:], [record])


def cut(datagram: bytes, noise: random.Random) -> bytearray:
    """A datagram with one byte changed, cut somewhere."""
    spoiled = bytearray(datagram)
    spoiled[noise.randrange(len(spoiled))] = noise.randrange(256)
    return spoiled[: noise.randrange(len(spoiled) + 1)]


def answer_in(datagram: bytes) -> Answer:
    message = dns_message.decode(datagram, "dat.local")
    assert message is not None
    return message.answers[0]


_HOST = """
    import asyncio, sys
    from datd.discovery.mdns import MulticastDns

    async def main():
        loop = asyncio.get_running_loop()
        found = asyncio.Event()
        def on_peer(key, address, source):
            print(address, source.host, flush=True)
            found.set()
        network = MulticastDns(secret=sys.argv[1].encode(), clock=loop.time)
        await network.start(on_peer, int(sys.argv[2]))
        network.join(bytes(32), announce=True)
        network.lookup(bytes(32))
        async with asyncio.timeout(20):
            await found.wait()
        await asyncio.sleep(0.5)
        await network.close()

    asyncio.run(main())
"""


@pytest.mark.network
def test_two_hosts_of_a_link_find_each_other_by_their_addresses():
    needs_lab()
    with Lab.lan(2) as lab:
        code = [sys.executable, "-c", textwrap.dedent(_HOST)]
        first = lab.popen("h1", [*code, "one", "3282"], stdout=-1, text=True)
        second = lab.popen("h2", [*code, "two", "3282"], stdout=-1, text=True)
        heard = [host.communicate(timeout=30)[0].split("\n")[0] for host in (first, second)]
        assert heard == ["10.99.0.2:3282 10.99.0.2", "10.99.0.1:3282 10.99.0.1"]
