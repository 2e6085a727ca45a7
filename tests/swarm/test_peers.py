import random
from ipaddress import ip_network
from itertools import pairwise

import pytest

from datd.swarm.limits import REMEMBERED_ENDS, SwarmLimits
from datd.swarm.peer import KnownPeer, Peer, PeerView
from datd.swarm.peers import PeerTable
from datd.swarm.rules import AddressRules
from datd.types import Address

NAME, OTHER = b"n" * 32, b"o" * 32
NEIGHBOUR = Address("192.168.1.9", 5353)
HOUR, DAY = 3600.0, 86400.0


class Table(PeerTable):
    """A table with one joined archive, and the short words of these tests."""

    def __init__(self, limits: SwarmLimits | None = None) -> None:
        super().__init__(choose=random.Random(1).randrange, limits=limits or SwarmLimits())
        self.join(NAME)

    def hear(self, host: str, now: float = 0.0, name: bytes = NAME, port: int = 3282) -> bool:
        return self.found(name, Address(host, port), "mdns", NEIGHBOUR, now)

    def dial(self, now: float) -> Peer:
        peer = self.next_dial(now)
        assert peer is not None
        return peer

    def connect(self, now: float, remote_id: bytes = b"r" * 32) -> Peer:
        peer = self.dial(now)
        self.connected(peer, object(), "tcp", now)
        self.handshaken(peer, remote_id, now)
        return peer

    def call(self, host: str, now: float, port: int = 40000, remote_id: bytes = b"r" * 32) -> Peer:
        peer = self.called(NAME, Address(host, port), object(), "tcp", now)
        self.handshaken(peer, remote_id, now)
        return peer

    def all_dials(self, start: float, end: float, why: str = "refused") -> list[float]:
        """Dial whenever it is time, in vain."""
        times = []
        now: float | None = start
        while now is not None and now <= end:
            while (peer := self.next_dial(now)) is not None:
                times.append(now)
                self.dial_failed(peer, why, now, refused=True)
            now = self.next_time(now)
        return times

    def view(self, now: float = 0.0) -> PeerView:
        (view,) = self.views(NAME, now)
        return view


def test_a_found_peer_is_dialled():
    table = Table()
    assert table.hear("192.168.1.2")
    assert not table.hear("192.168.1.2")
    peer = table.dial(0.0)
    assert (peer.name, peer.address) == (NAME, Address("192.168.1.2", 3282))
    assert table.view().state == "connecting"
    table.connected(peer, "connection", "tcp", 1.0)
    view = table.view()
    assert view.connected
    assert (view.kind, view.initiator, view.connection) == ("tcp", True, "connection")
    assert (view.source, view.connected_at) == ("mdns", 1.0)


def test_t32_what_may_not_be_dialled_is_not_taken_in():
    table = Table()
    assert not table.hear("127.0.0.1")
    assert not table.hear("224.0.0.251")
    assert not table.hear("192.168.1.2", port=0)
    assert not table.found(
        NAME, Address("10.0.0.1", 3282), "dns", Address("198.51.100.1", 5300), 0.0
    )
    assert table.views(NAME, 0.0) == []


def test_a_peer_that_never_answers_is_dialled_five_times_and_forgotten():
    table = Table()
    table.hear("192.168.1.2")
    # 1, 1, 5, 15 s; but an address that never spoke Dat to us waits 5 s at least (T-32).
    assert table.all_dials(0.0, 1000.0) == [0.0, 5.0, 10.0, 15.0, 30.0]
    assert table.views(NAME, 1000.0) == []
    assert table.hear("192.168.1.2", 1000.0)


def test_a_good_peer_that_is_lost_is_dialled_after_1_1_5_and_15_seconds_and_not_forgotten():
    table = Table()
    table.hear("192.168.1.2")
    peer = table.connect(0.0)
    table.lost(peer, None, 100.0)
    times = table.all_dials(100.0, 20_000.0)
    waits = [b - a for a, b in pairwise([100.0, *times])]
    assert waits[:11] == [1, 1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600]
    assert set(waits[11:]) == {3600}
    table.all_dials(20_000.0, 31 * DAY)
    assert table.views(NAME, 31 * DAY) == []  # a month is long enough


