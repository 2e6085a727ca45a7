"""One search in one address family, and the announcement after it. Pure.

It says what to ask next, and is told what came of it.

Source: discovery.md section 6 "Lookup", "Announce", "Port".
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from datd.discovery.dht.contacts import Contact
from datd.discovery.dht.krpc import ANNOUNCE_PEER
from datd.discovery.dht.lookup import Lookup
from datd.types import Address

# Queries of one search at once: more of them only ask nodes that the next answer makes needless.
MAX_AT_ONCE = 4
# As many again where nodes do not answer: whoever names dead ones does not hold up the walk.
MAX_MORE_AT_ONCE = 4
# The reference announces to every node that it asked; 8 are enough and what libtorrent does.
ANNOUNCED_TO = 8


@dataclass(frozen=True, slots=True)
class Announcement:
    """Where we are to be found.

    Attributes:
        port: Where we listen.
        implied: The node shall rather take the port that it sees.
    """

    port: int
    implied: bool


@dataclass(frozen=True, slots=True)
class Ask:
    """One query to send.

    Attributes:
        method: Of krpc.
        address: Whom.
        contact: The node expected there; None if only the address is known.
        token: For an announcement.
    """

    method: bytes
    address: Address
    contact: Contact | None
    token: bytes | None = None


class Search:
    """Asks its way to the closest nodes, then announces to them what there is to announce.

    Attributes:
        short: Whether nodes with good tokens were known already.
        to_announce: Nodes that are announced to.
        announced: Those of them that took it.
    """

    def __init__(
        self,
        lookup: Lookup,
        family: int,
        method: bytes,
        *,
        announcement: Announcement | None = None,
        background: bool = False,
        entries: Iterable[Address] = (),
        known: Iterable[tuple[Contact, bytes]] = (),
    ) -> None:
        """Nothing is asked yet.

        Args:
            lookup: The walk, with the nodes to begin with.
            family: 4 or 6.
            method: What is asked on the way: get_peers, or find_node.
            announcement: What to say at the end.
            background: Whether it is upkeep.
            entries: Addresses of nodes with unknown ids, asked first.
            known: Nodes with tokens that are still good: they are announced to at once.
        """
        self.lookup = lookup
        self.family = family
        self.background = background
        self.announcement = announcement
        self.announced = 0
        self._method = method
        self._entries = deque(entries)
        self._asking_entries = 0
        self._to_announce: deque[tuple[Contact, bytes]] = deque(known)
        self.to_announce = len(self._to_announce)
        self.short = bool(self._to_announce)
        self._walking = True
        self._under_way = 0
        self._late = 0
        self._late_pending = 0

    @property
    def target(self) -> bytes:
        """The id or name that is searched."""
        return self.lookup.target

    def next(self) -> Ask | None:
        """What to ask now; None if that depends on answers, or if all is over."""
        if self._under_way >= MAX_AT_ONCE + min(self._late, MAX_MORE_AT_ONCE):
            return None
        ask = self._next()
        if ask is not None:
            self._under_way += 1
        return ask

    def _next(self) -> Ask | None:
        if self._entries:
            self._asking_entries += 1
            return Ask(self._method, self._entries.popleft(), None)
        if self._walking:
            contact = self.lookup.next()
            if contact is not None:
                return Ask(self._method, contact.address, contact)
            if not self._asking_entries and self.lookup.over and not self._awaits_late_ones:
                self._walking = False
                if self.announcement is not None and not self.short:
                    self._to_announce.extend(
                        (contact, token)
                        for contact, token in self.lookup.closest(ANNOUNCED_TO)
                        if token is not None
                    )
                    self.to_announce = len(self._to_announce)
        if self._to_announce and (self.short or not self._walking):
            contact, token = self._to_announce.popleft()
            return Ask(ANNOUNCE_PEER, contact.address, contact, token)
        return None

    @property
    def _awaits_late_ones(self) -> bool:
        """Nobody waits for those who are late, unless all are: then it is us who are slow."""
        return self._late_pending > 0 and self.lookup.fruitless

    @property
    def fruitless(self) -> bool:
        """Whether it came to nothing: nobody answered, or nobody took the announcement."""
        if self.to_announce:
            return not self.announced
        return self.lookup.fruitless

    @property
    def over(self) -> bool:
        """Whether nothing more will be asked; call `next` before."""
        return not (self._walking or self._entries or self._to_announce or self._under_way)

    def answered(self, ask: Ask, contact: Contact, token: bytes | None, *, late: bool) -> None:
        """A query was answered.

        Args:
            ask: What was asked.
            contact: Who answered.
            token: What the answer gave.
            late: Whether it had been told late before.
        """
        self._ended(ask, late)
        if ask.method == ANNOUNCE_PEER:
            self.announced += 1
            return
        if ask.contact is None:
            self.lookup.add([contact])
        self.lookup.answered(contact, token)

    def late(self, ask: Ask) -> None:
        """A query takes long; it is not waited for any more."""
        self._ended(ask, False)
        self._late += 1
        self._late_pending += 1
        if ask.contact is not None:
            self.lookup.late(ask.contact)

    def failed(self, ask: Ask, *, late: bool, real: Contact | None = None) -> None:
        """A query came to nothing.

        Args:
            ask: What was asked.
            late: Whether it had been told late before.
            real: Who answered in place of the one who was asked.
        """
        self._ended(ask, late)
        if ask.contact is not None and ask.method != ANNOUNCE_PEER:
            self.lookup.failed(ask.contact, real)

    def _ended(self, ask: Ask, late: bool) -> None:
        if late:
            self._late_pending -= 1
        else:
            self._under_way -= 1
            self._asking_entries -= ask.contact is None
