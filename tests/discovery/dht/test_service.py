import random

import pytest

from datd.discovery.dht import krpc
from datd.discovery.dht.contacts import Contact, encode_address
from datd.discovery.dht.krpc import Answer, Error, Query
from datd.discovery.dht.routing import RoutingTable
from datd.discovery.dht.service import MAX_ANSWER, MAX_FACTOR, Service, ServiceLimits
from datd.types import Address

OWN, NAME, ME = b"o" * 20, b"n" * 20, b"m" * 20
ASKER, ASKER6 = Address("8.8.8.8", 6881), Address("2001:4860::8", 6881)
PLENTY = ServiceLimits(queries_per_second=1e6, bytes_per_second=1e9)


class Served:
    """A service with full tables, asked as by datagrams."""

    def __init__(self, limits: ServiceLimits = PLENTY) -> None:
        chance = random.Random(1)
        self.service = Service(b"secret", limits, chance.randrange)
        self.tables = {4: RoutingTable(OWN), 6: RoutingTable(OWN)}
        for number in range(1, 100):
            for family, host in ((4, f"{number}.1.1.1"), (6, f"2001:{number}::1")):
                node = Contact(chance.randbytes(20), Address(host, number))
                self.tables[family].heard(node, 0)

    def answer(self, query: Query, source: Address = ASKER, now: float = 0.0) -> bytes | None:
        size = len(krpc.encode(query))
        if not self.service.admits(source, now):
            return None
        return self.service.answer(query, size, source, OWN, self.tables, now)

    def ask(self, query: Query, source: Address = ASKER, now: float = 0.0) -> Answer | Error:
        data = self.answer(query, source, now)
        assert data is not None
        message = krpc.decode(data)
        assert not isinstance(message, Query)
        return message

    def get_peers(self, source: Address = ASKER, now: float = 0.0, name: bytes = NAME) -> Answer:
        answer = self.ask(Query(b"aa", krpc.GET_PEERS, ME, name), source, now)
        assert isinstance(answer, Answer)
        return answer

    def announce(
        self, source: Address = ASKER, now: float = 0.0, *, port: int | None = 3282, **options
    ) -> Answer | Error:
        token = self.get_peers(source, now).token
        query = Query(b"aa", krpc.ANNOUNCE_PEER, ME, NAME, port=port, token=token, **options)
        return self.ask(query, source, now)


def test_ping_tells_who_we_are_and_where_the_asker_is():
    assert Served().ask(Query(b"aa", krpc.PING, ME)) == Answer(b"aa", OWN, asker=ASKER)


def test_find_node_tells_the_8_closest_nodes():
    served = Served()
    answer = served.ask(Query(b"aa", krpc.FIND_NODE, ME, NAME))
    assert isinstance(answer, Answer)
    assert list(answer.contacts) == served.tables[4].closest(NAME, 8)
    assert answer.token is None


def test_bep_32_nodes_are_of_the_family_of_the_query_unless_others_are_wanted():
    served = Served()
    for source, want, families in (
        (ASKER, set(), {4}),
        (ASKER6, set(), {6}),
        (ASKER, {6}, {6}),
        (ASKER6, {4, 6}, {4, 6}),
    ):
        query = Query(b"aa", krpc.FIND_NODE, ME, NAME, want=frozenset(want))
        answer = served.ask(query, source)
        assert isinstance(answer, Answer)
        assert answer.families == families
        assert len(answer.contacts) == 8 * len(families)


def test_what_is_announced_is_told_to_the_next_who_asks():
    served = Served()
    assert served.announce() == Answer(b"aa", OWN, asker=ASKER)
    answer = served.get_peers(Address("9.9.9.9", 1))
    assert answer.values == (encode_address(Address("8.8.8.8", 3282)),)
    assert len(answer.contacts) == 8
    assert served.get_peers(ASKER6).values == ()
    assert served.service.stored(NAME, 0) == [encode_address(Address("8.8.8.8", 3282))]


def test_an_implied_port_is_the_one_that_is_seen():
    served = Served()
    for port in (None, 3282):
        assert isinstance(served.announce(port=port, implied_port=True), Answer)
    assert served.get_peers().values == (encode_address(ASKER),)


def test_bep_32_announcements_over_ipv6_are_told_over_ipv6():
    served = Served()
    served.announce(ASKER6)
    assert served.get_peers(ASKER6).values == (encode_address(Address("2001:4860::8", 3282)),)
    assert served.get_peers().values == ()