def test_a_good_peer_that_is_named_again_is_dialled_again():
    table = Table()
    table.hear("192.168.1.2")
    table.lost(table.connect(0.0), None, 100.0)
    assert len(table.all_dials(100.0, 2000.0)) == 9
    assert table.hear("192.168.1.2", 2000.0)
    assert table.all_dials(2000.0, 2050.0) == [2000.0]
    # Some servers go on naming it for ever.
    assert not table.hear("192.168.1.2", 2059.0)
    assert table.hear("192.168.1.2", 2060.0)


def test_retries_start_anew_after_a_connection_that_lasted():
    table = Table()
    table.hear("192.168.1.2")
    for minute in range(20):
        peer = table.connect(61.0 * minute)
        table.lost(peer, None, 61.0 * minute + 60.0)
        assert peer.failures == 1


def test_connections_that_end_at_once_are_no_reason_to_dial_every_second_for_ever():
    table = Table()
    table.hear("192.168.1.2")
    now, dials = 0.0, 0
    while (due := table.next_time(now)) is not None and due < HOUR:
        now = max(now, due)
        table.lost(table.connect(now), None, now + 0.1)
        dials += 1
    assert dials == 11


def test_a_peer_given_by_hand_is_dialled_at_once_and_never_forgotten():
    table = Table()
    table.add(NAME, Address("127.0.0.1", 3282), 0.0)
    times = table.all_dials(0.0, 3600.0)
    waits = [b - a for a, b in pairwise(times)]
    assert waits[:8] == [1.0, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0]
    assert set(waits[8:]) == {300.0}
    view = table.view()
    assert (view.source, view.state, view.last_error) == ("manual", "waiting", "refused")
    assert view.marks["failed_dials"] == len(times)


def test_giving_a_known_peer_by_hand_dials_it_now():
    table = Table()
    table.hear("192.168.1.2")
    table.dial_failed(table.dial(0.0), "refused", 0.0)
    table.add(NAME, Address("192.168.1.2", 3282), 0.5)
    assert table.dial(0.5).source == "manual"
    table.add(NAME, Address("192.168.1.2", 3282), 0.6)  # being dialled already
    assert table.next_dial(0.6) is None


def test_a_peer_by_hand_of_an_archive_that_is_not_joined_is_nobody():
    table = Table()
    table.add(OTHER, Address("10.0.0.1", 3282), 0.0)
    assert table.next_dial(0.0) is None


def test_an_impossible_address_given_by_hand_is_shown_with_the_reason():
    table = Table()
    table.add(NAME, Address("10.0.0.1", 0), 0.0)
    assert table.next_dial(0.0) is None
    assert "cannot be dialled" in str(table.view().last_error)


def test_known_good_peers_are_preferred():
    table = Table()
    for number in range(1, 10):
        table.hear(f"192.168.1.{number}")
    good = table.connect(0.0)
    table.lost(good, None, 100.0)
    for now in (0.0,) * 8:
        table.dial_failed(table.dial(now), "refused", now)
    assert table.dial(101.0) is good


def test_a_bad_block_closes_and_backs_off_and_says_which():
    table = Table()
    table.hear("192.168.1.2")
    now, waits = 0.0, list[float]()
    for _ in range(5):
        peer = table.connect(now)
        table.good_blocks(peer, 3)
        table.bad_block(peer, 17, "bad block 17", now)
        assert table.view(now).dropped == "bad block 17"
        assert table.view(now).state == "waiting"
        due = table.next_time(now)
        assert due is not None
        waits.append(due - now)
        now = due
    assert waits == [5.0, 15.0, 60.0, 300.0, 300.0]
    assert table.view().marks == {
        "dials": 5,
        "handshakes": 5,
        "good_blocks": 15,
        "bad_blocks": 5,
    }


