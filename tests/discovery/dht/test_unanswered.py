"""A node whose questions find no answer: whom it waits for, and when it asks again."""

from itertools import pairwise

import pytest
from tests.helpers.dht import DhtWorld, asked, friend, inner, joined

from datd.discovery.dht import krpc
from datd.discovery.dht.contacts import encode_address
from datd.discovery.dht.krpc import Query
from datd.discovery.dht.queries import LATE, TIMEOUT
from datd.discovery.dht.repeats import SPACING
from datd.types import Address

NAME = b"n" * 20
OURS = inner(0)
# Nodes that then do not answer are not taken for gone: it may be our own line.
LONG_SILENT = 70.0


@pytest.fixture
def world() -> DhtWorld:
    return DhtWorld()


def test_a_silent_node_is_given_up_after_two_seconds_and_a_half(world):
    entry = friend(world, inner(1))
    node = joined(world, entry)
    entry.answer = lambda query, source: None
    started = world.now
    node.lookup(NAME)
    world.turn(OURS)
    world.run_until(lambda: bool(world.over[OURS]))
    assert TIMEOUT <= world.now - started <= TIMEOUT + 1
    assert node.statistics.timeouts == 1


def test_a_late_node_is_not_waited_for_when_another_answers(world):
    entry, other = friend(world, inner(1)), friend(world, inner(2))
    node = joined(world, entry, other)
    entry.answer = lambda query, source: None
    started = world.now
    node.lookup(NAME)
    world.turn(OURS)
    world.run_until(lambda: bool(world.over[OURS]))
    assert LATE <= world.now - started <= LATE + 1
    world.run(TIMEOUT)
    assert node.statistics.timeouts == 1


def test_late_answers_count_when_there_are_no_others(world):
    """So it is when we are flooded ourselves."""
    peer = Address("10.6.6.6", 6)
    entry = friend(world, inner(1), values=(encode_address(peer),))
    node = joined(world, entry)
    at_once, entry.answer = entry.answer, lambda query, source: None
    node.lookup(NAME)
    world.turn(OURS)
    world.run(LATE + 0.5)
    query = asked(entry, krpc.GET_PEERS)[0]
    late = at_once(query, OURS)
    assert late is not None
    entry.say(late, OURS)
    world.run(1)
    assert [one.peer for one in world.found[OURS]] == [peer]


def test_a_search_without_an_answer_is_repeated_soon_and_ever_less_often(world):
    peer = Address("10.6.6.6", 6)
    entry = friend(world, inner(1), values=(encode_address(peer),))
    node = joined(world, entry)
    world.run(LONG_SILENT)
    answer, entry.answer = entry.answer, lambda query, source: None
    times: list[float] = []
    world.on_wire = lambda sender, to, data: (
        times.append(world.now) if sender == OURS and NAME in data else None
    )
    node.announce(NAME, 3282, implied=False)
    world.turn(OURS)
    world.run(1800)
    gaps = [later - sooner for sooner, later in pairwise(times)]
    pauses = [10, 20, 40, 80, 160, 300, 300, 300, 300]
    assert gaps == pytest.approx([pause + TIMEOUT for pause in pauses], abs=0.1)
    entry.answer = answer
    world.run(310)
    assert [one.peer for one in world.found[OURS]] == [peer]
    assert len(asked(entry, krpc.ANNOUNCE_PEER)) == 1
    world.on_wire, count = None, len(entry.heard)
    world.run(100)
    assert not [one for one in entry.heard[count:] if isinstance(one, Query) and one.target == NAME]


def test_when_a_bootstrap_node_answers_again_so_do_searches_at_once(world):
    peer = Address("10.6.6.6", 6)
    entry = friend(world, inner(1), values=(encode_address(peer),))
    node = joined(world, entry)
    world.run(LONG_SILENT)
    answer, entry.answer = entry.answer, lambda query, source: None
    node.lookup(NAME)
    world.turn(OURS)
    world.run(100)
    entry.answer = answer
    node.bootstrap([entry.address])
    world.turn(OURS)
    world.run(2)
    assert [one.peer for one in world.found[OURS]] == [peer]


def test_a_thousand_searches_without_an_answer_are_repeated_at_a_pace(world):
    entry = friend(world, inner(1))
    node = joined(world, entry)
    world.run(LONG_SILENT)
    entry.answer = lambda query, source: None
    for _ in range(1000):
        node.lookup(world.random.randbytes(20))
    world.turn(OURS)
    world.run(1000)
    before, began = world.sent[OURS], world.now
    world.run(200)
    assert 300 < world.sent[OURS] - before <= (world.now - began) / SPACING + 10
    world.run(900)
    for name in {one.name for one in world.over[OURS]}:
        node.forget(name)
    before = world.sent[OURS]
    world.run(600)
    assert world.sent[OURS] - before < 20
