import random

from datd.discovery.dht.contacts import Contact
from datd.discovery.dht.ids import distance, id_for, id_in_bucket
from datd.discovery.dht.routing import (
    BAD_FAILURES,
    BUCKET_SIZE,
    MAX_OF_A_NETWORK,
    MAX_REFRESHED,
    QUESTIONABLE,
    RoutingTable,
)
from datd.types import Address

OWN = bytes(20)
CHANCE = random.Random(3)


def in_bucket(index: int, number: int, host: str = "") -> Contact:
    node_id = id_in_bucket(OWN, index, CHANCE.getrandbits(160))
    return Contact(node_id, Address(host or f"10.0.{index}.{number + 1}", 6881))


def full_bucket(index: int = 0, now: float = 0.0) -> tuple[RoutingTable, list[Contact]]:
    table = RoutingTable(OWN)
    contacts = [in_bucket(index, number) for number in range(BUCKET_SIZE)]
    for contact in contacts:
        assert table.heard(contact, now) is None
    return table, contacts


def fail(table: RoutingTable, contact: Contact, now: float) -> None:
    for _ in range(BAD_FAILURES):
        table.failed(contact, now)


def test_the_closest_come_first():
    table = RoutingTable(OWN)
    contacts = [in_bucket(number % 5, number) for number in range(60)]
    for contact in contacts:
        table.heard(contact, 0)
    target = CHANCE.randbytes(20)
    found = table.closest(target, 8)
    known = table.closest(target, 100)
    assert len(known) == len(table) == 60
    assert found == sorted(known, key=lambda one: distance(one.id, target))[:8]


def test_we_are_not_in_our_own_table():
    table = RoutingTable(OWN)
    table.heard(Contact(OWN, Address("10.0.0.1", 1)), 0)
    assert len(table) == 0
    assert not table.wants(Contact(OWN, Address("10.0.0.1", 1)), 0)


def test_a_full_bucket_of_good_nodes_takes_nobody():
    table, contacts = full_bucket()
    newcomer = in_bucket(0, 99)
    assert not table.wants(newcomer, 1)
    assert table.heard(newcomer, 1) is None
    assert set(table.closest(OWN, 100)) == set(contacts)


def test_a_full_bucket_has_its_oldest_asked_and_replaced_when_it_is_silent():
    table, contacts = full_bucket()
    for contact in contacts[1:]:
        table.heard(contact, 500)
    newcomer = in_bucket(0, 99)
    now = QUESTIONABLE + 1
    assert table.wants(newcomer, now)
    assert table.heard(newcomer, now) == contacts[0]
    fail(table, contacts[0], now)
    assert newcomer in table.closest(OWN, 100)
    assert contacts[0] not in table.closest(OWN, 100)


def test_an_oldest_that_answers_stays():
    table, contacts = full_bucket()
    now = QUESTIONABLE + 1
    for contact in contacts[1:]:
        table.heard(contact, now)
    newcomer = in_bucket(0, 99)
    assert table.heard(newcomer, now) == contacts[0]
    table.heard(contacts[0], now)
    assert set(table.closest(OWN, 100)) == set(contacts)


def test_one_lost_answer_costs_nobody_the_place():
    table, contacts = full_bucket()
    table.failed(contacts[0], 1)
    assert len(table) == BUCKET_SIZE
    fail(table, contacts[0], 1)
    assert len(table) == BUCKET_SIZE - 1


def test_when_the_line_is_down_nobody_is_forgotten():
    table, contacts = full_bucket()
    for contact in contacts:
        fail(table, contact, 1000)
    assert len(table) == BUCKET_SIZE
    assert len(table.closest(OWN, 8)) == 8


def test_bad_nodes_are_not_told_while_there_are_others():
    table, contacts = full_bucket()
    for contact in contacts[:5]:
        fail(table, contact, 1000)
    assert set(table.closest(OWN, 100)) == set(contacts[5:])
    assert set(table.good(10)) == set(contacts[5:])


def test_a_known_id_from_elsewhere_is_not_believed_while_its_node_is_good():
    table, contacts = full_bucket()
    thief = Contact(contacts[0].id, Address("10.9.9.9", 1))
    table.heard(thief, 1)
    assert contacts[0] in table.closest(OWN, 100)
    assert thief not in table.closest(OWN, 100)
    fail(table, contacts[0], 1000)  # the line is down: it stays, as a bad one
    table.heard(thief, 1001)
    assert thief in table.closest(OWN, 100)


def test_bep_42_an_id_that_fits_its_address_is_worth_more():
    table = RoutingTable(OWN)
    for number in range(BUCKET_SIZE):
        table.heard(in_bucket(0, number, f"{number + 1}.1.1.1"), 0)
    host = "99.1.1.1"
    while True:
        fitting = Contact(id_for(host, CHANCE.randbytes(20)), Address(host, 1))
        if fitting.id[0] & 0x80:
            break
        host = f"99.1.{CHANCE.randrange(250)}.{CHANCE.randrange(250)}"
    table.heard(fitting, 1)
    assert fitting in table.closest(OWN, 100)
    assert len(table) == BUCKET_SIZE


def test_an_owner_gets_a_few_places_and_a_host_one():
    table = RoutingTable(OWN)
    for number in range(1, 30):
        table.heard(in_bucket(0, 0, f"8.8.8.{number}"), 0)
    assert len(table) == MAX_OF_A_NETWORK
    for index in range(10):
        table.heard(in_bucket(index, 0, "9.9.9.9"), 0)
    assert len(table) == MAX_OF_A_NETWORK + 1


def test_on_inner_networks_many_nodes_share_an_address():
    table = RoutingTable(OWN)
    for number in range(BUCKET_SIZE):
        node_id = in_bucket(0, 0).id
        table.heard(Contact(node_id, Address("127.0.0.1", 7000 + number)), 0)
    assert len(table) == BUCKET_SIZE


def test_buckets_idle_for_15_minutes_are_to_be_searched_once():
    table = RoutingTable(OWN)
    assert table.idle(0) == []  # nobody to ask
    for index in (0, 3):
        table.heard(in_bucket(index, 1), 0)
    assert table.idle(1) == [1, 2, 4]
    assert table.idle(2) == []
    near = in_bucket(3, 2)
    table.heard(near, QUESTIONABLE - 1)
    assert table.idle(QUESTIONABLE) == [0]
    assert table.idle(QUESTIONABLE + 1) == [1, 2, 4]


def test_t31_invented_neighbours_cost_no_endless_upkeep():
    table = RoutingTable(OWN)
    for index in range(159):
        table.heard(in_bucket(index, 1), 0)
    assert len(table.idle(QUESTIONABLE)) <= MAX_REFRESHED


def test_the_table_is_bounded_whoever_answers():
    table = RoutingTable(OWN)
    for number in range(10_000):
        address = Address(f"10.{number // 60000}.{number // 250}.{number % 250}", 1 + number)
        table.heard(Contact(CHANCE.randbytes(20), address), 0)
    assert len(table) < 20 * 16


def test_another_id_keeps_the_good_nodes():
    table, contacts = full_bucket()
    moved = table.moved(b"\xff" * 20)
    assert moved.own_id == b"\xff" * 20
    assert set(moved.closest(OWN, 100)) == set(contacts)