def test_t21_l19_a_bad_signature_bans_for_an_hour_and_then_a_day():
    table = Table()
    table.hear("192.168.1.2")
    table.bad_signature(table.connect(0.0), "bad signature", 0.0)
    assert table.view().state == "banned"
    assert not table.hear("192.168.1.2", 10.0)
    assert table.next_dial(HOUR - 1) is None
    assert table.banned(NAME, Address("192.168.1.2", 555), b"", 10.0)  # as a caller, too
    assert not table.banned(NAME, Address("192.168.1.3", 555), b"", 10.0)
    table.bad_signature(table.connect(HOUR), "bad signature", HOUR)
    assert table.next_dial(HOUR + DAY - 1) is None
    assert table.next_dial(HOUR + DAY)


def test_three_different_bad_blocks_and_no_good_one_ban():
    table = Table()
    table.hear("192.168.1.2")
    now = 0.0
    for index in (1, 2, 2, 3):
        assert table.views(NAME, now)[0].state == "waiting"
        now = max(now, table.next_time(now) or now)
        table.bad_block(table.connect(now), index, f"bad block {index}", now)
    assert table.view(now).state == "banned"
    assert table.view(now).dropped == "bad block 3"


def test_a_word_by_hand_ends_a_ban():
    table = Table()
    table.hear("192.168.1.2")
    table.bad_signature(table.connect(0.0), "bad signature", 0.0)
    table.add(NAME, Address("192.168.1.2", 3282), 1.0)
    assert table.dial(1.0).source == "manual"


def test_a_dropped_caller_is_still_shown_with_the_reason():
    table = Table()
    peer = table.call("203.0.113.5", 0.0)
    table.bad_block(peer, 17, "bad block 17", 1.0)
    view = table.view(2.0)
    assert (view.state, view.dropped, view.source) == ("gone", "bad block 17", "inbound")
    assert view.marks["bad_blocks"] == 1
    peer = table.call("203.0.113.5", 3.0, port=40001)
    table.bad_signature(peer, "bad signature", 4.0)
    assert [view.state for view in table.views(NAME, 5.0)] == ["banned", "banned"]
    assert {view.state for view in table.views(NAME, 5.0 + HOUR)} == {"gone"}


def test_callers_that_left_in_peace_are_not_kept():
    table = Table()
    table.lost(table.call("203.0.113.5", 0.0), None, 1.0)
    assert table.views(NAME, 2.0) == []
    assert table.next_time(2.0) is None


def test_memory_of_dropped_callers_is_bounded_and_one_cannot_push_out_the_others():
    table = Table()
    table.protocol_error(table.call("203.0.113.9", 0.0), "said nonsense", 0.0)
    for number in range(1000):
        table.protocol_error(table.call("203.0.113.5", 0.0, number + 1), "nonsense", 0.0)
    assert {view.address.host for view in table.views(NAME, 0.0)} == {"203.0.113.9", "203.0.113.5"}
    for number in range(200):
        table.protocol_error(table.call(f"203.0.113.{number}", 0.0), "nonsense", 0.0)
    assert len(table.views(NAME, 0.0)) == REMEMBERED_ENDS


def test_loopback_callers_are_told_apart_by_their_id():
    table = Table()
    table.bad_signature(table.call("127.0.0.1", 0.0, remote_id=b"liar"), "bad signature", 0.0)
    caller = Address("127.0.0.1", 41000)
    assert table.banned(NAME, caller, b"liar", 1.0)
    assert not table.banned(NAME, caller, b"honest", 1.0)
    assert not table.banned(NAME, caller, b"", 1.0)


def test_a_block_that_was_sent_wrong_is_remembered_when_the_caller_calls_again():
    table = Table()
    peer = table.call("203.0.113.5", 0.0, remote_id=b"x")
    peer.distrusted.add((NAME, 17))
    table.bad_block(peer, 17, "bad block 17", 0.0)
    again = table.call("203.0.113.5", 1.0, port=40001, remote_id=b"x")
    assert (NAME, 17) in again.distrusted
    assert not table.call("203.0.113.5", 1.0, port=40002, remote_id=b"y").distrusted


