"""The routing table: nodes that answered, many near our own id and ever fewer far from it. Pure.

A node gets in only once it has answered: whoever merely asks, or is merely named, is asked first.

Source: BEP 5 "Routing Table"; discovery.md section 6 for the size; BEP 42 as a preference.
"""

import heapq
from collections import Counter
from dataclasses import dataclass, field

from datd.discovery.dht import ids
from datd.discovery.dht.contacts import Contact, crowded, network_of
from datd.discovery.dht.ids import ID_BITS, distance

BUCKET_SIZE = 20
# A node that was silent for so long may be gone; a bucket, too, wants to be looked at.
QUESTIONABLE = 900.0
# One query may get lost; two in a row seldom do.
BAD_FAILURES = 2
# Newcomers kept in mind for a full bucket: what will be needed when a few of its nodes die at once.
MAX_NEWCOMERS = 4
# Nodes of one owner (/24) in a bucket, out of 20: he must not own it. libtorrent allows one.
MAX_OF_A_NETWORK = 3
# Nobody has neighbours that share more bits with him, unless they are made up: 2**32 nodes.
MAX_REFRESHED = 32
# Without an answer from anybody for so long, it is our own line that is down.
_LINE_DOWN = 60.0


@dataclass(slots=True, eq=False)
class _Node:
    contact: Contact
    fits: bool
    heard: float
    failures: int = 0

    def good(self, now: float) -> bool:
        return not self.failures and now - self.heard < QUESTIONABLE

    @property
    def bad(self) -> bool:
        return self.failures >= BAD_FAILURES


@dataclass(slots=True, eq=False)
class _Bucket:
    # Both in the order in which they were last heard.
    nodes: dict[bytes, _Node] = field(default_factory=dict)
    newcomers: dict[bytes, _Node] = field(default_factory=dict)
    looked: float = float("-inf")


