"""The machine, alone with strangers."""

import json

import pytest
from tests.helpers.dht import DhtWorld, Stranger, asked, friend, inner, joined, outer
from tests.helpers.vectors import vectors

from datd.discovery.dht import krpc
from datd.discovery.dht.contacts import Contact, encode_address
from datd.discovery.dht.ids import fits
from datd.discovery.dht.krpc import Answer, Error, Query
from datd.discovery.dht.node import DhtNode
from datd.discovery.dht.queries import MAX_PENDING
from datd.errors import ProtocolError
from datd.types import Address

NAME = b"n" * 20
OURS = inner(0)


@pytest.fixture
def world() -> DhtWorld:
    return DhtWorld()


def test_a_node_without_anybody_sends_nothing_for_a_day(world):
    node = world.node(OURS)
    node.announce(NAME, 3282, implied=False)
    node.lookup(b"o" * 20)
    world.turn(OURS)
    world.run(86_400)
    assert world.sent[OURS] == 0
    assert node.waiting == 2


def test_bootstrap_asks_for_our_own_id(world):
    entry = friend(world, inner(1))
    node = joined(world, entry)
    first = entry.heard[0]
    assert isinstance(first, Query)
    assert (first.method, first.target) == (krpc.FIND_NODE, node.id)
    assert node.nodes == {4: 1}


def test_a_round_searches_and_announces(world):
    entry = friend(world, inner(1))
    node = joined(world, entry)
    node.announce(NAME, 3282, implied=True)
    world.turn(OURS)
    world.run(5)
    (announced,) = asked(entry, krpc.ANNOUNCE_PEER)
    assert announced == Query(
        announced.transaction,
        krpc.ANNOUNCE_PEER,
        node.id,
        NAME,
        port=3282,
        implied_port=True,
        token=b"tok",
    )
    assert [over.announced for over in world.over[OURS]] == [1]


def test_peers_are_told_once_a_search_with_who_said_so_and_never_ourselves(world):
    ours, theirs = Address(OURS.host, 3282), Address("10.5.5.5", 1)
    values = tuple(map(encode_address, (ours, theirs, theirs, Address("224.0.0.1", 5))))
    entry = friend(world, inner(1), values=(*values, b"\0" * 6), asker=OURS)
    node = joined(world, entry)
    node.announce(NAME, 3282, implied=False)
    world.turn(OURS)
    world.run(5)
    assert [(one.name, one.peer, one.told_by) for one in world.found[OURS]] == [
        (NAME, theirs, entry.address)
    ]


def test_own_stored_peers_are_found_too(world):
    entry = friend(world, inner(1))
    node = joined(world, entry)
    entry.say(Query(b"q1", krpc.GET_PEERS, entry.id, NAME), OURS)
    world.run(1)
    (got,) = [one for one in entry.heard if isinstance(one, Answer) and one.token]
    announcement = Query(b"q2", krpc.ANNOUNCE_PEER, entry.id, NAME, port=99, token=got.token)
    entry.say(announcement, OURS)
    world.run(1)
    node.lookup(NAME)
    world.turn(OURS)
    world.run(5)
    assert [one.peer for one in world.found[OURS]] == [Address(entry.address.host, 99)]


def test_forgetting_a_name_stops_what_is_under_way(world):
    entry = friend(world, inner(1))
    node = joined(world, entry)
    node.announce(NAME, 3282, implied=False)
    world.turn(OURS)
    node.forget(NAME)
    world.run(10)
    assert asked(entry, krpc.ANNOUNCE_PEER) == []
    assert world.over[OURS] == world.found[OURS] == []


def test_answers_from_elsewhere_are_not_believed(world):
    entry = friend(world, inner(1))
    node = joined(world, entry)
    forger = Stranger(world, inner(2))
    peer = encode_address(Address("10.6.6.6", 6))

    def elsewhere(query: Query, source: Address) -> None:
        forger.say(Answer(query.transaction, entry.id, values=(peer,)), source)

    entry.answer = elsewhere
    node.lookup(NAME)
    world.turn(OURS)
    world.run(5)
    assert world.found[OURS] == []


