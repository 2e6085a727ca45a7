"""A network of multicast on loopback: ours, and another program on the same link."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from ipaddress import IPv4Network

from datd.discovery import dns_message, mdns
from datd.discovery.dns_message import TYPE_TXT, Question
from datd.discovery.interfaces import Interface
from datd.discovery.mdns import MulticastDns
from tests.helpers.ports import free_port
from tests.suites.discovery_networks import KEY, Host

LOOPBACK = [Interface("127.0.0.1", IPv4Network("127.0.0.0/8"), True)]
NAME = KEY[:20]
# Flags of messages, and a label of their names.
QUESTION, ANSWER = b"\0\0", b"\x84\0"
DAT_14 = b"\x0ahyperswarm"


def network(
    port: int,
    secret: bytes = b"a",
    found: list[Interface] | None = None,
    clock: Callable[[], float] | None = None,
) -> MulticastDns:
    """One that has not started; `found` are the interfaces, as they change."""
    clock = clock or asyncio.get_running_loop().time
    interfaces = LOOPBACK if found is None else found
    return MulticastDns(
        secret=secret, clock=clock, port=port, find_interfaces=lambda: list(interfaces)
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
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
        self.sock.setblocking(False)

    def say(self, datagram: bytes) -> None:
        self.sock.sendto(datagram, (mdns.GROUP, self.port))

    def say_as(self, host: str, *datagrams: bytes) -> None:
        """Speak with another address of loopback: to the network's eyes, as another host."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((host, self.port))
            here = socket.inet_aton("127.0.0.1")
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, here)
            for datagram in datagrams:
                sock.sendto(datagram, (mdns.GROUP, self.port))

    async def next(self) -> bytes:
        """What comes next."""
        while True:
            try:
                return self.sock.recv(2000)
            except BlockingIOError:
                await asyncio.sleep(0.001)

    async def hears(self, kind: bytes, about: bytes = b"\x03dat") -> bytes:
        """The next datagram with these flags about dat's names, or about dat 14's."""
        while True:
            datagram = await self.next()
            if datagram[2:4] == kind and about in datagram:
                return datagram


def answer_of(port: int) -> bytes:
    return dns_message.encode_answer(
        Question(NAME, TYPE_TXT), "dat.local", host="127.0.0.1", port=port, token="somebody"
    )


@contextlib.asynccontextmanager
async def linked(
    clock: Callable[[], float] | None = None,
) -> AsyncIterator[tuple[Host, Neighbour]]:
    """A host of ours and a neighbour, for at most some minutes."""
    port = free_port()
    host, neighbour = Host(network(port, clock=clock), 3282), Neighbour(port)
    await host.start()
    async with asyncio.timeout(300):
        yield host, neighbour
    await host.network.close()
    neighbour.sock.close()
