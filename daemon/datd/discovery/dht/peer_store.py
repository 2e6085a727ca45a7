"""What others announced to this node: peers of names, for a while. Pure.

Source: discovery.md section 6 "Serving". As with the discovery server (T-34), a stranger can
fill his own share only.
"""

from collections import OrderedDict
from collections.abc import Callable

# Announcements are repeated every 15 minutes (reference) to 30 (BEP 5's authors): two may get lost.
LIFETIME = 2700.0
MAX_PEERS = 10_000
MAX_PEERS_OF_A_NAME = 200
# Ports behind one address are kept apart: a household has several programs, not hundreds.
MAX_PORTS = 8
SAMPLE = 100

_Record = tuple[bytes, bytes]


class PeerStore:
    """Peers, in compact form (6 or 18 bytes), by name (20 bytes)."""

    def __init__(self, max_peers: int = MAX_PEERS) -> None:
        self._max_peers = max_peers
        # All three are in the order of their last announcement.
        self._records: OrderedDict[_Record, float] = OrderedDict()
        self._names: dict[bytes, OrderedDict[bytes, None]] = {}
        self._hosts: dict[bytes, OrderedDict[_Record, None]] = {}

    def __len__(self) -> int:
        return len(self._records)

    @property
    def names(self) -> int:
        """How many names have peers."""
        return len(self._names)

    def add(self, name: bytes, peer: bytes, now: float) -> None:
        """Take an announcement in; beyond a limit the oldest one makes room."""
        self.expire(now)
        self._remove((name, peer))
        self._make_room(name, peer[:-2])
        self._records[name, peer] = now + LIFETIME
        self._names.setdefault(name, OrderedDict())[peer] = None
        self._hosts.setdefault(peer[:-2], OrderedDict())[name, peer] = None

    def sample(self, name: bytes, count: int, choose: Callable[[int], int]) -> list[bytes]:
        """Up to `count` peers of a name, any of them when there are more."""
        peers = list(self._names.get(name, ()))
        count = min(count, SAMPLE)
        if len(peers) <= count:
            return peers
        for at in range(count):
            other = at + choose(len(peers) - at)
            peers[at], peers[other] = peers[other], peers[at]
        return peers[:count]

    def expire(self, now: float) -> None:
        """Forget what was not announced again."""
        while self._records:
            record, until = next(iter(self._records.items()))
            if until > now:
                return
            self._remove(record)

    def _make_room(self, name: bytes, host: bytes) -> None:
        of_name = self._names.get(name, ())
        ports = [peer for peer in of_name if peer[:-2] == host]
        if len(ports) >= MAX_PORTS:
            self._remove((name, ports[0]))
        elif len(of_name) >= MAX_PEERS_OF_A_NAME:
            self._remove((name, next(iter(of_name))))
        if len(self._records) >= self._max_peers:
            own = self._hosts.get(host, OrderedDict())
            # Whoever has his fair share pushes out his own; others lose nothing by his flood.
            greedy = len(own) * (len(self._hosts) + 1) > self._max_peers
            self._remove(next(iter(own if greedy else self._records)))

    def _remove(self, record: _Record) -> None:
        if self._records.pop(record, None) is None:
            return
        name, peer = record
        of_name, of_host = self._names[name], self._hosts[peer[:-2]]
        del of_name[peer], of_host[record]
        if not of_name:
            del self._names[name]
        if not of_host:
            del self._hosts[peer[:-2]]
