"""A client of discovery servers on a stage: its clock, and servers that a test plays."""

import random

from datd.discovery import dns_message
from datd.discovery.dns_answers import PeerFound
from datd.discovery.dns_client import DnsClient, Resolve
from datd.discovery.dns_message import PROBE, Message
from datd.discovery.dns_servers import ServerName, ServerView
from datd.discovery.dns_text import Text
from datd.discovery.public import Seen
from datd.types import Address

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
ONE, TWO = Address("192.0.2.1", 5300), Address("192.0.2.2", 5300)
# Where servers see the client.
US = Address("198.51.100.7", 3282)
PORT = 3282


class Play:
    """A client, its clock, and servers that answer at once as long as they are up.

    Attributes:
        now: Seconds; `wait` moves them.
        up: Servers that answer, with the token that each gives.
        asked: Every datagram sent, as (time, to, message).
        peers: What the client told, the latest last.
        seen: What it concluded about our address.
        looked_up: Names of servers that it wanted to be looked up.
        sees: What a server says about our address.
        knows: Peers that every server names.
    """

    def __init__(self, *servers: str, up: tuple[Address, ...] = (ONE,), start: bool = True) -> None:
        names = [ServerName.parse(text) for text in servers or ("192.0.2.1:5300",)]
        self.client = DnsClient(names, domain="dat.local", choose=random.Random(4).randrange)
        self.now = 1000.0
        self.up = {server: f"token-of-{server.host}" for server in up}
        self.asked: list[tuple[float, Address, Message]] = []
        self.raw: list[bytes] = []
        self.peers: list[PeerFound] = []
        self.seen: list[Seen] = []
        self.looked_up: list[Resolve] = []
        self.sees: dict[Address, Address] = {}
        self.knows: tuple[Address, ...] = ()
        if start:
            self.client.start(PORT, self.now)
            self.pump()

    def pump(self) -> None:
        """Carry datagrams to and fro until nobody has anything to say."""
        while out := self.client.datagrams_to_send():
            for datagram, address in out:
                message = dns_message.decode(datagram, "dat.local")
                assert message is not None
                self.raw.append(datagram)
                self.asked.append((self.now, address, message))
                if address in self.up and not message.response:
                    self.client.receive(self.answer(address, message), address, self.now)
        for event in self.client.events():
            if isinstance(event, PeerFound):
                self.peers.append(event)
            elif isinstance(event, Seen):
                self.seen.append(event)
            else:
                self.looked_up.append(event)

    def answer(self, server: Address, message: Message, **values) -> bytes:
        """What an honest server says to a query."""
        values.setdefault("token", self.up.get(server, "a-token"))
        if message.questions[0].name == PROBE:
            sees = self.sees.get(server, US)
            values |= {"host": sees.host, "port": sees.port}
        elif self.knows:
            values.setdefault("peers", self.knows)
        record = dns_message.text_record(Text(**values))
        return dns_message.encode_reply(message.id, message.head, [record])

    def wait(self, seconds: float) -> None:
        """Let time pass, with the client's timer going off when it wants to."""
        end = self.now + seconds
        while (due := self.client.next_timer()) is not None and due <= end:
            self.now = max(self.now, due)
            self.client.handle_timer(self.now)
            self.pump()
        self.now = end

    def join(self, key: bytes = KEY, announce: bool = True) -> None:
        self.client.join(key, announce, self.now)
        self.client.lookup(key, self.now)
        self.pump()

    def leave(self, key: bytes = KEY) -> None:
        self.client.leave(key, self.now)
        self.pump()

    def hears(self, datagram: bytes, source: Address = ONE) -> None:
        self.client.receive(datagram, source, self.now)
        self.pump()

    @property
    def said(self) -> list[tuple[str, object]]:
        """What was asked, as short words: ("announce", 3282), ("probe", None) …"""
        return [word(message) for _, _, message in self.asked]

    def answering(self) -> bool:
        return self.client.servers[0].answering

    def withdrawn(self) -> bool:
        return self.client.withdrawn

    @property
    def server(self) -> ServerView:
        return self.client.servers[0]

    def forget(self) -> None:
        self.asked.clear()
        self.raw.clear()


def word(message: Message) -> tuple[str, object]:
    if message.response:
        return "acknowledge", message.id
    if message.questions[0].name == PROBE:
        return "probe", None
    text = message.records[0].text
    if text.unannounce is not None:
        return "withdraw", text.unannounce
    return ("announce", text.announce) if text.announce is not None else ("lookup", None)


def keys(count: int) -> list[bytes]:
    return [number.to_bytes(32, "big")[::-1] for number in range(1, count + 1)]


def push(key: bytes = KEY, host: str = "203.0.113.5", id: int = 77) -> bytes:
    """What a server sends when a peer has announced itself."""
    return dns_message.encode_push(id, key[:20], "dat.local", Address(host, 4444))
