"""One walk towards an id or name: ask who is closest, learn who is closer, ask them. Pure.

It knows no messages and no clock: it is told what came of each question.

Source: BEP 5; discovery.md section 6 "Lookup"; the Kademlia paper, section 2.3.
"""

import bisect
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from datd.discovery.dht.contacts import Contact, crowded, network_of
from datd.discovery.dht.ids import distance
from datd.types import Address

# How many of the closest must have been asked. The reference asks 20, libtorrent 8.
WIDTH = 20
# Kept beyond these, in case that the closer ones are dead.
MAX_CANDIDATES = 64
# Whoever invents ever closer nodes ends here; a search among millions takes 30 to 40.
MAX_ASKED = 100
# Nodes of one owner (/24) that a search listens to: he must not surround the name cheaply.
MAX_OF_A_NETWORK = 3


class _State(Enum):
    NEW = "new"
    ASKED = "asked"
    LATE = "late"
    ANSWERED = "answered"


@dataclass(slots=True, eq=False)
class _Candidate:
    distance: int
    contact: Contact
    state: _State = _State.NEW
    token: bytes | None = None


class Lookup:
    """The candidates of one search, closest first."""

    def __init__(self, target: bytes, own_id: bytes, width: int = WIDTH) -> None:
        """Nothing known yet.

        Args:
            target: 20 bytes.
            own_id: Our own node, which is not asked.
            width: How many of the closest must have been asked.
        """
        self.target = target
        self._own = own_id
        self._width = width
        self._candidates: list[_Candidate] = []
        self._by_address: dict[Address, _Candidate] = {}
        self._failed: set[Address] = set()
        self._networks: Counter[bytes] = Counter()
        self.asked = 0

    def add(self, contacts: Iterable[Contact]) -> None:
        """Take in nodes that might be close."""
        for contact in contacts:
            if self._welcome(contact):
                candidate = _Candidate(distance(contact.id, self.target), contact)
                bisect.insort(self._candidates, candidate, key=lambda one: one.distance)
                self._by_address[contact.address] = candidate
                self._networks[network_of(contact.address.host)] += 1
        while len(self._candidates) > MAX_CANDIDATES:
            self._forget(self._candidates[-1])

    def next(self) -> Contact | None:
        """The closest node that was not asked and should be; it counts as asked from here on."""
        if self.asked >= MAX_ASKED:
            return None
        for candidate in self._nearest():
            if candidate.state is _State.NEW:
                candidate.state = _State.ASKED
                self.asked += 1
                return candidate.contact
        return None

    def answered(self, contact: Contact, token: bytes | None = None) -> None:
        """A node answered; `token` lets us announce there."""
        candidate = self._by_address.get(contact.address)
        if candidate is not None:
            candidate.state, candidate.token = _State.ANSWERED, token

    def late(self, contact: Contact) -> None:
        """A node takes long: it may still answer, but is not waited for."""
        candidate = self._by_address.get(contact.address)
        if candidate is not None and candidate.state is _State.ASKED:
            candidate.state = _State.LATE

    def failed(self, contact: Contact) -> None:
        """A node does not answer, or is somebody else than was said."""
        candidate = self._by_address.get(contact.address)
        if candidate is not None and candidate.state is not _State.ANSWERED:
            self._failed.add(contact.address)
            self._forget(candidate)

    @property
    def over(self) -> bool:
        """Whether nobody among the closest is left to ask or to wait for."""
        nearest = self._nearest()
        if any(one.state is _State.ASKED for one in nearest):
            return False
        return self.asked >= MAX_ASKED or all(one.state is not _State.NEW for one in nearest)

    def closest(self, count: int) -> list[tuple[Contact, bytes | None]]:
        """The closest nodes that answered, each with its token."""
        found = [one for one in self._candidates if one.state is _State.ANSWERED]
        return [(one.contact, one.token) for one in found[:count]]

    def _nearest(self) -> list[_Candidate]:
        """Those that count, closest first; one that is late counts as dead."""
        return [one for one in self._candidates if one.state is not _State.LATE][: self._width]

    def _welcome(self, contact: Contact) -> bool:
        return (
            contact.id != self._own
            and contact.address not in self._by_address
            and contact.address not in self._failed
            and (
                crowded(contact.address.host)
                or self._networks[network_of(contact.address.host)] < MAX_OF_A_NETWORK
            )
        )

    def _forget(self, candidate: _Candidate) -> None:
        self._candidates.remove(candidate)
        del self._by_address[candidate.contact.address]
        network = network_of(candidate.contact.address.host)
        self._networks[network] -= 1
        if not self._networks[network]:
            del self._networks[network]