def test_this_daemon_is_not_dialled_again_under_any_name():
    table = Table()
    table.join(OTHER)
    table.hear("192.168.1.2")
    table.is_self(table.connect(0.0), 0.0)
    assert table.view().state == "banned"
    assert not table.hear("192.168.1.2", 1.0)
    assert not table.hear("192.168.1.2", 1.0, OTHER)
    assert table.hear("192.168.1.2", DAY + 1.0, OTHER)


def test_a_superseded_connection_is_not_redialled_while_the_other_lives():
    table = Table()
    table.hear("192.168.1.2")
    dialled = table.connect(0.0)
    caller = table.call("192.168.1.2", 0.1)
    table.superseded(dialled, caller)
    table.lost(dialled, None, 0.2)  # its task ends
    view = table.view(1.0)  # one peer, shown where it listens
    assert (view.address.port, view.source, view.connected) == (3282, "mdns", True)
    assert table.next_time(1.0) is None
    assert not table.hear("192.168.1.2", 2.0)
    table.lost(caller, None, 50.0)
    assert table.dial(51.0) is dialled


def test_a_bad_peer_cannot_hide_behind_its_other_connection():
    table = Table()
    table.hear("192.168.1.2")
    dialled = table.connect(0.0)
    caller = table.call("192.168.1.2", 0.1)
    table.superseded(dialled, caller)
    table.bad_signature(caller, "bad signature", 1.0)
    assert table.view(1.0).state == "banned"
    assert table.next_dial(1000.0) is None


def test_l20_at_most_200_candidates_the_oldest_goes():
    table = Table(SwarmLimits(candidates_per_second=1000))
    for number in range(250):
        assert table.hear("198.51.100.1", port=1000 + number)
    ports = [view.address.port for view in table.views(NAME, 0.0)]
    assert ports == list(range(1050, 1250))


def test_l20_peers_given_by_hand_are_not_pushed_out():
    table = Table(SwarmLimits(candidates=3, candidates_per_second=1000))
    for number in range(3):
        table.add(NAME, Address("198.51.100.1", 1 + number), 0.0)
    assert not table.hear("198.51.100.2")
    assert len(table.views(NAME, 0.0)) == 3


def test_l20_ten_new_candidates_a_second():
    table = Table()
    assert sum(table.hear(f"198.51.100.{n}", 5.0) for n in range(100)) == 10
    assert sum(table.hear(f"198.51.100.{n}", 6.0) for n in range(100, 200)) == 10


def test_t32_twenty_dials_a_second_and_64_open():
    table = Table(SwarmLimits(candidates_per_second=1000))
    for number in range(200):
        table.hear(f"198.51.100.{number}")
    dialling = []
    for second in range(10):
        for _ in range(100):
            if (peer := table.next_dial(float(second))) is not None:
                dialling.append(peer)
        assert len(dialling) == min(64, 20 * (second + 1))
    assert table.next_time(10.0) is None
    table.dial_failed(dialling[0], "refused", 10.0)
    assert table.next_dial(10.0)


def test_l18_an_archive_has_at_most_so_many_connections():
    table = Table(SwarmLimits(per_archive=3))
    for number in range(5):
        table.hear(f"198.51.100.{number}")
    peers = [table.connect(0.0) for _ in range(3)]
    assert table.full(NAME)
    assert table.next_dial(1.0) is None
    assert table.next_time(1.0) is None
    table.lost(peers[0], None, 50.0)
    assert not table.full(NAME)
    assert table.next_dial(50.0)  # one that waited, at once


def test_l18_all_archives_together_have_at_most_so_many_connections():
    table = Table(SwarmLimits(connections=2))
    table.join(OTHER)
    for number in range(3):
        table.hear(f"198.51.100.{number}")
    peers = [table.connect(0.0), table.connect(0.0)]
    assert table.full(OTHER)
    assert table.next_dial(1.0) is None
    table.lost(peers[0], None, 2.0)
    assert table.next_dial(2.0)


