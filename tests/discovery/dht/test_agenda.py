import random

from datd.discovery.dht import krpc
from datd.discovery.dht.agenda import ANNOUNCING_WIDTH, SHORT_WIDTH, Agenda
from datd.discovery.dht.contacts import Contact
from datd.discovery.dht.lookup import WIDTH
from datd.discovery.dht.queries import MAX_QUERIES
from datd.discovery.dht.routing import QUESTIONABLE, RoutingTable
from datd.discovery.dht.search import Announcement, Search
from datd.types import Address

OWN, NAME = b"o" * 20, b"n" * 20
CHANCE = random.Random(2)
HERE = Announcement(3282, False)


def agenda_with(nodes: int) -> tuple[Agenda, RoutingTable]:
    table = RoutingTable(OWN)
    while len(table) < nodes:
        number = len(table)
        table.heard(Contact(CHANCE.randbytes(20), Address(f"10.0.0.{number + 1}", 6881)), 0)
    return Agenda({4: table}, CHANCE.randrange), table


def finish(agenda: Agenda, search: Search, now: float, *, announcing: bool = True) -> list[bytes]:
    """Every node answers; gives the methods that were asked."""
    methods: list[bytes] = []
    while not search.over:
        while (ask := search.next()) is not None:
            methods.append(ask.method)
            assert ask.contact is not None
            if ask.method == krpc.ANNOUNCE_PEER and not announcing:
                search.failed(ask, late=False)
            else:
                search.answered(ask, ask.contact, b"t", late=False)
    agenda.end(search, now)
    return methods


def only_search(agenda: Agenda, now: float) -> Search:
    agenda.begin(now)
    (search,) = agenda.under_way
    return search


def test_while_nobody_is_known_names_wait():
    agenda, table = agenda_with(0)
    agenda.search(NAME, None)
    assert agenda.begin(0) == []
    table.heard(Contact(b"x" * 20, Address("10.0.0.1", 1)), 0)
    assert agenda.begin(0) == [NAME]
    assert agenda.waiting == 0


def test_names_wait_for_the_first_search_of_the_neighbourhood():
    agenda, _ = agenda_with(2)
    agenda.join([], [])
    agenda.search(NAME, None)
    (joining,) = agenda.under_way
    assert agenda.begin(0) == []
    finish(agenda, joining, 0)
    assert agenda.begin(0) == [NAME]


def test_who_searches_asks_20_and_who_announces_12():
    for announcement, width in ((None, WIDTH), (HERE, ANNOUNCING_WIDTH)):
        agenda, _ = agenda_with(60)
        agenda.search(NAME, announcement)
        methods = finish(agenda, only_search(agenda, 0), 0)
        assert methods.count(krpc.GET_PEERS) == width
        assert methods.count(krpc.ANNOUNCE_PEER) == (8 if announcement else 0)


def test_a_second_announcement_within_five_minutes_uses_the_same_tokens():
    agenda, _ = agenda_with(60)
    for now, asked in ((0, ANNOUNCING_WIDTH), (200, SHORT_WIDTH), (260, SHORT_WIDTH)):
        agenda.search(NAME, HERE)
        methods = finish(agenda, only_search(agenda, now), now)
        assert methods.count(krpc.GET_PEERS) == asked
        assert methods.count(krpc.ANNOUNCE_PEER) == 8
    agenda.search(NAME, HERE)
    methods = finish(agenda, only_search(agenda, 280), 280)
    assert methods.count(krpc.GET_PEERS) == ANNOUNCING_WIDTH


def test_tokens_that_are_no_longer_taken_cost_one_more_round():
    agenda, _ = agenda_with(60)
    agenda.search(NAME, HERE)
    finish(agenda, only_search(agenda, 0), 0)
    agenda.search(NAME, HERE)
    finish(agenda, only_search(agenda, 10), 10, announcing=False)
    assert agenda.waiting == 1
    methods = finish(agenda, only_search(agenda, 20), 20)
    assert methods.count(krpc.ANNOUNCE_PEER) == 8
    assert agenda.waiting == 0


def test_a_thousand_names_are_searched_a_few_at_a_time():
    agenda, _ = agenda_with(60)
    for number in range(1000):
        agenda.search(number.to_bytes(20, "big"), HERE)
        agenda.search(number.to_bytes(20, "big"), HERE)
    assert agenda.waiting == 1000
    most = 0
    while agenda.waiting or agenda.under_way:
        agenda.begin(0)
        most = max(most, len(agenda.under_way))
        finish(agenda, next(iter(agenda.under_way)), 0)
    assert MAX_QUERIES // 2 <= most <= 32


def test_a_name_that_is_forgotten_is_not_searched():
    agenda, _ = agenda_with(20)
    agenda.search(NAME, HERE)
    agenda.forget(NAME)
    assert agenda.begin(0) == []
    agenda.search(NAME, HERE)
    agenda.begin(0)
    agenda.forget(NAME)
    assert not agenda.under_way
    assert not agenda.announcements


def test_idle_buckets_are_searched_one_after_another():
    agenda, _ = agenda_with(40)
    agenda.look_after_tables(QUESTIONABLE)
    agenda.look_after_tables(QUESTIONABLE)
    searched = 0
    while True:
        agenda.begin(QUESTIONABLE)
        if not agenda.under_way:
            break
        (search,) = agenda.under_way
        assert search.background
        methods = finish(agenda, search, QUESTIONABLE)
        assert set(methods) == {krpc.FIND_NODE}
        searched += 1
    assert 4 <= searched <= 10


def test_entries_are_asked_in_their_own_family():
    own = {4: RoutingTable(OWN), 6: RoutingTable(OWN)}
    agenda = Agenda(own, CHANCE.randrange)
    entries = [Address("10.0.0.1", 1), Address("::1", 1), Address("0.0.0.0", 1)]
    agenda.join(entries, [Contact(NAME, Address("::2", 2))])
    asked = {search.family: [search.next(), search.next()] for search in agenda.under_way}
    four, six = ([ask.address for ask in asked[family] if ask] for family in (4, 6))
    assert four == [Address("10.0.0.1", 1)]
    assert six == [Address("::1", 1), Address("::2", 2)]


def test_while_few_nodes_are_known_those_that_the_user_named_are_asked_in_every_search():
    entry = Address("10.9.9.9", 6881)
    for nodes, asked in ((1, True), (7, True), (8, False)):
        agenda, _ = agenda_with(nodes)
        agenda.join([entry, Address("10.0.0.1", 6881), Address("10.9.9.9", 0)], [])
        (joining,) = agenda.under_way
        agenda.end(joining, 0)
        agenda.join([], [])  # nodes of earlier; the user named nobody else
        agenda.end(next(iter(agenda.under_way)), 0)
        agenda.search(NAME, None)
        agenda.begin(1)
        (search,) = [one for one in agenda.under_way if not one.background]
        asks = []
        while (ask := search.next()) is not None:
            asks.append(ask)
            search.failed(ask, late=False)
        assert {ask.method for ask in asks} == {krpc.GET_PEERS}
        addresses = [ask.address for ask in asks]
        assert addresses.count(entry) == asked
        assert addresses.count(Address("10.0.0.1", 6881)) == 1
