import asyncio
import logging
import socket
import sys
import textwrap

import pytest
from tests.helpers.lab import Lab, needs_lab
from tests.helpers.multicast import (
    ANSWER,
    DAT_14,
    LOOPBACK,
    NAME,
    QUESTION,
    Neighbour,
    answer_of,
    linked,
    network,
)
from tests.helpers.ports import free_port
from tests.suites.discovery_networks import KEY, OTHER, DiscoveryNetworkSuite, Host

from datd.discovery import dns_message, hyperswarm_message, mdns
from datd.discovery.dns_message import TYPE_A, TYPE_SRV, Answer, Question
from datd.discovery.interfaces import Interface


class TestMulticastDns(DiscoveryNetworkSuite):
    @pytest.fixture
    async def networks(self):
        port = free_port()
        return network(port, b"a"), network(port, b"b")


@pytest.fixture
async def link():
    async with linked() as pair:
        yield pair


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
    loop = asyncio.get_running_loop()
    start = loop.time()
    for key in keys:
        host.network.join(key, False)
        host.network.lookup(key)
    asked = {await neighbour.hears(QUESTION) for _ in range(15)}
    assert len(asked) == 15
    assert loop.time() - start >= 0.4  # ten at once, then one each tenth of a second


async def test_t31_garbage_on_the_group_is_passed_over(link):
    host, neighbour = link
    host.network.join(KEY, False)
    for datagram in (b"", b"\0", bytes(12), bytes(1501), b"\xc0" * 1400, b"d1:q4:pinge"):
        neighbour.say(datagram)
    neighbour.say(answer_of(4444) + bytes(1501))
    neighbour.say(answer_of(5555))
    await host.finds(KEY, 5555)
    assert host.found == [(KEY, 5555)]


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
        assert [one.message for one in caplog.records if one.name == mdns.__name__] == [
            "no peers can be found on the local network: no interface does multicast;"
            " trying again every 0.01 s"
        ]
    found += LOOPBACK  # an interface comes up: every joined name is asked for
    async with asyncio.timeout(60):
        assert await neighbour.hears(QUESTION)
    await host.network.close()
    neighbour.sock.close()


@pytest.mark.network
def test_an_interface_that_was_away_for_a_moment_only_is_listened_on_again():
    needs_lab()
    with Lab.lan(2) as lab:
        code = [sys.executable, "-c", textwrap.dedent(_AWAY_AND_BACK)]
        with lab.popen("h1", code, stdout=-1, text=True) as host:
            assert host.communicate(timeout=120)[0].split() == ["hears", "hears"]


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


def answer_in(datagram: bytes) -> Answer:
    message = dns_message.decode(datagram, "dat.local")
    assert message is not None
    return message.answers[0]


_HOST = """
    import asyncio, sys
    from datd.discovery.mdns import MulticastDns

    async def main():
        loop = asyncio.get_running_loop()
        def on_peer(key, address, source):
            print(address, source.host, flush=True)
        network = MulticastDns(secret=sys.argv[1].encode(), clock=loop.time)
        await network.start(on_peer, int(sys.argv[2]))
        network.join(bytes(32), announce=True)
        network.lookup(bytes(32))
        await asyncio.sleep(300)

    asyncio.run(main())
"""


_AWAY_AND_BACK = """
    import asyncio, subprocess
    from datd.discovery import mdns

    def ip(words):
        subprocess.run(["ip", *words.split()], check=True)

    def plug_in():
        ip("link add near type veth peer name far")
        ip("addr add 10.98.0.1/24 dev near")
        ip("link set far up")
        ip("link set near up")

    def listens():
        with open("/proc/net/igmp") as groups:
            return "FB0000E0" in groups.read().split("near", 1)[1]

    async def main():
        mdns.INTERFACE_INTERVAL = 0.01
        plug_in()
        network = mdns.MulticastDns(secret=b"a", clock=asyncio.get_running_loop().time)
        await network.start(lambda key, address, source: None, 3282)
        for _ in range(2):
            async with asyncio.timeout(60):
                while not listens():
                    await asyncio.sleep(0.01)
            print("hears", flush=True)
            ip("link del near")
            plug_in()
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
        # Both stay until both have heard; the lab ends them.
        assert first.stdout is not None
        assert second.stdout is not None
        with first.stdout as one, second.stdout as other:
            heard = [lines.readline().strip() for lines in (one, other)]
        assert heard == ["10.99.0.2:3282 10.99.0.2", "10.99.0.1:3282 10.99.0.1"]