def test_t32_ten_thousand_fakes_displace_no_good_nor_manual_nor_other_sources_peers():
    table = Table(SwarmLimits(candidates_per_second=1000))
    for number in range(10):
        table.hear(f"192.168.1.{number}")
    good = [table.connect(0.0) for _ in range(10)]
    for number, one in enumerate(good):
        table.lost(one, None, 20.0 + number)
    for number in range(10):
        table.add(NAME, Address(f"198.51.100.{number}", 3282), 30.0)
        table.found(NAME, Address(f"192.0.2.{number}", 3282), "dns", NEIGHBOUR, 30.0)
    liar = Address("203.0.113.66", 6881)
    for number in range(10_000):
        fake = Address(f"203.{number >> 8}.{number & 255}.1", 3282)
        table.found(NAME, fake, "dht", liar, 31.0 + number / 100)
    views = table.views(NAME, 200.0)
    assert len(views) == 200
    hosts = {view.address.host for view in views}
    assert {one.address.host for one in good} <= hosts
    assert {f"198.51.100.{n}" for n in range(10)} <= hosts
    assert {f"192.0.2.{n}" for n in range(10)} <= hosts
    # A crowd of callers takes no place of those whom we dial.
    while not table.full(NAME):
        table.called(NAME, Address("203.0.113.9", 1024), object(), "tcp", 200.0)
    dialled = []
    for second in range(10):
        while (dial := table.next_dial(201.0 + second)) is not None:
            dialled.append(dial)
    assert len([one for one in dialled if one.source == "manual" or one in good]) >= 6


def test_l20_no_more_than_500_new_candidates_a_second_over_all_names():
    table = Table()
    names = [number.to_bytes(32, "big") for number in range(1000)]
    for name in names:
        table.join(name)
    assert sum(table.hear("203.0.113.1", 1.0, name) for name in names) == 500


def test_a_peer_that_several_networks_know_shows_them_all():
    table = Table()
    table.hear("192.168.1.2", 1.0)
    table.found(NAME, Address("192.168.1.2", 3282), "dns", NEIGHBOUR, 5.0)
    table.add(NAME, Address("192.168.1.2", 3282), 6.0)
    view = table.view()
    assert view.sources == ("mdns", "dns", "manual")
    assert (view.first_seen, view.last_seen) == (1.0, 5.0)
    assert view.last_success is None


def test_what_a_peer_did_is_counted():
    table = Table()
    table.hear("192.168.1.2")
    table.dial_failed(table.dial(0.0), "no answer in time", 3.0)
    peer = table.connect(10.0)
    table.good_blocks(peer, 3, 3000)
    duplicate = table.call("192.168.1.2", 11.0)
    table.superseded(duplicate, peer)
    table.lost(duplicate, None, 11.0)
    table.lost(peer, "silent for 20 s", 40.0, silent=True)
    view = table.view()
    assert view.marks == {
        "dials": 2,
        "failed_dials": 1,
        "timeouts": 2,
        "handshakes": 1,
        "good_blocks": 3,
        "good_bytes": 3000,
        "duplicates": 1,
    }
    assert view.last_success == 40.0


def test_sixteen_good_peers_are_remembered_those_that_gave_blocks_first():
    table = Table(SwarmLimits(candidates_per_second=1000))
    for number in range(40):
        table.hear(f"198.51.100.{number}", float(number))
        table.good_blocks(table.connect(float(number), bytes([number])), number < 5)
    known = table.known_good(NAME)
    assert len(known) == 16
    assert [one.address.host for one in known[:5]] == [f"198.51.100.{n}" for n in (4, 3, 2, 1, 0)]
    assert [one.address.host for one in known[5:7]] == ["198.51.100.39", "198.51.100.38"]
    assert {(one.kind, one.sources) for one in known} == {("tcp", ("mdns",))}


def test_a_liar_is_not_remembered_as_good():
    table = Table()
    table.hear("192.168.1.2")
    peer = table.connect(0.0)
    assert table.known_good(NAME)
    table.bad_signature(peer, "bad signature", 1.0)
    assert table.known_good(NAME) == []


