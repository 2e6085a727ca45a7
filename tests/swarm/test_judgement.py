"""What each end of a dial or talk means for the peer; the stories are in test_swarm."""

import logging
import random

import pytest
from tests.helpers.network import MemoryNetwork, MemoryStream

from datd.errors import IntegrityError, ProtocolError, StorageError, Timeout
from datd.swarm.judgement import Judge, why
from datd.swarm.limits import SILENT, SwarmLimits
from datd.swarm.peer import Peer, PeerView
from datd.swarm.peers import PeerTable
from datd.swarm.roster import Connection, Roster
from datd.types import Address

NAME = b"n" * 32
THERE = Address("203.0.113.1", 3282)


class Court:
    """A table with one peer, and a judge."""

    def __init__(self) -> None:
        self.now = 0.0
        limits = SwarmLimits()
        self.table = PeerTable(choose=random.Random(1).randrange, limits=limits)
        self.table.join(NAME)
        self.table.add(NAME, THERE, 0.0)
        self.roster = Roster(self.table, b"o" * 32, limits)
        self.judge = Judge(self.table, self.roster)

    def dial(self) -> Peer:
        peer = self.table.next_dial(self.now)
        assert peer is not None
        return peer

    def talk(self) -> Connection:
        peer = self.dial()
        stream = MemoryStream(MemoryNetwork(), THERE, "tcp")
        made = Connection(stream, roster=self.roster, clock=lambda: self.now, peer=peer)
        self.table.connected(peer, made, "tcp", self.now)
        made.cut = lambda: None
        self.roster.enter(made)
        made.handshaken(b"r" * 32)
        return made

    @property
    def view(self) -> PeerView:
        (view,) = self.table.views(NAME, self.now)
        return view


@pytest.mark.parametrize(
    ("error", "reason", "timeouts"),
    [
        (ConnectionRefusedError(111, "x"), "Connection refused", 0),
        (OSError(113, "x"), "No route to host", 1),
        (TimeoutError(), "no answer in time", 1),
        (OSError("something else"), "something else", 1),
    ],
)
def test_a_dial_that_failed_says_why(error, reason, timeouts):
    court = Court()
    court.judge.dial(court.dial(), error, 0.0)
    assert (court.view.state, court.view.last_error) == ("waiting", reason)
    assert court.view.marks["failed_dials"] == 1
    assert court.view.marks.get("timeouts", 0) == timeouts


def test_a_router_that_refuses_tcp_does_not_speak_for_a_peer_that_is_reached_by_utp():
    court = Court()
    peer = court.dial()
    peer.worked = "utp"
    court.judge.dial(peer, ConnectionRefusedError(111, "x"), 0.0)
    assert court.view.marks["timeouts"] == 1


def test_a_fault_of_our_own_while_dialling_is_logged_and_not_the_peers(caplog):
    court = Court()
    with caplog.at_level(logging.ERROR):
        court.judge.dial(court.dial(), ExceptionGroup("dial", [KeyError("a bug")]), 0.0)
    assert "KeyError" in caplog.text
    assert "this daemon" in str(court.view.last_error)


def test_l3_who_was_silent_was_cut_off_and_did_nothing_wrong():
    court = Court()
    connection = court.talk()
    court.now = SILENT
    court.judge.talk(connection, ProtocolError("silent for 20 s"), court.now)
    assert court.view.dropped is None
    assert court.view.last_error == "silent for 20 s"
    assert court.view.marks["timeouts"] == 1
    assert "protocol_errors" not in court.view.marks


@pytest.mark.parametrize("error", [ConnectionResetError(104, "x"), Timeout("late")])
def test_a_connection_that_broke_after_a_silence_counts_as_that(error):
    court = Court()
    connection = court.talk()
    court.now = SILENT
    court.judge.talk(connection, error, court.now)
    assert court.view.marks["timeouts"] == 1


def test_who_talks_and_talks_nonsense_is_at_fault():
    court = Court()
    court.judge.talk(court.talk(), ProtocolError("a frame above 8 MiB"), 1.0)
    assert court.view.dropped == "a frame above 8 MiB"
    assert court.view.marks["protocol_errors"] == 1


def test_blocks_that_verified_in_the_same_batch_count_before_the_blame():
    court = Court()
    error = IntegrityError("its hash is another", index=7)
    error.stored = [1, 2, 3]
    court.judge.talk(court.talk(), error, 1.0)
    assert (court.view.dropped, court.view.marks["good_blocks"]) == ("bad block 7", 3)


def test_why_is_one_short_sentence():
    assert why(StorageError("disk is full")) == "disk is full"
    assert why(OSError()) == "OSError"
    assert "this daemon" in why(KeyError("x"))


def test_l28_ten_lines_a_minute_about_one_host(caplog):
    court = Court()
    with caplog.at_level(logging.INFO):
        connection = court.talk()
        for _ in range(50):
            court.judge.talk(connection, ProtocolError("nonsense"), court.now)
    assert caplog.text.count("dropped") == 10


def test_l28_the_next_minute_has_lines_of_its_own(caplog):
    court = Court()
    with caplog.at_level(logging.INFO):
        connection = court.talk()
        for now in (court.now, court.now + 61):
            for _ in range(50):
                court.judge.talk(connection, ProtocolError("nonsense"), now)
    assert caplog.text.count("dropped") == 20
    # How many were left out stands in the next line there is.
    assert caplog.text.count("(40 lines about this host left out before)") == 1
