"""Hundreds of machines under a fake clock: whoever announces is found, and for how many packets."""

from functools import partial

import pytest
from tests.helpers.dht import DhtWorld, Stranger, inner, outer

from datd.discovery.dht import krpc
from datd.discovery.dht.contacts import Contact
from datd.discovery.dht.krpc import Answer, Query
from datd.discovery.dht.node import QUERIES_PER_SECOND
from datd.types import Address

# A thousand searches cost a busy machine minutes.
pytestmark = pytest.mark.timeout(1800)

HOUR = 3600.0


@pytest.fixture(scope="module")
def large() -> tuple[DhtWorld, list[Address]]:
    world = DhtWorld(seed=11)
    return world, world.network(200)


def names(world: DhtWorld, count: int) -> list[bytes]:
    return [world.random.randbytes(20) for _ in range(count)]


def finds(world: DhtWorld, address: Address, wanted: list[bytes]) -> int:
    """How many names a node finds at the first try."""
    for name in wanted:
        world.nodes[address].lookup(name)
    world.turn(address)
    rounds = len(world.over[address]) + len(wanted)
    world.run_until(lambda: len(world.over[address]) >= rounds)
    return len({one.name for one in world.found[address]} & set(wanted))


def test_a_thousand_announcements_are_taken_found_and_cheap(large):
    world, addresses = large
    announcer, asker = addresses[150], addresses[60]
    wanted = names(world, 1000)
    before, began = world.sent[announcer], world.now
    times: list[float] = []
    world.on_wire = lambda sender, to, data: (
        times.append(world.now) if sender == announcer and b"1:y1:q" in data else None
    )
    for name in wanted:
        world.nodes[announcer].announce(name, 3282, implied=False)
    world.turn(announcer)
    world.run_until(lambda: len(world.over[announcer]) == 1000)
    world.on_wire = None
    assert all(over.announced == 8 for over in world.over[announcer])
    # Its answers to others are among them.
    assert (world.sent[announcer] - before) / 1000 < 25
    # No burst: neither in a second nor at once, though all were asked for at the same moment.
    assert world.now - began > 20_000 / QUERIES_PER_SECOND
    seconds = [0] * (int(world.now - began) + 2)
    for when in times:
        seconds[int(when - began)] += 1
    assert max(seconds) < 1.3 * QUERIES_PER_SECOND
    assert max(times.count(when) for when in set(times)) <= 32
    assert finds(world, asker, wanted[:100]) == 100


def test_who_does_not_announce_again_is_forgotten_and_upkeep_costs_little():
    world = DhtWorld(seed=7)
    addresses = world.network(40)
    name = world.random.randbytes(20)
    world.nodes[addresses[33]].announce(name, 3282, implied=False)
    world.turn(addresses[33])
    world.run(30)
    assert finds(world, addresses[22], [name]) == 1
    before = sum(world.sent.values())
    world.run(HOUR)
    # Datagrams a second of each node.
    assert 0 < (sum(world.sent.values()) - before) / len(addresses) / HOUR < 0.5
    world.found[addresses[22]].clear()
    assert finds(world, addresses[22], [name]) == 0


def test_with_loss_and_a_fifth_of_all_nodes_dead_announcements_are_found():
    world = DhtWorld(seed=5, loss=0.05)
    addresses = world.network(120)
    world.dead.update(addresses[1:120:5])
    announcer, asker = addresses[55], addresses[90]
    wanted = names(world, 60)
    for name in wanted:
        world.nodes[announcer].announce(name, 3282, implied=False)
    world.turn(announcer)
    world.run_until(lambda: len(world.over[announcer]) == 60)
    world.dead.update(addresses[2:120:12])
    assert finds(world, asker, wanted) == 60


def test_dead_nodes_leave_the_tables_and_newcomers_get_in():
    world = DhtWorld(seed=6)
    addresses = world.network(60)
    dead = set(addresses[1::2])
    world.dead.update(dead)
    world.run(HOUR / 2)
    known = {one.address for one in world.nodes[addresses[0]].good_nodes(world.now)}
    assert len(known) >= 20
    assert not known & dead
    newcomer = inner(500)
    world.node(newcomer).bootstrap([addresses[0]])
    world.turn(newcomer)
    world.run(HOUR / 2)
    assert sum(world.nodes[newcomer].nodes.values()) >= 20
    knowing = [
        one
        for one in set(addresses) - dead
        if newcomer in {node.address for node in world.nodes[one].good_nodes(world.now)}
    ]
    assert len(knowing) >= 5


@pytest.mark.parametrize("liars", [1, 5])
def test_who_invents_nodes_close_to_a_name_does_not_hide_it(liars):
    """Each liar answers every question with 20 nodes next to the target, none of which is there."""
    world = DhtWorld(seed=3)
    addresses = world.network(60, outer)
    invented = 0

    def lie_as(node_id: bytes, query: Query, source: Address) -> Answer:
        nonlocal invented
        fakes: list[Contact] = []
        for _ in range(20):
            invented += 1
            host = f"{101 + invented % 90}.{invented // 90 % 250}.{invented // 22_500}.9"
            near = (query.target or node_id)[:18] + world.random.randbytes(2)
            fakes.append(Contact(near, Address(host, 6881)))
        return Answer(query.transaction, node_id, contacts=tuple(fakes), token=b"t")

    evils = [Stranger(world, Address(f"200.1.{number}.7", 6881)) for number in range(liars)]
    for evil in evils:
        evil.answer = partial(lie_as, evil.id)
        for honest in addresses:
            evil.say(Query(b"hi", krpc.PING, evil.id), honest)
        world.run(0.5)
    world.run(60)
    for number in range(10):
        name = world.random.randbytes(20)
        announcer, asker = addresses[10 + number], Address(f"150.{number}.0.1", 6881)
        # Both ways into the network: one of them lies.
        world.node(asker).bootstrap([evils[0].address, addresses[30]])
        world.turn(asker)
        began = world.now
        world.nodes[announcer].announce(name, 3282, implied=False)
        world.turn(announcer)
        world.run_until(partial(bool, world.over[announcer]), limit=5)
        world.nodes[asker].lookup(name)
        world.turn(asker)
        world.run_until(partial(bool, world.found[asker]), limit=5)
        assert world.now - began <= 5
    assert invented > 1000


def test_an_owner_of_many_addresses_does_not_hide_a_name():
    """A hundred nodes of one /24, nearer to the name than any honest one, name each other only."""
    world = DhtWorld(seed=8)
    addresses = world.network(60, outer)
    name = world.random.randbytes(20)
    near = [
        Contact((int.from_bytes(name, "big") ^ at).to_bytes(20, "big"), Address(f"66.6.6.{at}", 1))
        for at in range(1, 100)
    ]
    asked = 0

    def lie_as(node_id: bytes, query: Query, source: Address) -> Answer:
        nonlocal asked
        asked += query.method == krpc.GET_PEERS
        at = world.random.randrange(90)
        return Answer(query.transaction, node_id, contacts=tuple(near[at : at + 8]), token=b"t")

    for contact in near:
        evil = Stranger(world, contact.address)
        evil.id = contact.id
        evil.answer = partial(lie_as, evil.id)
        for honest in addresses:
            evil.say(Query(b"hi", krpc.PING, evil.id), honest)
        world.run(0.5)
    world.run(60)
    world.nodes[addresses[10]].announce(name, 3282, implied=False)
    world.turn(addresses[10])
    world.run(60)
    assert finds(world, addresses[40], [name]) == 1
    assert asked > 0