def test_good_peers_of_an_earlier_life_are_dialled_at_once_and_before_others():
    old = Table()
    old.hear("198.51.100.1")
    old.good_blocks(old.connect(0.0), 1)
    known = old.known_good(NAME)
    table = PeerTable(choose=random.Random(1).randrange, limits=SwarmLimits())
    table.join(NAME, known, 10.0)
    for number in range(10):
        table.found(NAME, Address(f"203.0.113.{number}", 3282), "dns", NEIGHBOUR, 10.0)
    peer = table.next_dial(10.0)
    assert peer is not None
    assert peer.address.host == "198.51.100.1"
    assert table.known_good(NAME) == known


def test_what_is_not_fit_to_be_dialled_is_not_taken_from_an_earlier_life():
    gate = AddressRules(block=[ip_network("203.0.113.0/24")])
    table = PeerTable(choose=random.Random(1).randrange, limits=SwarmLimits(), rules=gate)
    own = Address("198.51.100.7", 3282)
    table.own_address(*own)
    known = [
        KnownPeer(Address("203.0.113.1", 3282), "tcp", 0.0),
        KnownPeer(Address("198.51.100.1", 0), "tcp", 0.0),
        KnownPeer(Address("not an address", 1), "tcp", 0.0),
        KnownPeer(Address("198.51.100.2", 3282), "tcp", -31 * DAY),
        KnownPeer(own, "tcp", 0.0),
    ]
    table.join(NAME, known, 1.0)
    assert table.views(NAME, 1.0) == []


def test_blocked_addresses_are_never_dialled_and_those_by_hand_say_why():
    table = Table()
    table.hear("192.168.1.2")
    table.add(NAME, Address("192.168.1.3", 3282), 0.0)
    table.add(NAME, Address("198.51.100.1", 3282), 0.0)
    rules = AddressRules(block=[ip_network("192.168.0.0/16")])
    table.obey(rules, 1.0)
    assert not table.hear("192.168.1.4", 2.0)
    assert table.dial(3.0).address.host == "198.51.100.1"
    assert table.next_dial(100.0) is None
    shown = {view.address.host: view for view in table.views(NAME, 3.0)}
    assert set(shown) == {"192.168.1.3", "198.51.100.1"}
    assert "blocked by the network 192.168.0.0/16" in str(shown["192.168.1.3"].last_error)
    table.obey(AddressRules(), 200.0)
    assert table.dial(200.0).address.host == "192.168.1.3"


def test_a_blocked_peer_that_was_connected_is_not_dialled_again():
    table = Table()
    table.hear("192.168.1.2")
    table.add(NAME, Address("192.168.1.3", 3282), 0.0)
    peers = [table.connect(0.0), table.connect(0.0, b"s" * 32)]
    table.obey(AddressRules(allow=[ip_network("198.51.100.0/24")]), 50.0)
    for peer in peers:
        table.lost(peer, None, 50.0)
    assert table.next_dial(1000.0) is None
    assert [view.address.host for view in table.views(NAME, 1000.0)] == ["192.168.1.3"]


def test_this_daemons_public_address_is_no_candidate():
    table = Table()
    table.found(NAME, Address("198.51.100.7", 3282), "dns", NEIGHBOUR, 0.0)
    table.own_address("198.51.100.7", 3282)
    assert table.views(NAME, 0.0) == []
    assert not table.found(NAME, Address("198.51.100.7", 3282), "dht", NEIGHBOUR, 1.0)


def test_two_callers_from_one_port_are_two_callers():
    # uTP calls come from the port that its other side listens on, each time.
    table = Table()
    first, second = table.call("203.0.113.5", 0.0), table.call("203.0.113.5", 0.0, remote_id=b"s")
    assert len(table.views(NAME, 0.0)) == 2
    table.lost(first, None, 1.0)
    assert [view.connected for view in table.views(NAME, 1.0)] == [True]
    table.leave(NAME)
    table.lost(second, None, 1.0)
    assert (table._places.busy, table._places.dialling) == (0, 0)


