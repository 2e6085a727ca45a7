"""Hostile hosts for a lab: they lie about peers, flood, forge, and never stop by themselves.

`python -m tests.helpers.hostile ROLE --target ADDRESS …` tells `ready` in a JSON line, works until
SIGTERM, and tells `done` with the number of datagrams it sent.

| role | what it is |
|---|---|
| `server` | a discovery server and a DHT node that answer with lies, to every question |
| `neighbour` | floods the multicast group with answers full of lies, questions and noise |
| `flood` | throws noise and forged datagrams at the target's port, from addresses it has not |
"""

import argparse
import ipaddress
import itertools
import json
import os
import random
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from datd.discovery import dns_message, hyperswarm_message
from datd.discovery.dht import krpc
from datd.discovery.dht.contacts import Contact, encode_address
from datd.discovery.dns_message import PROBE, Question
from datd.discovery.dns_text import Text
from datd.errors import ProtocolError
from datd.transport.utp import packet as utp
from datd.types import Address
from tests.helpers.lab import Lab
from tests.helpers.reference import Program
from tests.lab import garbage

DOMAIN = "dat.local"
# Where nobody may be dialled, whoever says so from outside.
FORBIDDEN = tuple(
    Address(host, port)
    for host, port in (
        ("127.0.0.1", 3282), ("127.0.0.1", 22), ("127.9.9.9", 80), ("10.1.2.3", 22),
        ("10.255.0.1", 3282), ("172.16.5.4", 80), ("192.168.1.1", 80), ("169.254.169.254", 80),
        ("100.64.1.1", 3282), ("224.0.0.1", 3282), ("224.0.0.251", 5353), ("239.1.2.3", 3282),
        ("240.0.0.1", 3282), ("255.255.255.255", 9), ("0.1.2.3", 3282), ("198.51.100.7", 0),
    )
)  # fmt: skip
# A third party that is to be hit, under all the ports it may have.
VICTIM = "198.51.100.99"
# Datagrams at the shared port pretend to come from here: whoever answers hits it.
PRETENDED = "198.51.100.77"
# As many different made-up peers.
FAKES = 10_000
# What one answer holds at most, see `dns_text.MAX_PEERS` and the size of a datagram.
_IN_TEXT, _IN_DHT = 31, 60
_TICK = 0.005


def fake(number: int) -> Address:
    """One of the made-up peers, in public networks of all sorts."""
    number %= FAKES
    return Address(f"{45 + number % 50}.{number % 251}.{number // 251}.7", 1024 + number)


def lies(seed: int, near: list[str]) -> Iterator[Address]:
    """Endless peers that are none: forbidden ones, one victim, neighbours, made-up ones."""
    chance = random.Random(seed)
    for number in itertools.count():
        yield chance.choice(FORBIDDEN)
        yield Address(VICTIM, chance.randrange(1, 65536))
        yield Address(chance.choice(near), chance.randrange(1, 65536))
        for part in range(7):
            yield fake(number * 7 + part)


# ---- the server


