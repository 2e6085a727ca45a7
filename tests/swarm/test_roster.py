import asyncio
import itertools
import random
from ipaddress import ip_network

import pytest
from tests.helpers.network import MemoryNetwork, MemoryStream

from datd.swarm.limits import SILENT, SwarmLimits
from datd.swarm.peers import PeerTable
from datd.swarm.roster import MAX_DISTRUSTED, Connection, Refused, Roster
from datd.swarm.rules import AddressRules
from datd.types import Address

NAME, OTHER = b"n" * 32, b"o" * 32
SMALL, OWN, LARGE = b"\x01" * 32, b"\x7f" * 32, b"\xff" * 32


class Nowhere(MemoryStream):
    """A stream without another end."""

    ended = ""

    def says_goodbye(self) -> None:
        self._ended = True

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = self.ended or "aborted"


class House:
    """A roster with its table, and streams that lead nowhere."""

    def __init__(self, limits: SwarmLimits | None = None, own_id: bytes = OWN) -> None:
        limits = limits or SwarmLimits()
        self.now = 0.0
        self.table = PeerTable(choose=random.Random(1).randrange, limits=limits)
        self.table.join(NAME)
        self.table.join(OTHER)
        self.roster = Roster(self.table, own_id, limits)
        self.cut: list[Connection] = []
        self._network = MemoryNetwork()
        self._ports = 1024

    def calls(self, host: str = "203.0.113.1", kind: str = "tcp") -> Connection:
        self._ports += 1
        stream = Nowhere(self._network, Address(host, self._ports), kind)
        return self._enter(Connection(stream, roster=self.roster, clock=lambda: self.now))

    def names(self, connection: Connection, name: bytes = NAME) -> Connection:
        connection.identify(name)
        return connection

    def dials(self, kind: str = "tcp", name: bytes = NAME) -> Connection:
        self._ports += 1
        self.table.add(name, Address("203.0.113.1", self._ports), self.now)
        peer = self.table.next_dial(self.now)
        assert peer is not None
        stream = Nowhere(self._network, peer.address, kind)
        connection = Connection(stream, roster=self.roster, clock=lambda: self.now, peer=peer)
        self.table.connected(peer, connection, kind, self.now)
        return self._enter(connection)

    def _enter(self, connection: Connection) -> Connection:
        connection.cut = lambda: self.cut.append(connection)
        self.roster.enter(connection)
        return connection

    def ends(self, connection: Connection) -> None:
        self.roster.forget(connection)
        if connection.peer is not None:
            self.table.lost(connection.peer, None, self.now)


@pytest.fixture
def house() -> House:
    return House()


def test_a_caller_is_known_once_it_named_an_archive(house):
    caller = house.calls()
    assert (caller.initiator, caller.discovery_key) == (False, None)
    caller.identify(NAME)
    assert caller.discovery_key == NAME
    caller.identify(NAME)  # the same again is no news
    caller.handshaken(LARGE)
    (view,) = house.table.views(NAME, 0.0)
    assert view.connected
    assert view.connection is caller
    assert house.roster.about(NAME) == [caller]


def test_a_connection_is_about_one_archive(house):
    caller = house.names(house.calls())
    with pytest.raises(Refused, match="another archive"):
        caller.identify(OTHER)


def test_hands_are_shaken_about_something(house):
    with pytest.raises(Refused):
        house.calls().handshaken(LARGE)


def test_an_archive_that_was_left_in_between_is_refused(house):
    caller = house.calls()
    house.table.leave(NAME)
    with pytest.raises(Refused, match="not shared"):
        caller.identify(NAME)


# Who stays, of two connections with one peer: that dialled by the smaller id (discovery.md, 10).


def test_the_larger_peer_keeps_our_dial(house):
    ours, theirs = house.dials(), house.names(house.calls())
    ours.handshaken(LARGE)
    with pytest.raises(Refused, match="already"):
        theirs.handshaken(LARGE)
    assert house.cut == []


def test_the_larger_peer_keeps_our_dial_whichever_came_first(house):
    ours, theirs = house.dials(), house.names(house.calls())
    theirs.handshaken(LARGE)
    ours.handshaken(LARGE)
    assert house.cut == [theirs]


