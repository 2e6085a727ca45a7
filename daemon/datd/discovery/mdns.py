"""Finding peers on the local network: dat's own questions and answers over multicast DNS.

Not DNS-SD: no services are registered or browsed, and the port is shared with whoever else speaks
mDNS on this host. Beside `dat.local` the names of dat 14, under `hyperswarm.local`, are asked for
and answered: same socket, same names, other records.

Source: discovery.md section 5, measured from multicast-dns 7.2.5 and dns-discovery 6.2.3; section
13 for dat 14.
"""

import asyncio
import base64
import contextlib
import hashlib
import logging
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from datd.discovery import dns_message, hyperswarm_message
from datd.discovery.base import NAME_SIZE, OnPeer
from datd.discovery.budget import Budget
from datd.discovery.dns_message import Question
from datd.discovery.interfaces import Interface, interfaces
from datd.discovery.rates import Window
from datd.types import Address

_log = logging.getLogger(__name__)

GROUP = "224.0.0.251"
PORT = 5353
_TTL = 255  # RFC 6762, section 11: receivers may check that a packet never crossed a router
# How often the interfaces are looked up again (the reference does the same).
INTERFACE_INTERVAL = 5.0
# T-38: packets a second that are looked at, from the network and (counted apart, so that a flood
# does not silence us) from this host, whose questions come back through loopback.
PACKETS_PER_SECOND = 100
# Of these, from one host of the network: a busy daemon with 1,000 archives sends up to 40, and
# whoever floods leaves the other half to the rest.
PACKETS_OF_A_HOST = 50
# T-38: answers sent in a second, and how many of them one host may cause. The whole network hears
# each, and a datagram can have 16 questions. A busy daemon asks for 10 names in both ways.
ANSWERS_PER_SECOND = 100
ANSWERS_TO_A_HOST = 50
# Names asked for in a second, at most (discovery.md section 7); each is two questions.
NAMES_PER_SECOND = 10
# Datagrams taken in one go before other work gets its turn. Most of a flood are only counted.
_BATCH = 128
# A neighbour that floods must not push out the answer of another while we wait for our turn of the
# processor: half a second of 1,500 large packets a second. Linux caps it at net.core.rmem_max.
_BUFFER = 1024 * 1024


@dataclass(slots=True)
class _Joined:
    discovery_key: bytes
    announce: bool


@dataclass(slots=True)
class _Links:
    """The interfaces, as last seen."""

    all: list[Interface] = field(default_factory=list)
    sending: list[str] = field(default_factory=list)
    own: frozenset[str] = frozenset()

    @classmethod
    def of(cls, found: list[Interface]) -> "_Links":
        first = [one for one in found if one.first]
        # Sent through a network's interface, a packet reaches this host's other programs as well.
        outward = [one.address for one in first if not one.loopback]
        sending = outward or [one.address for one in first]
        return cls(found, sending, frozenset(one.address for one in found))

    def towards(self, host: str) -> list[str]:
        """Addresses of the interfaces on which `host` is heard; all if it is on none of them."""
        if host in self.own:
            return [host] if host in self.sending else self.sending
        at = int.from_bytes(socket.inet_aton(host), "big")
        near = [
            one.address
            for one in self.all
            if one.first and at & int(one.network.netmask) == int(one.network.network_address)
        ]
        return near or self.sending


