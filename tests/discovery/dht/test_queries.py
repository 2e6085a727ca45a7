import pytest

from datd.discovery.dht.queries import (
    LATE,
    MAX_BACKGROUND,
    MAX_PENDING,
    MAX_QUERIES,
    MAX_QUERIES_BUSY,
    TIMEOUT,
    Pending,
    Queries,
    at_once,
)
from datd.discovery.dht.search import Ask
from datd.types import Address

HOST = "10.0.0.1"


def pending(now: float = 0.0, *, background: bool = False) -> Pending:
    return Pending(Ask(b"ping", Address(HOST, 6881), None), None, background, now)


def test_an_answer_needs_the_transaction_and_the_host():
    queries = Queries(b"secret")
    query = pending()
    transaction = queries.add(query)
    assert queries.asked(HOST)
    assert queries.take(transaction, "10.0.0.2") is None
    assert queries.take(b"none", HOST) is None
    assert queries.take(transaction, HOST) is query
    assert queries.take(transaction, HOST) is None
    assert not queries.asked(HOST)


def test_transactions_cannot_be_foreseen():
    one, other = Queries(b"one"), Queries(b"other")
    ours = [one.add(pending()) for _ in range(100)]
    assert len(set(ours)) == 100
    assert not set(ours) & {other.add(pending()) for _ in range(100)}


@pytest.mark.parametrize(("background", "most"), [(False, MAX_QUERIES), (True, MAX_BACKGROUND)])
def test_so_many_are_under_way_at_once(background, most):
    queries = Queries(b"secret")
    transactions: list[bytes] = []
    while queries.room(background=background):
        transactions.append(queries.add(pending(background=background)))
    assert len(transactions) == most
    queries.take(transactions[0], HOST)
    assert queries.room(background=background)


def test_upkeep_leaves_room_for_searches():
    queries = Queries(b"secret")
    while queries.room(background=True):
        queries.add(pending(background=True))
    assert queries.room(background=False)


def test_with_many_names_waiting_there_are_more():
    assert at_once(0) == at_once(7) == MAX_QUERIES
    assert at_once(80) == MAX_QUERIES + 10
    assert at_once(100_000) == MAX_QUERIES_BUSY
    queries = Queries(b"secret")
    for _ in range(MAX_QUERIES):
        queries.add(pending())
    assert not queries.room(background=False)
    assert queries.room(background=False, waiting=100)


def test_late_ones_no_longer_count_and_may_still_be_answered():
    queries = Queries(b"secret")
    transactions = [queries.add(pending(background=True)) for _ in range(MAX_BACKGROUND)]
    assert queries.next_timer() == LATE
    assert queries.grown_late(LATE / 2) == []
    assert len(queries.grown_late(LATE)) == MAX_BACKGROUND
    assert queries.room(background=True)
    answered = queries.take(transactions[0], HOST)
    assert answered is not None
    assert answered.late
    assert queries.next_timer() == TIMEOUT
    assert len(queries.expired(TIMEOUT)) == MAX_BACKGROUND - 1
    assert queries.next_timer() is None
    assert len(queries) == 0
    assert not queries.asked(HOST)


def test_a_world_of_silence_is_bounded():
    queries = Queries(b"secret")
    while queries.room(background=False):
        queries.add(pending())
        queries.grown_late(LATE)
    assert len(queries) == MAX_PENDING
