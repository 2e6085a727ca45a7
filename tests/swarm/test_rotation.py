"""More archives than places: they take turns."""

import asyncio
from bisect import bisect_left

import pytest
from tests.helpers.swarms import PORT, House, World, story
from tests.swarm.test_peers import NEIGHBOUR, Table

from datd.swarm.limits import CLOSINGS, IDLE, SwarmLimits
from datd.swarm.peer import Peer
from datd.types import Address

NAMES = tuple(number.to_bytes(32, "big") for number in range(3000))


class Full(Table):
    """A table with more archives than places, and one peer that has them all."""

    def __init__(self, archives: int, places: int) -> None:
        super().__init__(SwarmLimits(connections=places, dials_per_second=1000))
        self.talks = list[Peer]()
        for name in NAMES[:archives]:
            self.join(name)
            self.tell(name)
        for _ in range(places):
            self.talks.append(self.connect(0.0))
        assert self.next_dial(0.0) is None

    def tell(self, name: bytes, host: str = "192.168.1.2", now: float = 0.0) -> None:
        # With a source of its own for each, so that all are taken in at once.
        self.found(name, Address(host, PORT), f"from {name!r}", NEIGHBOUR, now)

    def turn(self, now: float) -> tuple[list[bytes], list[bytes]]:
        """End what is idle, dial instead; gives the archives that left, and those that came."""
        left = self.make_room(self.talks, now)
        for peer in left:
            self.talks.remove(peer)
        came = list[Peer]()
        while dialled := self.next_dial(now):
            self.connected(dialled, object(), "tcp", now)
            self.handshaken(dialled, b"r" * 32, now)
            came.append(dialled)
        self.talks += came
        return [peer.name for peer in left], [peer.name for peer in came]


def test_every_archive_has_its_turn_before_any_has_two():
    table = Full(archives=100, places=20)
    had = [peer.name for peer in table.talks]
    now = IDLE
    while len(had) < 500:
        left, came = table.turn(now)
        assert len(left) == len(came) == CLOSINGS
        had += came
        now += 1
    for start in range(0, 500, 100):
        # One in eight goes to those who had their turn already, while others wait.
        assert len(set(had[start : start + 100])) > 80
    assert len(set(had[:120])) == 100


def test_no_more_than_five_make_room_in_a_second_and_no_more_than_wait():
    table = Full(archives=23, places=20)
    assert table.wants_room(IDLE)
    assert [len(part) for part in table.turn(IDLE)] == [3, 3]
    table = Full(archives=100, places=20)
    assert [len(part) for part in table.turn(IDLE)] == [5, 5]


def test_nobody_makes_room_while_places_are_free_or_nobody_waits():
    table = Full(archives=20, places=20)
    assert not table.wants_room(IDLE)
    assert table.turn(IDLE) == ([], [])
    table = Full(archives=21, places=20)
    table.lost(table.talks.pop(), "reset", IDLE)
    assert not table.wants_room(IDLE)


def test_of_an_archive_with_several_connections_one_goes_first():
    table = Full(archives=20, places=20)
    gone = table.talks.pop()
    table.leave(gone.name)
    twice = table.talks[-1].name
    table.tell(twice, "192.168.1.3", 10.0)
    table.talks.append(table.connect(10.0, b"s" * 32))
    table.join(b"new" + bytes(29))
    table.tell(b"new" + bytes(29), now=20.0)
    assert table.turn(100.0) == ([twice], [b"new" + bytes(29)])


def test_the_oldest_goes_first():
    table = Full(archives=30, places=20)
    old = {peer.name for peer in table.talks}
    assert set(table.turn(IDLE)[0]) <= old
    for _ in range(3):
        assert set(table.turn(2 * IDLE)[0]) <= old


def test_an_archive_that_misses_blocks_is_the_next():
    table = Full(archives=2000, places=20)
    waiting = [name for name in NAMES[:2000] if not table.talking(name)]
    for name in waiting[500:503]:
        table.hungry(name, True)
    assert set(waiting[500:503]) < set(table.turn(IDLE)[1])


def test_a_few_idle_connections_are_left_to_archives_that_miss_blocks():
    table = Full(archives=200, places=64)  # so two are left
    table.talks = table.talks[:3]
    assert [len(part) for part in table.turn(IDLE)] == [1, 1]
    table.talks = table.talks[:2]
    assert table.turn(2 * IDLE) == ([], [])
    waiting = [name for name in NAMES[:200] if not table.talking(name)]
    table.hungry(waiting[77], True)
    assert table.turn(2 * IDLE)[1] == [waiting[77]]


def test_t32_named_by_strangers_an_archive_that_misses_blocks_is_not_always_the_next():
    table = Full(archives=100, places=20)
    hungry = next(name for name in NAMES[:100] if not table.talking(name))
    for host in range(3, 13):
        table.tell(hungry, f"192.168.1.{host}")
    table.hungry(hungry, True)
    dials = list[bytes]()
    for second in range(10):
        now = IDLE + second
        for peer in table.make_room(table.talks, now):
            table.talks.remove(peer)
        while dialled := table.next_dial(now):
            dials.append(dialled.name)
            table.dial_failed(dialled, "refused", now, refused=True)
    assert dials.count(hungry) < len(dials) / 10
    assert set(dials) == set(NAMES[:100])