def test_of_the_smaller_peer_we_keep_its_call(house):
    ours, theirs = house.dials(), house.names(house.calls())
    ours.handshaken(SMALL)
    theirs.handshaken(SMALL)
    assert house.cut == [ours]


def test_of_the_smaller_peer_we_keep_its_call_whichever_came_first(house):
    ours, theirs = house.dials(), house.names(house.calls())
    theirs.handshaken(SMALL)
    with pytest.raises(Refused, match="already"):
        ours.handshaken(SMALL)
    assert house.cut == []


def left(own_id: bytes, remote_id: bytes, arrivals: list[tuple[bytes, str]]) -> list[int]:
    """Which of two connections, each (who dialled, kind), one end keeps; 0 is the first arrival."""
    house = House(own_id=own_id)
    made = [
        house.dials(kind) if dialler == own_id else house.names(house.calls(kind=kind))
        for dialler, kind in arrivals
    ]
    kept = []
    for number, connection in enumerate(made):
        try:
            connection.handshaken(remote_id)
        except Refused:
            continue
        kept.append(number)
    return [number for number in kept if made[number] not in house.cut]


KINDS = list(itertools.product(["tcp", "utp"], repeat=2))


@pytest.mark.parametrize(("of_small", "of_large"), KINDS)
@pytest.mark.parametrize("at_small", [0, 1])
@pytest.mark.parametrize("at_large", [0, 1])
def test_both_ends_keep_the_same_of_two_crossing_dials(of_small, of_large, at_small, at_large):
    dials = [(SMALL, of_small), (LARGE, of_large)]
    kept = []
    for own, remote, order in ((SMALL, LARGE, at_small), (LARGE, SMALL, at_large)):
        arrivals = dials[::-1] if order else dials
        (survivor,) = left(own, remote, arrivals)
        kept.append(arrivals[survivor])
    assert kept[0] == kept[1]
    # discovery.md section 10: TCP, else that of the smaller id.
    better = "tcp" if of_small != of_large else of_small
    assert kept[0] == next(dial for dial in dials if dial[1] == better)


@pytest.mark.parametrize(("old_kind", "new_kind"), KINDS)
@pytest.mark.parametrize("old_ours", [True, False])
@pytest.mark.parametrize("new_ours", [True, False])
@pytest.mark.parametrize("remote_id", [SMALL, LARGE])
def test_the_rule_word_for_word(old_kind, new_kind, old_ours, new_ours, remote_id):
    arrivals = [
        (OWN if old_ours else remote_id, old_kind),
        (OWN if new_ours else remote_id, new_kind),
    ]
    new_goes = (
        (new_ours and remote_id < OWN)
        or (not new_ours and remote_id > OWN)
        or (new_kind == "utp" and old_kind == "tcp")
    )
    tcp_comes = old_kind == "utp" and new_kind == "tcp"
    stays = 0 if new_goes and not tcp_comes else 1
    assert left(OWN, remote_id, arrivals) == [stays]


@pytest.mark.parametrize("remote_id", [SMALL, LARGE])
@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize(("old_kind", "new_kind"), KINDS)
def test_a_peer_that_was_cut_off_and_comes_back_takes_the_place_of_its_silent_connection(
    house, remote_id, ours, old_kind, new_kind
):
    old = house.dials(old_kind) if ours else house.names(house.calls(kind=old_kind))
    old.handshaken(remote_id)
    house.now = SILENT
    new = house.dials(new_kind) if ours else house.names(house.calls(kind=new_kind))
    new.handshaken(remote_id)
    assert house.cut == [old]
    house.ends(old)
    assert house.roster.about(NAME) == [new]


def test_a_silent_connection_gives_way_to_a_new_dial_unless_it_revived(house):
    old = house.dials()
    old.handshaken(LARGE)
    peer = old.peer
    house.now = SILENT - 0.1
    assert not house.roster.supplant(old, house.now)
    house.now = SILENT
    assert house.roster.supplant(old, house.now)
    assert house.cut == [old]
    assert old.peer is None
    house.ends(old)  # of no consequence for the peer
    assert peer is not None
    assert peer.state == "connected"