class Server:
    """A discovery server and a DHT node in one."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._target = given.target
        self._honest = given.honest
        self._lies = lies(1, given.near)
        self._names = [bytes.fromhex(name) for name in given.name]
        self._id = random.Random(2).randbytes(20)
        self._port = given.port
        self._dns, self._dht = _udp(5300), _udp(6881)
        self._raw = _raw()
        self._sent = 0

    def work(self) -> int:
        """Answer whoever asks, and push lies to the target, unasked; gives what was sent."""
        before = self._sent
        for sock, answer in ((self._dns, self._answer_dns), (self._dht, self._answer_dht)):
            for _ in range(64):
                try:
                    datagram, source = sock.recvfrom(2048)
                except OSError:
                    break
                answer(datagram, Address(*source))
        for name in self._names:
            push = dns_message.encode_push(
                random.randrange(1, 65535), name, DOMAIN, next(self._lies)
            )
            self._say(self._dns, push, Address(self._target, self._port))
        return self._sent - before

    def _answer_dns(self, datagram: bytes, source: Address) -> None:
        message = dns_message.decode(datagram, DOMAIN)
        if message is None or message.response or message.first is None:
            return
        head = message.head
        if message.first.name == PROBE:
            # Others would be dialled if this were believed; and the target announced elsewhere.
            records = [dns_message.text_record(Text(token="t" * 44, host="10.9.9.9", port=1))]
        else:
            peers = tuple(itertools.islice(self._lies, _IN_TEXT))
            records = [dns_message.text_record(Text(token="t" * 44)), _peers_record(peers)]
            # Those of the honest server are guessed, too, by their numbers.
            forged = [dns_message.text_record(Text(token="x" * 44)), _peers_record(peers)]
            for step in (-2, -1, 1, 2):
                reply = dns_message.encode_reply((message.id + step) % 65536, head, forged)
                self._forge(reply, Address(self._honest, 5300), source)
        self._say(self._dns, dns_message.encode_reply(message.id, head, records), source)
        self._say(self._dns, os.urandom(200), source)
        self._say(self._dns, dns_message.encode_reply(message.id, head, records * 3)[:1400], source)

    def _answer_dht(self, datagram: bytes, source: Address) -> None:
        try:
            query = krpc.decode(datagram)
        except ProtocolError:
            return
        if not isinstance(query, krpc.Query):
            return
        contacts = tuple(
            # Next to what is looked for, so that all of them are asked first.
            Contact((query.target or self._id)[:18] + os.urandom(2), peer)
            for peer in itertools.islice(self._lies, 20)
            if peer.port
        )
        values: list[bytes] = []
        if query.method == krpc.GET_PEERS:
            values = [encode_address(one) for one in itertools.islice(self._lies, _IN_DHT)]
        answer = krpc.Answer(
            query.transaction,
            self._id,
            contacts=contacts,
            families=frozenset({4}),
            values=tuple(values),
            token=b"t" * 20,
        )
        self._say(self._dht, krpc.encode(answer), source)
        self._say(self._dht, b"d1:" + os.urandom(100), source)
        self._say(self._dht, b"l" * 1400, source)

    def _say(self, sock: socket.socket, datagram: bytes, to: Address) -> None:
        try:
            sock.sendto(datagram, to)
        except OSError:
            return
        self._sent += 1

    def _forge(self, datagram: bytes, source: Address, to: Address) -> None:
        self._raw.sendto(forged(datagram, source, to), (to.host, 0))
        self._sent += 1


def _peers_record(peers: tuple[Address, ...]) -> bytes:
    return dns_message.text_record(Text(peers=peers))


# ---- floods


def neighbour_datagrams(given: argparse.Namespace) -> list[bytes]:
    """What is thrown at the multicast group."""
    told, noise = lies(3, given.near), garbage.datagrams(4)
    found = []
    for number in range(2000):
        name = bytes.fromhex(given.name[number % len(given.name)])
        question = Question(name, dns_message.TYPE_TXT)
        match number % 5:
            case 0:
                found.append(dns_message.encode_question(name, DOMAIN))
            case 1:
                found.append(next(noise)[:1400])
            case 2:
                found.append(hyperswarm_message.encode_question(name))
            case _:
                head = dns_message.encode_question(name, DOMAIN)[12:]
                peers = tuple(itertools.islice(told, _IN_TEXT))
                found.append(dns_message.encode_reply(0, head, [_peers_record(peers)]))
        assert question.name == name
    return found


def flood_datagrams(given: argparse.Namespace) -> list[bytes]:
    """Packets with addresses of senders that are not ours."""
    chance, noise = random.Random(5), garbage.datagrams(6)
    to = Address(given.target, given.port)
    told = lies(7, given.near)
    found = []
    for number in range(6000):
        source = Address(fake(chance.randrange(FAKES)).host, chance.randrange(1024, 65536))
        if number % 4 == 0:
            source = Address(PRETENDED, chance.randrange(1024, 65536))
        match number % 6:
            case 0 | 1:
                datagram = _utp(utp.SYN, chance)
            case 2:
                datagram = _utp(chance.choice((utp.DATA, utp.FIN, utp.STATE, utp.RESET)), chance)
            case 3:
                datagram = krpc.encode(
                    krpc.Query(b"aa", krpc.GET_PEERS, chance.randbytes(20), chance.randbytes(20))
                )
            case 4:
                source = Address(given.honest, 5300)
                name = dns_message.encode_question(bytes.fromhex(given.name[0]), DOMAIN)[12:]
                peers = _peers_record(tuple(itertools.islice(told, _IN_TEXT)))
                datagram = dns_message.encode_reply(chance.randrange(65536), name, [peers])
            case _:
                datagram = next(noise)[:1400]
        found.append(forged(datagram, source, to))
    return found


def forged(datagram: bytes, source: Address, to: Address) -> bytes:
    """An IP packet with a datagram inside, from wherever it says."""
    size = 20 + 8 + len(datagram)
    ends = ipaddress.IPv4Address(source.host).packed + ipaddress.IPv4Address(to.host).packed
    head = struct.pack(">BBHHHBBH", 0x45, 0, size, 0, 0, 64, socket.IPPROTO_UDP, 0) + ends
    return head + struct.pack(">HHHH", source.port, to.port, 8 + len(datagram), 0) + datagram


def _utp(kind: int, chance: random.Random) -> bytes:
    number = chance.randrange
    head = utp.HEADER.pack(
        utp.FIRST_BYTE[kind],
        0,
        number(65536),
        number(2**32),
        0,
        2**20,
        number(65536),
        number(65536),
    )
    return head + (chance.randbytes(500) if kind == utp.DATA else b"")


class Thrower:
    """Throws packets in turn, at a rate, as long as it is asked to every few milliseconds."""

    def __init__(
        self, sock: socket.socket, packets: list[bytes], to: tuple[str, int], rate: float
    ) -> None:
        self._sock = sock
        self._packets = itertools.cycle(packets)
        self._to = to
        self._rate = rate
        self._last = time.monotonic()

    def work(self) -> int:
        """Throw what is due; a machine that is too slow for the rate throws less."""
        now = time.monotonic()
        count = int(min(now - self._last, 10 * _TICK) * self._rate)
        self._last = now
        thrown = 0
        for packet in itertools.islice(self._packets, count):
            try:
                self._sock.sendto(packet, self._to)
            except OSError:
                continue
            thrown += 1
        return thrown


# ---- sockets


def _udp(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind(("0.0.0.0", port))
    return sock


def _raw() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)


# ---- the program


@contextmanager
def hostile(lab: Lab, host: str, role: str, *arguments: object) -> Iterator[Program]:
    """One of them in a host of a lab, for the time of a `with`."""
    words = [sys.executable, "-m", "tests.helpers.hostile", role, *arguments]
    with Program.start([*lab.prefix(host), *words], f"hostile {role}") as program:
        program.wait_for("ready")
        yield program


def _say(event: str, **fields: object) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def main(given: argparse.Namespace) -> None:
    """Be hostile until SIGTERM."""
    over: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: over.append(number))
    work: Callable[[], int]
    if given.role == "server":
        work = Server(given).work
    elif given.role == "neighbour":
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((given.own, 0))
        work = Thrower(sock, neighbour_datagrams(given), ("224.0.0.251", 5353), given.rate).work
    else:
        work = Thrower(_raw(), flood_datagrams(given), (given.target, 0), given.rate).work
    _say("ready")
    sent = 0
    while not over:
        sent += work()
        time.sleep(_TICK)
    _say("done", sent=sent)


if __name__ == "__main__":
    _parser = argparse.ArgumentParser()
    _parser.add_argument("role", choices=["server", "neighbour", "flood"])
    _parser.add_argument("--target", required=True, help="whom to bother")
    _parser.add_argument("--port", type=int, default=3282, help="its port for peers")
    _parser.add_argument("--own", default="0.0.0.0", help="own address")
    _parser.add_argument("--honest", default="0.0.0.0", help="server whose answers are forged")
    _parser.add_argument("--near", action="append", default=[], help="hosts lied about")
    _parser.add_argument("--name", action="append", default=[], help="of archives, 40 hex digits")
    _parser.add_argument("--rate", type=float, default=20_000, help="datagrams a second")
    main(_parser.parse_args())