def test_whoever_answers_in_place_of_another_is_asked_once_more_under_its_own_id(world):
    entry = friend(world, inner(1))
    node = joined(world, entry)
    peers = [encode_address(Address("10.6.6.6", port)) for port in (1, 2, 3)]
    ids = [b"x" * 20, b"x" * 20]
    entry.answer = lambda query, source: Answer(query.transaction, ids.pop(), values=(peers.pop(),))
    node.lookup(NAME)
    world.turn(OURS)
    world.run(5)
    assert [one.peer.port for one in world.found[OURS]] == [2]
    before = len(entry.heard)
    entry.answer = lambda query, source: Answer(query.transaction, world.random.randbytes(20))
    node.lookup(NAME)
    world.turn(OURS)
    world.run(5)
    assert len(entry.heard) == before + 2


def test_an_answer_may_come_from_another_port(world):
    entry = friend(world, inner(1))
    twin = Stranger(world, Address(entry.address.host, 7777))
    peer = Address("10.6.6.6", 6)
    node = joined(world, entry)

    def from_another_port(query: Query, source: Address) -> None:
        twin.say(Answer(query.transaction, entry.id, values=(encode_address(peer),)), source)

    entry.answer = from_another_port
    node.lookup(NAME)
    world.turn(OURS)
    world.run(5)
    assert [one.peer for one in world.found[OURS]] == [peer]


def test_whoever_asks_is_known_once_it_has_answered_us(world):
    node = world.node(OURS)
    silent, speaking, reader = (
        Stranger(world, inner(1)),
        friend(world, inner(2)),
        friend(world, inner(3)),
    )
    for stranger in (silent, speaking):
        stranger.say(Query(b"qq", krpc.PING, stranger.id), OURS)
    reader.say(Query(b"qq", krpc.PING, reader.id, read_only=True), OURS)
    world.run(10)
    assert node.good_nodes(world.now) == [Contact(speaking.id, speaking.address)]


def test_t32_nodes_that_cannot_be_or_are_inner_ones_of_outer_nodes_are_not_asked(world):
    inside = [Address(host, 6881) for host in ("127.0.0.1", "10.0.0.7", "192.168.1.1")]
    nowhere = [Address("224.0.0.251", 5353), Address("0.0.0.0", 1), Address("9.9.9.9", 0)]
    poison = tuple(Contact(bytes([at]) * 20, one) for at, one in enumerate(inside + nowhere))
    entry = friend(world, outer(1), contacts=poison)
    to: set[Address] = set()
    world.on_wire = lambda sender, receiver, data: to.add(receiver) if sender == OURS else None
    node = joined(world, entry)
    node.lookup(NAME)
    world.turn(OURS)
    world.run(10)
    assert to == {entry.address}