def ended_by_the_peer(connection: Connection) -> None:
    stream = connection.stream._stream
    assert isinstance(stream, Nowhere)
    stream.says_goodbye()
    assert asyncio.run(connection.stream.read()) == b""


def test_a_connection_that_the_peer_has_ended_gives_way_though_it_was_heard_a_moment_ago(house):
    old = house.dials()
    old.handshaken(SMALL)
    ended_by_the_peer(old)
    assert house.roster.supplant(old, house.now)
    assert house.cut == [old]


@pytest.mark.parametrize("ours", [True, False])
def test_nor_does_it_keep_a_peer_that_calls_again_away(house, ours):
    old = house.names(house.calls()) if ours else house.dials()
    stays = LARGE if ours else SMALL  # by the rule, the old one
    old.handshaken(stays)
    ended_by_the_peer(old)
    new = house.names(house.calls())
    new.handshaken(stays)
    assert house.cut == [old]
    assert house.roster.about(NAME) == [new]


def test_an_ended_connection_does_not_say_that_the_peer_is_there(house):
    old = house.dials()
    old.handshaken(SMALL)
    assert house.roster.pulse(house.now) == 1
    house.now = SILENT
    assert house.roster.pulse(house.now) == 0  # it is silent, and will be probed
    ended_by_the_peer(old)
    assert house.roster.pulse(house.now) == 0
    house.now += 1
    assert house.table.next_dial(house.now) is old.peer


def test_who_is_blocked_may_not_call_and_is_cut_off():
    house = House()
    caller = house.calls()
    house.table.obey(AddressRules(block=[ip_network("203.0.113.0/24")]), 0.0)
    assert not house.roster.may_call("203.0.113.1", 0.0)
    assert house.roster.may_call("198.51.100.1", 0.0)
    assert house.roster.refused() == [caller]


@pytest.mark.parametrize("remote_id", [SMALL, LARGE])
def test_tcp_wins_over_utp_whoever_dialled(house, remote_id):
    utp, tcp = house.dials(kind="utp"), house.names(house.calls(kind="tcp"))
    utp.handshaken(remote_id)
    tcp.handshaken(remote_id)
    assert house.cut == [utp]
    late = house.dials(kind="utp")
    with pytest.raises(Refused, match="already"):
        late.handshaken(remote_id)


def test_a_peer_may_be_connected_for_each_archive(house):
    first, second = house.dials(name=NAME), house.dials(name=OTHER)
    first.handshaken(LARGE)
    second.handshaken(LARGE)
    assert house.cut == []


def test_peers_without_an_id_are_not_told_apart(house):
    for _ in range(3):
        house.names(house.calls()).handshaken(b"")
    assert house.cut == []


def test_the_loser_is_not_dialled_again_until_the_winner_is_gone(house):
    ours, theirs = house.dials(), house.names(house.calls())
    theirs.handshaken(SMALL)
    with pytest.raises(Refused):
        ours.handshaken(SMALL)
    house.ends(ours)
    house.now = 100.0
    assert house.table.next_dial(house.now) is None
    house.ends(theirs)
    house.now = 101.0
    assert house.table.next_dial(house.now) is ours.peer


def test_after_the_end_of_a_connection_the_peer_may_come_again(house):
    first = house.names(house.calls())
    first.handshaken(LARGE)
    house.ends(first)
    house.ends(first)
    house.names(house.calls()).handshaken(LARGE)
    assert len(house.roster) == 1


def test_a_connection_with_this_daemon_itself_ends_at_both_ends(house):
    ours, theirs = house.dials(), house.names(house.calls())
    for end in (ours, theirs):
        with pytest.raises(Refused, match="itself"):
            end.handshaken(OWN)
        house.ends(end)
    assert house.table.next_dial(1000.0) is None
    (view,) = house.table.views(NAME, 1000.0)
    assert (view.state, view.dropped) == ("banned", "it is this daemon itself")


# Limits


