"""A mirror and the one server that it mirrors: a thousand archives, two hosts, in virtual time."""

import asyncio

import pytest
from tests.helpers.swarms import PORT, House, World, story

from datd.swarm.limits import DIAL_SPACING, SwarmLimits
from datd.swarm.peer import KnownPeer
from datd.types import Address

NAMES = tuple(number.to_bytes(32, "big") for number in range(1000))
SERVER = Address("10.0.0.2", PORT)
# At 16 calls a second, which is what a host takes of another (L-18); a call too many is repeated.
PATIENCE = len(NAMES) / SwarmLimits().calls_per_second + 15


async def connected_within(seconds: float, mirror: House) -> int:
    """How many archives there are connections about, once all have one or the time is over."""
    archives = set[bytes | None]()
    for _ in range(int(seconds)):
        await asyncio.sleep(1)
        archives = {connection.discovery_key for connection in mirror.talks}
        if len(archives) == len(NAMES):
            break
    return len(archives)


@pytest.mark.parametrize("remembered", [True, False])
def test_a_thousand_archives_of_one_host_are_soon_connected(remembered):
    @story
    async def tell(world: World) -> None:
        server = await world.house(2, *NAMES, archives=NAMES)
        await asyncio.sleep(20)
        mirror = await world.house(1, archives=NAMES)
        now = asyncio.get_running_loop().time()
        known = [KnownPeer(SERVER, "tcp", now - 60)] if remembered else []
        for name in NAMES:
            mirror.swarm.join(name, at_once=False, known=known)
        assert await connected_within(PATIENCE, mirror) == len(NAMES)
        await asyncio.sleep(1)
        assert mirror.swarm.connected == server.swarm.connected == len(NAMES)

    tell()


@story
async def test_decision_5_archives_told_at_once_do_not_wait_once_their_host_is_proven(world):
    await world.house(2, *NAMES[:400], archives=NAMES, discovers=False)
    mirror = await world.house(1, archives=NAMES, discovers=False)
    for name in NAMES[:400]:
        mirror.swarm.join(name)
        mirror.swarm._found("mdns", name, SERVER, Address("10.0.0.2", 5353))
    await asyncio.sleep(400 / SwarmLimits().calls_per_second + 15)
    assert len(mirror.talks) == 400


@story
async def test_a_host_that_is_gone_and_still_named_costs_few_dials_and_is_welcome_back(world):
    names, told_by = NAMES[:300], Address("10.0.0.2", 5353)
    server = await world.house(2, *names, archives=NAMES, discovers=False)
    other = await world.house(3, NAMES[0], archives=NAMES, discovers=False)
    mirror = await world.house(1, *names, archives=NAMES, discovers=False)

    async def named(minutes: int) -> None:
        for _ in range(minutes):
            for name in names:
                mirror.swarm._found("dns", name, SERVER, told_by)
            await asyncio.sleep(60)

    mirror.swarm.add_peer(NAMES[0], other.address)  # it is not the network that is away
    await named(1)
    assert mirror.swarm.connected == len(names) + 1
    world.houses.remove(server)
    world.silent.add(SERVER)
    await server.swarm.close()
    await named(20)
    before = len(world.dials)
    await named(10)
    assert len(world.dials) - before <= 10 * 60 / DIAL_SPACING + 1
    world.silent.remove(SERVER)
    await world.house(2, *names, archives=NAMES, discovers=False)
    await named(4)
    assert mirror.swarm.connected == len(names) + 1
