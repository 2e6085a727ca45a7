from datd.discovery.dht import krpc
from datd.discovery.dht.contacts import Contact
from datd.discovery.dht.lookup import Lookup
from datd.discovery.dht.search import (
    ANNOUNCED_TO,
    MAX_AT_ONCE,
    MAX_MORE_AT_ONCE,
    Announcement,
    Ask,
    Search,
)
from datd.types import Address

NAME, OWN = bytes(20), b"\xff" * 20
HERE = Announcement(3282, False)


def at(near: int) -> Contact:
    return Contact(near.to_bytes(20, "big"), Address(f"10.0.0.{near}", 6881))


def search_of(*contacts: Contact, width: int = 20, **options) -> Search:
    lookup = Lookup(NAME, OWN, width)
    lookup.add(contacts)
    return Search(lookup, 4, krpc.GET_PEERS, **options)


def asks(search: Search) -> list[Ask]:
    found: list[Ask] = []
    while (ask := search.next()) is not None:
        found.append(ask)
    return found


def answer(search: Search, ask: Ask, token: bytes | None = b"t") -> None:
    assert ask.contact is not None
    search.answered(ask, ask.contact, token, late=False)


def test_a_few_are_asked_at_once():
    search = search_of(*map(at, range(1, 11)))
    first = asks(search)
    assert [ask.contact for ask in first] == [at(near) for near in range(1, MAX_AT_ONCE + 1)]
    answer(search, first[0])
    assert [ask.contact for ask in asks(search)] == [at(MAX_AT_ONCE + 1)]
    assert not search.over


def test_the_announcement_goes_to_the_8_closest_that_gave_a_token():
    search = search_of(*map(at, range(1, 16)), announcement=HERE)
    announced: list[Contact | None] = []
    while not search.over:
        for ask in asks(search):
            if ask.method == krpc.ANNOUNCE_PEER:
                announced.append(ask.contact)
                assert ask.token == b"t"
            near = ask.address.host.rpartition(".")[2]
            if near == "2":
                search.failed(ask, late=False)
            else:
                answer(search, ask, None if near == "1" else b"t")
    assert announced == [at(near) for near in range(3, ANNOUNCED_TO + 3 - 1)]
    assert search.announced == search.to_announce == ANNOUNCED_TO - 1


def test_who_only_searches_announces_nothing():
    search = search_of(at(1))
    answer(search, asks(search)[0])
    assert asks(search) == []
    assert search.over


def test_entries_are_asked_first_and_waited_for():
    entry = Address("192.0.2.1", 6881)
    search = search_of(entries=[entry])
    (ask,) = asks(search)
    assert (ask.address, ask.contact) == (entry, None)
    assert not search.over
    search.lookup.add([at(1)])
    search.answered(ask, Contact(b"e" * 20, entry), None, late=False)
    assert [one.contact for one in asks(search)] == [at(1)]


def test_an_entry_that_is_silent_ends_it():
    search = search_of(entries=[Address("192.0.2.1", 6881)])
    (ask,) = asks(search)
    search.late(ask)
    # Nobody else is there to answer: it is waited for.
    assert asks(search) == []
    waiting = search.over
    search.failed(ask, late=True)
    assert asks(search) == []
    assert (waiting, search.over, search.fruitless) == (False, True, True)


def test_late_ones_do_not_hold_up_the_others():
    search = search_of(*map(at, range(1, 20)))
    first = asks(search)
    for ask in first:
        search.late(ask)
    second = asks(search)
    assert len(second) == MAX_AT_ONCE + MAX_MORE_AT_ONCE
    search.answered(first[0], at(1), b"t", late=True)
    assert asks(search) == []  # it was counted out before


def test_known_tokens_are_used_at_once():
    known = [(at(near), b"k") for near in range(1, 5)]
    search = search_of(*map(at, range(1, 9)), width=2, announcement=HERE, known=known)
    assert search.short
    methods: list[bytes] = []
    while not search.over:
        for ask in asks(search):
            methods.append(ask.method)
            answer(search, ask)
    assert sorted(methods) == [krpc.ANNOUNCE_PEER] * 4 + [krpc.GET_PEERS] * 2
    assert search.announced == 4


def test_an_announcement_that_nobody_takes_came_to_nothing():
    for taken in (False, True):
        search = search_of(*map(at, range(1, 5)), announcement=HERE)
        while not search.over:
            for ask in asks(search):
                if ask.method == krpc.ANNOUNCE_PEER and not taken:
                    search.failed(ask, late=False)
                else:
                    answer(search, ask)
        assert search.fruitless != taken
