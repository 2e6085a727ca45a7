"""The cable is pulled, and put back: machines first, then stories of whole swarms."""

import asyncio
import random
from itertools import pairwise

import pytest
from tests.helpers.swarms import NAME, PORT, House, World, story

from datd.swarm.limits import SwarmLimits
from datd.swarm.outage import MAX_LOST, PROBES_PER_SECOND, RECENT, Outage
from datd.swarm.peer import KnownPeer, Peer, State
from datd.swarm.peers import PeerTable
from datd.swarm.roster import Connection
from datd.transport.base import Stream
from datd.types import Address


def peer(number: int, state: State = State.WAITING) -> Peer:
    made = Peer(b"n", Address(f"198.51.100.{number}", PORT), "dns", state=state)
    made.last_success = 0.0
    return made


def lose(outage: Outage, *peers: Peer, now: float = 0.0) -> None:
    for one in peers:
        outage.silent(one.address.host, now)
        outage.missing(one)


def probes(outage: Outage, start: float, end: float) -> list[tuple[float, Peer]]:
    asked = []
    now: float | None = start
    while now is not None and now < end:
        one = outage.probe(now)
        if one is not None:
            one.probed_at = now
            asked.append((now, one))
        now = outage.next_time(now)
    return asked


def test_with_nobody_missing_there_is_no_outage():
    outage = Outage()
    assert not outage.active(0.0)
    assert outage.probe(0.0) is None
    assert outage.next_time(0.0) is None


def test_one_of_many_that_falls_silent_is_no_outage():
    outage, peers = Outage(), [peer(n) for n in range(10)]
    outage.pulse(peers, 0.0)
    lose(outage, peers[0])
    outage.pulse(peers[1:], 1.0)
    assert not outage.active(1.0)


def test_half_of_them_is_one():
    outage, peers = Outage(), [peer(n) for n in range(10)]
    outage.pulse(peers, 0.0)
    lose(outage, *peers[:5])
    outage.pulse(peers[5:], 1.0)
    assert outage.active(1.0)
    assert not outage.active(RECENT)  # those who are gone for good say nothing in the end


def test_ten_connections_with_one_host_are_one_voice():
    outage = Outage()
    lose(outage, *[peer(1) for _ in range(10)])
    outage.pulse([peer(2), peer(3)], 0.0)
    assert not outage.active(0.0)


def test_probes_take_turns_at_a_small_pace_that_slackens():
    outage, peers = Outage(), [peer(n) for n in range(100)]
    lose(outage, *peers)
    asked = probes(outage, 0.0, 30.0)
    assert len(asked) <= 30 * PROBES_PER_SECOND
    assert [one for _, one in asked] == peers[: len(asked)]
    assert len(asked) >= 50
    assert len(probes(outage, 600.0, 660.0)) in (5, 6)
    assert len(probes(outage, 86400.0, 86400.0 + 600.0)) == 10


def test_a_peer_that_is_being_dialled_is_not_probed():
    outage = Outage()
    lose(outage, peer(1, State.CONNECTING), peer(2, State.COVERED), peer(3, State.GONE))
    assert probes(outage, 0.0, 10.0) == []
    silent = peer(4, State.CONNECTED)
    lose(outage, silent)
    assert [round(at, 1) for at, _ in probes(outage, 20.0, 26.0)] == [20.0, 23.5]


def test_the_first_that_answers_makes_all_others_due():
    outage, peers = Outage(), [peer(n) for n in range(5)]
    lose(outage, *peers)
    assert set(outage.reached(peers[2], 60.0)) == set(peers) - {peers[2]}
    assert not outage.active(60.0)


@pytest.mark.parametrize("host", ["203.0.113.77", None])
def test_any_sign_of_life_will_do_when_nobody_was_left(host):
    outage, peers = Outage(), [peer(n) for n in range(5)]
    lose(outage, *peers)
    assert outage.life(host, 60.0) == peers