def test_who_was_turned_away_leaves_the_last_places_for_a_moment_and_makes_room():
    table = Full(archives=100, places=20)
    table.lost(table.talks.pop(), "reset", IDLE)
    peer = table.dial(IDLE)
    table.connected(peer, object(), "tcp", IDLE)
    table.lost(peer, None, IDLE)  # it has no place for us, although we have
    assert table.next_dial(IDLE) is None
    until = table.next_time(IDLE)
    assert until is not None
    assert IDLE < until <= IDLE + 5
    assert table.wants_room(IDLE)
    assert len(table.make_room(table.talks, IDLE)) == CLOSINGS
    assert not table.wants_room(until)
    assert table.next_dial(until) is not None


def test_a_place_that_the_other_end_freed_is_left_to_it_for_a_second():
    table = Full(archives=100, places=20)
    table.lost(table.talks.pop(), None, IDLE)
    assert table.next_dial(IDLE) is None
    assert not table.wants_room(IDLE)
    assert table.next_dial(IDLE + 1) is not None


def most_in_a_second(times: list[float]) -> int:
    return max(
        number - bisect_left(times, time - 1 + 1e-6) + 1 for number, time in enumerate(times)
    )


async def turns(house: House, minutes: int) -> tuple[set[bytes], list[float]]:
    """The archives that a house was connected about, and when each closing was seen."""
    seen, ends = set[bytes](), list[float]()
    counted = len(house.ends)
    for _ in range(60 * minutes):
        await asyncio.sleep(1)
        seen |= {one.discovery_key for one in house.talks if one.discovery_key is not None}
        cut = [one for one in house.ends[counted:] if isinstance(one, asyncio.CancelledError)]
        counted = len(house.ends)
        ends += [asyncio.get_running_loop().time()] * len(cut)
        if len(seen) == len(house.archives):
            break
    return seen, ends


@pytest.mark.timeout(1800)  # a quarter of an hour of 600 connections costs a busy machine minutes
@story
async def test_3000_archives_of_one_other_host_have_their_turns_at_300_places(world):
    limits = SwarmLimits(connections=300)
    here, there = [await world.house(number, archives=NAMES, limits=limits) for number in (1, 2)]
    for house in (here, there):
        house.pace = 7.0
        for name in NAMES:
            house.swarm.join(name, at_once=False)
    seen, closings = await turns(here, minutes=15)
    assert len(seen) == len(NAMES)
    assert here.swarm.connected <= 300
    # A cut at the start is a duplicate; a second that is counted may hold the ends of two.
    assert most_in_a_second(closings[300:]) <= 2 * CLOSINGS
    for host in ("10.0.0.1", "10.0.0.2"):
        dials = [time for caller, _, time in world.dials if caller == host]
        assert most_in_a_second(dials) <= 2 * limits.dials_per_second
        assert len(dials) < 2 * len(NAMES)
    loop = asyncio.get_running_loop()
    for _ in range(5):
        connected = {one.discovery_key for one in here.talks}
        hungry = next(name for name in NAMES[1000:] if name not in connected)
        here.swarm.hungry(hungry, True)
        told = loop.time()
        while hungry not in {one.discovery_key for one in here.talks}:
            await asyncio.sleep(0.5)
            assert loop.time() - told <= 5


@pytest.mark.parametrize("reachable", [True, False])
def test_a_host_that_has_no_more_places_is_given_them_in_turns(reachable):
    """Also if it cannot call us: then some places here stay free for ever."""

    @story
    async def tell(world: World) -> None:
        names = NAMES[:400]
        limits = SwarmLimits(connections=64)
        await world.house(2, *names, archives=names, limits=limits)
        here = await world.house(1, archives=names, limits=limits)
        if not reachable:
            world.silent.add(here.address)
        for name in names:
            here.swarm.join(name, at_once=False)
        seen, _ = await turns(here, minutes=14)
        assert len(seen) >= 0.95 * len(names)

    tell()


@story
async def test_while_nobody_waits_nothing_is_closed(world):
    limits = SwarmLimits(connections=88)
    names = NAMES[:88]
    await world.house(2, *names, archives=names)
    here = await world.house(1, *names, archives=names, limits=limits)
    await asyncio.sleep(60)
    assert here.swarm.connected == len(names)

    def begun_and_ended_here() -> tuple[int, int]:
        closings = [one for one in here.ends if isinstance(one, asyncio.CancelledError)]
        return sum(caller == "10.0.0.1" for caller, _, _ in world.dials), len(closings)

    before = begun_and_ended_here()
    await asyncio.sleep(1200)
    assert begun_and_ended_here() == before