class MulticastDns:
    """The network `mdns`: asks for names, answers for those that are announced, hears everybody.

    It has no task: one reader on its socket and two timers of the event loop do the work.
    """

    name = "mdns"
    lookups_per_second = float(NAMES_PER_SECOND)
    interval = 60.0

    def __init__(
        self,
        *,
        secret: bytes,
        clock: Callable[[], float],
        domain: str = "dat.local",
        port: int = PORT,
        find_interfaces: Callable[[], list[Interface]] = interfaces,
    ) -> None:
        """Nothing happens before `start`.

        Args:
            secret: Random bytes; they make the tokens and ids by which own answers are known
                again.
            clock: Monotonic seconds.
            domain: Last labels of the names.
            port: UDP port that all hosts of the network share.
            find_interfaces: Tells this host's addresses.
        """
        self._secret = secret
        self._clock = clock
        self._domain = domain
        self._group = (GROUP, port)
        self._find_interfaces = find_interfaces
        self._names: dict[bytes, _Joined] = {}
        self._to_ask: dict[bytes, None] = {}
        self._links = _Links()
        self._memberships: set[tuple[int, str]] = set()  # interface and its address
        self._socket: socket.socket | None = None
        self._asking: asyncio.TimerHandle | None = None
        self._checking: asyncio.TimerHandle | None = None
        self._asks = Budget(NAMES_PER_SECOND, NAMES_PER_SECOND)
        self._heard = Budget(PACKETS_PER_SECOND, PACKETS_PER_SECOND)
        self._heard_own = Budget(PACKETS_PER_SECOND, PACKETS_PER_SECOND)
        self._shares = Window(PACKETS_OF_A_HOST, 1.0)
        self._answers = Budget(ANSWERS_PER_SECOND, ANSWERS_PER_SECOND)
        self._answer_shares = Window(ANSWERS_TO_A_HOST, 1.0)
        self._complaint = ""

    async def start(self, on_peer: OnPeer, port: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_peer = on_peer
        self._listening_port = port
        self._check_interfaces()

    def join(self, discovery_key: bytes, announce: bool) -> None:
        self._names[discovery_key[:NAME_SIZE]] = _Joined(discovery_key, announce)

    def leave(self, discovery_key: bytes) -> None:
        # The reference says nothing on the network either.
        self._names.pop(discovery_key[:NAME_SIZE], None)
        self._to_ask.pop(discovery_key[:NAME_SIZE], None)

    def lookup(self, discovery_key: bytes) -> None:
        name = discovery_key[:NAME_SIZE]
        if name in self._names and self._socket is not None:
            self._to_ask[name] = None
            self._ask()

    async def close(self) -> None:
        for timer in (self._asking, self._checking):
            if timer is not None:
                timer.cancel()
        self._close_socket()
        self._names.clear()
        self._to_ask.clear()

    # ---- socket and interfaces

    def _check_interfaces(self) -> None:
        self._checking = self._loop.call_later(INTERFACE_INTERVAL, self._check_interfaces)
        try:
            if self._socket is None:
                self._open_socket()
            self._links = _Links.of(self._find_interfaces())
            joined = self._join_groups()
        except OSError as error:
            self._complain(f"no peers can be found on the local network: {error}")
            return
        if not self._memberships:
            self._complain(
                "no peers can be found on the local network: no interface does multicast"
            )
            return
        self._complaint = ""
        if joined:
            self._to_ask.update(dict.fromkeys(self._names))
            self._ask()

    def _open_socket(self) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):  # some systems refuse instead of capping
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            if hasattr(socket, "SO_REUSEPORT"):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, _TTL)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
            sock.bind(("0.0.0.0", self._group[1]))
        except OSError:
            sock.close()
            raise
        self._socket = sock
        self._loop.add_reader(sock, self._readable)

    def _close_socket(self) -> None:
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None
            self._memberships.clear()

    def _join_groups(self) -> bool:
        """Join the group where it is not joined yet; whether there was such a place."""
        # An interface that went is forgotten by the system, and may be back before we look again.
        wanted = {(one.link, one.address) for one in self._links.all if one.first}
        for _, address in self._memberships - wanted:
            self._membership(socket.IP_DROP_MEMBERSHIP, address)
        self._memberships &= wanted
        fresh = {
            (link, address)
            for link, address in wanted - self._memberships
            if self._membership(socket.IP_ADD_MEMBERSHIP, address)
        }
        self._memberships |= fresh
        return bool(fresh)

    def _membership(self, option: int, address: str) -> bool:
        if self._socket is None:
            raise AssertionError("group membership without a socket")
        try:
            value = socket.inet_aton(GROUP) + socket.inet_aton(address)
            self._socket.setsockopt(socket.IPPROTO_IP, option, value)
        except OSError as error:
            _log.debug("multicast on %s: %s", address, error)
            return False
        return True

    def _complain(self, what: str) -> None:
        if what != self._complaint:
            _log.warning("%s; trying again every %g s", what, INTERFACE_INTERVAL)
            self._complaint = what

    # ---- asking

    def _ask(self) -> None:
        """Ask for what waits, as far as the budget goes; the rest waits for a timer."""
        now = self._clock()
        while self._to_ask and self._asks.take(now):
            name = next(iter(self._to_ask))
            del self._to_ask[name]
            for question in (
                dns_message.encode_question(name, self._domain),
                hyperswarm_message.encode_question(name),
            ):
                self._send(question, self._group[1], self._links.sending)
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None
        if self._to_ask:
            delay = self._asks.ready_at(now) - now
            self._asking = self._loop.call_later(delay, self._ask)

    def _send(self, datagram: bytes, port: int, through: Iterable[str]) -> None:
        if self._socket is None:
            return
        for address in through:
            try:
                self._socket.setsockopt(
                    socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address)
                )
                self._socket.sendto(datagram, (GROUP, port))
            except OSError as error:
                # A full buffer or an interface just gone: a lost datagram like any other.
                _log.debug("multicast through %s: %s", address, error)

    # ---- hearing

    def _readable(self) -> None:
        for _ in range(_BATCH):
            if self._socket is None:
                return
            try:
                # One byte more than is read: a longer datagram is cut, and must not look whole.
                datagram, (host, port) = self._socket.recvfrom(dns_message.MAX_DATAGRAM + 1)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                _log.debug("multicast socket: %s", error)
                return
            if self._looked_at(host):
                self._receive(datagram, Address(host, port))

    def _looked_at(self, host: str) -> bool:
        """Whether there is time for a packet of a host; if so, it is counted."""
        now = self._clock()
        if host in self._links.own:
            return self._heard_own.take(now)
        return self._shares.count(host, now) and self._heard.take(now)

    def _may_answer(self, host: str) -> bool:
        """Whether one more answer may be sent because of a host; if so, it is counted."""
        now = self._clock()
        return self._answer_shares.count(host, now) and self._answers.take(now)

    def _receive(self, datagram: bytes, source: Address) -> None:
        from_14 = hyperswarm_message.decode(datagram)
        if from_14 is not None:
            for name in from_14.questions:
                self._answer_14(name, source)
            for told in from_14.answers:
                if told.id != hyperswarm_message.identity(self._secret, told.name):
                    self._take(told.name, told.peer, source)
        message = dns_message.decode(datagram, self._domain)
        if message is None:
            return
        if not message.response:
            for question in message.questions:
                self._answer(question, source)
        for answer in message.answers:
            if answer.token != self._token(source.host):
                for peer in answer.peers:
                    self._take(answer.name, peer, source)

    def _answer(self, question: Question, source: Address) -> None:
        if not self._announces(question.name):
            return
        if question.type not in (dns_message.TYPE_A, dns_message.TYPE_SRV, dns_message.TYPE_TXT):
            return
        # The answer, too, goes to the whole link: each announcement is heard by everybody.
        for address in self._links.towards(source.host):
            if not self._may_answer(source.host):
                return
            answer = dns_message.encode_answer(
                question,
                self._domain,
                host=address,
                port=self._listening_port,
                token=self._token(source.host),
            )
            self._send(answer, source.port, [address])

    def _answer_14(self, name: bytes, source: Address) -> None:
        if not self._announces(name):
            return
        answer = hyperswarm_message.encode_answer(
            name,
            port=self._listening_port,
            id=hyperswarm_message.identity(self._secret, name),
            asker=source.host,
        )
        for address in self._links.towards(source.host):
            if self._may_answer(source.host):
                # To the group's own port, wherever the question came from: so does dat 14.
                self._send(answer, self._group[1], [address])

    def _announces(self, name: bytes) -> bool:
        joined = self._names.get(name)
        return joined is not None and joined.announce

    def _take(self, name: bytes, peer: Address, source: Address) -> None:
        joined = self._names.get(name)
        if joined is None:
            return
        if peer.host == dns_message.SENDER:
            peer = Address(source.host, peer.port)
        if peer.port == self._listening_port and peer.host in self._links.own:
            return
        self._on_peer(joined.discovery_key, peer, source)

    def _token(self, host: str) -> str:
        digest = hashlib.sha256(self._secret + host.encode()).digest()
        return base64.b64encode(digest).decode()
