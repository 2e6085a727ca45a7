"""A discovery server: who has a name, told to whoever asks. Datagrams in, datagrams out.

Pure: no socket, no clock, no chance of its own. It is built so that it helps nobody against third
parties: nothing is stored or told but on behalf of an address that has shown it receives there, and
what such an address stores is itself.

Source: discovery.md sections 3 and 4, with its paragraphs marked "Ours".
"""

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from datd.discovery import dns_message
from datd.discovery.dns_message import PROBE, TYPE_A, TYPE_SRV, TYPE_TXT, Message, Question, Record
from datd.discovery.dns_pushes import Outgoing, Pushes
from datd.discovery.dns_store import MAX_RECORDS, MAX_RECORDS_OF_A_HOST, RecordStore, Stored
from datd.discovery.dns_text import MAX_PEERS, Text
from datd.discovery.rates import MAX_ASKERS, Window
from datd.types import Address

# Clients repeat themselves every 60 to 70 s: four of their rounds may get lost.
PEER_SECONDS = 300.0
# Two of their rounds. The reference forgets after 60 s, so its subscriptions have gaps.
SUBSCRIBER_SECONDS = 180.0
ROTATION = 300.0
# T-33: what a host may cause us to send it. A program with 500 archives asks 10 times a second.
ANSWERS_PER_SECOND = 20
# Who ends takes back all that it announced, within a second. That costs an entry here and an answer
# that is shorter than the query, and only who has a token gets it.
WITHDRAWALS_PER_SECOND = 500
# T-33: the longest answer about a name (of `dat.local`) to an address that has not shown that it
# receives there. The token takes 131 bytes of it, with the question.
MAX_UNPROVEN = 160
_MAX_PUSHED = 16
_MAX_RECORDS = 10
_RESPONSE = 0x80  # in the third byte of a message
_HEADER = 12


@dataclass(slots=True)
class ServerCounts:
    """What was heard and said, and what was refused, since the start.

    Attributes:
        queries: Datagrams but answers to pushes.
        answers: Replies to them.
        announced: Records that were new.
        withdrawn: Records removed because their owner said so.
        too_fast: Queries above the rate of their host, withdrawals left out.
        unreadable: Queries that are no DNS messages.
        foreign: Questions about anything but names of the domain.
        bad_tokens: Queries with a token that is not, or no longer, one of that address.
        full: Records refused because their host has too many.
    """

    queries: int = 0
    answers: int = 0
    announced: int = 0
    withdrawn: int = 0
    too_fast: int = 0
    unreadable: int = 0
    foreign: int = 0
    bad_tokens: int = 0
    full: int = 0


