"""What a node has to search: names that wait, searches under way, upkeep of the tables. Pure.

It decides what is searched, how widely and when, and sends nothing.

Source: discovery.md section 6 "Bootstrap", "Lookup", "Routing table".
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping

from datd.discovery.dht import krpc
from datd.discovery.dht.contacts import Contact, family_of, possible
from datd.discovery.dht.ids import ID_BITS, id_in_bucket
from datd.discovery.dht.lookup import WIDTH, Lookup
from datd.discovery.dht.queries import at_once
from datd.discovery.dht.recent import RecentSearches
from datd.discovery.dht.repeats import Repeats
from datd.discovery.dht.routing import RoutingTable
from datd.discovery.dht.search import ANNOUNCED_TO, Announcement, Search
from datd.types import Address

# Who announces needs the nodes around the name only, and who searches finds what 8 of them hold:
# with these 12 a round costs 20 packets, with all 20 of the reference 30.
ANNOUNCING_WIDTH = 12
# With tokens at hand a round only asks whether there are new peers.
SHORT_WIDTH = 3
# Queries for each name that is searched at the same time: a search has up to four, and fewer while
# it waits for the last answers.
_QUERIES_FOR_A_SEARCH = 2
# While fewer nodes are known, names wait for the first search for our own neighbourhood.
_FEW_NODES = 8


class Agenda:
    """The searches, in the order in which they get their turns.

    Attributes:
        under_way: Searches, each with the peers that it has told.
        announcements: What is announced, by name.
    """

    def __init__(self, tables: Mapping[int, RoutingTable], choose: Callable[[int], int]) -> None:
        """Nothing to do.

        Args:
            tables: The nodes known, by family; they are looked at whenever a search begins.
            choose: A random number below its argument.
        """
        self.under_way: dict[Search, set[Address]] = {}
        self.announcements: dict[bytes, Announcement] = {}
        self._tables = tables
        self._choose = choose
        self._waiting: dict[bytes, None] = {}
        self._joining: set[Search] = set()
        self._entries: list[Address] = []
        self._to_refresh: deque[tuple[int, bytes]] = deque()
        self._recent = RecentSearches()
        self._repeats = Repeats()
        # Names under way of which one family's search has come to something.
        self._fruitful: set[bytes] = set()

    @property
    def waiting(self) -> int:
        """Names whose search has not begun."""
        return len(self._waiting)

    def next_timer(self) -> float:
        """When `begin` has a search that came to nothing before; infinity if never."""
        return self._repeats.next_time()

    def search(self, name: bytes, announcement: Announcement | None) -> None:
        """Have a name searched once, and announced if there is something to announce."""
        self.announcements.pop(name, None)
        if announcement is not None:
            self.announcements[name] = announcement
        self._waiting[name] = None

    def forget(self, name: bytes) -> None:
        """Stop whatever is under way for a name."""
        self._waiting.pop(name, None)
        self.announcements.pop(name, None)
        self._recent.forget(name)
        self._repeats.forget(name)
        self._fruitful.discard(name)
        for search in [one for one in self.under_way if one.target == name]:
            if search not in self._joining:
                del self.under_way[search]

    def join(self, entries: Iterable[Address], contacts: Iterable[Contact]) -> None:
        """Search the own neighbourhood, through nodes by address only and nodes with their ids."""
        entries, contacts = [one for one in entries if possible(one)], list(contacts)
        self._entries = entries or self._entries
        for family, table in self._tables.items():
            lookup = Lookup(table.own_id, table.own_id)
            lookup.add(table.closest(table.own_id, WIDTH))
            lookup.add(one for one in contacts if family_of(one.address) == family)
            search = Search(
                lookup,
                family,
                krpc.FIND_NODE,
                entries=[one for one in entries if family_of(one) == family],
            )
            self.under_way[search] = set()
            self._joining.add(search)

    def look_after_tables(self, now: float) -> None:
        """Have the buckets searched in which nothing was heard for long."""
        if self._to_refresh:
            return
        for family, table in self._tables.items():
            for index in table.idle(now):
                target = id_in_bucket(table.own_id, index, self._choose(1 << ID_BITS))
                self._to_refresh.append((family, target))

    def begin(self, now: float) -> list[bytes]:
        """Begin the searches that there is room for.

        Returns:
            The names among them.
        """
        begun: list[bytes] = []
        again = self._repeats.due(now)
        if again is not None:
            self._waiting.setdefault(again)
        known = sum(len(table) for table in self._tables.values())
        if known and (known >= _FEW_NODES or not self._joining):
            limit = at_once(len(self._waiting)) // _QUERIES_FOR_A_SEARCH
            while self._waiting and len(self.under_way) < limit:
                name = next(iter(self._waiting))
                del self._waiting[name]
                self._begin_round(name, now)
                begun.append(name)
        if self._to_refresh and not any(search.background for search in self.under_way):
            family, target = self._to_refresh.popleft()
            lookup = Lookup(target, self._tables[family].own_id, ANNOUNCED_TO)
            lookup.add(self._tables[family].closest(target, WIDTH))
            refresh = Search(lookup, family, krpc.FIND_NODE, background=True)
            self.under_way[refresh] = set()
        return begun

    def end(self, search: Search, now: float) -> bool:
        """A search is over; whether it was one for a name."""
        del self.under_way[search]
        if search in self._joining:
            self._joining.discard(search)
            # The buckets that it did not touch are due.
            self.look_after_tables(now)
            if not search.fruitless:
                self._repeats.soon(now)
            return False
        if search.background:
            return False
        if not search.short:
            ends = search.lookup.closest(ANNOUNCED_TO)
            self._recent.ended(search.family, search.target, ends, now)
        elif search.announced < search.to_announce / 2:
            # Nodes went, or changed their secrets: once more, from the beginning.
            self._recent.forget(search.target)
            self._waiting.setdefault(search.target)
        self._judge(search, now)
        return True

    def _judge(self, search: Search, now: float) -> None:
        """A name is searched again soon if nothing came of its search in any family."""
        name = search.target
        if not search.fruitless:
            self._fruitful.add(name)
            self._repeats.forget(name)
        if any(one.target == name for one in self.under_way):
            return
        if name not in self._fruitful and name not in self._waiting:
            self._repeats.failed(name, now)
        self._fruitful.discard(name)

    def _begin_round(self, name: bytes, now: float) -> None:
        announcement = self.announcements.get(name)
        for family, table in self._tables.items():
            nodes = table.closest(name, WIDTH)
            if not nodes:
                continue
            known = self._recent.tokens(family, name, now) if announcement is not None else []
            width = SHORT_WIDTH if known else ANNOUNCING_WIDTH if announcement else WIDTH
            lookup = Lookup(name, table.own_id, width)
            lookup.add(self._recent.contacts(family, name, now))
            lookup.add(nodes)
            entries: list[Address] = []
            if table.living < _FEW_NODES:
                # A flood costs answers, and with them nodes; who lies never fails to answer. Whom
                # the user named is asked all the same.
                held = {contact.address for contact in nodes}
                mine = (one for one in self._entries if family_of(one) == family)
                entries = [one for one in mine if one not in held]
            search = Search(
                lookup,
                family,
                krpc.GET_PEERS,
                announcement=announcement,
                known=known,
                entries=entries,
            )
            self.under_way[search] = set()
