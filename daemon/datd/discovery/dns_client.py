"""A client of discovery servers: looks names up, announces them, hears of new peers.

Pure: no socket, clock or chance; datagrams and times go in, datagrams, events and the next time
come out. A name costs what is kept of it and nothing else; what is sent is bounded for each server.

Source: discovery.md sections 3 and 7, measured from dns-discovery 6.2.3.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from datd.discovery import dns_message
from datd.discovery.base import NAME_SIZE
from datd.discovery.dns_answers import PeerFound, dotted, peers_in, pushed, seen_in, token_in
from datd.discovery.dns_message import Record
from datd.discovery.dns_queries import Purpose, Queries, Query
from datd.discovery.dns_servers import (
    RESOLVE_INTERVAL,
    Server,
    ServerName,
    Servers,
    ServerView,
    State,
)
from datd.discovery.public import Seen, agreed
from datd.types import Address

# Routers give out new ports and providers new addresses; the reference asks only once.
WHOAMI_INTERVAL = 1800.0
# How long announcements wait for a second server to say which port it sees: a probe's patience.
WHOAMI_PATIENCE = 2.0
# Queries for names under way, a server: at 10 a second all that a server can owe within 7.75 s.
MAX_UNDER_WAY = 80
# The same while everything is withdrawn: the second there is for it is used, no burst is made.
MAX_CLOSING = 32
_HEADER_SIZE = 12
_RESPONSE = 0x80


@dataclass(frozen=True, slots=True)
class Resolve:
    """A server's name is to be looked up; `DnsClient.resolved` takes what comes of it."""

    server: int
    host: str


Event = PeerFound | Seen | Resolve


class _Joined(NamedTuple):
    discovery_key: bytes
    announce: bool


