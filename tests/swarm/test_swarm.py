"""Stories of whole swarms on a network in memory, in virtual time."""

import asyncio
import logging
import random
import socket
from collections.abc import Callable
from ipaddress import ip_network

import pytest
from tests.helpers.ports import free_port
from tests.helpers.swarms import NAME, OTHER, PORT, House, World, story

from datd.errors import (
    ForkError,
    IntegrityError,
    ProtocolError,
    StorageError,
    Timeout,
    UnknownArchive,
)
from datd.swarm.limits import SwarmLimits
from datd.swarm.roster import Connection, Refused
from datd.swarm.rules import AddressRules
from datd.swarm.swarm import Swarm
from datd.transport.base import Stream
from datd.transport.tcp import TcpTransport
from datd.types import Address
from datd.udp.socket import UdpSocket


@story
async def test_two_hosts_find_each_other_and_keep_one_connection(world):
    a = await world.house(1, NAME)
    b = await world.house(2, NAME)
    await asyncio.sleep(5)
    assert (a.mates(), b.mates()) == ([b.peer_id], [a.peer_id])
    assert (a.view().state, a.view().source) == ("connected", "memory")
    assert a.swarm.connected == b.swarm.connected == 1


@story
async def test_of_two_crossing_dials_both_ends_keep_the_one_of_the_smaller_id(world):
    small, large = await world.house(1, NAME), await world.house(2, NAME)
    small.swarm.add_peer(NAME, large.address)
    large.swarm.add_peer(NAME, small.address)
    await asyncio.sleep(5)
    assert len(world.dials) == 2
    assert [talk.initiator for talk in small.talks] == [True]
    assert [talk.initiator for talk in large.talks] == [False]
    await asyncio.sleep(600)
    assert len(world.dials) == 2  # closing the loser is no reason to dial
    assert large.view().address == small.address  # shown where it listens


@story
async def test_a_peer_by_hand_is_dialled_at_once_also_on_loopback(world):
    a = await world.house(1, NAME)
    transport, _ = world.host("127.0.0.1")
    await transport.listen("127.0.0.1", PORT, lambda stream: stream.abort())
    before = asyncio.get_running_loop().time()
    a.swarm.add_peer(NAME, Address("127.0.0.1", PORT))
    await asyncio.sleep(0.5)
    assert [time for _, _, time in world.dials] == [before]


@story
async def test_a_host_that_is_silent_is_given_up_after_three_seconds(world):
    a = await world.house(1, NAME)
    world.silent.add(Address("10.0.0.9", PORT))
    a.swarm.add_peer(NAME, Address("10.0.0.9", PORT))
    await asyncio.sleep(2.9)
    assert a.view().state == "connecting"
    await asyncio.sleep(0.2)
    assert (a.view().state, a.view().last_error) == ("waiting", "no answer in time")


@story
async def test_where_nobody_listens_the_reason_is_shown(world):
    a = await world.house(1, NAME)
    a.swarm.add_peer(NAME, Address("10.0.0.9", PORT))
    await asyncio.sleep(0.5)
    assert a.view().last_error == "Connection refused"
    await asyncio.sleep(3600)
    assert len(world.dials) > 10


@story
async def test_a_lost_peer_is_dialled_again(world):
    a, b = await world.house(1, NAME), await world.house(2)
    b.swarm.join(NAME, announce=True)
    await asyncio.sleep(30)
    dialled = len(world.dials)
    for talk in list(b.talks):
        talk.stream.abort()
    await asyncio.sleep(2)
    assert len(world.dials) > dialled
    assert (a.mates(), b.mates()) == ([b.peer_id], [a.peer_id])


@story
async def test_a_host_that_comes_up_later_is_found_within_70_seconds(world):
    a = await world.house(1)
    a.swarm.join(NAME, announce=False)
    await asyncio.sleep(100)
    b = await world.house(2)
    b.discovery.join(NAME, True)  # it announces, but asks nothing
    b.swarm._table.join(NAME)
    await asyncio.sleep(71)
    assert a.mates() == [b.peer_id]


@story
async def test_a_connection_with_oneself_ends_and_is_not_tried_again(world):
    a = await world.house(1, NAME)
    a.swarm.add_peer(NAME, a.address)
    await asyncio.sleep(3600)
    assert len(world.dials) == 1
    assert a.talks == {}
    assert (a.view().state, a.view().dropped) == ("banned", "it is this daemon itself")


def bad_signature(connection: Connection) -> None:
    raise IntegrityError("the signature does not hold", index=3, signature=True)


