"""What this node does for others: it tells nodes and peers, and keeps announcements. Pure.

Source: BEP 5, discovery.md section 6 "Serving"; T-35: whoever forges his address must not be
able to make us flood somebody with answers.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from datd.discovery.budget import Budget
from datd.discovery.dht import krpc
from datd.discovery.dht.contacts import (
    FAMILIES,
    IPV6,
    encode_address,
    family_of,
    local,
    packed,
    possible,
)
from datd.discovery.dht.krpc import Answer, Error, Query
from datd.discovery.dht.peer_store import MAX_PEERS, SAMPLE, PeerStore
from datd.discovery.dht.routing import RoutingTable
from datd.discovery.dht.tokens import Tokens
from datd.types import Address

# T-35.
MAX_ANSWER = 1024
MAX_FACTOR = 10
# BEP 5's own number; the reference's 20 would be 520 bytes.
NODES = 8
# An address may ask a few things at once: a lookup and its announcement.
_BURST_SECONDS = 2.0
# Addresses whose queries are counted; a flood from more than these still meets the limit for all.
_MAX_HOSTS = 2048
# Less than this is no answer.
_SMALLEST = 64
# "6:" before a value, "18:" before one of IPv6; "6:valuesle" around them.
_AROUND_VALUES = 12


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """T-35's numbers. A bootstrap node of a private network may have more.

    Attributes:
        queries_per_second: Answered to one address.
        bytes_per_second: Sent as answers in all.
        peers: Kept for others in all.
    """

    queries_per_second: float = 5.0
    bytes_per_second: float = 8192.0
    peers: int = MAX_PEERS


class Service:
    """Answers queries."""

    def __init__(self, secret: bytes, limits: ServiceLimits, choose: Callable[[int], int]) -> None:
        """Nothing is kept yet.

        Args:
            secret: Random bytes, for the tokens.
            limits: How much is answered.
            choose: A random number below its argument.
        """
        self._tokens = Tokens(secret)
        self._limits = limits
        self._choose = choose
        self._stores = {family: PeerStore(limits.peers) for family in FAMILIES}
        self._hosts: OrderedDict[str | Address, Budget] = OrderedDict()
        self._bytes = limits.bytes_per_second
        self._stamp = float("-inf")

    @property
    def peers(self) -> int:
        """Peers that are kept."""
        return sum(len(store) for store in self._stores.values())

    @property
    def names(self) -> int:
        """Names that have peers, counted once for each family."""
        return sum(store.names for store in self._stores.values())

    def stored(self, name: bytes, now: float) -> list[bytes]:
        """Peers of a name, in compact form."""
        found: list[bytes] = []
        for store in self._stores.values():
            store.expire(now)
            found += store.sample(name, SAMPLE, self._choose)
        return found

    def admits(self, source: Address, now: float) -> bool:
        """Whether a query of this address may be answered now; if so, it is counted."""
        if now > self._stamp:
            rate = self._limits.bytes_per_second
            self._bytes = min(rate, self._bytes + (now - self._stamp) * rate)
            self._stamp = now
        if self._bytes < _SMALLEST:
            return False
        key = _who(source)
        budget = self._hosts.get(key)
        if budget is None:
            rate = self._limits.queries_per_second
            budget = self._hosts[key] = Budget(rate, max(1.0, rate * _BURST_SECONDS))
            if len(self._hosts) > _MAX_HOSTS:
                self._hosts.popitem(last=False)
        self._hosts.move_to_end(key)
        return budget.take(now)

    def answer(
        self,
        query: Query,
        size: int,
        source: Address,
        own_id: bytes,
        tables: Mapping[int, RoutingTable],
        now: float,
    ) -> bytes | None:
        """Answer a query that was admitted.

        Args:
            query: What is asked.
            size: Bytes of the query.
            source: Where it came from.
            own_id: Of this node.
            tables: Nodes to tell of, by family.
            now: The time.

        Returns:
            The datagram, or None if it would be beyond the limits.
        """
        answer = self._answer(query, source, own_id, tables, now)
        limit = min(MAX_ANSWER, MAX_FACTOR * size)
        datagram = krpc.encode(answer)
        if isinstance(answer, Answer) and query.method == krpc.GET_PEERS and query.target:
            # What nodes and token leave free is for peers.
            each = 8 if family_of(source) != IPV6 else 21
            room = (limit - len(datagram) - _AROUND_VALUES) // each
            values = self._peers_of(query.target, source, room, now)
            if values:
                datagram = krpc.encode(replace(answer, values=values))
        if len(datagram) > min(limit, self._bytes):
            return None
        self._bytes -= len(datagram)
        return datagram

    def _answer(
        self,
        query: Query,
        source: Address,
        own_id: bytes,
        tables: Mapping[int, RoutingTable],
        now: float,
    ) -> Answer | Error:
        if query.method in (krpc.GET, krpc.PUT):
            return Error(query.transaction, krpc.METHOD_UNKNOWN, "Method Unknown")
        if query.sender is None:
            return _missing(query, "id")
        answer = Answer(
            query.transaction, own_id, asker=source if packed(source.host) is not None else None
        )
        match query.method:
            case krpc.PING:
                return answer
            case krpc.FIND_NODE | krpc.GET_PEERS:
                if query.target is None:
                    name = "target" if query.method == krpc.FIND_NODE else "info_hash"
                    return _missing(query, name)
                wanted = (query.want or {family_of(source)}) & tables.keys()
                nodes = [
                    contact
                    for family in sorted(wanted)
                    for contact in tables[family].closest(query.target, NODES)
                ]
                token = None
                if query.method == krpc.GET_PEERS:
                    token = self._tokens.token(source.host, now)
                return replace(
                    answer, contacts=tuple(nodes), families=frozenset(wanted), token=token
                )
            case krpc.ANNOUNCE_PEER:
                return self._announced(query, source, now) or answer
        return Error(query.transaction, krpc.METHOD_UNKNOWN, "Method Unknown")

    def _announced(self, query: Query, source: Address, now: float) -> Error | None:
        if query.target is None:
            return _missing(query, "info_hash")
        if query.token is None or not self._tokens.valid(query.token, source.host, now):
            # The words of the reference.
            text = "cannot `announce_peer` with bad token"
            return Error(query.transaction, krpc.PROTOCOL_ERROR, text)
        port = source.port if query.implied_port else query.port
        if port is None:
            return _missing(query, "port")
        peer = Address(source.host, port)
        if possible(peer):
            self._stores[family_of(peer)].add(query.target, encode_address(peer), now)
        return None

    def _peers_of(self, name: bytes, source: Address, room: int, now: float) -> tuple[bytes, ...]:
        store = self._stores[family_of(source)]
        store.expire(now)
        return tuple(store.sample(name, max(0, room), self._choose))


def _who(source: Address) -> str | Address:
    """Whose queries are counted together."""
    if local(source.host):
        return source  # many nodes at one address are normal here
    data = packed(source.host)
    # One subscriber has a /64 of IPv6, and could use each address of it once.
    return source.host if data is None or len(data) == 4 else data[:8].hex()


def _missing(query: Query, argument: str) -> Error:
    method = query.method.decode("ascii", "replace")
    return Error(
        query.transaction, krpc.PROTOCOL_ERROR, f"`{method}` is missing required `{argument}`"
    )
