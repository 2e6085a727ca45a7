import random

from datd.discovery.dht.contacts import Contact
from datd.discovery.dht.ids import distance
from datd.discovery.dht.lookup import MAX_ASKED, MAX_CANDIDATES, MAX_OF_A_NETWORK, Lookup
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
        lookup.add(known_to(contact))
        lookup.answered(contact)
    expected = sorted(nodes, key=lambda one: distance(one.id, target))[:8]
    assert [contact for contact, _ in lookup.closest(8)] == expected
    assert lookup.asked < 40


def test_t31_ever_closer_nodes_that_do_not_exist_end_the_search_some_time():
    lookup = lookup_of(at(1 << 150))
    near = 1 << 149
    while (contact := lookup.next()) is not None:
        lookup.add(at(near - one) for one in range(20))
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
