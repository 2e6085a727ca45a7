"""A discovery server without a network: hosts that speak to it as dns-discovery does."""

import itertools
import random

from datd.discovery import dns_message
from datd.discovery.dns_message import Message
from datd.discovery.dns_pushes import Outgoing
from datd.discovery.dns_server import DiscoveryServer
from datd.types import Address

DOMAIN = "dat.local"
NAME = bytes(range(20))
ONE, TWO, THREE = (Address(f"10.0.0.{number}", 4000 + number) for number in (1, 2, 3))


def read(datagram: bytes) -> Message:
    message = dns_message.decode(datagram, DOMAIN)
    assert message is not None
    return message


class ServedNetwork:
    """A server, a clock, and whoever speaks."""

    def __init__(self, **options: float) -> None:
        self.now = 0.0
        secrets = itertools.count()
        self.server = DiscoveryServer(
            secret=lambda: next(secrets).to_bytes(32, "big"),
            choose=random.Random(1).randrange,
            now=0.0,
            **options,  # type: ignore[arg-type]
        )
        self.pushed: list[Outgoing] = []
        self._id = 0

    def say(self, datagram: bytes, source: Address, door: int = 0) -> bytes | None:
        """Send a datagram; gives the answer. What is said to others is in `pushed`."""
        sent = self.server.receive(datagram, source, self.now, door)
        if not sent:
            return None
        answer, *self.pushed = sent
        assert (answer.address, answer.door) == (source, door)
        return answer.datagram

    def ask(self, datagram: bytes, source: Address, door: int = 0) -> Message:
        answer = self.say(datagram, source, door)
        assert answer is not None
        message = read(answer)
        assert message.response
        assert message.id == int.from_bytes(datagram[:2], "big")
        return message

    def token(self, source: Address) -> str:
        self._id = dns_message.next_id(self._id)
        return self.ask(dns_message.encode_probe(self._id, DOMAIN), source).records[0].text.token

    def announce(
        self, source: Address, port: int, name: bytes = NAME, *, door: int = 0
    ) -> tuple[Address, ...]:
        token = self.token(source)
        datagram = dns_message.encode_announce(7, name, DOMAIN, token=token, port=port)
        return self.ask(datagram, source, door).records[0].text.peers

    def lookup(self, source: Address, name: bytes = NAME) -> tuple[Address, ...]:
        token = self.token(source)
        datagram = dns_message.encode_lookup(7, name, DOMAIN, token=token)
        return self.ask(datagram, source).records[0].text.peers

    def unannounce(self, source: Address, port: int) -> tuple[Address, ...]:
        token = self.token(source)
        datagram = dns_message.encode_unannounce(7, NAME, DOMAIN, token=token, port=port)
        return self.ask(datagram, source).records[0].text.peers

    def wait(self, seconds: float) -> None:
        self.now += seconds