def test_a_token_of_another_host_or_of_long_ago_is_refused_in_the_words_of_the_reference():
    served = Served()
    token = served.get_peers().token
    for source, now in ((Address("9.9.9.9", 6881), 0.0), (ASKER, 700.0)):
        query = Query(b"aa", krpc.ANNOUNCE_PEER, ME, NAME, port=1, token=token)
        expected = Error(b"aa", 203, "cannot `announce_peer` with bad token")
        assert served.ask(query, source, now) == expected
    assert served.service.peers == 0


@pytest.mark.parametrize(
    ("query", "missed"),
    [
        (Query(b"aa", krpc.PING), "id"),
        (Query(b"aa", krpc.FIND_NODE, ME), "target"),
        (Query(b"aa", krpc.GET_PEERS, ME), "info_hash"),
        (Query(b"aa", krpc.ANNOUNCE_PEER, ME), "info_hash"),
    ],
)
def test_a_missing_argument_is_named(query, missed):
    served = Served()
    answer = krpc.decode(served.service.answer(query, 60, ASKER, OWN, served.tables, 0) or b"")
    assert answer == Error(b"aa", 203, f"`{query.method.decode()}` is missing required `{missed}`")


def test_a_missing_port_is_named():
    answer = Served().announce(port=None)
    assert isinstance(answer, Error)
    assert (answer.code, "`port`" in answer.text) == (203, True)


@pytest.mark.parametrize("method", [krpc.GET, krpc.PUT, b"vote", b"\xff"])
def test_bep_44_and_all_else_is_unknown(method):
    served = Served()
    answer = krpc.decode(
        served.service.answer(Query(b"aa", method, ME), 60, ASKER, OWN, served.tables, 0) or b""
    )
    assert isinstance(answer, Error)
    assert answer.code == 204


def every_shape() -> list[tuple[Query, Address]]:
    return [
        (Query(transaction, method, ME, NAME if method != krpc.PING else None, want=want), source)
        for transaction in (b"", b"aa", b"a" * 16)
        for method in (krpc.PING, krpc.FIND_NODE, krpc.GET_PEERS)
        for want in (frozenset[int](), frozenset({6}), frozenset({4, 6}))
        for source in (ASKER, ASKER6)
    ]


def test_t35_no_answer_is_longer_than_1024_bytes_or_ten_times_the_query():
    served = Served()
    for host in range(1, 300):
        served.announce(Address(f"8.8.{host // 250}.{host % 250 + 1}", host))
        served.announce(Address(f"2001:4860::{host:x}", host))
    longest = 0
    for query, source in every_shape():
        data = served.answer(query, source)
        if data is not None:
            assert len(data) <= min(MAX_ANSWER, MAX_FACTOR * len(krpc.encode(query)))
            longest = max(longest, len(data))
    assert longest > 900  # the limit was met, not only kept
    assert len(served.get_peers().values) > 50


def test_t35_an_address_is_answered_5_times_a_second():
    served = Served(ServiceLimits())
    answered = 0
    for tick in range(1000):
        answered += served.answer(Query(b"aa", krpc.PING, ME), now=tick / 100) is not None
    assert 50 <= answered <= 60
    # Others are not affected, and one subscriber of IPv6 counts as one.
    assert served.answer(Query(b"aa", krpc.PING, ME), Address("9.9.9.9", 1), 10) is not None
    many = [Address(f"2001:4860::{number:x}", 1) for number in range(1, 50)]
    told = [served.answer(Query(b"aa", krpc.PING, ME), one, 10) is not None for one in many]
    assert sum(told) == 10


def test_t35_all_answers_together_are_8_kilobytes_a_second():
    served = Served(ServiceLimits())
    sent = 0
    shapes = every_shape()
    chance = random.Random(3)
    for tick in range(20_000):
        query, _ = chance.choice(shapes)
        source = Address(f"{chance.randrange(1, 200)}.{tick % 250}.{tick // 250}.9", 1)
        sent += len(served.answer(query, source, tick / 2000) or b"")
    assert 70_000 < sent <= 11 * 8192


def test_nodes_of_an_inner_network_share_addresses_but_no_budget():
    served = Served(ServiceLimits())
    sources = [Address("127.0.0.1", port) for port in range(1, 60)]
    assert all(served.answer(Query(b"aa", krpc.PING, ME), one) for one in sources)


def test_t31_a_flood_from_everywhere_is_not_remembered():
    served = Served(ServiceLimits())
    for number in range(10_000):
        served.service.admits(Address(f"1.{number // 250}.{number % 250}.1", 1), number / 100)
    assert len(served.service._hosts) <= 2048