class DnsClient:
    """All servers and all names of one daemon.

    Attributes:
        strangers: Datagrams from addresses that are no server's; they are not looked at.
    """

    def __init__(
        self, servers: Sequence[ServerName], *, domain: str, choose: Callable[[int], int]
    ) -> None:
        """Nothing is asked before `start`.

        Args:
            servers: At most 16.
            domain: Last labels of the names, such as `dat.local`.
            choose: Gives a random number from 0 to below its argument.

        Raises:
            ValueError: There are more.
        """
        self.strangers = 0
        self._domain = domain
        self._choose = choose
        self._servers = Servers(servers)
        self._names: dict[bytes, _Joined] = {}
        self._queries = Queries(choose=choose)
        self._out: list[tuple[bytes, Address]] = []
        self._events: list[Event] = []
        self._port = 0
        self._own_hosts: frozenset[str] | None = None
        self._whoami_at = float("inf")
        self._hold_until: float | None = None
        self._settled = False
        self._seen = Seen(None, None)
        self._closing = False

    # ---- doors

    def start(self, port: int, now: float) -> None:
        """Begin to probe; `port` is announced until `announce_port` says otherwise."""
        self._port = port
        self._whoami_at = now + WHOAMI_INTERVAL
        for server in self._servers:
            host = dotted(server.name.host)
            if host is not None:
                self._place(server, host, now)
            else:
                self._look_up(server, now)

    def join(self, discovery_key: bytes, announce: bool, now: float) -> None:
        """Take part; what was announced is withdrawn if it is not to be announced any more."""
        name = discovery_key[:NAME_SIZE]
        self._names[name] = _Joined(discovery_key, announce)
        if not announce:
            self._withdraw(name, now)

    def leave(self, discovery_key: bytes, now: float) -> None:
        """Forget a key and withdraw it wherever it was announced."""
        name = discovery_key[:NAME_SIZE]
        if self._names.pop(name, None) is not None:
            self._withdraw(name, now)

    def lookup(self, discovery_key: bytes, now: float) -> None:
        """Ask every server that answers, as soon as its budget allows."""
        name = discovery_key[:NAME_SIZE]
        for server in self._servers if name in self._names else ():
            if server.waiting:
                server.behind = True
            else:
                server.urgent[name] = None
                self._work(server, now)

    def announce_port(self, port: int, now: float) -> None:
        """Announce another port from now on; the old one is withdrawn."""
        if port == self._port:
            return
        self._port = port
        for server in self._servers:
            server.later |= dict.fromkeys(server.announced)
            self._work(server, now)

    def own_hosts(self, hosts: frozenset[str], now: float) -> None:
        """Addresses of this host. A change means another network: everything is asked anew."""
        before, self._own_hosts = self._own_hosts, hosts
        if before is None or before == hosts:
            return
        self._whoami_at = now + WHOAMI_INTERVAL
        for server in self._servers:
            server.network_changed(now)
            if server.state is State.ANSWERING:
                self._refresh(server, now)

    def resolved(self, number: int, hosts: Sequence[str], now: float) -> None:
        """The addresses of a server's name; none if it could not be looked up."""
        server = self._servers[number]
        if not hosts and not server.host:
            server.trouble = "its name has no IPv4 address"
            server.back_off(now, self._choose)
            self._settle(now)
        elif server.waiting:
            # One that is silent may answer at another of its addresses.
            others = [host for host in hosts if host != server.host]
            self._place(server, (others or [server.host])[0], now)
        elif hosts and server.host not in hosts:
            self._place(server, hosts[0], now)  # it has moved

    def receive(self, datagram: bytes, source: Address, now: float) -> None:
        """Take in a datagram of anybody."""
        server = self._servers.at(source)
        if server is None:
            self.strangers += 1
            return
        if len(datagram) < _HEADER_SIZE:
            taken = False
        elif datagram[2] & _RESPONSE:
            taken = self._take_answer(datagram, source, now)
        else:
            taken = server.pushes.take(now) and self._take_push(server, datagram, source)
        server.answers += taken
        server.refused += not taken

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        due = self._queries.due(now)
        for query in due.again:
            self._send(query)
        for query in due.lost:
            self._lost(query, now)
        if now >= self._whoami_at:
            self._whoami_at = now + WHOAMI_INTERVAL
            for server in self._servers:
                if server.state is State.ANSWERING:
                    self._refresh(server, now)
        if self._hold_until is not None and now >= self._hold_until:
            self._hold_until = None
            self._settled = True
        for server in self._servers:
            if not self._closing and now >= server.check_at:
                check = self._probe if server.name.numeric else self._look_up
                check(server, now)
            self._work(server, now)

    def next_timer(self) -> float | None:
        """When `handle_timer` has to be called; None if nothing is planned."""
        times = [self._queries.next_time(), self._hold_until]
        if not self._closing:
            times.append(self._whoami_at)
            for server in self._servers:
                times += [server.check_at, server.wake_at]
        return min((time for time in times if time is not None), default=None)

    def datagrams_to_send(self) -> list[tuple[bytes, Address]]:
        """Take what is to be sent."""
        out, self._out = self._out, []
        return out

    def events(self) -> list[Event]:
        """Take what has happened."""
        events, self._events = self._events, []
        return events

    def withdraw_all(self, now: float) -> None:
        """Take back everything, faster than the budget, and ask nothing any more."""
        self._closing = self._settled = True
        self._names.clear()
        for query in self._queries:
            if query.purpose is Purpose.ROUND:
                self._queries.end(query)
        for server in self._servers:
            server.urgent.clear()
            server.later.clear()
            server.withdrawals |= dict.fromkeys(server.announced.items())
            server.announced.clear()
            self._work(server, now)

    @property
    def withdrawn(self) -> bool:
        """Whether every server that answers has confirmed all withdrawals."""
        return not any(query.purpose is Purpose.WITHDRAW for query in self._queries) and not any(
            server.withdrawals and server.state is State.ANSWERING for server in self._servers
        )

    @property
    def under_way(self) -> int:
        """Queries that wait for an answer."""
        return len(self._queries)

    @property
    def servers(self) -> list[ServerView]:
        """The servers in the order of the configuration."""
        return [server.view() for server in self._servers]

    # ---- servers come and go

    def _place(self, server: Server, host: str, now: float) -> None:
        if self._servers.place(server, host, now):
            self._drop_queries(server)
        self._probe(server, now)

    def _look_up(self, server: Server, now: float) -> None:
        # Should nobody ever call `resolved`, it is asked for again in its time.
        server.resolve_at = server.retry_at = now + RESOLVE_INTERVAL
        self._events.append(Resolve(server.number, server.name.host))

    def _probe(self, server: Server, now: float) -> None:
        """Nothing else is asked until it has answered."""
        server.probing()
        self._ask(server, Purpose.PROBE, now)

    def _refresh(self, server: Server, now: float) -> None:
        """Probe a server that answers: for a token, and for whoami."""
        if not server.refreshing:
            server.refreshing = True
            self._ask(server, Purpose.PROBE, now)

    def _probe_failed(self, server: Server, trouble: str, now: float) -> None:
        server.trouble = trouble
        if server.next_port():
            self._ask(server, Purpose.PROBE, now)
            return
        self._drop_queries(server)
        server.silent(now, self._choose)
        self._settle(now)

    def _drop_queries(self, server: Server) -> None:
        for query in self._queries.of(server.number):
            self._queries.end(query)
            if query.purpose is Purpose.WITHDRAW:
                server.withdraw(query.name, query.port)

    def _settle(self, now: float) -> None:
        """Once every server has spoken or is given up: where are we seen?"""
        if self._servers.undecided:
            return
        self._settled, self._hold_until = True, None
        voices = self._servers.voices()
        if voices:
            self._seen = agreed(voices, self._seen)
            self._events.append(self._seen)
        for server in self._servers:
            self._work(server, now)

    # ---- asking

    def _withdraw(self, name: bytes, now: float) -> None:
        for server in self._servers:
            server.forget(name)
        for query in self._queries.about(name):
            # Sent again after the withdrawal, it would undo it.
            if query.purpose is Purpose.ROUND:
                self._queries.end(query)
        for server in self._servers:
            port = server.announced.pop(name, None)
            if port is not None:
                server.withdraw(name, port)
                self._work(server, now)

    def _work(self, server: Server, now: float) -> None:
        """Ask a server as much as it may be asked now."""
        server.wake_at = None
        if server.state is not State.ANSWERING or not server.pending or not self._settled:
            return
        if not server.token_good(now):
            self._refresh(server, now)
            return
        room = MAX_CLOSING if self._closing else MAX_UNDER_WAY
        room -= len(self._queries.of(server.number))
        while room > 0 and server.pending:
            if not self._closing and not server.budget.take(now):
                server.wake_at = server.budget.ready_at(now)
                return
            room -= 1
            name, port = server.next_task()
            if port is not None:
                self._ask(server, Purpose.WITHDRAW, now, name, port)
            elif name in self._names:
                self._ask_round(server, name, now)

    def _ask_round(
        self, server: Server, name: bytes, now: float, *, repeated: bool = False
    ) -> None:
        port = 0
        if self._names[name].announce:
            port = self._port
            before = server.announced.get(name, port)
            if before != port:
                server.withdraw(name, before)
            # A withdrawal of the same must not come after this.
            server.withdrawals.pop((name, port), None)
            for query in self._queries.about(name):
                if query.server == server.number and query.port == port:
                    self._queries.end(query)
            server.announced[name] = port
        self._ask(server, Purpose.ROUND, now, name, port, repeated=repeated)

    def _ask(
        self,
        server: Server,
        purpose: Purpose,
        now: float,
        name: bytes = b"",
        port: int = 0,
        *,
        repeated: bool = False,
    ) -> None:
        id, token = self._queries.fresh_id(), server.token
        query = Query(id, server.number, server.address, purpose, name, port, token, repeated)
        self._queries.start(query, now)
        self._send(query)

    def _send(self, query: Query) -> None:
        self._servers[query.server].queries += 1
        self._out.append((query.datagram(self._domain), query.address))

    def _lost(self, query: Query, now: float) -> None:
        server = self._servers[query.server]
        if server.state is State.ANSWERING:
            self._probe(server, now)  # is it still there?
        elif query.purpose is Purpose.PROBE:
            self._probe_failed(server, "does not answer", now)

    # ---- hearing

    def _take_answer(self, datagram: bytes, source: Address, now: float) -> bool:
        query = self._queries.find(int.from_bytes(datagram[:2], "big"), source)
        if query is None:
            return False
        message = dns_message.decode(datagram, self._domain)
        if message is None or not message.response:
            return False
        self._queries.end(query)
        server = self._servers[query.server]
        server.last_answer = now
        records = [record for record in message.records if record.name == query.name]
        token = token_in(records)
        if token:
            server.token, server.token_since = token, now
        if query.purpose is Purpose.PROBE and token:
            server.sees = seen_in(records)
            self._found_answering(server, now)
        elif query.purpose is Purpose.PROBE:
            # Some other DNS server: on port 53 there may well be one.
            self._probe_failed(server, "answers, but is no discovery server", now)
        else:
            if query.purpose is Purpose.ROUND:
                self._tell(server, records, source)
            self._check_token(server, query, now)
        self._work(server, now)
        return True

    def _found_answering(self, server: Server, now: float) -> None:
        server.answering()
        if server.behind and not self._closing:
            server.behind = False
            server.later |= dict.fromkeys(self._names)
        if not self._settled and self._hold_until is None:
            self._hold_until = now + WHOAMI_PATIENCE
        self._settle(now)

    def _check_token(self, server: Server, query: Query, now: float) -> None:
        """Say it once more if the server may have passed over it.

        Another token than the one that was sent: perhaps it has only rotated; perhaps the server is
        a new one, or sees us at another address, and has not believed the old one.
        """
        if server.token == query.token or query.repeated:
            return
        if query.purpose is Purpose.WITHDRAW:
            self._ask(server, Purpose.WITHDRAW, now, query.name, query.port, repeated=True)
        elif query.name in self._names:
            self._ask_round(server, query.name, now, repeated=True)

    def _take_push(self, server: Server, datagram: bytes, source: Address) -> bool:
        message = dns_message.decode(datagram, self._domain)
        if message is None or not (records := pushed(message)):
            return False
        self._out.append((dns_message.encode_acknowledgement(message.id), source))
        self._tell(server, records, source)
        return True

    def _tell(self, server: Server, records: list[Record], source: Address) -> None:
        own = self._own_hosts or frozenset()
        if server.sees is not None:
            own |= {server.sees.host}
        for record in records:
            joined = self._names.get(record.name)
            if joined is None:
                continue
            ports = (self._port, server.announced.get(record.name))
            for peer in peers_in(record, source):
                if peer.host not in own or peer.port not in ports:
                    self._events.append(PeerFound(joined.discovery_key, peer, source))
