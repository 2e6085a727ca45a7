"""A node of the Mainline DHT, as a machine: datagrams and time in, datagrams and events out. Pure.

It searches names and announces them, answers others, and looks after its routing tables, one for
each address family (BEP 32). It knows no socket; names of archives are 20 bytes to it.

Source: BEP 5, 32, 42; discovery.md section 6.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from datd.discovery.budget import Budget
from datd.discovery.dht import krpc
from datd.discovery.dht.agenda import Agenda
from datd.discovery.dht.contacts import (
    ID_SIZE,
    IPV4,
    Contact,
    acceptable,
    decode_address,
    family_of,
    possible,
)
from datd.discovery.dht.ids import ID_BITS, fits, id_for
from datd.discovery.dht.krpc import Answer, Error, Query
from datd.discovery.dht.own_address import OwnAddress
from datd.discovery.dht.queries import Pending, Queries
from datd.discovery.dht.routing import RoutingTable
from datd.discovery.dht.search import Announcement, Ask, Search
from datd.discovery.dht.service import Service, ServiceLimits
from datd.errors import ProtocolError
from datd.types import Address

# Queries a second: ten thousand names every 15 minutes need 220. A burst loses packets in the
# buffers of whoever is asked most.
QUERIES_PER_SECOND = 250.0
_BURST = 16.0
# Datagrams handed over at once.
_BATCH = 64
# Nodes that are to be asked whether they live.
_MAX_PINGS = 64
# Peers told in one search; the swarm keeps 200.
_MAX_TOLD = 1000
_UPKEEP_INTERVAL = 60.0
# BEP 42: a new id makes us a stranger to everybody; a liar must not bring that about all the time.
_ID_INTERVAL = 3600.0


@dataclass(frozen=True, slots=True)
class PeerFound:
    """A node, or this one's own store, knows a peer.

    Attributes:
        name: What was searched, 20 bytes.
        peer: Where it is said to listen.
        told_by: Who said so.
    """

    name: bytes
    peer: Address
    told_by: Address


@dataclass(frozen=True, slots=True)
class RoundOver:
    """A search, with its announcement, came to its end in one family.

    Attributes:
        name: What was searched, 20 bytes.
        family: 4 or 6.
        asked: Nodes that were asked.
        announced: Nodes that took the announcement.
    """

    name: bytes
    family: int
    asked: int
    announced: int


Event = PeerFound | RoundOver


@dataclass(slots=True)
class Statistics:
    """Counted since the start.

    Attributes:
        sent: Datagrams.
        received: Datagrams.
        answered: Queries of others.
        refused: Queries of others beyond the limits.
        nonsense: Datagrams that could not be read, or that nobody had asked for.
        searches: Names that were searched.
        announced: Announcements that were taken.
        timeouts: Queries without an answer.
    """

    sent: int = 0
    received: int = 0
    answered: int = 0
    refused: int = 0
    nonsense: int = 0
    searches: int = 0
    announced: int = 0
    timeouts: int = 0


class DhtNode:
    """The machine. After each call that gives it something: `datagrams_to_send`, `next_timer`."""

    def __init__(
        self,
        *,
        node_id: bytes,
        secret: bytes,
        choose: Callable[[int], int],
        families: Iterable[int] = (IPV4,),
        limits: ServiceLimits | None = None,
    ) -> None:
        """A node that knows nobody.

        Args:
            node_id: 20 bytes.
            secret: Random bytes, up to 64, that nobody else knows.
            choose: A random number below its argument.
            families: 4 and 6, as far as they can be spoken.
            limits: How much is done for others.
        """
        self.id = node_id
        self.statistics = Statistics()
        self._choose = choose
        self._tables = {family: RoutingTable(node_id) for family in families}
        self._want = frozenset(self._tables) if len(self._tables) > 1 else frozenset[int]()
        self._service = Service(secret, limits or ServiceLimits(), choose)
        self._queries = Queries(secret)
        self._own_address = OwnAddress()
        self._id_since = float("-inf")
        self._agenda = Agenda(self._tables, choose)
        self._to_ping: dict[Contact, None] = {}
        self._budget = Budget(QUERIES_PER_SECOND, _BURST)
        self._blocked: float | None = None
        self._upkeep = float("-inf")
        self._outbox: deque[tuple[bytes, Address]] = deque()
        self._events: list[Event] = []

    # ---- what the user wants

    def bootstrap(self, entries: Iterable[Address], contacts: Iterable[Contact] = ()) -> None:
        """Search the own neighbourhood, so that the tables fill.

        Args:
            entries: Nodes of which only the address is known.
            contacts: Nodes known from earlier.
        """
        self._agenda.join(entries, contacts)

    def lookup(self, name: bytes) -> None:
        """Search the peers of a name, once; while nobody is known, that waits."""
        self._agenda.search(name, None)

    def announce(self, name: bytes, port: int, *, implied: bool) -> None:
        """Search the peers of a name, once, and announce us there.

        Args:
            name: 20 bytes.
            port: Where we listen.
            implied: Nodes shall rather take the port that they see.
        """
        self._agenda.search(name, Announcement(port, implied))

    def forget(self, name: bytes) -> None:
        """Stop what is under way for a name. The DHT itself cannot be told to forget."""
        self._agenda.forget(name)

    def seen_from_outside(self, host: str, now: float) -> None:
        """Take the id that belongs to our outer address, if we have another one."""
        if fits(self.id, host) or now - self._id_since < _ID_INTERVAL:
            return
        self._id_since = now
        self.id = id_for(host, self._choose(1 << ID_BITS).to_bytes(ID_SIZE, "big"))
        for family, table in self._tables.items():
            self._tables[family] = table.moved(self.id)

    # ---- what is known

    def good_nodes(self, now: float) -> list[Contact]:
        """Nodes that answered lately."""
        return [contact for table in self._tables.values() for contact in table.good(now)]

    @property
    def nodes(self) -> dict[int, int]:
        """How many nodes the tables hold, by family."""
        return {family: len(table) for family, table in self._tables.items()}

    @property
    def living(self) -> int:
        """How many of these are not taken for dead."""
        return sum(table.living for table in self._tables.values())

    @property
    def peers(self) -> int:
        """Peers kept for others."""
        return self._service.peers

    @property
    def waiting(self) -> int:
        """Names that are to be searched."""
        return self._agenda.waiting

    # ---- the doors

    def receive_datagram(self, data: bytes, source: Address, now: float) -> None:
        """Take in what came; never raises for what strangers send."""
        self.statistics.received += 1
        answers = not krpc.is_query(data)
        if answers and not self._queries.asked(source.host):
            self.statistics.nonsense += 1
            return
        if not answers and not self._service.admits(source, now):
            self.statistics.refused += 1
            return
        try:
            message = krpc.decode(data)
        except ProtocolError:
            self.statistics.nonsense += 1
            return
        if not isinstance(message, Query):
            self._take(message, source, now)
        elif not answers or self._service.admits(source, now):
            self._serve(message, len(data), source, now)

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Address]]:
        """What to send now, with its addresses; when more waits, `next_timer` is in the past."""
        self._ask(now)
        batch = [self._outbox.popleft() for _ in range(min(_BATCH, len(self._outbox)))]
        self.statistics.sent += len(batch)
        return batch

    def events_received(self) -> list[Event]:
        """What happened since the last call."""
        events, self._events = self._events, []
        return events

    def next_timer(self) -> float:
        """When to call `handle_timer`, at the latest."""
        times = [self._upkeep + _UPKEEP_INTERVAL, self._agenda.next_timer()]
        if self._outbox:
            return float("-inf")
        if self._blocked is not None:
            times.append(self._blocked)
        under_way = self._queries.next_timer()
        if under_way is not None:
            times.append(under_way)
        return min(times)

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        for query in self._queries.grown_late(now):
            if query.search is not None:
                query.search.late(query.ask)
        for query in self._queries.expired(now):
            self.statistics.timeouts += 1
            self._failed(query, now)
        if now >= self._upkeep + _UPKEEP_INTERVAL:
            self._upkeep = now
            self._agenda.look_after_tables(now)

    # ---- answers

    def _take(self, message: Answer | Error, source: Address, now: float) -> None:
        query = self._queries.take(message.transaction, source.host)
        if query is None:
            self.statistics.nonsense += 1
            return
        expected = query.ask.contact
        if isinstance(message, Error):
            # It lives, and does not help.
            self._failed(query, now, gone=False)
            return
        if expected is not None and expected.id != message.sender:
            self._failed(query, now, real=Contact(message.sender, query.ask.address))
            return
        contact = expected or Contact(message.sender, query.ask.address)
        self._heard(contact, now)
        search = query.search
        if search is not None:
            search.answered(query.ask, contact, message.token, late=query.late)
            if search in self._agenda.under_way:
                self._learn(query, search, message, source)
        if message.asker is not None:
            host = self._own_address.said(message.asker.host, source.host)
            if host is not None:
                self.seen_from_outside(host, now)

    def _heard(self, contact: Contact, now: float) -> None:
        oldest = self._tables[family_of(contact.address)].heard(contact, now)
        if oldest is not None:
            self._ping(oldest)

    def _learn(self, query: Pending, search: Search, answer: Answer, source: Address) -> None:
        near: list[Contact] = []
        for contact in answer.contacts:
            if contact.id == self.id or not acceptable(contact.address, source):
                continue
            if family_of(contact.address) == search.family:
                near.append(contact)
            elif family_of(contact.address) in self._tables:
                self._ping(contact)
        search.lookup.named(near)
        if query.ask.method != krpc.GET_PEERS:
            return
        told = self._agenda.under_way[search]
        own = self._agenda.announcements.get(search.target)
        for value in answer.values:
            peer = decode_address(value)
            if peer is None or peer in told or len(told) >= _MAX_TOLD or not possible(peer):
                continue
            told.add(peer)
            if not _is_own(peer, answer.asker, own):
                self._events.append(PeerFound(search.target, peer, source))

    def _failed(
        self, query: Pending, now: float, *, gone: bool = True, real: Contact | None = None
    ) -> None:
        contact = query.ask.contact
        if gone and contact is not None:
            self._tables[family_of(contact.address)].failed(contact, now)
        if query.search is not None:
            query.search.failed(query.ask, late=query.late, real=real)

    # ---- queries of others

    def _serve(self, query: Query, size: int, source: Address, now: float) -> None:
        answer = self._service.answer(query, size, source, self.id, self._tables, now)
        if answer is None:
            self.statistics.refused += 1
            return
        self.statistics.answered += 1
        self._outbox.append((answer, source))
        if query.sender is not None and not query.read_only and possible(source):
            contact = Contact(query.sender, source)
            table = self._tables.get(family_of(source))
            if table is not None and table.wants(contact, now):
                self._ping(contact)

    # ---- queries of ours

    def _ask(self, now: float) -> None:
        """Send what may be sent now; each search gets one query in turn."""
        self._blocked = None
        self._begin_searches(now)
        progress = True
        while progress:
            progress = False
            for search in list(self._agenda.under_way):
                if not self._queries.room(
                    background=search.background, waiting=self._agenda.waiting
                ):
                    continue
                ready = self._budget.ready_at(now)
                if ready > now:
                    self._blocked = ready
                    return
                ask = search.next()
                if ask is not None:
                    progress = True
                    self._send(ask, search, search.background, now)
                elif search.over:
                    progress = True
                    self._end(search, now)
                    self._begin_searches(now)
        while self._to_ping and self._queries.room(background=True):
            ready = self._budget.ready_at(now)
            if ready > now:
                self._blocked = ready
                return
            contact = next(iter(self._to_ping))
            del self._to_ping[contact]
            self._send(Ask(krpc.PING, contact.address, contact), None, True, now)

    def _send(self, ask: Ask, search: Search | None, background: bool, now: float) -> None:
        self._budget.take(now)
        transaction = self._queries.add(Pending(ask, search, background, now))
        announcement = search.announcement if search is not None else None
        announcing = ask.method == krpc.ANNOUNCE_PEER and announcement is not None
        searching = ask.method in (krpc.FIND_NODE, krpc.GET_PEERS)
        query = Query(
            transaction,
            ask.method,
            sender=self.id,
            target=search.target if search is not None else None,
            port=announcement.port if announcing and announcement else None,
            implied_port=bool(announcing and announcement and announcement.implied),
            token=ask.token,
            want=self._want if searching else frozenset(),
        )
        self._outbox.append((krpc.encode(query), ask.address))

    def _begin_searches(self, now: float) -> None:
        for name in self._agenda.begin(now):
            self.statistics.searches += 1
            for value in self._service.stored(name, now):
                peer = decode_address(value)
                if peer is not None:
                    self._events.append(PeerFound(name, peer, peer))

    def _end(self, search: Search, now: float) -> None:
        if self._agenda.end(search, now):
            self.statistics.announced += search.announced
            self._events.append(
                RoundOver(search.target, search.family, search.lookup.asked, search.announced)
            )

    def _ping(self, contact: Contact) -> None:
        if len(self._to_ping) < _MAX_PINGS:
            self._to_ping[contact] = None


def _is_own(peer: Address, asker: Address | None, own: Announcement | None) -> bool:
    """Whether a peer is us, as the node that names it sees us."""
    if asker is None or own is None or peer.host != asker.host:
        return False
    return peer.port == own.port or (own.implied and peer.port == asker.port)