@story
async def test_t21_who_sends_a_bad_signature_is_left_for_an_hour(world):
    a, b = await world.house(1, NAME), await world.house(2, NAME)
    a.after = bad_signature
    a.swarm.add_peer(NAME, b.address)
    await asyncio.sleep(3500)
    assert (a.view().state, a.view().dropped) == ("banned", "bad signature")
    assert a.view().marks["bad_signatures"] == 1
    assert [host for host, _, _ in world.dials].count("10.0.0.1") == 1
    assert a.talks == b.talks == {}  # nor may it call


@story
async def test_a_bad_block_is_named_after_the_connection_is_gone(world):
    a, b = await world.house(1), await world.house(2, archives=(NAME,))
    a.swarm.join(NAME, announce=False)
    b.swarm.join(NAME, announce=True)

    def bad_block(connection: Connection) -> None:
        connection.delivered(5)
        raise IntegrityError("its hash is another", index=17)

    a.after = bad_block
    await asyncio.sleep(3)
    assert a.view().dropped == "bad block 17"
    assert not a.view().connected
    a.after = lambda connection: None
    await asyncio.sleep(30)
    assert a.view().connected  # a disk with a fault is given another chance
    assert a.view().dropped == "bad block 17"


@story
async def test_who_sends_three_bad_blocks_and_no_good_one_is_banned(world):
    a, b = await world.house(1, NAME), await world.house(2, NAME)
    indexes = iter(range(100))

    def bad_block(connection: Connection) -> None:
        raise IntegrityError("its hash is another", index=next(indexes))

    a.after = bad_block
    a.swarm.add_peer(NAME, b.address)
    await asyncio.sleep(1000)
    assert a.view().state == "banned"
    assert next(indexes) == 3


@story
async def test_t24_fifty_liars_do_not_keep_an_honest_peer_away(world):
    a = await world.house(1)
    a.swarm.join(NAME, announce=False)
    for number in range(2, 52):
        liar = await world.house(number)
        liar.swarm._table.join(NAME)
    honest = await world.house(99)
    honest.swarm._table.join(NAME)
    for house in world.houses[1:]:
        a.swarm.add_peer(NAME, house.address)

    def judge(connection: Connection) -> None:
        if a.talks[connection] != honest.peer_id:
            bad_signature(connection)

    a.after = judge
    await asyncio.sleep(60)
    assert a.mates() == [honest.peer_id]
    assert sum(view.state == "banned" for view in a.swarm.peers(NAME)) == 50