def test_an_old_connection_that_revives_is_a_sign_of_life():
    outage, peers = Outage(), [peer(n) for n in range(5)]
    outage.pulse(peers, 0.0)
    lose(outage, *peers)
    assert outage.pulse([], 10.0) == []
    assert outage.pulse(peers[:1], 60.0) == peers[1:]


def test_within_the_house_signs_say_nothing_about_the_way_out():
    outage, peers = Outage(), [peer(n) for n in range(5)]
    neighbour = peer(200)
    outage.pulse([*peers, neighbour], 0.0)
    lose(outage, *peers)
    outage.pulse([neighbour], 1.0)
    assert outage.life(neighbour.address.host, 2.0) == []
    assert outage.life("203.0.113.77", 2.0) == []
    assert set(outage.life(peers[3].address.host, 3.0)) == set(peers)


def test_a_stranger_that_calls_again_and_again_does_not_have_all_dialled_each_time():
    outage, peers = Outage(), [peer(n) for n in range(5)]
    released = 0
    for second in range(3600):
        lose(outage, *peers)  # nobody answers
        released += bool(outage.life("203.0.113.77", float(second)))
    assert released < 20


def test_who_waits_for_the_end_of_an_outage_is_told_even_if_it_just_passes():
    outage, peers = Outage(), [peer(n) for n in range(4)]
    outage.pulse(peers, 0.0)
    lose(outage, *peers[:2])
    assert outage.pulse(peers[2:], 0.0) == []
    assert outage.holds(peers[0], 1.0)
    assert set(outage.pulse(peers[2:], RECENT)) == {peers[0], peers[1]}


def test_memory_of_lost_hosts_is_bounded():
    outage = Outage()
    for number in range(3 * MAX_LOST):
        outage.silent(f"10.0.{number >> 8}.{number & 255}", 0.0)
    assert len(outage._lost) == MAX_LOST


# The table: who is dialled, and how often


class Far:
    """A table whose dials take their time: to fail without an answer, or to connect."""

    def __init__(self, archives: int, hosts: int) -> None:
        self.table = PeerTable(choose=random.Random(1).randrange, limits=SwarmLimits())
        self.now = 0.0
        self.reachable = True
        self.dials: list[float] = []
        self.connected: dict[Peer, float] = {}
        self._pending: list[tuple[float, Peer]] = []
        for number in range(archives):
            name = number.to_bytes(32, "big")
            host = number % hosts
            address = Address(f"198.51.{host >> 8}.{host & 255}", PORT)
            self.table.join(name, [KnownPeer(address, "tcp", -60.0, ("dns",), True)], 0.0)

    def run(self, seconds: float, until: bytes | None = None) -> None:
        end = self.now + seconds
        while self.now < end:
            if until is not None and any(peer.name == until for peer in self.connected):
                return
            self._step()
            self.now = round(self.now + 0.25, 2)

    def cut(self) -> None:
        """Everybody falls silent; the connections end when their time is over."""
        self.reachable = False
        self.run(7.5)
        self.table.pulse([], list(self.connected), self.now)
        self.run(12.5)
        for peer in self.connected:
            self.table.lost(peer, "silent for 20 s", self.now, silent=True)
        self.connected.clear()

    def _step(self) -> None:
        if self.reachable:
            self.table.pulse(list(self.connected), [], self.now)
        else:
            self.table.pulse([], list(self.connected), self.now)
        while (peer := self.table.next_dial(self.now)) is not None:
            self.dials.append(self.now)
            self._pending.append((self.now + (0.05 if self.reachable else 3.0), peer))
        due = [entry for entry in self._pending if entry[0] <= self.now]
        self._pending = [entry for entry in self._pending if entry[0] > self.now]
        for _, peer in due:
            if peer.state is not State.CONNECTING:
                continue
            if self.reachable:
                self.table.connected(peer, object(), "tcp", self.now)
                self.table.handshaken(peer, b"r" * 32, self.now)
                self.connected[peer] = self.now
            else:
                self.table.dial_failed(peer, "no answer in time", self.now)