def test_t3_32_silent_callers_of_one_address(house):
    limits = SwarmLimits()
    for second in range(10):
        for _ in range(16):
            if house.roster.may_call("203.0.113.1", float(second)):
                house.calls()
    assert len(house.roster) == limits.callers_per_address
    assert house.roster.may_call("203.0.113.2", 10.0)


def test_t3_128_callers_without_handshake_the_oldest_goes(house):
    callers = [house.calls(f"203.0.113.{n}") for n in range(130)]
    assert house.cut == callers[:2]
    honest = house.names(house.calls("198.51.100.1"))
    honest.handshaken(LARGE)
    for number in range(200):
        house.calls(f"192.0.2.{number}")
    assert honest not in house.cut


def test_l18_16_calls_a_second_from_one_address(house):
    assert [house.roster.may_call("203.0.113.1", 0.5) for _ in range(20)].count(True) == 16
    assert house.roster.may_call("203.0.113.1", 1.6)


def test_t4_who_asks_for_20_unknown_archives_in_a_minute_has_to_wait(house):
    for _ in range(20):
        assert house.roster.may_call("203.0.113.1", 0.0) or True
        caller = house.calls()
        house.roster.unknown(caller, 0.0)
        house.ends(caller)
    assert not house.roster.may_call("203.0.113.1", 59.0)
    assert house.roster.may_call("203.0.113.2", 59.0)
    assert house.roster.may_call("203.0.113.1", 61.0)


def test_l18_four_calls_of_an_address_about_an_archive(house):
    callers = [house.names(house.calls()) for _ in range(4)]
    with pytest.raises(Refused, match="enough"):
        house.names(house.calls())
    house.names(house.calls(), OTHER)
    house.names(house.calls("203.0.113.2"))
    house.ends(callers[0])
    house.names(house.calls())


def test_l18_l19_the_addresses_of_an_ipv6_network_are_one_caller(house):
    number = iter(range(1, 1000))

    def calls() -> Connection:
        caller: Connection = house.calls(f"2001:db8:0:1::{next(number):x}")
        return caller

    assert [house.roster.may_call(f"2001:db8:0:1::{last:x}", 0.5) for last in range(1, 21)].count(
        True
    ) == 16
    silent = [calls() for _ in range(32)]
    assert not house.roster.may_call("2001:db8:0:1::ffff", 2.0)
    assert house.roster.may_call("2001:db8:0:2::1", 2.0)
    for caller in silent[:4]:
        house.names(caller)
    with pytest.raises(Refused, match="enough"):
        house.names(silent[4])
    house.table.bad_signature(silent[0].peer, "bad signature", 0.0)
    for caller in silent:
        house.ends(caller)
    with pytest.raises(Refused, match="banned"):
        house.names(calls())
    for _ in range(20):
        house.roster.unknown(calls(), 10.0)
    assert not house.roster.may_call("2001:db8:0:1::ffff", 10.0)


def test_l18_an_archive_that_is_full_takes_no_more_callers():
    house = House(SwarmLimits(per_archive=2))
    house.names(house.calls("203.0.113.1"))
    house.dials()
    with pytest.raises(Refused, match="enough"):
        house.names(house.calls("203.0.113.3"))


def test_l18_a_full_house_takes_no_more_callers():
    house = House(SwarmLimits(connections=2))
    house.names(house.calls("203.0.113.1"))
    house.names(house.calls("203.0.113.2"), OTHER)
    with pytest.raises(Refused, match="enough"):
        house.names(house.calls("203.0.113.3"))


def test_l19_a_banned_address_is_refused(house):
    liar = house.names(house.calls())
    house.table.bad_signature(liar.peer, "bad signature", 0.0)
    house.ends(liar)
    with pytest.raises(Refused, match="banned"):
        house.names(house.calls())
    house.names(house.calls(), OTHER)
    house.now = 3601.0
    house.names(house.calls())


def test_l19_a_liar_on_loopback_is_known_by_its_id(house):
    liar = house.names(house.calls("127.0.0.1"))
    liar.handshaken(LARGE)
    house.table.bad_signature(liar.peer, "bad signature", 0.0)
    house.ends(liar)
    again, honest = (house.names(house.calls("127.0.0.1")) for _ in range(2))
    with pytest.raises(Refused, match="banned"):
        again.handshaken(LARGE)
    honest.handshaken(SMALL)


