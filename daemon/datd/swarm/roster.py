"""Who is connected, and who may be: the rules between a call or dial and the end of its handshake.

Source: discovery.md section 10 for duplicates, which both ends must settle alike.
"""

from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from datd.discovery.rates import Window
from datd.errors import DatdError
from datd.swarm.addresses import neighbourhood
from datd.swarm.hearing import HeardStream
from datd.swarm.limits import HUNGRY_IDLE, IDLE, SILENT, SwarmLimits
from datd.swarm.peer import Peer
from datd.swarm.peers import PeerTable
from datd.transport.base import Stream
from datd.transport.bucket import Account
from datd.types import Address

# Blocks that are remembered as sent wrong by one peer; whoever gets so far is no use anyway.
MAX_DISTRUSTED = 1024

_K = TypeVar("_K")


class Refused(DatdError):
    """A connection is not wanted, through nobody's fault. It ends without a word."""


class Duplicate(Refused):
    """Another connection with the same peer stays. Both ends settle that once both shook hands."""


class Connection:
    """One connection, as the swarm hands it to whoever talks over it.

    Attributes:
        stream: The bytes. The swarm closes it when the talk is over.
        address: Where the other side is.
        host: What its limits and counts go by, see `neighbourhood`.
        initiator: Whether we dialled.
        discovery_key: 32 bytes naming the archive; for callers None until `identify`.
        peer: The table's record; None until the archive is known.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        roster: "Roster",
        clock: Callable[[], float],
        peer: Peer | None = None,
    ) -> None:
        self.stream = HeardStream(stream, clock)
        self.address: Address = peer.address if peer is not None else stream.remote
        self.host = neighbourhood(self.address.host)
        self.initiator = peer is not None
        self.discovery_key = peer.name if peer is not None else None
        self.peer = peer
        self.cut: Callable[[], object] = stream.abort
        self.counted: Account | None = None  # whoever reads counts
        self._roster = roster
        self._clock = clock

    def identify(self, discovery_key: bytes) -> None:
        """The caller's first message named an archive that is hosted here.

        Raises:
            Refused: It has enough connections, or the caller is banned from it.
        """
        if self.discovery_key != discovery_key:
            self._roster.identify(self, discovery_key, self._clock())

    def handshaken(self, remote_id: bytes) -> None:
        """The other side gave its id: 32 bytes, or none.

        Raises:
            Duplicate: It is connected already. If the older connection is the one to go, that one
                is cut off instead.
            Refused: It is this daemon, or banned.
        """
        self._roster.handshaken(self, remote_id, self._clock())

    def delivered(self, blocks: int, size: int = 0) -> None:
        """The peer sent so many blocks, and bytes in them, that verify."""
        self.stream.used()
        self._roster.delivered(self, blocks, size)

    def served(self) -> None:
        """The peer is sent blocks."""
        self.stream.used()

    def idle(self, now: float, seconds: float) -> bool:
        """Whether no block went either way for so long."""
        return self.stream.idleness(now) >= seconds

    def silent(self, now: float) -> bool:
        """Whether nothing came for so long that the peer may be gone."""
        return self.stream.silence(now) >= SILENT

    def spent(self, now: float) -> bool:
        """Whether a new connection with the same peer had better take its place.

        A peer that has ended and takes nothing of what we still write may be the kernel of a host
        where the program is no more: after an outage that repeats the end of an earlier life.
        """
        return self.stream.ended or self.silent(now)

    def distrust(self, feed: bytes, index: int) -> None:
        """Remember that this peer sent a block wrong; outlives the connection.

        Args:
            feed: Discovery key of the feed, 32 bytes.
            index: The block.
        """
        if self.peer is not None and len(self.peer.distrusted) < MAX_DISTRUSTED:
            self.peer.distrusted.add((feed, index))


class Roster:
    """The connections that there are. Pure: time is given."""

    def __init__(self, table: PeerTable, own_id: bytes, limits: SwarmLimits) -> None:
        self._table = table
        self._own_id = own_id
        self._limits = limits
        self._all: set[Connection] = set()
        self._greeting: dict[Connection, None] = {}  # callers without a handshake, oldest first
        self._unnamed: Counter[str] = Counter()  # by host: callers that named no archive yet
        self._calls: Counter[tuple[str, bytes]] = Counter()  # by host and archive
        self._by_id: dict[tuple[bytes, bytes], Connection] = {}
        self._call_rate = Window(limits.calls_per_second, 1.0)
        self._unknown = Window(limits.unknown_per_minute, 60.0)

    def __len__(self) -> int:
        return len(self._all)

    def about(self, discovery_key: bytes) -> list[Connection]:
        """The connections about one archive."""
        return [one for one in self._all if one.discovery_key == discovery_key]

    def may_call(self, host: str, now: float) -> bool:
        """Whether a call from a host is taken at all (L-18, T-3, T-4)."""
        if self._table.gate.refusal(host) is not None:
            return False
        host = neighbourhood(host)
        if self._unknown.exhausted(host, now) or not self._call_rate.count(host, now):
            return False
        return self._unnamed[host] < self._limits.callers_per_address

    def enter(self, connection: Connection) -> None:
        """Take a new connection in. Too many silent callers: the oldest is cut off (T-3)."""
        self._all.add(connection)
        if connection.initiator:
            return
        self._greeting[connection] = None
        self._unnamed[connection.host] += 1
        if len(self._greeting) > self._limits.handshakes:
            oldest = next(iter(self._greeting))
            self.forget(oldest)
            oldest.cut()

    def identify(self, connection: Connection, name: bytes, now: float) -> None:
        """See `Connection.identify`."""
        if connection.discovery_key is not None or connection not in self._all:
            raise Refused("the connection is over, or about another archive")
        if not self._table.joined(name):
            raise Refused("the archive is not shared at the moment")
        if self._table.banned(name, connection.address, b"", now):
            raise Refused(f"{connection.address.host} is banned from this archive")
        calls = self._calls[connection.host, name]
        if self._table.full(name) or calls >= self._limits.calls_per_archive:
            raise Refused("there are enough connections about this archive")
        connection.discovery_key = name
        connection.peer = self._table.called(
            name, connection.address, connection, connection.stream.kind, now
        )
        self._calls[connection.host, name] += 1
        _less(self._unnamed, connection.host)

    def unknown(self, connection: Connection, now: float) -> None:
        """The caller asked for what is not hosted here (T-4)."""
        self._unknown.count(connection.host, now)

    def handshaken(self, connection: Connection, remote_id: bytes, now: float) -> None:
        """See `Connection.handshaken`."""
        peer = connection.peer
        if peer is None or connection not in self._all:
            raise Refused("the connection is over, or about no archive yet")
        self._greeting.pop(connection, None)
        if remote_id == self._own_id:
            if connection.initiator:
                self._table.is_self(peer, now)
            raise Refused("the other end is this daemon itself")
        if self._table.banned(peer.name, peer.address, remote_id, now) and not peer.initiator:
            raise Refused(f"{peer.address.host} is banned from this archive")
        self._table.handshaken(peer, remote_id, now)
        if remote_id:  # without an id, peers cannot be told apart
            self._settle(connection, peer, remote_id, now)

    def delivered(self, connection: Connection, blocks: int, size: int) -> None:
        """See `Connection.delivered`."""
        if connection.peer is not None:
            self._table.good_blocks(connection.peer, blocks, size)

    def pulse(self, now: float) -> int:
        """Look who talks and who is silent, every second or so; gives how many talk."""
        talking, silent = list[Peer](), list[Peer]()
        for connection in self._all:
            if connection.peer is not None and not connection.stream.ended:
                (silent if connection.silent(now) else talking).append(connection.peer)
        self._table.pulse(talking, silent, now)
        return len(talking)

    def supplant(self, old: Connection, now: float) -> bool:
        """A new dial to a silent peer was answered: whether it takes the old connection's place.

        It does not if the old one has revived: the other end goes on with that one, too.

        If it does, the old one is cut off, without a word: an original that gets the word that the
        old one ends, by uTP, waits with it and refuses the new one as a duplicate.
        """
        if old not in self._all or not old.spent(now):
            return False
        self._take_off(old)
        old.stream.abort()
        old.cut()
        return True

    def make_room(self, now: float) -> None:
        """While all places are taken, end idle connections for archives without any.

        Those go that we dialled: who calls knows what for. They end in order, and are dialled again
        in their turn. To be asked every second.
        """
        if not self._table.wants_room(now):
            return
        idle = {one.peer: one for one in self._all if self._may_go(one, now) and one.peer}
        for peer in self._table.make_room(list(idle), now):
            self._take_off(idle[peer])
            idle[peer].cut()

    def _may_go(self, connection: Connection, now: float) -> bool:
        if not connection.initiator or not connection.idle(now, IDLE):
            return False
        name = connection.discovery_key
        return not (name and self._table.is_hungry(name)) or connection.idle(now, HUNGRY_IDLE)

    def _take_off(self, connection: Connection) -> None:
        """Have it end; nothing that it does from then on concerns its peer."""
        self.forget(connection)
        connection.peer = None

    def refused(self) -> list[Connection]:
        """Connections that the rules about addresses do not allow any more."""
        return [one for one in self._all if self._table.gate.refusal(one.address.host) is not None]

    def forget(self, connection: Connection) -> None:
        """A connection is over. Doing it twice does no harm."""
        if connection not in self._all:
            return
        self._all.discard(connection)
        self._greeting.pop(connection, None)
        peer = connection.peer
        if not connection.initiator:
            if peer is None:
                _less(self._unnamed, connection.host)
            else:
                _less(self._calls, (connection.host, peer.name))
        if peer is not None and self._by_id.get((peer.name, peer.remote_id)) is connection:
            del self._by_id[peer.name, peer.remote_id]

    def _settle(self, new: Connection, peer: Peer, remote_id: bytes, now: float) -> None:
        """Keep one connection for each peer and archive.

        An old one on which nothing comes any more has lost, whatever the rule says: the peer was
        cut off and comes back. It sees the same silence, or has ended that connection already, so
        the two ends still agree; and the original gives a connection up after the same time.
        """
        key = (peer.name, remote_id)
        old = self._by_id.get(key)
        if old is None or old.peer is None:
            self._by_id[key] = new
        elif not old.spent(now) and self._loses(new, old, remote_id, peer.name):
            self._table.superseded(peer, old.peer)
            raise Duplicate("the peer is connected already")
        else:
            self._table.superseded(old.peer, peer)
            self._by_id[key] = new
            self.forget(old)
            if old.spent(now):
                old.stream.abort()  # see `supplant`
            old.cut()

    def _loses(self, new: Connection, old: Connection, remote_id: bytes, name: bytes) -> bool:
        # The same rule as in discovery-swarm (discovery.md section 10): if the two ends disagreed,
        # both connections would be closed. TCP wins over uTP; else the one stays that was dialled
        # by the peer with the smaller id. Ids compare as text with the archive's name behind.
        if old.stream.kind == "utp" and new.stream.kind == "tcp":
            return False
        if old.stream.kind == "tcp" and new.stream.kind == "utp":
            return True
        remote = f"{remote_id.hex()}@{name.hex()}"
        own = f"{self._own_id.hex()}@{name.hex()}"
        return remote < own if new.initiator else remote > own


def _less(counter: Counter[_K], key: _K) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
