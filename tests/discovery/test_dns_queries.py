import random
from functools import partial

from datd.discovery import dns_message
from datd.discovery.dns_queries import PROBE_TIMES, QUERY_TIMES, Purpose, Queries, Query
from datd.types import Address
from datd.udp.demultiplex import Kind, kind_of

SERVER = Address("192.0.2.1", 5300)
NAME = bytes(range(20))


def queries() -> Queries:
    return Queries(choose=random.Random(1).randrange)


def query(id: int = 5, purpose: Purpose = Purpose.ROUND, **values) -> Query:
    return Query(id, 0, SERVER, purpose, NAME, **values)


def test_whatever_the_id_the_answer_is_taken_for_dns():
    # libutp takes 15 ids for its own, and the DHT all whose first byte is a "d".
    for start in range(65535):
        id = Queries(choose=partial(min, start)).fresh_id()
        assert 0 < id < 65536
        assert kind_of(id.to_bytes(2, "big") + bytes.fromhex("8000") + bytes(40)) is Kind.DNS


def test_an_id_in_use_is_not_given_again():
    waiting = Queries(choose=lambda _: 41)
    ids = []
    for _ in range(5):
        ids.append(waiting.fresh_id())
        waiting.start(query(ids[-1]), 0.0)
    assert ids == [42, 43, 44, 45, 46]


def test_a_query_is_known_by_its_id_and_where_it_went():
    waiting, one = queries(), query()
    waiting.start(one, 0.0)
    assert waiting.find(5, SERVER) is one
    assert waiting.find(6, SERVER) is None
    assert waiting.find(5, Address("192.0.2.1", 53)) is None
    assert waiting.find(5, Address("192.0.2.2", 5300)) is None
    waiting.end(one)
    assert waiting.find(5, SERVER) is None


def test_queries_are_sent_again_and_then_lost():
    for purpose, times in ((Purpose.ROUND, QUERY_TIMES), (Purpose.PROBE, PROBE_TIMES)):
        waiting, one = queries(), query(purpose=purpose)
        waiting.start(one, 100.0)
        for time in times[:-1]:
            assert waiting.next_time() == 100.0 + time
            assert waiting.due(100.0 + time - 0.01).again == []
            assert waiting.due(100.0 + time).again == [one]
        assert waiting.due(100.0 + times[-1]).lost == [one]
        assert len(waiting) == 0
        assert waiting.next_time() is None


def test_what_was_answered_is_not_sent_again():
    waiting, one, two = queries(), query(5), query(6)
    waiting.start(one, 0.0)
    waiting.start(two, 1.0)
    waiting.end(one)
    assert waiting.next_time() == 1.5
    assert waiting.due(1.5).again == [two]


def test_after_a_long_sleep_a_query_is_sent_once_and_not_lost():
    waiting, one = queries(), query()
    waiting.start(one, 0.0)
    due = waiting.due(1000.0)
    assert due.again == [one]
    assert due.lost == []
    assert waiting.next_time() == 1001.0


def test_an_id_used_again_is_not_disturbed_by_its_predecessor():
    waiting, one, two = queries(), query(5), query(5)
    waiting.start(one, 0.0)
    waiting.end(one)
    waiting.start(two, 0.4)
    waiting.end(one)
    assert waiting.find(5, SERVER) is two
    assert waiting.due(0.5).again == []


def test_memory_is_that_of_what_is_under_way():
    waiting = queries()
    for number in range(10_000):
        one = query(number % 60_000 + 1)
        waiting.start(one, float(number))
        waiting.end(one)
    assert len(waiting._clock) < 100


def test_bytes_are_those_of_the_codec():
    for purpose, values, expected in (
        (Purpose.PROBE, {}, dns_message.encode_probe(5, "dat.local")),
        (
            Purpose.ROUND,
            {"token": "t", "port": 3282},
            dns_message.encode_announce(5, NAME, "dat.local", token="t", port=3282),
        ),
        (
            Purpose.ROUND,
            {"token": "t"},
            dns_message.encode_lookup(5, NAME, "dat.local", token="t"),
        ),
        (
            Purpose.WITHDRAW,
            {"token": "t", "port": 3282},
            dns_message.encode_unannounce(5, NAME, "dat.local", token="t", port=3282),
        ),
    ):
        assert query(purpose=purpose, **values).datagram("dat.local") == expected


def test_queries_are_listed_by_server_and_by_name():
    waiting, one = queries(), query(5)
    other = Query(6, 1, SERVER, Purpose.ROUND, bytes(20))
    waiting.start(one, 0.0)
    waiting.start(other, 0.0)
    assert waiting.of(0) == [one]
    assert waiting.about(bytes(20)) == [other]
    assert list(waiting) == [one, other]