@pytest.mark.parametrize(("archives", "hosts"), [(1, 1), (5000, 500)])
def test_after_a_minute_without_network_the_hungry_archive_is_back_within_5_seconds(
    archives, hosts
):
    far = Far(archives, hosts)
    far.run(300.0)
    assert len(far.connected) == min(archives, 1024)
    hungry = next(iter(far.connected)).name
    far.table.hungry(hungry, True)
    far.dials.clear()
    far.cut()
    far.run(40.0)
    assert len(far.dials) <= 2 * 60 + 1  # over all archives, in the minute without network
    assert far.dials
    far.reachable = True
    back = far.now
    far.run(30.0, until=hungry)
    assert far.now - back <= 5
    far.run(60.0)
    assert len(far.connected) == min(archives, 1024)
    assert len([at for at in far.dials if back <= at < back + 10]) <= 220  # 20 a second


def test_good_peers_of_an_earlier_life_are_probed_when_there_was_no_network_at_the_start():
    far = Far(100, 100)
    far.reachable = False
    far.run(120.0)
    assert len(far.dials) <= 100 + 2 * 120
    far.reachable = True
    far.run(15.0)
    assert len(far.connected) == 100


def test_who_is_joined_by_hand_does_not_wait_for_the_end_of_an_outage():
    far = Far(100, 100)
    far.reachable = False
    far.run(4 * 3600.0)
    address = Address("203.0.113.1", PORT)
    far.table.join(NAME, [KnownPeer(address, "tcp", 0.0)], far.now, urgent=True)
    asked = None
    while asked is None or asked.address != address:
        asked = far.table.next_dial(far.now)
        assert asked is not None


def test_a_peer_that_refuses_is_not_an_outage():
    far = Far(1, 1)
    far.run(1.0)
    (peer,) = far.connected
    far.table.lost(peer, None, far.now)
    times = []
    now: float | None = far.now
    while now is not None and now < 400:
        if (one := far.table.next_dial(now)) is not None:
            times.append(now)
            far.table.dial_failed(one, "refused", now, refused=True)
        now = far.table.next_time(now)
    assert len(times) == 7


# Whole swarms, without any discovery network


async def pair(world: World, *names: bytes) -> tuple[House, House]:
    a = await world.house(1, archives=names, discovers=False)
    b = await world.house(2, *names, archives=names, discovers=False)
    known = [KnownPeer(b.address, "tcp", asyncio.get_running_loop().time() - 3600)]
    for name in names:
        a.swarm.join(name, known=known)
    await asyncio.sleep(60)
    assert len(a.talks) == len(names)
    return a, b


@pytest.mark.parametrize("seconds", [10, 15, 19, 25, 60, 61.7, 120])
@pytest.mark.parametrize("side", [0, 1])
def test_cable_pulled_and_back_resumes_within_5_seconds_through_known_good_peers(seconds, side):
    @story
    async def tell(world: World) -> None:
        houses = await pair(world, NAME)
        a, b = houses
        world.cut(houses[side].address.host)
        await asyncio.sleep(seconds)
        assert a.heard_at[NAME] < asyncio.get_running_loop().time() - seconds + 1
        world.mend(houses[side].address.host)
        back = asyncio.get_running_loop().time()
        await asyncio.sleep(5)
        assert a.mates() == [b.peer_id]
        assert a.heard_at[NAME] > back
        assert b.heard_at[NAME] > back
        dialled = len(world.dials)
        await asyncio.sleep(600)
        assert (a.mates(), b.mates()) == ([b.peer_id], [a.peer_id])
        assert len(world.dials) <= dialled + 1
        assert len(a.ends) == 1  # the connection that was cut off; one dial at a time
        mine = [at for host, _, at in world.dials if host == a.address.host]
        assert all(second - first > 2.9 for first, second in pairwise(mine))

    tell()