class Tokens:
    """What shows that an asker receives at its address: a hash of it and of a secret.

    Good for 5 to 10 minutes. Neither names nor ports are part of it.
    """

    def __init__(self, secret: Callable[[], bytes], now: float) -> None:
        """Take the first two secrets.

        Args:
            secret: Gives 32 fresh random bytes.
            now: Seconds.
        """
        self._secret = secret
        self._old, self._new = secret(), secret()
        self._since = now

    def newest(self, host: str, now: float) -> str:
        """The token to give to a host."""
        self._turn(now)
        return _token(self._new, host)

    def valid(self, token: str, host: str, now: float) -> bool:
        """Whether a token is one of a host."""
        self._turn(now)
        shown = token.encode()
        newer = hmac.compare_digest(shown, _token(self._new, host).encode())
        return newer or hmac.compare_digest(shown, _token(self._old, host).encode())

    def _turn(self, now: float) -> None:
        turns = int((now - self._since) // ROTATION)
        for _ in range(min(turns, 2)):
            self._old, self._new = self._new, self._secret()
        self._since += max(turns, 0) * ROTATION


def _token(secret: bytes, host: str) -> str:
    return base64.b64encode(hashlib.sha256(secret + host.encode()).digest()).decode()


class DiscoveryServer:
    """Names, who has them, and who wants to hear of them."""

    def __init__(
        self,
        *,
        secret: Callable[[], bytes],
        choose: Callable[[int], int],
        now: float,
        domain: str = "dat.local",
        lifetime: float = PEER_SECONDS,
        capacity: int = MAX_RECORDS,
        host_capacity: int = MAX_RECORDS_OF_A_HOST,
    ) -> None:
        """Know nobody.

        Args:
            secret: Gives 32 fresh random bytes.
            choose: Gives a random number from 0 up to, not including, its argument.
            now: Seconds.
            domain: Last labels of the names, in small letters, at most 63 characters: a full
                answer then stays below 512 bytes.
            lifetime: Seconds that a peer is known for unless it repeats itself.
            capacity: Peers, and subscribers, that are known at most.
            host_capacity: The same of one host: one for each of its names.
        """
        self.counts = ServerCounts()
        self.peers = RecordStore(lifetime=lifetime, capacity=capacity, host_capacity=host_capacity)
        self.subscribers = RecordStore(
            lifetime=SUBSCRIBER_SECONDS, capacity=capacity, host_capacity=host_capacity
        )
        self.pushes = Pushes(domain=domain, first_id=choose(0xFFFF))
        self._tokens = Tokens(secret, now)
        self._rates = Window(ANSWERS_PER_SECOND, 1.0, MAX_ASKERS)
        self._withdrawals = Window(WITHDRAWALS_PER_SECOND, 1.0, MAX_ASKERS)
        self._choose = choose
        self._domain = domain

    def receive(
        self, datagram: bytes, source: Address, now: float, door: int = 0
    ) -> list[Outgoing]:
        """Take a datagram of anybody.

        Args:
            datagram: As received.
            source: Who seems to have sent it.
            now: Seconds.
            door: The socket on which it came; the answer, and pushes to its sender, leave there.

        Returns:
            What to send, the answer first.
        """
        if len(datagram) >= _HEADER and datagram[2] & _RESPONSE:
            self.pushes.acknowledge(source, int.from_bytes(datagram[:2], "big"))
            return []
        self.counts.queries += 1
        within = self._rates.count(source.host, now)
        if not within and not self._withdrawals.count(source.host, now):
            self.counts.too_fast += 1
            return []
        # Port 0 cannot be answered.
        message = dns_message.decode(datagram, self._domain) if source.port else None
        # The original programs send one. The first one counts, as with questions: a datagram with
        # more of them must not do more.
        records = message.records if message is not None else ()
        said = next((record for record in records if record.type == TYPE_TXT), None)
        proven = said is not None and self._tokens.valid(said.text.token, source.host, now)
        if not within and not (said is not None and proven and _withdraws(said)):
            self.counts.too_fast += 1
            return []
        if message is None:
            self.counts.unreadable += 1
            return []
        if said is not None and said.text.token and not proven:
            self.counts.bad_tokens += 1
        if within:
            reply = self._answer(message.id, message.head, message.first, source, proven, now)
        else:
            reply = self._receipt(message, source.host, now)
        self.counts.answers += 1
        sent = [Outgoing(reply, source, door)]
        if said is not None and proven and said.name != PROBE:
            # After the answer: a first announce does not hear of itself.
            sent += self._take(said, source, now, door)
        return sent

    def next_timer(self) -> float | None:
        """When to call `handle_timer`; it may change with every datagram."""
        return self.pushes.next_timer()

    def handle_timer(self, now: float) -> list[Outgoing]:
        """What to send again."""
        return self.pushes.handle_timer(now)

    def expire(self, now: float) -> None:
        """Forget what has lived long enough; what is asked for is looked over anyway."""
        self.peers.expire(now)
        self.subscribers.expire(now)

    def _answer(
        self,
        id: int,
        head: bytes,
        question: Question | None,
        source: Address,
        proven: bool,
        now: float,
    ) -> bytes:
        if question is None or (question.name == PROBE and question.type != TYPE_TXT):
            self.counts.foreign += bool(head)
            return dns_message.encode_reply(id, head)
        token = self._tokens.newest(source.host, now)
        seen = Text(token=token, host=source.host, port=source.port)
        if question.name == PROBE:
            return dns_message.encode_reply(id, head, [dns_message.text_record(seen)])
        if not proven and question.type == TYPE_TXT:
            reply = dns_message.encode_reply(id, head, [dns_message.text_record(seen)])
            if len(reply) <= MAX_UNPROVEN:
                return reply
            # A long address and port. The token alone is what the next question needs.
            return dns_message.encode_reply(id, head, [dns_message.text_record(Text(token=token))])
        if not proven:
            return dns_message.encode_reply(id, head)
        return dns_message.encode_reply(id, head, self._known(question, token, now))

    def _receipt(self, message: Message, host: str, now: float) -> bytes:
        """What a withdrawal above the rate is answered with: shorter than itself."""
        told = Text(token=self._tokens.newest(host, now))
        records = [dns_message.text_record(told)] if message.head else []
        return dns_message.encode_reply(message.id, message.head, records)

    def _known(self, question: Question, token: str, now: float) -> list[bytes]:
        most = MAX_PEERS if question.type == TYPE_TXT else _MAX_RECORDS
        if question.type not in (TYPE_TXT, TYPE_SRV, TYPE_A):
            return []
        peers = self.peers.sample(question.name, most, now, self._choose)
        if question.type == TYPE_SRV:
            return [dns_message.service_record(peer) for peer in peers]
        if question.type == TYPE_A:
            return [dns_message.address_record(peer.host) for peer in peers]
        return [dns_message.text_record(Text(token=token, peers=tuple(peers)))]

    def _take(self, said: Record, source: Address, now: float, door: int) -> list[Outgoing]:
        text, pushed = said.text, []
        if text.announce is not None:
            pushed = self._announce(said.name, source, text.announce, now)
        if text.unannounce is not None:
            own = Address(source.host, text.unannounce or source.port)
            self.counts.withdrawn += self.peers.remove(said.name, own)
        if not text.subscribe:
            self.subscribers.remove(said.name, source)
        elif self.subscribers.add(said.name, source, now, door=door) is Stored.REFUSED:
            self.counts.full += 1
        return pushed

    def _announce(self, name: bytes, source: Address, port: int, now: float) -> list[Outgoing]:
        """Store the sender, under its own address only, and tell who wants to hear of it."""
        own = Address(source.host, port or source.port)
        stored = self.peers.add(name, own, now)
        if stored is Stored.REFUSED:
            self.counts.full += 1
        if stored is not Stored.NEW:
            return []
        self.counts.announced += 1
        pushed = []
        for one in self.subscribers.sample(name, _MAX_PUSHED, now, self._choose):
            if one != source:
                door = self.subscribers.door(name, one)
                pushed += self.pushes.send(name, own, one, door, now)
        return pushed


def _withdraws(said: Record) -> bool:
    """Whether somebody takes back what it announced, and wants nothing else."""
    return said.name != PROBE and said.text.unannounce is not None and said.text.announce is None
