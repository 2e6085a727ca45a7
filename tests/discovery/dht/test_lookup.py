import random

from datd.discovery.dht.contacts import Contact
from datd.discovery.dht.ids import distance
from datd.discovery.dht.lookup import (
    CREDIT,
    LAST_CREDIT,
    MAX_ASKED,
    MAX_CANDIDATES,
    MAX_HELD,
    MAX_OF_A_NETWORK,
    Lookup,
)
from datd.types import Address

TARGET, OWN = bytes(20), b"\xff" * 20
CHANCE = random.Random(5)


def at(near: int, host: str = "") -> Contact:
    """A node at a distance."""
    node_id = near.to_bytes(20, "big")
    return Contact(node_id, Address(host or f"10.0.{near // 250 % 250}.{near % 250 + 1}", 6881))


def lookup_of(*contacts: Contact, width: int = 20) -> Lookup:
    lookup = Lookup(TARGET, OWN, width)
    lookup.add(contacts)
    return lookup


def is_over(lookup: Lookup) -> bool:
    return lookup.over


def test_the_closest_is_asked_first_and_each_once():
    lookup = lookup_of(at(3), at(1), at(2), at(1))
    assert [lookup.next(), lookup.next(), lookup.next(), lookup.next()] == [
        at(1),
        at(2),
        at(3),
        None,
    ]


def test_it_is_over_when_none_of_the_closest_is_unasked_or_awaited():
    lookup = lookup_of(*map(at, range(1, 6)), width=3)
    asked = [lookup.next() for _ in range(3)]
    assert lookup.next() is None
    assert not is_over(lookup)
    for contact in asked:
        assert contact is not None
        lookup.answered(contact, b"t")
    assert is_over(lookup)
    assert lookup.closest(8) == [(at(near), b"t") for near in (1, 2, 3)]


def test_a_closer_node_that_is_learnt_is_asked():
    lookup = lookup_of(at(100), width=1)
    assert lookup.next() == at(100)
    lookup.add([at(5)])
    lookup.answered(at(100))
    assert not lookup.over
    assert lookup.next() == at(5)


def test_a_dead_node_makes_room_for_the_next():
    lookup = lookup_of(at(1), at(2), width=1)
    assert lookup.next() == at(1)
    lookup.failed(at(1))
    assert lookup.next() == at(2)
    lookup.add([at(1)])
    lookup.answered(at(2))
    assert lookup.next() is None
    assert lookup.over


def test_a_late_node_is_not_waited_for_and_may_still_answer():
    lookup = lookup_of(at(1), at(2), width=1)
    assert lookup.next() == at(1)
    lookup.late(at(1))
    assert lookup.next() == at(2)
    lookup.answered(at(1), b"t")
    assert lookup.closest(1) == [(at(1), b"t")]


def test_we_do_not_ask_ourselves():
    assert lookup_of(Contact(OWN, Address("10.0.0.1", 1))).next() is None


def test_it_walks_to_the_closest_of_a_whole_network():
    ids = [CHANCE.randbytes(20) for _ in range(2000)]
    nodes = [Contact(one, Address(f"10.{at // 250}.{at % 250}.1", 1)) for at, one in enumerate(ids)]

    def known_to(node: Contact) -> list[Contact]:
        """Nodes of a table: fewer, the farther away."""
        table: dict[int, list[Contact]] = {}
        for other in nodes:
            table.setdefault(distance(node.id, other.id).bit_length(), []).append(other)
        found = [one for bucket in table.values() for one in bucket[:8]]
        return sorted(found, key=lambda one: distance(one.id, target))[:8]

    target = CHANCE.randbytes(20)
    lookup = Lookup(target, OWN)
    lookup.add(nodes[:3])
    while (contact := lookup.next()) is not None:
        lookup.named(known_to(contact))
        lookup.answered(contact)
    expected = sorted(nodes, key=lambda one: distance(one.id, target))[:8]
    assert [contact for contact, _ in lookup.closest(8)] == expected
    assert lookup.asked < 40


def test_t31_ever_closer_nodes_that_do_not_exist_end_the_search_some_time():
    lookup = lookup_of(at(1 << 150))
    near = 1 << 149
    while (contact := lookup.next()) is not None:
        lookup.named(at(near - one) for one in range(20))
        near >>= 1
        lookup.answered(contact)
    assert lookup.over
    assert lookup.asked <= MAX_ASKED


def test_t31_ten_thousand_nodes_are_not_kept():
    lookup = Lookup(TARGET, OWN)
    for number in range(10_000, 0, -1):
        lookup.add([Contact(number.to_bytes(20, "big"), Address("10.0.0.1", number))])
    assert len(lookup._candidates) == len(lookup._by_address) == MAX_CANDIDATES
    assert lookup.next() == Contact((1).to_bytes(20, "big"), Address("10.0.0.1", 1))
    assert sum(lookup._networks.values()) == MAX_CANDIDATES


