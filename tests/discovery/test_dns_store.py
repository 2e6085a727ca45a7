import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datd.discovery.dns_store import (
    MAX_PORTS,
    MAX_RECORDS,
    MAX_RECORDS_OF_A_HOST,
    MAX_RECORDS_OF_A_NAME,
    RecordStore,
    Stored,
)
from datd.types import Address

NAME = b"n" * 20
LIFETIME = 300.0


def name(number: int) -> bytes:
    return number.to_bytes(20, "big")


def address(number: int, port: int = 3282) -> Address:
    return Address(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", port)


def first(_: int) -> int:
    return 0


@pytest.fixture
def store() -> RecordStore:
    return RecordStore(lifetime=LIFETIME)


def known(store: RecordStore, name: bytes, now: float = 0.0) -> set[Address]:
    return set(store.sample(name, 10_000, now, first))


def test_records_come_and_go(store: RecordStore):
    assert store.add(NAME, address(1), 0) is Stored.NEW
    assert store.add(NAME, address(1), 1) is Stored.RENEWED
    assert store.add(NAME, address(1, 4444), 1) is Stored.NEW
    assert known(store, NAME) == {address(1), address(1, 4444)}
    assert known(store, name(7)) == set()
    assert store.remove(NAME, address(1))
    assert not store.remove(NAME, address(1))
    assert not store.remove(name(7), address(1))
    assert known(store, NAME) == {address(1, 4444)}
    assert (len(store), store.names) == (1, 1)


def test_records_expire_unless_renewed(store: RecordStore):
    store.add(NAME, address(1), 0)
    store.add(NAME, address(2), 0)
    store.add(NAME, address(1), 200)
    assert known(store, NAME, 299.9) == {address(1), address(2)}
    assert known(store, NAME, 300) == {address(1)}
    assert known(store, NAME, 500) == set()
    assert (len(store), store.names) == (0, 0)


def test_an_expired_record_can_be_written_again_while_others_live(store: RecordStore):
    # The reference forgets that it has forgotten: the record is then refused for ever.
    store.add(NAME, address(1), 0)
    store.add(NAME, address(2), 200)
    assert known(store, NAME, 400) == {address(2)}
    assert store.add(NAME, address(1), 400) is Stored.NEW
    assert known(store, NAME, 400) == {address(1), address(2)}


def test_a_sample_is_random_and_without_repetition(store: RecordStore):
    for number in range(100):
        store.add(NAME, address(number), 0)
    choose = random.Random(1).randrange
    seen: set[Address] = set()
    for _ in range(50):
        sample = store.sample(NAME, 31, 0, choose)
        assert len(set(sample)) == len(sample) == 31
        seen.update(sample)
    assert len(seen) == 100


def test_the_door_of_a_record_is_the_last_one_used(store: RecordStore):
    store.add(NAME, address(1), 0, door=0)
    store.add(NAME, address(1), 1, door=1)
    assert store.door(NAME, address(1)) == 1


def test_t34_a_host_has_500_records_at_most(store: RecordStore):
    for number in range(MAX_RECORDS_OF_A_HOST):
        assert store.add(name(number), address(1), 0) is Stored.NEW
    assert store.add(name(9999), address(1), 0) is Stored.REFUSED
    assert store.add(name(0), address(1), 1) is Stored.RENEWED
    assert store.add(name(9999), address(2), 1) is Stored.NEW
    assert store.add(name(9999), address(1), LIFETIME) is Stored.NEW


def test_t34_a_name_has_256_records_and_who_has_most_of_them_gives_way(store: RecordStore):
    honest = {address(number) for number in range(1, 101)}
    for one in honest:
        store.add(NAME, one, 0)
    # Twenty hosts take what they can get.
    for number in range(200, 220):
        for port in range(1, MAX_PORTS + 1):
            store.add(NAME, address(number, port), 1)
    assert len(store) == MAX_RECORDS_OF_A_NAME
    assert known(store, NAME, 1) >= honest
    assert store.add(NAME, address(999), 2) is Stored.NEW
    assert known(store, NAME, 2) >= {*honest, address(999)}


def test_t34_a_name_full_of_single_hosts_loses_the_oldest(store: RecordStore):
    for number in range(MAX_RECORDS_OF_A_NAME):
        store.add(NAME, address(number), number / 10)
    store.add(NAME, address(0), 26)
    store.add(NAME, address(999), 27)
    assert len(store) == MAX_RECORDS_OF_A_NAME
    assert address(1) not in known(store, NAME, 27)
    assert {address(0), address(999)} < known(store, NAME, 27)
    assert store.evicted == 1


def test_t34_a_host_has_16_ports_of_a_name(store: RecordStore):
    for port in range(1, 101):
        assert store.add(NAME, address(1, port), 0) is Stored.NEW
    assert known(store, NAME) == {address(1, port) for port in range(85, 101)}


def test_t34_a_full_store_loses_the_oldest_of_the_name_used_longest_ago():
    store = RecordStore(lifetime=LIFETIME, capacity=4)
    store.add(name(1), address(1), 0)
    store.add(name(2), address(1), 1)
    store.add(name(2), address(2), 2)
    store.add(name(3), address(1), 3)
    store.sample(name(1), 31, 4, first)
    store.add(name(4), address(1), 5)
    assert known(store, name(2), 5) == {address(2)}
    assert known(store, name(1), 5) == {address(1)}
    assert (len(store), store.evicted) == (4, 1)


def test_t34_a_store_has_10000_records_at_most(store: RecordStore):
    for number in range(MAX_RECORDS + 500):
        store.add(name(number % 3000), address(number), number / 1000)
    assert len(store) == MAX_RECORDS


STEP = st.tuples(
    st.sampled_from(["add", "remove", "sample"]),
    st.integers(0, 3), st.integers(0, 5), st.integers(0, 2), st.floats(0, 20),
)  # fmt: skip


@settings(max_examples=200)
@given(st.lists(STEP, max_size=60))
def test_it_holds_what_a_simple_store_holds(steps: list[tuple[str, int, int, int, float]]):
    store = RecordStore(lifetime=30)
    model: dict[tuple[bytes, Address], float] = {}
    now = 0.0
    for verb, which, host, port, passed in steps:
        now += passed
        model = {key: end for key, end in model.items() if end > now}
        key = (name(which), address(host, port))
        if verb == "add":
            expected = Stored.RENEWED if key in model else Stored.NEW
            assert store.add(*key, now) is expected
            model[key] = now + 30
        elif verb == "remove":
            store.expire(now)
            assert store.remove(*key) == (model.pop(key, None) is not None)
        else:
            found = store.sample(name(which), 100, now, first)
            assert sorted(found) == sorted(one for its, one in model if its == name(which))
    store.expire(now)
    assert len(store) == len(model)
    assert store.names == len({its for its, _ in model})


CHOOSE: Callable[[int], int] = random.Random(3).randrange


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40), st.integers(0, 30)), max_size=700))
def test_t34_limits_hold_whatever_is_written(records: list[tuple[int, int, int]]):
    store = RecordStore(lifetime=LIFETIME, capacity=300)
    for number, (which, host, port) in enumerate(records):
        store.add(name(which), address(host, port), number / 10)
        assert len(store) <= 300
        found = store.sample(name(which), 1000, number / 10, CHOOSE)
        assert len(found) <= MAX_RECORDS_OF_A_NAME
        assert sum(one.host == address(host).host for one in found) <= MAX_PORTS