@pytest.mark.parametrize(
    ("error", "state", "dropped"),
    [
        (ProtocolError("a frame above 8 MiB"), "waiting", "a frame above 8 MiB"),
        (IntegrityError("the proof does not fit"), "waiting", "the proof does not fit"),
        (
            ForkError("x", index=1, length=9, root_hash=bytes(32), evidence=bytes(64)),
            "waiting",
            "another history of the archive, 9 blocks long",
        ),
        (StorageError("disk is full"), "waiting", None),
        (Refused("enough"), "waiting", None),
        (OSError("reset"), "waiting", None),
        (Timeout("no word"), "waiting", None),
        (TimeoutError(), "waiting", None),
        (UnknownArchive("left"), "waiting", None),
        (KeyError("a bug"), "waiting", None),
        (None, "waiting", None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_how_a_talk_ends_is_judged(error, state, dropped, caplog):
    async def tell(world: World) -> None:
        a, b = await world.house(1), await world.house(2, NAME)
        a.swarm.join(NAME, announce=False)

        def end(connection: Connection) -> None:
            if error is not None:
                raise ExceptionGroup("two tasks", [error, OSError("and so the other broke")])
            connection.stream.close()

        a.after = end
        a.swarm.add_peer(NAME, b.address)
        await asyncio.sleep(0.5)
        assert (a.view().state, a.view().dropped) == (state, dropped)
        assert a.talks == b.talks == {}
        a.after = lambda connection: None
        await asyncio.sleep(10)
        assert a.mates() == [b.peer_id]  # that connection only

    with caplog.at_level(logging.ERROR):
        story(tell)()
    assert ("KeyError" in caplog.text) == isinstance(error, KeyError)


@story
async def test_t4_unknown_archives_end_without_a_word_and_20_a_minute_are_enough(world):
    a = await world.house(1, NAME, limits=SwarmLimits(calls_per_second=1000))
    transport, _ = world.host("203.0.113.1")
    for number in range(20):
        stream = await transport.dial(a.address)
        await stream.write(bytes([number]) * 64)
        assert await stream.read() == b""
        stream.close()
    stream = await transport.dial(a.address)
    with pytest.raises(ConnectionResetError):
        await stream.read()
    stream.close()
    await asyncio.sleep(61)
    stream = await transport.dial(a.address)
    await stream.write(NAME + bytes(32))
    assert await stream.read() == a.peer_id
    stream.close()
    await asyncio.sleep(1)


@story
async def test_t3_an_honest_peer_gets_through_a_crowd_of_silent_callers(world):
    a = await world.house(1)
    a.swarm.join(NAME, announce=False)
    for number in range(40):
        transport, _ = world.host(f"203.0.113.{number}")
        for _ in range(8):
            await transport.dial(a.address)
    assert a.swarm.connected == 128
    b = await world.house(2, NAME)
    b.swarm.add_peer(NAME, a.address)
    await asyncio.sleep(1)
    assert b.peer_id in a.mates()


@story
async def test_leaving_ends_the_talks_about_an_archive_and_no_others(world):
    a, b = await world.house(1, NAME, OTHER), await world.house(2, NAME, OTHER)
    await asyncio.sleep(10)
    assert len(a.talks) == len(b.talks) == 2
    await a.swarm.leave(NAME)
    assert [talk.discovery_key for talk in a.talks] == [OTHER]
    assert a.swarm.peers(NAME) == []
    asked = a.discovery.lookups.count(NAME)
    a.archives = (OTHER,)
    await asyncio.sleep(300)
    assert [talk.discovery_key for talk in a.talks] == [OTHER]
    assert a.discovery.lookups.count(NAME) == asked
    a.archives = (NAME, OTHER)
    a.swarm.join(NAME)
    await asyncio.sleep(100)
    assert len(a.talks) == 2


@story
async def test_leaving_ends_dials_that_are_on_their_way(world):
    a = await world.house(1, NAME)
    world.silent.add(Address("10.0.0.9", PORT))
    a.swarm.add_peer(NAME, Address("10.0.0.9", PORT))
    await asyncio.sleep(0.1)
    await a.swarm.leave(NAME)
    assert a.swarm._dials == {}


@story
async def test_leaving_waits_also_for_a_talk_that_gave_way_to_another_and_is_ending(world):
    a, b = await world.house(2, NAME), await world.house(1, NAME)
    serve, talking = a._serve, list[Connection]()

    async def slow_to_end(connection: Connection) -> None:
        talking.append(connection)
        try:
            await serve(connection)
        finally:
            if connection is talking[0]:
                await asyncio.sleep(1)  # it has something to put away
            talking.remove(connection)

    a.swarm._serve = slow_to_end
    await asyncio.sleep(5)
    assert len(talking) == 1
    transport, _ = world.host("10.0.0.1")
    again = await transport.dial(a.address)
    await again.write(NAME + b.peer_id)  # the same peer calls once more: the older one goes
    await asyncio.sleep(0.1)
    assert len(talking) == 2
    await a.swarm.leave(NAME)
    assert talking == []
    await b.swarm.leave(NAME)


@story
async def test_an_archive_may_be_left_from_within_a_talk_about_it(world):
    a, b = await world.house(1, NAME), await world.house(2, NAME)

    async def serve(connection: Connection) -> None:
        await a.swarm.leave(NAME)

    a.swarm._serve = serve
    a.swarm.add_peer(NAME, b.address)
    await asyncio.sleep(5)
    assert a.swarm.connected == 0


@story
async def test_closing_takes_less_than_two_seconds_whatever_the_talks_do(world):
    a, b = await world.house(1, NAME), await world.house(2, NAME)

    async def stubborn(connection: Connection) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(1)  # it has something to put away

    a.swarm._serve = stubborn
    a.swarm.add_peer(NAME, b.address)
    await asyncio.sleep(1)
    before = asyncio.get_running_loop().time()
    await a.swarm.close()
    assert asyncio.get_running_loop().time() - before < 2
    world.houses.remove(a)
    await asyncio.sleep(1)
    assert b.swarm.connected == 0


@story
async def test_a_dial_that_is_due_while_all_ends_is_not_begun(world):
    a, b = await world.house(1, NAME), await world.house(2, NAME)
    a.swarm.add_peer(NAME, b.address)
    before = asyncio.get_running_loop().time()
    async with asyncio.timeout(60):
        await a.swarm.close()
    assert asyncio.get_running_loop().time() - before < 2
    assert world.dials == []
    world.houses.remove(a)


@story
async def test_a_taken_port_gives_way_and_the_new_one_is_announced(world):
    a = await world.house(1, NAME)
    other = House(world, "10.0.0.1", b"x" * 32)
    port = await other.swarm.start("0.0.0.0", PORT)
    assert port != PORT
    other.swarm.join(NAME)
    b = await world.house(2, NAME)
    await asyncio.sleep(10)
    assert sorted(b.mates()) == sorted([a.peer_id, other.peer_id])
    await other.swarm.close()


@pytest.mark.parametrize("kinds", [("tcp", "utp"), ("tcp",), ("utp",)])
async def test_tcp_and_udp_take_one_number_even_if_half_of_the_preferred_pair_is_taken(kinds):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as squatter:
        squatter.bind(("127.0.0.1", 0))
        wanted = squatter.getsockname()[1]
        swarm, udp = real_swarm(kinds)
        port = await swarm.start("127.0.0.1", wanted)
        assert port != wanted
        assert udp.port == port
        assert listens(port) or "tcp" not in kinds
        await swarm.close()
        assert udp.port == 0


@pytest.mark.parametrize("kinds", [("tcp", "utp"), ("tcp",), ("utp",)])
async def test_the_preferred_number_is_taken_if_it_is_free(kinds):
    wanted = free_port()  # nobody else has it, over TCP neither
    swarm, udp = real_swarm(kinds)
    assert await swarm.start("127.0.0.1", wanted) == udp.port == wanted
    assert listens(wanted) == ("tcp" in kinds)
    await swarm.close()


def listens(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


class SharesUdp(TcpTransport):
    """Listens on the shared socket, as uTP does, and on nothing of its own."""

    kind = "utp"

    def __init__(self, udp: UdpSocket) -> None:
        super().__init__()
        self._udp = udp

    async def listen(self, host: str, port: int, on_stream: Callable[[Stream], None]) -> int:
        return await self._udp.listen(host, port)


def real_swarm(kinds: tuple[str, ...]) -> tuple[Swarm, UdpSocket]:
    async def serve(connection: Connection) -> None:
        pass

    udp = UdpSocket()
    swarm = Swarm(
        transports=[TcpTransport() if kind == "tcp" else SharesUdp(udp) for kind in kinds],
        networks=[],
        serve=serve,
        peer_id=b"p" * 32,
        clock=asyncio.get_running_loop().time,
        choose=random.Random(1).randrange,
        udp=udp,
    )
    return swarm, udp


BOTH = ("tcp", "utp")


@pytest.mark.parametrize(
    ("mine", "others", "kind"),
    [
        (BOTH, BOTH, "tcp"),
        (BOTH, ("utp",), "utp"),
        (("utp",), BOTH, "utp"),
        (("tcp",), BOTH, "tcp"),
    ],
)
def test_the_best_transport_that_both_have_is_taken(mine, others, kind):
    @story
    async def tell(world: World) -> None:
        a = await world.house(1, NAME, kinds=mine)
        b = await world.house(2, NAME, kinds=others)
        await asyncio.sleep(10)
        assert [talk.stream.kind for talk in a.talks] == [kind]
        assert (a.mates(), b.mates()) == ([b.peer_id], [a.peer_id])

    tell()


@story
async def test_how_each_transport_fared_is_shown(world):
    a = await world.house(1, NAME, kinds=BOTH)
    b = await world.house(2, NAME, kinds=("utp",), discovers=False)
    a.swarm.add_peer(NAME, b.address)
    await asyncio.sleep(5)
    assert a.view().kind == "utp"
    assert a.view().tried == {"tcp": "Connection refused", "utp": "connected"}


@story
async def test_a_caller_that_says_nothing_did_nothing_wrong(world):
    a = await world.house(1, NAME)
    transport, _ = world.host("203.0.113.1")
    stream = await transport.dial(a.address)  # the loser of a race at its own end
    await asyncio.sleep(6)
    assert a.swarm.connected == 0
    assert a.swarm.peers(NAME) == []
    stream.close()


@story
async def test_blocked_hosts_are_neither_dialled_nor_taken_in(world):
    a = await world.house(1, NAME, rules=AddressRules(block=[ip_network("10.0.0.2/32")]))
    b = await world.house(2, NAME)
    b.swarm.add_peer(NAME, a.address)
    a.swarm.add_peer(NAME, b.address)
    await asyncio.sleep(60)
    assert a.talks == b.talks == {}
    assert {host for host, _, _ in world.dials} == {"10.0.0.2"}
    assert "blocked" in str(a.view().last_error)
    a.swarm.obey(AddressRules())
    await asyncio.sleep(1)
    assert b.peer_id in a.mates()


@story
async def test_rules_that_change_cut_connections_off(world):
    a, b = await world.house(1, NAME), await world.house(2, NAME)
    c = await world.house(3, NAME)
    await asyncio.sleep(30)
    assert len(a.talks) == 2
    a.swarm.obey(AddressRules(allow=[ip_network("10.0.0.3/32")]))
    await asyncio.sleep(300)
    assert a.mates() == [c.peer_id]
    assert b.mates() == [c.peer_id]


@story
async def test_an_archive_uses_the_networks_it_was_joined_with(world):
    a = await world.house(1)
    a.swarm.join(NAME, networks=frozenset())
    a.swarm.join(OTHER, networks=frozenset({"memory"}))
    await asyncio.sleep(200)
    assert set(a.discovery.lookups) == {OTHER}
    a.swarm.join(OTHER, networks=frozenset({"another"}))
    a.swarm.join(NAME)
    asked = len(a.discovery.lookups)
    await asyncio.sleep(200)
    assert set(a.discovery.lookups[asked:]) == {NAME}
    await a.swarm.leave(NAME)
    await a.swarm.leave(OTHER)
    assert a.discovery._names == {}


@story
async def test_archives_that_are_not_joined_at_once_are_spread_out(world):
    a = await world.house(1)
    for number in range(100):
        a.swarm.join(number.to_bytes(32, "big"), at_once=False)
    await asyncio.sleep(5)
    assert len(a.discovery.lookups) < 50
    await asyncio.sleep(120)
    assert len(set(a.discovery.lookups)) == 100


@story
async def test_the_own_public_address_is_not_dialled(world):
    a = await world.house(1, NAME)
    a.swarm.public_address("203.0.113.5", PORT)
    a.swarm._found("dht", NAME, Address("203.0.113.5", PORT), Address("198.51.100.1", 6881))
    await asyncio.sleep(60)
    assert world.dials == []


@story
async def test_a_network_that_does_not_close_well_keeps_nobody_from_ending(world):
    a, b = await world.house(1, NAME), await world.house(2, NAME)
    await asyncio.sleep(10)

    async def fail() -> None:
        raise RuntimeError("no way out")

    a.discovery.close = fail
    await a.swarm.close()
    world.houses.remove(a)
    await asyncio.sleep(1)
    assert b.talks == {}


@story
async def test_a_start_that_fails_leaves_nothing_behind(world):
    a = House(world, "10.0.0.1", b"x" * 32)

    async def refuse(*_: object) -> None:
        raise OSError("no such address")

    a.discovery.start = refuse  # type: ignore[assignment]
    with pytest.raises(OSError, match="no such address"):
        await a.swarm.start("0.0.0.0", PORT)
    assert world.listeners == {}


@story
async def test_ten_thousand_archives_cost_no_task_each_and_are_all_looked_up(world):
    a = await world.house(1)
    names = [number.to_bytes(32, "big") for number in range(10_000)]
    for name in names:
        a.swarm.join(name)
    await asyncio.sleep(250)
    assert len(asyncio.all_tasks()) <= 3
    assert set(a.discovery.lookups) == set(names)
    for name in names:
        await a.swarm.leave(name)
    assert a.swarm._table._archives == {}
    assert len(a.swarm._schedule) == 0


@story
async def test_2000_connections_leave_nothing_behind(world):
    a, b = await world.house(1), await world.house(2, NAME)
    for _ in range(2000):
        a.swarm.join(NAME, announce=False)
        a.swarm.add_peer(NAME, b.address)
        await asyncio.sleep(0.5)
        assert a.mates() == [b.peer_id]
        await a.swarm.leave(NAME)
    await asyncio.sleep(1)
    for house in (a, b):
        assert (house.talks, house.swarm._talks, house.swarm._dials) == ({}, {}, {})
        assert house.swarm.connected == 0
    assert len(asyncio.all_tasks()) == 3  # two clocks and this story


@story
async def test_two_daemons_on_one_host_find_each_other_by_multicast(world):
    one = await world.house(1, NAME)
    other = House(world, "10.0.0.1", b"\x02" * 32)  # at another port
    world.houses.append(other)
    await other.swarm.start("0.0.0.0", PORT)
    other.swarm.join(NAME)
    await asyncio.sleep(30)
    assert one.mates() == [other.peer_id]
    assert other.mates() == [one.peer_id]


@story
async def test_t32_a_server_does_not_send_us_to_other_services_of_this_host(world):
    house = await world.house(1, NAME, discovers=False)
    for teller in ("10.0.0.9", "198.51.100.1"):
        house.swarm._found("dns", NAME, Address("10.0.0.1", 22), Address(teller, 5300))
    await asyncio.sleep(30)
    assert world.dials == []
    house.swarm.add_peer(NAME, Address("10.0.0.1", 22))
    await asyncio.sleep(1)
    assert world.dials
