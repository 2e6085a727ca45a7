"""Our client of discovery servers among the original ones: server and client of dns-discovery."""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from tests.helpers.discovery_client import running_client
from tests.helpers.lab import Lab
from tests.helpers.ports import free_port
from tests.helpers.reference import Program, Reference, Where
from tests.helpers.servers import running_discovery_server

from datd.discovery import dns_message
from datd.discovery.dns import DnsDiscovery
from datd.discovery.public import PublicAddress
from datd.udp.socket import UdpSocket

KEY = random.Random(13).randbytes(32)
NAME = KEY[:20].hex()


@pytest.fixture(params=["theirs", "ours"])
def serving(request, reference: Reference):
    """Runs a discovery server, the original one or ours, in a host of a lab."""

    @contextmanager
    def serve(lab: Lab, host: str) -> Iterator[str]:
        if request.param == "ours":
            with running_discovery_server(lab, host) as server:
                yield server.server
        else:
            reference.start("dns-server.js", where=Where(lab, host)).wait_for("listening")
            yield f"{lab.ip(host)}:5300"

    return serve


def theirs(reference: Reference, lab: Lab, host: str, what: str, server: str, *more) -> Program:
    """The original client at work."""
    where = Where(lab, host)
    return reference.start("dns-client.js", what, NAME, "--server", server, *more, where=where)


def test_clients_find_one_another_by_asking_by_push_and_not_any_more_after_leaving(
    reference: Reference, lan: Callable[[int], Lab], serving
):
    lab = lan(3)
    with serving(lab, "h3") as server:
        options = ("--server", server, "--announce", "--port", 3282)
        theirs(reference, lab, "h2", "announce", server, "--port", 4444).wait_for("done")
        with running_client(lab, "h1", "dns", KEY.hex(), *options) as ours:
            ours.wait_for("peer", host="10.99.0.2", port=4444, by="10.99.0.3")  # an answer
            theirs(reference, lab, "h3", "announce", server, "--port", 5555)
            ours.wait_for("peer", host="10.99.0.3", port=5555)  # a push: we asked only once
            asking = theirs(reference, lab, "h2", "lookup", server)
            asking.wait_for("peer", host="10.99.0.1", port=3282)
            ours.stop()
            assert ours.said("closed")
            assert not ours.said("peer", host="10.99.0.1")
            [view] = ours.said("server")
            assert view["refused"] == 0
            assert view["announced"] == 1
        late = theirs(reference, lab, "h2", "lookup", server)
        late.wait_for("done", error=None)
        late.wait_for("peer", host="10.99.0.3", port=5555)
        assert not late.said("peer", host="10.99.0.1")


def test_the_original_client_is_pushed_our_announcement(
    reference: Reference, lan: Callable[[int], Lab], serving
):
    lab = lan(3)
    with serving(lab, "h3") as server:
        waiting = theirs(reference, lab, "h2", "lookup", server)
        waiting.wait_for("done")
        options = ("--server", server, "--announce")
        with running_client(lab, "h1", "dns", KEY.hex(), *options):
            waiting.wait_for("peer", host="10.99.0.1", port=3282)


def test_where_5300_is_dropped_port_53_is_used(reference: Reference, lan: Callable[[int], Lab]):
    lab = lan(3)
    where = Where(lab, "h3")
    reference.start("dns-server.js", "--port", 53, where=where).wait_for("listening")
    theirs(reference, lab, "h2", "announce", f"{lab.ip('h3')}:53", "--port", 4444).wait_for("done")
    with running_client(lab, "h1", "dns", KEY.hex(), "--server", lab.ip("h3")) as ours:
        ours.wait_for("peer", host="10.99.0.2", port=4444)


def test_two_servers_tell_where_we_are_seen(reference: Reference, lan: Callable[[int], Lab]):
    lab = lan(3)
    for host in ("h2", "h3"):
        reference.start("dns-server.js", where=Where(lab, host)).wait_for("listening")
    servers = ("--server", lab.ip("h2"), "--server", lab.ip("h3"))
    with running_client(lab, "h1", "dns", KEY.hex(), "--port", 4321, *servers) as ours:
        ours.wait_for("seen", host="10.99.0.1", port=4321)


class Crowd(asyncio.DatagramProtocol):
    """Announces a name at many ports, with one token."""

    def __init__(self, ports: range) -> None:
        self.ports = list(ports)
        self.done = asyncio.Event()
        self.token = ""

    def connection_made(self, transport) -> None:
        self.transport = transport
        transport.sendto(dns_message.encode_probe(1, "dat.local"))

    def datagram_received(self, data: bytes, addr: object) -> None:
        message = dns_message.decode(data, "dat.local")
        assert message is not None
        self.token = self.token or message.records[0].text.token
        if not self.ports:
            self.done.set()
            return
        port = self.ports.pop()
        self.transport.sendto(
            dns_message.encode_announce(
                1000 + port, KEY[:20], "dat.local", token=self.token, port=port
            )
        )


async def test_all_of_40_announcers_are_found_though_the_original_server_spoils_the_answer(
    reference: Reference,
):
    udp = UdpSocket()
    await udp.listen("127.0.0.1", 0)
    with_port = free_port()
    await reference.start("dns-server.js", "--port", with_port).heard("listening")
    loop = asyncio.get_running_loop()
    transport, crowd = await loop.create_datagram_endpoint(
        lambda: Crowd(range(1000, 1040)), remote_addr=("127.0.0.1", with_port)
    )
    found: set[int] = set()
    network = DnsDiscovery(
        udp,
        servers=[f"127.0.0.1:{with_port}"],
        public=PublicAddress(),
        clock=loop.time,
        choose=random.Random(1).randrange,
    )
    async with asyncio.timeout(120):
        await crowd.done.wait()
        await network.start(lambda key, address, by: found.add(address.port), 3282)
        network.join(KEY, False)
        network.lookup(KEY)
        while len(found) < 40:  # noqa: ASYNC110 - one answer, heard by the loop
            await asyncio.sleep(0.01)
    assert found == set(range(1000, 1040))
    await network.close()
    transport.close()
    udp.close()