@pytest.mark.parametrize("seconds", [9, 12, 18, 60])
@pytest.mark.parametrize("numbers", [(1, 2), (2, 1)])
def test_who_comes_back_is_not_refused_because_of_its_old_connection(seconds, numbers):
    @story
    async def tell(world: World) -> None:
        caller = await world.house(numbers[0], discovers=False)
        called = await world.house(numbers[1], NAME, discovers=False)
        known = [KnownPeer(called.address, "tcp", 0.0)]
        caller.swarm.join(NAME, known=known)
        await asyncio.sleep(60)
        world.cut(called.address.host)
        await asyncio.sleep(seconds)
        world.mend(called.address.host)
        await asyncio.sleep(5)
        back = asyncio.get_running_loop().time()
        await asyncio.sleep(4)
        assert caller.heard_at[NAME] > back
        assert called.heard_at[NAME] > back
        await asyncio.sleep(60)
        assert (len(caller.talks), len(called.talks)) == (1, 1)

    tell()


class Lingering(House):
    """A house that has something to write for long after the other one has ended."""

    async def _stay(self, connection: Connection, stream: Stream) -> None:
        await super()._stay(connection, stream)
        await asyncio.sleep(60)


@pytest.mark.parametrize("late", [0.1, 0.5, 1.5])
@pytest.mark.parametrize("seconds", [10, 12, 13.3, 60])
def test_the_end_of_an_earlier_life_does_not_keep_who_restarted_in_an_outage_away(seconds, late):
    @story
    async def tell(world: World) -> None:
        # What a kernel has still to say of a program that ended while the cable was out.
        world.back_off = late
        b = await world.house(2, NAME, discovers=False)
        a = Lingering(world, "10.0.0.1", b"a" * 32, discovers=False)
        await a.swarm.start("0.0.0.0", PORT)
        world.houses.append(a)
        a.swarm.join(NAME, known=[KnownPeer(b.address, "tcp", 0.0)])
        await asyncio.sleep(60)
        assert a.mates() == [b.peer_id]
        world.cut("10.0.0.2")
        await asyncio.sleep(1)
        await b.swarm.close()
        world.houses.remove(b)
        again = House(world, "10.0.0.2", b"new" * 10, discovers=False)
        await again.swarm.start("0.0.0.0", PORT)
        again.swarm.join(NAME)
        world.houses.append(again)
        await asyncio.sleep(seconds)
        world.mend("10.0.0.2")
        await asyncio.sleep(4)
        assert again.peer_id in a.mates()

    tell()


@story
async def test_of_300_archives_all_are_back_within_seconds(world):
    names = tuple(number.to_bytes(32, "big") for number in range(300))
    a, _ = await pair(world, *names)
    dialled = len(world.dials)
    world.cut(a.address.host)
    await asyncio.sleep(60)
    assert len(world.dials) - dialled <= 2 * 60
    world.mend(a.address.host)
    back = asyncio.get_running_loop().time()
    await asyncio.sleep(30)
    assert len(a.talks) == 300
    assert sum(at > back for at in a.heard_at.values()) == 300


@story
async def test_the_way_out_is_cut_while_a_neighbour_stays(world):
    a, _ = await pair(world, NAME)
    neighbour = await world.house(3, NAME, discovers=False)
    neighbour.swarm.add_peer(NAME, a.address)
    await asyncio.sleep(1)
    world.cut("10.0.0.2")
    await asyncio.sleep(60)
    assert a.mates() == [neighbour.peer_id]
    world.mend("10.0.0.2")
    await asyncio.sleep(5)
    assert len(a.talks) == 2


@story
async def test_the_same_peers_are_there_after_a_restart(world):
    a, b = await pair(world, NAME)
    (known,) = a.swarm.known_good(NAME)
    assert (known.address, known.kind) == (b.address, "tcp")
    await a.swarm.close()
    world.houses.remove(a)
    again = House(world, "10.0.0.1", b"new" * 10, discovers=False)
    await again.swarm.start("0.0.0.0", PORT)
    world.houses.append(again)
    again.swarm.join(NAME, known=[known])
    await asyncio.sleep(0.1)
    assert again.mates() == [b.peer_id]
    (view,) = again.swarm.peers(NAME)
    assert (view.address, view.source, view.connected) == (b.address, "remembered", True)