def test_who_talks_is_counted_and_changes_are_told_once():
    table = Table()
    assert table.take_changed() == set()
    table.hear("192.168.1.2")
    peer = table.connect(0.0)
    caller = table.call("203.0.113.5", 0.0)
    assert table.talking(NAME) == 2
    assert table.take_changed() == {NAME}
    assert table.take_changed() == set()
    table.lost(peer, None, 1.0)
    table.superseded(caller, table.call("203.0.113.6", 0.0))
    assert table.talking(NAME) == 1
    assert table.take_changed() == {NAME}
    assert table.talking(OTHER) == 0


def test_a_ban_that_ends_while_the_archive_is_full_is_not_for_ever():
    table = Table(SwarmLimits(per_archive=1))
    table.hear("192.168.1.2")
    table.bad_signature(table.connect(0.0), "bad signature", 0.0)
    other = table.call("203.0.113.5", 1.0, remote_id=b"s")
    assert table.next_dial(HOUR) is None
    table.lost(other, None, HOUR + 1)
    assert table.dial(HOUR + 1).address.host == "192.168.1.2"


def test_after_leaving_nothing_remains():
    table = Table()
    for round_ in range(100):
        table.hear("198.51.100.1", float(round_))
        table.add(NAME, Address("127.0.0.1", 3282), float(round_))
        connected = table.connect(float(round_))
        caller = table.call("203.0.113.5", float(round_))
        table.leave(NAME)
        table.leave(NAME)
        table.lost(connected, None, float(round_))
        table.bad_block(caller, 1, "bad block 1", float(round_))
        assert table.views(NAME, 0.0) == []
        assert table.next_dial(round_ + 0.5) is None
        assert not table.joined(NAME)
        table.join(NAME)
    assert (table._places.busy, table._places.dialling) == (0, 0)
    assert len(table._queue._later) < 200


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_places_are_given_back(seed):
    """Random lives of peers: counts stay true, and in the end everybody left."""
    chance = random.Random(seed)
    table = Table(SwarmLimits(per_archive=6, connections=8, open_dials=3, candidates=20))
    table.join(OTHER)
    dialling: list[Peer] = []
    live: list[Peer] = []
    now = 0.0
    for _ in range(400):
        now += chance.random() * 3
        name = chance.choice([NAME, OTHER])
        address = Address(f"198.51.100.{chance.randrange(20)}", 3282)
        match chance.randrange(11):
            case 0 | 1:
                table.found(name, address, "mdns", NEIGHBOUR, now)
            case 2:
                table.add(name, address, now)
            case 3 | 4:
                if (peer := table.next_dial(now)) is not None and peer not in live:
                    assert peer.state == "connecting"
                    dialling.append(peer)
            case 5 if dialling:
                peer = dialling.pop(chance.randrange(len(dialling)))
                if chance.random() < 0.5:
                    table.dial_failed(peer, "refused", now)
                else:
                    table.connected(peer, object(), "tcp", now)
                    table.handshaken(peer, b"r", now)
                    live.append(peer)
            case 6 if not table.full(name):
                caller = Address(address.host, chance.randrange(1024, 65536))
                live.append(table.called(name, caller, object(), "tcp", now))
            case 7 if len(live) > 1:
                winner, loser = chance.sample(live, 2)
                if winner.name == loser.name:
                    table.superseded(loser, winner)
                    live.remove(loser)
            case 8:
                silent = [peer for peer in live if chance.random() < 0.7]
                table.pulse([peer for peer in live if peer not in silent], silent, now)
            case 9:
                block = [ip_network("198.51.100.8/29")] if chance.random() < 0.3 else []
                table.obey(AddressRules(block=block), now)
            case _ if live:
                peer = live.pop(chance.randrange(len(live)))
                match chance.randrange(4):
                    case 0:
                        table.lost(peer, "over", now)
                    case 1:
                        table.lost(peer, "silent for 20 s", now, silent=True)
                    case 2:
                        table.protocol_error(peer, "over", now)
                    case _:
                        table.bad_signature(peer, "over", now)
        busy = len(dialling) + len(live)
        assert (table._places.busy, table._places.dialling) == (busy, len(dialling))
        assert len(dialling) <= 3
        assert busy <= 8
    for peer in dialling + live:
        table.lost(peer, None, now)
    assert (table._places.busy, table._places.dialling) == (0, 0)
