"""datd's uTP with utp-native, the binding to libutp that every dat had: no wrong byte, ever."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.helpers.lab import Lab, needs_lab
from tests.helpers.reference import NotHeard, Program, Reference, Where
from tests.helpers.utp_programs import DATD, connected, original, side

PORT = 5001
# Slowest seen: 12 s. LEDBAT climbs slowly where packets get lost.
PATIENCE = 90.0

CLEAN = "clean"
# What a cable does, and how many bytes are worth waiting for.
CABLES: dict[str, tuple[dict[str, Any], int]] = {
    CLEAN: ({}, 10_000_000),
    "1 % lost": ({"delay": 5, "loss": 1}, 600_000),
    "5 % lost": ({"delay": 5, "loss": 5}, 120_000),
    "reordered": ({"delay": 5, "jitter": 4, "reorder": 3}, 600_000),
}
# Whether datd calls, its role, and the original's.
ROLES: dict[str, tuple[bool, str, str]] = {
    "calls and sends": (True, "send", "sink"),
    "calls and receives": (True, "recv", "source"),
    "is called and sends": (False, "source", "recv"),
    "is called and receives": (False, "sink", "send"),
    "calls an echo": (True, "echoed", "echo"),
    "is an echo": (False, "echo", "echoed"),
    "answers after the other ended": (False, "late", "echoed"),
}

Places = Callable[[str], tuple[Where, Where]]


@pytest.fixture
def places() -> Iterator[Places]:
    """Two hosts with a cable of some kind between them."""
    with ExitStack() as labs:

        def build(cable: str) -> tuple[Where, Where]:
            spoiling = CABLES[cable][0]
            needs_lab(tun=bool(spoiling))
            lab = labs.enter_context(Lab.wire(**spoiling) if spoiling else Lab.lan(2))
            return Where(lab, "h1"), Where(lab, "h2")

        yield build


def expect_whole(receiver: Program, count: int) -> None:
    heard = receiver.wait_for("received", timeout=PATIENCE)
    assert (heard["bytes"], heard["bad"]) == (count, 0)


@pytest.mark.parametrize("cable", CABLES)
@pytest.mark.parametrize("role", ROLES)
def test_no_byte_is_wrong_whichever_way(
    reference: Reference, places: Places, cable: str, role: str
):
    count = CABLES[cable][1]
    calls, our_role, their_role = ROLES[role]
    ours, theirs = (DATD, our_role), (original(reference.node), their_role)
    first, then = (theirs, ours) if calls else (ours, theirs)
    with connected(*first, *then, places(cable), port=PORT, bytes=count) as (called, calling):
        us, them = (calling, called) if calls else (called, calling)
        expect_whole(us if our_role in ("recv", "sink", "echoed") else them, count)
        us.wait_for("close")
        if calls:
            them.wait_for("close", timeout=PATIENCE)
        assert not us.said("error")
        assert not them.said("error")


def test_two_of_ours_over_a_cable_that_loses(places: Places):
    count = CABLES["5 % lost"][1]
    cable = places("5 % lost")
    with connected(DATD, "echo", DATD, "echoed", cable, port=PORT, bytes=count) as (
        called,
        calling,
    ):
        expect_whole(calling, count)
        for side_ in (calling, called):
            side_.wait_for("close")
            assert not side_.said("error")


def test_a_peer_that_was_killed_is_given_up(reference: Reference, places: Places):
    node = original(reference.node)
    endless = {"port": PORT, "bytes": 10**10}
    with connected(node, "sink", DATD, "send", places(CLEAN), **endless) as (them, us):
        us.wait_for("connected")
        them.wait_for("connection")
        them.kill()
        # Five timeouts, each twice as long as the one before: 31 s.
        assert us.wait_for("error", timeout=PATIENCE)["kind"] in ("TimeoutError", "OSError")


def test_a_peer_that_came_back_without_memory_resets_us(reference: Reference, places: Places):
    node = original(reference.node)
    here, there = places(CLEAN)
    with connected(node, "sink", DATD, "send", (here, there), port=PORT, bytes=10**10) as (
        them,
        us,
    ):
        us.wait_for("connected")
        them.wait_for("connection")
        them.kill()
        with side(node, "sink", here, port=PORT) as again:
            again.wait_for("listening")
            assert us.wait_for("error", timeout=PATIENCE)["kind"] == "ConnectionResetError"


def test_nobody_answers_a_call(places: Places):
    here, there = places(CLEAN)
    with side(DATD, "send", there, host=here.address, port=PORT) as us:
        with pytest.raises(NotHeard):
            us.wait_for("connected", timeout=0.5)
        assert us.wait_for("error", timeout=PATIENCE)["kind"]
