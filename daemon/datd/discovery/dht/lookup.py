"""One walk towards an id or name: ask who is closest, learn who is closer, ask them. Pure.

It knows no messages and no clock: it is told what came of each question.

Nodes known from earlier have answered before; those that another node names need not even exist.
So each that names others has a credit: a few of those it named are asked, more of them as they
answer, and none when they do not. Whoever invents nodes costs a few questions and hides nobody.

Source: BEP 5; discovery.md section 6 "Lookup"; the Kademlia paper, section 2.3.
"""

import bisect
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
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
# Nodes named by the same one that are waited for, while none of them has answered: five liars
# cost fifteen questions, in three rounds.
CREDIT = 3
# When nobody else is left, a stale list of nodes is better than none: so many are tried in all.
LAST_CREDIT = 8
# Nodes that one answer may name: the reference names 20, others 8.
MAX_NAMED = 20
# Named nodes that wait for the credit of whoever named them, in the whole search.
MAX_HELD = 256
# Of those who named the same node, so many are judged by it.
_MAX_NAMERS = 8


class _State(Enum):
    NEW = "new"
    ASKED = "asked"
    LATE = "late"
    ANSWERED = "answered"


@dataclass(slots=True, eq=False)
class _Namer:
    """A node that named others.

    Attributes:
        held: Those that its credit does not reach, the closest last.
        earned: Those that answered, less those that did not.
        open: Those that are candidates, and of which nothing is known yet.
    """

    held: list[Contact] = field(default_factory=list)
    earned: int = 0
    open: int = 0