def test_one_owner_cannot_surround_a_name():
    lookup = Lookup(TARGET, OWN)
    lookup.add(at(near, f"8.8.8.{near}") for near in range(1, 200))
    lookup.add(at(near, f"9.9.{near - 999}.9") for near in range(1000, 1010))
    asked = []
    while (contact := lookup.next()) is not None:
        asked.append(contact)
        lookup.answered(contact)
    assert len(asked) == MAX_OF_A_NETWORK + 10


def test_one_address_is_one_node():
    lookup = Lookup(TARGET, OWN)
    lookup.add(Contact(near.to_bytes(20, "big"), Address("10.0.0.1", 1)) for near in range(9, 50))
    assert lookup.next() is not None
    assert lookup.next() is None


def asked_now(lookup: Lookup) -> list[Contact]:
    """All that it would ask without an answer."""
    found: list[Contact] = []
    while (contact := lookup.next()) is not None:
        found.append(contact)
    return found


def test_t31_of_invented_nodes_a_few_are_asked_beside_those_known_from_earlier():
    known = list(map(at, range(100, 120)))
    lookup = lookup_of(*known)
    lookup.named(map(at, range(1, 21)))
    lies = list(map(at, range(1, 1 + CREDIT)))
    asked = asked_now(lookup)
    assert asked == lies + known[: 20 - CREDIT]
    for contact in lies:
        lookup.late(contact)
    assert asked_now(lookup) == known[20 - CREDIT :]
    for contact in known:
        lookup.answered(contact)
    assert asked_now(lookup) == []
    assert is_over(lookup)


def test_those_whom_an_honest_node_names_are_asked_as_they_answer():
    lookup = lookup_of()
    lookup.named(map(at, range(1, 21)))
    asked = 0
    while rounds := asked_now(lookup):
        assert len(rounds) <= asked + CREDIT
        asked += len(rounds)
        for contact in rounds:
            lookup.answered(contact)
    assert asked == 20


def test_a_stale_list_of_nodes_is_tried_further_when_there_is_nothing_else():
    lookup = lookup_of()
    lookup.named(map(at, range(1, 21)))
    asked: list[Contact] = []
    while rounds := asked_now(lookup):
        asked += rounds
        for contact in rounds:
            lookup.late(contact)
            lookup.failed(contact)
    assert asked == list(map(at, range(1, 1 + LAST_CREDIT)))
    assert is_over(lookup)
    assert lookup.fruitless


def test_liars_who_name_the_same_nodes_fall_together():
    known = list(map(at, range(1000, 1020)))
    lookup = lookup_of(*known)
    for _ in range(5):
        lookup.named(map(at, range(1, 21)))
    asked = 0
    while rounds := [one for one in asked_now(lookup) if one not in known]:
        asked += len(rounds)
        for contact in rounds:
            lookup.failed(contact)
    assert asked == CREDIT


def test_an_answer_that_comes_late_is_no_longer_held_against_anybody():
    known = list(map(at, range(100, 120)))
    lookup = lookup_of(*known)
    lookup.named(map(at, range(1, 21)))
    named = asked_now(lookup)[:CREDIT]
    for contact in named:
        lookup.late(contact)
    assert at(CREDIT + 1) not in asked_now(lookup)
    lookup.answered(named[0])
    assert asked_now(lookup) == [at(CREDIT + 1), at(CREDIT + 2)]


def test_a_wrong_id_does_not_hide_a_node_nor_have_it_asked_for_ever():
    lie, real = at(1, "10.0.0.9"), at(50, "10.0.0.9")
    lookup = lookup_of()
    lookup.named([lie, at(60)])
    lookup.named([real])
    assert lookup.next() == lie
    lookup.failed(lie, real)
    assert lookup.next() == real
    lookup.failed(real, at(2, "10.0.0.9"))
    assert asked_now(lookup) == [at(60)]


def test_t31_named_nodes_that_wait_are_bounded_and_hide_no_known_ones():
    known = list(map(at, range(100_000, 100_020)))
    lookup = lookup_of(*known)
    for number in range(500):
        lookup.named(
            Contact(
                (number * 50 + one).to_bytes(20, "big"), Address("10.0.0.1", 1 + number * 50 + one)
            )
            for one in range(1, 50)
        )
    assert len(lookup._candidates) == MAX_CANDIDATES
    assert lookup._held == sum(len(namer.held) for namer in lookup._namers) <= MAX_HELD
    assert {one.contact for one in lookup._candidates} >= set(known)