class RoutingTable:
    """Nodes by how many bits their ids share with ours; 20 for each number of bits."""

    def __init__(self, own_id: bytes) -> None:
        """An empty table of a node with this id."""
        self.own_id = own_id
        self._buckets: dict[int, _Bucket] = {}
        self._hosts: Counter[str] = Counter()
        self._heard = float("-inf")

    def __len__(self) -> int:
        return sum(len(bucket.nodes) for bucket in self._buckets.values())

    @property
    def living(self) -> int:
        """Nodes that are not taken for dead; while our line is down, the dead are kept."""
        nodes = (node for bucket in self._buckets.values() for node in bucket.nodes.values())
        return sum(not node.bad for node in nodes)

    def heard(self, contact: Contact, now: float) -> Contact | None:
        """A node answered.

        Returns:
            The oldest node of its bucket, if it should be asked whether it still lives.
        """
        self._heard = now
        if contact.id == self.own_id:
            return None
        bucket = self._bucket_at(self._index(contact.id))
        known = bucket.nodes.pop(contact.id, None)
        if known is not None:
            # Whoever uses the id of a good node from elsewhere is not believed.
            if known.contact == contact or known.bad:
                self._move(known, contact)
                known.heard, known.failures = now, 0
            bucket.nodes[contact.id] = known
            return None
        node = _Node(contact, ids.fits(contact.id, contact.address.host), now)
        if not self._welcome(bucket, contact):
            return None
        return self._take(bucket, node, now)

    def failed(self, contact: Contact, now: float) -> None:
        """A node did not answer."""
        bucket = self._buckets.get(self._index(contact.id))
        node = bucket.nodes.get(contact.id) if bucket else None
        if bucket is None or node is None or node.contact != contact:
            return
        node.failures += 1
        if node.bad and now - self._heard < _LINE_DOWN:
            self._drop(bucket, node)
            if bucket.newcomers:
                fresh = bucket.newcomers.popitem()[1]
                if self._welcome(bucket, fresh.contact):
                    self._put(bucket, fresh)

    def wants(self, contact: Contact, now: float) -> bool:
        """Whether it would be good to know that a node lives which is not in the table."""
        if contact.id == self.own_id:
            return False
        bucket = self._buckets.get(self._index(contact.id))
        if bucket is None:
            return True
        if contact.id in bucket.nodes or not self._welcome(bucket, contact):
            return False
        return len(bucket.nodes) < BUCKET_SIZE or not all(
            node.good(now) for node in bucket.nodes.values()
        )

    def closest(self, target: bytes, count: int) -> list[Contact]:
        """The nodes nearest to an id or name, nearest first; bad ones if there are no others."""
        nodes = [node for bucket in self._buckets.values() for node in bucket.nodes.values()]
        living = [node for node in nodes if not node.bad]
        at = int.from_bytes(target, "big")
        return heapq.nsmallest(
            count,
            [node.contact for node in living or nodes],
            key=lambda contact: int.from_bytes(contact.id, "big") ^ at,
        )

    def good(self, now: float) -> list[Contact]:
        """The nodes that answered lately."""
        return [
            node.contact
            for bucket in self._buckets.values()
            for node in bucket.nodes.values()
            if node.good(now)
        ]

    def idle(self, now: float) -> list[int]:
        """Buckets worth a search because nothing was heard in them; they count as looked at now."""
        filled = [index for index, bucket in self._buckets.items() if bucket.nodes]
        found: list[int] = []
        # Beyond the deepest bucket there is only our own neighbourhood: one search covers it.
        for index in range(min(max(filled) + 2, MAX_REFRESHED) if filled else 0):
            bucket = self._bucket_at(index)
            last = max((node.heard for node in bucket.nodes.values()), default=bucket.looked)
            if now - max(last, bucket.looked) >= QUESTIONABLE:
                bucket.looked = now
                found.append(index)
        return found

    def moved(self, own_id: bytes) -> "RoutingTable":
        """The same nodes around another id."""
        table = RoutingTable(own_id)
        nodes = [node for bucket in self._buckets.values() for node in bucket.nodes.values()]
        for node in sorted(nodes, key=lambda one: one.heard):
            if not node.bad:
                table.heard(node.contact, node.heard)
        return table

    def _index(self, node_id: bytes) -> int:
        return ID_BITS - distance(self.own_id, node_id).bit_length()

    def _bucket_at(self, index: int) -> _Bucket:
        return self._buckets.setdefault(index, _Bucket())

    def _welcome(self, bucket: _Bucket, contact: Contact) -> bool:
        """One node for each outer host, a few for each owner."""
        host = contact.address.host
        if crowded(host):
            return all(node.contact.address != contact.address for node in bucket.nodes.values())
        if self._hosts[host]:
            return False
        network = network_of(host)
        same = [
            one for one in bucket.nodes.values() if network_of(one.contact.address.host) == network
        ]
        return len(same) < MAX_OF_A_NETWORK

    def _take(self, bucket: _Bucket, node: _Node, now: float) -> Contact | None:
        if len(bucket.nodes) < BUCKET_SIZE:
            self._put(bucket, node)
            return None
        oldest = next((one for one in bucket.nodes.values() if not one.good(now)), None)
        if oldest is None and node.fits:
            # BEP 42: an id that belongs to its address is worth more than one that was chosen.
            oldest = next((one for one in bucket.nodes.values() if not one.fits), None)
            if oldest is not None:
                oldest.failures = BAD_FAILURES
        if oldest is not None and oldest.bad:
            self._drop(bucket, oldest)
            self._put(bucket, node)
            return None
        bucket.newcomers.pop(node.contact.id, None)
        bucket.newcomers[node.contact.id] = node
        if len(bucket.newcomers) > MAX_NEWCOMERS:
            del bucket.newcomers[next(iter(bucket.newcomers))]
        return oldest.contact if oldest is not None else None

    def _put(self, bucket: _Bucket, node: _Node) -> None:
        bucket.newcomers.pop(node.contact.id, None)
        bucket.nodes[node.contact.id] = node
        self._hosts[node.contact.address.host] += 1

    def _drop(self, bucket: _Bucket, node: _Node) -> None:
        del bucket.nodes[node.contact.id]
        self._count_out(node.contact.address.host)

    def _move(self, node: _Node, contact: Contact) -> None:
        self._count_out(node.contact.address.host)
        node.contact = contact
        self._hosts[contact.address.host] += 1

    def _count_out(self, host: str) -> None:
        self._hosts[host] -= 1
        if not self._hosts[host]:
            del self._hosts[host]