def test_distrust_outlives_the_connection_and_is_bounded(house):
    first = house.dials()
    for index in range(2 * MAX_DISTRUSTED):
        first.distrust(NAME, index)
    assert first.peer.distrusted == {(NAME, index) for index in range(MAX_DISTRUSTED)}
    house.ends(first)
    house.now = 1.0
    assert house.table.next_dial(1.0) is first.peer
    assert (NAME, 17) in first.peer.distrusted


def test_nothing_is_kept_of_connections_that_ended(house):
    for number in range(500):
        caller = house.calls(f"203.0.113.{number % 250}")
        if number % 3:
            house.names(caller)
        if number % 3 == 2:
            caller.handshaken(number.to_bytes(32, "big"))
        house.ends(caller)
    roster = house.roster
    assert not any((roster._all, roster._greeting, roster._unnamed, roster._calls, roster._by_id))


def test_a_silent_connection_ends_without_a_word_when_a_new_one_takes_its_place(house):
    # An original that got the word, by uTP, would wait with the old one and refuse the new one.
    ours = [house.dials("utp"), house.dials("utp", OTHER)]
    streams = [one.stream._stream for one in ours]
    for connection in ours:
        connection.handshaken(SMALL)
    house.now = SILENT
    assert house.roster.supplant(ours[0], house.now)
    house.names(house.calls(kind="utp"), OTHER).handshaken(SMALL)
    assert [stream.ended for stream in streams] == ["aborted", "aborted"]
    assert house.cut == ours


def test_a_connection_that_is_not_silent_ends_in_order_when_another_one_wins(house):
    ours = house.dials()
    ours.handshaken(SMALL)
    stream = ours.stream._stream
    house.names(house.calls()).handshaken(SMALL)
    assert house.cut == [ours]
    assert stream.ended == ""  # by the swarm, once the talk is over


def small_house() -> House:
    return House(SwarmLimits(connections=2))


def test_an_idle_connection_makes_room_for_an_archive_without_any():
    house = small_house()
    ours, caller = house.dials(), house.names(house.calls("203.0.113.7"), NAME)
    ours.handshaken(SMALL)
    caller.handshaken(LARGE)
    house.now = 10.0
    house.table.add(OTHER, Address("203.0.113.9", 3282), house.now)
    house.now = 59.0
    house.roster.make_room(house.now)
    assert house.cut == []  # nobody is idle before a minute is over
    house.now = 60.0
    peer = ours.peer
    assert peer is not None
    house.roster.make_room(house.now)
    assert house.cut == [ours]  # never a caller
    assert ours.peer is None
    assert (peer.dropped, peer.failures, peer.faults, peer.state) == (None, 0, 0, "waiting")
    heir = house.table.next_dial(house.now)
    assert heir is not None
    assert heir.name == OTHER
    assert house.table.next_dial(house.now) is None


@pytest.mark.parametrize("used", [lambda one: one.delivered(1), lambda one: one.served()])
def test_who_gives_or_takes_blocks_is_not_idle(used):
    house = small_house()
    ours = [house.dials(), house.dials()]
    house.table.add(OTHER, Address("203.0.113.9", 3282), house.now)
    house.now = 30.0
    used(ours[0])
    house.now = 60.0
    house.roster.make_room(house.now)
    assert house.cut == [ours[1]]


def test_an_archive_that_misses_blocks_keeps_its_connection_for_ten_minutes():
    house = small_house()
    house.table.hungry(NAME, True)
    house.dials(), house.dials()
    house.table.add(OTHER, Address("203.0.113.9", 3282), house.now)
    house.now = 599.0
    house.roster.make_room(house.now)
    assert house.cut == []
    house.now = 600.0
    house.roster.make_room(house.now)
    assert len(house.cut) == 1


def test_nobody_makes_room_for_an_archive_that_has_a_connection():
    house = small_house()
    house.dials(), house.dials(name=OTHER)
    house.table.add(OTHER, Address("203.0.113.9", 3282), house.now)
    house.now = 1000.0
    house.roster.make_room(house.now)
    assert house.cut == []