def test_t31_poisoned_lists_of_nodes_end_and_are_not_kept(world):
    entry = friend(world, inner(1))
    number = 0

    def poison(query: Query, source: Address) -> Answer:
        nonlocal number
        target = int.from_bytes(query.target or NAME, "big")
        fresh = []
        for _ in range(40):
            number += 1
            address = Address(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 1)
            fresh.append(Contact((target ^ (1 << 100) // number).to_bytes(20, "big"), address))
        return Answer(query.transaction, entry.id, contacts=tuple(fresh))

    entry.answer = poison
    node = joined(world, entry)
    for _ in range(20):
        node.announce(NAME, 3282, implied=False)
        world.turn(OURS)
        world.run(120)
    assert node.nodes == {4: 1}
    assert len(world.over[OURS]) == 20
    assert max(over.asked for over in world.over[OURS]) <= 100


def test_t31_ten_thousand_fake_peers_are_bounded_in_a_search(world):
    entries = [friend(world, inner(number)) for number in range(1, 21)]
    number = 0

    def many(query: Query, source: Address) -> Answer:
        nonlocal number
        values = []
        for _ in range(100):
            number += 1
            values.append((0x0A000000 + number).to_bytes(4, "big") + b"\0\1")
        return Answer(query.transaction, entries[0].id, values=tuple(values), token=b"t")

    node = joined(world, *entries)
    entries[0].answer = many
    for _ in range(30):
        node.lookup(NAME)
        world.turn(OURS)
        world.run(10)
    assert len(world.found[OURS]) <= 30 * 1000
    assert all(not told for told in node._agenda.under_way.values())


def test_t31_garbage_does_no_harm_and_is_counted(world):
    node = joined(world, friend(world, inner(1)))
    stranger = friend(world, inner(1))
    chance = world.random
    whole = [
        krpc.encode(Query(b"aa", krpc.GET_PEERS, NAME, NAME)),
        krpc.encode(Answer(b"aaaa", NAME, contacts=(Contact(NAME, inner(7)),), values=(b"1" * 6,))),
        krpc.encode(Error(b"aaaa", 203, "no")),
    ]
    for number in range(5000):
        data = bytearray(chance.choice(whole))
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        cut = bytes(data[: chance.randrange(len(data) + 1)]) if number % 2 else bytes(data)
        node.receive_datagram(b"d" + cut[1:], stranger.address, world.now + number)
        node.datagrams_to_send(world.now + number)
    node.receive_datagram(b"d" * 60_000, stranger.address, world.now)
    assert node.statistics.nonsense > 1000


def test_t31_answers_that_nobody_asked_for_are_not_even_read(world):
    node = joined(world, friend(world, inner(1)))
    stranger = Stranger(world, inner(2))
    for number in range(100):
        stranger.say(Answer(number.to_bytes(4, "big"), stranger.id, contacts=()), OURS)
    world.run(5)
    assert node.statistics.nonsense == 100
    assert node.nodes == {4: 1}


def test_t35_a_flood_of_queries_is_answered_sparingly_and_not_remembered(world):
    node = world.node(OURS)
    answers = 0
    for number in range(20_000):
        source = outer(number % 9000)
        query = Query(b"aa", krpc.FIND_NODE, world.random.randbytes(20), NAME)
        node.receive_datagram(krpc.encode(query), source, world.now + number / 2000)
        if number % 10 == 0:
            answers += sum(
                len(data)
                for data, _ in node.datagrams_to_send(world.now + number / 2000)
                if b"1:y1:r" in data
            )
    assert answers <= 11 * 8192
    assert node.statistics.refused > 10_000
    assert node.nodes == {4: 0}
    assert len(node._to_ping) <= 64
    assert len(node._queries) <= MAX_PENDING
    assert len(node._outbox) <= 64


def test_announcements_forged_for_others_are_refused(world):
    node = world.node(OURS)
    thief, victim = Stranger(world, outer(1)), outer(2)
    thief.say(Query(b"q1", krpc.GET_PEERS, thief.id, NAME), OURS)
    world.run(1)
    (got,) = [one for one in thief.heard if isinstance(one, Answer)]
    forged = Query(b"q2", krpc.ANNOUNCE_PEER, thief.id, NAME, port=1, token=got.token)
    world.send(krpc.encode(forged), victim, OURS)
    world.run(1)
    assert node.peers == 0


def test_bep_42_our_id_follows_what_many_nodes_say_of_our_address():
    world = DhtWorld()
    address = Address("5.6.7.8", 6881)
    entries = [friend(world, outer(number), asker=address) for number in range(20, 40)]
    node = joined(world, *entries, address=address)
    assert fits(node.id, address.host)
    before = node.id
    node.seen_from_outside("77.1.2.3", world.now + 10)
    assert node.id == before  # not so soon again
    node.seen_from_outside("77.1.2.3", world.now + 4000)
    assert fits(node.id, "77.1.2.3")
    assert sum(node.nodes.values()) > 10


def test_bep_32_both_families_are_searched_and_announced():
    world = DhtWorld()
    six = friend(world, Address("fd00::1", 6881))
    four = friend(world, inner(1), contacts=(Contact(six.id, six.address),))
    node = world.node(OURS, families=(4, 6))
    node.bootstrap([four.address])
    world.turn(OURS)
    world.run(5)
    assert asked(four, krpc.FIND_NODE)[0].want == {4, 6}
    assert node.nodes == {4: 1, 6: 1}
    node.announce(NAME, 3282, implied=False)
    world.turn(OURS)
    world.run(5)
    assert len(asked(four, krpc.ANNOUNCE_PEER)) == len(asked(six, krpc.ANNOUNCE_PEER)) == 1
    assert {over.family for over in world.over[OURS]} == {4, 6}


def everything_captured() -> dict[str, list[tuple[str, str, bytes]]]:
    """Packets by what was caught: sender, receiver, bytes."""
    parts: dict[str, object] = json.loads((vectors("network") / "dht.json").read_text())
    del parts["about"]
    found: dict[str, list[tuple[str, str, bytes]]] = {}
    for part, caught in parts.items():
        for name, rows in caught.items() if isinstance(caught, dict) else [("", caught)]:
            assert isinstance(rows, list)
            found[f"{part} {name}".strip()] = [
                (source, to, bytes.fromhex(data)) for _, source, to, data in rows
            ]
    return found


@pytest.mark.parametrize("part", everything_captured())
def test_we_answer_captured_queries_as_the_reference_and_libtorrent_did(part):
    packets = everything_captured()[part]
    nodes: dict[str, DhtNode] = {}
    world = DhtWorld()
    tokens: dict[tuple[str, str], bytes] = {}
    announced: dict[tuple[str, bytes | None], set[bytes]] = {}
    compared = 0
    for source_text, to_text, data in packets:
        query = krpc.decode(data)
        if not isinstance(query, Query):
            continue
        reply = next(
            (
                message
                for source, to, other in packets
                if (source, to) == (to_text, source_text)
                and not isinstance(message := krpc.decode(other), Query)
                and message.transaction == query.transaction
            ),
            None,
        )
        if reply is None:
            continue
        host, _, port = source_text.partition(":")
        # The token is ours to make: a captured one that was good is replaced by a good one.
        key = (to_text, source_text)
        if query.token is not None and isinstance(reply, Answer):
            query = Query(
                *(query.transaction, query.method, query.sender, query.target, query.port),
                *(query.implied_port, tokens[key]),
            )
            data = krpc.encode(query)
        node = nodes.setdefault(to_text, DhtNode(node_id=b"r" * 20, secret=b"s", choose=last_of))
        world.now += 1
        node.receive_datagram(data, Address(host, int(port)), world.now)
        (ours,) = [
            message
            for out, _ in node.datagrams_to_send(world.now)
            if not isinstance(message := krpc.decode(out), Query)
        ]
        assert type(ours) is type(reply)
        assert ours.transaction == reply.transaction
        if isinstance(ours, Answer) and isinstance(reply, Answer):
            # One host saw a part of what was announced to its neighbour.
            here = announced.get((to_text, query.target), set())
            assert set(ours.values) == here & set(reply.values)
            if query.method == krpc.ANNOUNCE_PEER:
                seen = int(port) if query.implied_port else query.port or 0
                peer = encode_address(Address(host, seen))
                announced.setdefault((to_text, query.target), set()).add(peer)
            assert (ours.token is None) == (reply.token is None)
            if ours.token is not None:
                tokens[key] = ours.token
        if isinstance(ours, Error) and isinstance(reply, Error):
            assert ours.code == reply.code
        compared += 1
    assert compared


def last_of(count: int) -> int:
    return count - 1


def test_nothing_that_is_sent_is_unreadable(world):
    said: list[bytes] = []
    world.on_wire = lambda sender, receiver, data: said.append(data)
    world.network(5)
    for data in said:
        try:
            krpc.decode(data)
        except ProtocolError as error:  # pragma: no cover
            pytest.fail(f"{data!r}: {error}")
    assert len(said) > 50