@dataclass(slots=True, eq=False)
class _Candidate:
    """A node of the walk; without `namers` it is known from earlier."""

    distance: int
    contact: Contact
    namers: list[_Namer] = field(default_factory=list)
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
        self._namers: list[_Namer] = []
        self._held = 0
        self._credit = CREDIT
        self.asked = 0

    # ---- nodes

    def add(self, contacts: Iterable[Contact]) -> None:
        """Take in nodes that answered us, now or earlier."""
        for contact in contacts:
            if contact.address not in self._failed:
                self._enter(contact, None)

    def named(self, contacts: Iterable[Contact]) -> None:
        """Take in the nodes of one answer, as far as whoever named them is believed."""
        namer = _Namer()
        fresh: list[Contact] = []
        nearest = sorted(contacts, key=lambda one: distance(one.id, self.target))
        for contact in nearest[:MAX_NAMED]:
            if not self._shared(contact, namer) and contact.address not in self._failed:
                fresh.append(contact)
        if fresh or namer.open:
            self._namers.append(namer)
            namer.held = fresh[::-1]
            self._held += len(fresh)
            self._believe(namer)
            while self._held > MAX_HELD and namer.held:
                del namer.held[0]
                self._held -= 1

    # ---- questions

    def next(self) -> Contact | None:
        """The closest node that was not asked and should be; it counts as asked from here on."""
        if self.asked >= MAX_ASKED:
            return None
        nearest = self._nearest()
        if self._credit < LAST_CREDIT and self._at_a_loss(nearest):
            self._credit = LAST_CREDIT
            for namer in self._namers:
                self._believe(namer)
            nearest = self._nearest()
        for candidate in nearest:
            if candidate.state is _State.NEW:
                candidate.state = _State.ASKED
                self.asked += 1
                return candidate.contact
        return None

    def answered(self, contact: Contact, token: bytes | None = None) -> None:
        """A node answered; `token` lets us announce there."""
        candidate = self._by_address.get(contact.address)
        if candidate is None or candidate.contact != contact:
            return
        before, candidate.state = candidate.state, _State.ANSWERED
        candidate.token = token
        if before is _State.LATE:
            # What was counted against its namers is taken back.
            self._judge(candidate, 2, opened=0)
        elif before is not _State.ANSWERED:
            self._judge(candidate, 1)

    def late(self, contact: Contact) -> None:
        """A node takes long: it may still answer, but is not waited for."""
        candidate = self._by_address.get(contact.address)
        if candidate is not None and candidate.state is _State.ASKED:
            candidate.state = _State.LATE
            self._judge(candidate, -1)

    def failed(self, contact: Contact, real: Contact | None = None) -> None:
        """A node does not answer.

        Args:
            contact: The node.
            real: Who answered in its place. Wrong ids must not keep us from a good node: it is
                asked again, but not if that is the second time.
        """
        candidate = self._by_address.get(contact.address)
        if candidate is None or candidate.state is _State.ANSWERED:
            return
        late = candidate.state is _State.LATE
        self._forget(candidate)
        again = contact.address not in self._failed
        self._failed.add(contact.address)
        if not late:
            self._judge(candidate, -1)
        if real is not None and again:
            self._enter(real, None)

    @property
    def over(self) -> bool:
        """Whether nobody among the closest is left to ask or to wait for; call `next` before."""
        nearest = self._nearest()
        if any(one.state is _State.ASKED for one in nearest):
            return False
        return self.asked >= MAX_ASKED or all(one.state is not _State.NEW for one in nearest)

    @property
    def fruitless(self) -> bool:
        """Whether nobody answered."""
        return not any(one.state is _State.ANSWERED for one in self._candidates)

    def closest(self, count: int) -> list[tuple[Contact, bytes | None]]:
        """The closest nodes that answered, each with its token."""
        found = [one for one in self._candidates if one.state is _State.ANSWERED]
        return [(one.contact, one.token) for one in found[:count]]

    def _nearest(self) -> list[_Candidate]:
        """Those that count, closest first; one that is late counts as dead."""
        return [one for one in self._candidates if one.state is not _State.LATE][: self._width]

    def _at_a_loss(self, nearest: list[_Candidate]) -> bool:
        """Whether too few are known, and all of them have answered."""
        return len(nearest) < self._width and all(one.state is _State.ANSWERED for one in nearest)

    # ---- credit

    def _believe(self, namer: _Namer) -> None:
        """Take in what a node named, as far as its credit goes."""
        while namer.held and namer.open < self._credit + namer.earned:
            contact = namer.held.pop()
            self._held -= 1
            if not self._shared(contact, namer) and contact.address not in self._failed:
                self._enter(contact, namer)

    def _shared(self, contact: Contact, namer: _Namer) -> bool:
        """Whether a node is among the candidates; whoever names it as well is judged by it, too."""
        candidate = self._by_address.get(contact.address)
        if candidate is None or candidate.contact != contact:
            return False
        waiting = candidate.state in (_State.NEW, _State.ASKED)
        if waiting and candidate.namers and len(candidate.namers) < _MAX_NAMERS:
            candidate.namers.append(namer)
            namer.open += 1
        return True

    def _judge(self, candidate: _Candidate, earned: int, *, opened: int = 1) -> None:
        """Something is known of a node: count it for whoever named it."""
        for namer in candidate.namers:
            namer.earned += earned
            namer.open -= opened
        for namer in candidate.namers:
            self._believe(namer)

    # ---- candidates

    def _enter(self, contact: Contact, namer: _Namer | None) -> None:
        if not self._welcome(contact):
            return
        candidate = _Candidate(distance(contact.id, self.target), contact)
        if namer is not None:
            candidate.namers.append(namer)
            namer.open += 1
        bisect.insort(self._candidates, candidate, key=lambda one: one.distance)
        self._by_address[contact.address] = candidate
        self._networks[network_of(contact.address.host)] += 1
        if len(self._candidates) > MAX_CANDIDATES:
            self._make_room()

    def _make_room(self) -> None:
        """Leave out the farthest, of those first that only somebody named."""
        farthest = next(
            (one for one in reversed(self._candidates) if one.namers and one.state is _State.NEW),
            self._candidates[-1],
        )
        self._forget(farthest)
        for namer in farthest.namers:
            namer.open -= farthest.state is _State.NEW

    def _welcome(self, contact: Contact) -> bool:
        return (
            contact.id != self._own
            and contact.address not in self._by_address
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
