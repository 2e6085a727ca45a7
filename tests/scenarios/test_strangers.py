"""Hostile callers at the peer port of a living daemon: they are closed, the others are served."""

import contextlib
import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from tests.helpers.callers import (
    HonestPeer,
    calling,
    first_frame,
    heard_until_closed,
    seconds_for_a_block,
)
from tests.helpers.daemon import RunningDaemon, running_daemon
from tests.helpers.seeds import Seed, host, plant

from datd.archive.entries import Header
from datd.keys import Key
from datd.varint import encode as varint

# One worker: the daemons of this file are started once.
pytestmark = pytest.mark.xdist_group("strangers")

# T-3: an honest peer gets through in a second, whatever else is going on at the daemon. The rest is
# for what goes on on the machine; it is less than a deadline of the daemon would take.
HONEST_SECONDS = 4.0
# L-1, and what a busy machine adds.
HANDSHAKE_SECONDS = 5.0
# "At once", on a busy machine: before the deadline of the handshake.
AT_ONCE = 4.5
# A machine that stalls makes single callers late, and never all of these.
TRIES = 5
PATIENCE = 60.0
# What all of them together may cost. The reference pays gigabytes for one of them.
MAX_GROWTH = 48 * 2**20


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningDaemon, Seed]]:
    """One seeder for all of these tests, since it has to survive them all."""
    folder = tmp_path_factory.mktemp("attacked")
    seed = plant("archival-big", folder)
    with running_daemon(folder, "--log-level", "debug") as daemon:
        host(daemon, seed)
        seconds_for_a_block(daemon.peer_port, Key.parse(seed.key))
        before = daemon.memory
        yield daemon, seed
        unharmed(daemon, seed)
        assert daemon.memory - before < MAX_GROWTH
        assert not [line for line in daemon.log if "traceback" in line.lower()]


def is_served(daemon: RunningDaemon, seed: Seed) -> bool:
    """Whether an honest peer gets through in time."""
    # Where all stands still for seconds, its own handshake may be too late.
    with contextlib.suppress(ConnectionError):
        return seconds_for_a_block(daemon.peer_port, Key.parse(seed.key)) < HONEST_SECONDS
    return False


def unharmed(daemon: RunningDaemon, seed: Seed) -> None:
    """The daemon serves as before."""
    assert any(is_served(daemon, seed) for _ in range(TRIES))
    assert daemon.archive(seed.key)["state"] == "seeding"


def closed_at_once(call: Callable[[], bytes]) -> bytes:
    """What a caller hears that is closed at once."""
    for _ in range(TRIES):
        began = time.monotonic()
        said = call()
        if time.monotonic() - began < AT_ONCE:
            return said
    pytest.fail("each is closed later than that")


def sends(daemon: RunningDaemon, seed: Seed) -> bool:
    """Whether blocks go out: their count grows while we look."""
    before = daemon.archive(seed.key)["transferred"]["uploaded"]
    time.sleep(0.3)
    return bool(daemon.archive(seed.key)["transferred"]["uploaded"] > before)


def drip(connection: socket.socket, data: bytes, pause: float) -> None:
    """Send byte by byte until there is nobody to send to."""
    with contextlib.suppress(OSError):
        for byte in data:
            connection.sendall(bytes([byte]))
            time.sleep(pause)


def call_and_wait(port: int, number: int, dripped: bytes) -> tuple[bytes, float]:
    """What a slow caller hears, and when it is closed."""
    start = time.monotonic()
    with calling(port, f"127.0.1.{number}") as connection:
        drip(connection, dripped, 0.4)
        return heard_until_closed(connection, PATIENCE), time.monotonic() - start


def call_and_flood(port: int) -> float:
    """How long empty frames are taken from somebody who says nothing else."""
    with calling(port, "127.0.1.100") as connection:
        start = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - start < 30:
                connection.sendall(bytes(2**20))
        return time.monotonic() - start


def test_t1_t8_silence_dripping_and_empty_frames_are_closed_after_five_seconds(
    attacked: tuple[RunningDaemon, Seed],
):
    daemon, seed = attacked
    port, slow = daemon.peer_port, first_frame(seed.discovery_key)[:16]

    def are_closed_in_time() -> bool:
        """All of them; and an honest peer is served meanwhile."""
        with ThreadPoolExecutor(9) as threads:
            flood = threads.submit(call_and_flood, port)
            calls = [
                threads.submit(call_and_wait, port, number, slow if number % 2 else b"")
                for number in range(1, 9)
            ]
            served = is_served(daemon, seed)
            taken = [flood.result()]
            for said, seconds in (call.result() for call in calls):
                assert said == b"", "T-5: not a byte before the first feed was named"
                assert seconds > HANDSHAKE_SECONDS - 0.5
                taken.append(seconds)
        return served and max(taken) < 3 * HANDSHAKE_SECONDS

    assert any(are_closed_in_time() for _ in range(TRIES))
    unharmed(daemon, seed)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (1, varint(8 * 2**20) + b"\x00" + b"x" * 100),
        (2, varint(1025) + b"\x00"),
        (3, varint(2**40)),
        (4, b"\xff" * 11),
        (5, b"\x80" * 10_000),
        (6, b"GET / HTTP/1.1\r\nHost: example.org\r\nUser-Agent: somebody/1.0 (a browser)\r\n\r\n"),
        (7, b"\x13BitTorrent protocol" + bytes(48)),
        (8, random.Random(1).randbytes(100_000)),
        (9, b"\x05\x01hello"),
    ],
    ids=[
        "8 MiB", "above 1 KiB", "1 TiB", "varint of 11 bytes", "varint without end", "HTTP",
        "BitTorrent", "noise", "no feed first",
    ],
)  # fmt: skip
def test_t2_t6_a_first_frame_that_is_none_is_closed_at_once(
    attacked: tuple[RunningDaemon, Seed], number: int, said: bytes
):
    daemon, seed = attacked

    def call() -> bytes:
        with calling(daemon.peer_port, f"127.0.2.{number}") as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(said)
            return heard_until_closed(connection, PATIENCE)

    assert closed_at_once(call) == b""
    unharmed(daemon, seed)


def test_t4_unknown_and_paused_archives_are_closed_alike_and_without_a_word(
    attacked: tuple[RunningDaemon, Seed],
):
    daemon, seed = attacked

    def ask_for(name: bytes) -> bytes:
        with calling(daemon.peer_port, "127.0.4.1") as connection:
            connection.sendall(first_frame(name))
            return heard_until_closed(connection, PATIENCE)

    assert closed_at_once(partial(ask_for, os.urandom(32))) == b""
    daemon.request("POST", f"/archives/{seed.key}/pause")
    assert closed_at_once(partial(ask_for, seed.discovery_key)) == b""
    daemon.request("POST", f"/archives/{seed.key}/resume")
    host(daemon, seed)
    unharmed(daemon, seed)


def test_t4_who_tries_twenty_names_has_to_wait_and_others_have_not(
    attacked: tuple[RunningDaemon, Seed],
):
    daemon, seed = attacked
    for _ in range(20):
        with calling(daemon.peer_port, "127.0.4.2") as connection:
            connection.sendall(first_frame(os.urandom(32)))
            assert heard_until_closed(connection, PATIENCE) == b""
        time.sleep(1 / 16)  # L-18: not more calls a second than that
    # On a busy machine it is thrown out before the call to connect is over.
    with (
        contextlib.suppress(ConnectionResetError),
        calling(daemon.peer_port, "127.0.4.2") as connection,
    ):
        with contextlib.suppress(ConnectionError):
            connection.sendall(first_frame(seed.discovery_key))
        # Others hear our own first frame.
        assert heard_until_closed(connection, PATIENCE) == b""
    unharmed(daemon, seed)


def test_t3_hundreds_of_half_open_calls_keep_no_honest_peer_out(
    attacked: tuple[RunningDaemon, Seed],
):
    daemon, seed = attacked
    files, served = len(daemon.open_files), []
    with contextlib.ExitStack() as stack:
        for number in range(600):
            source = f"127.0.3.{number % 60 + 1}"
            connection = stack.enter_context(calling(daemon.peer_port, source))
            if number % 2:
                connection.sendall(b"\x30")
            if number % 100 == 99 and number > 128:
                served.append(is_served(daemon, seed))
        # Once only each time: some seconds later nobody would be in its way.
        assert any(served)
        assert len(daemon.open_files) - files < 128 + 32, "128 of them may wait, the oldest go"
    daemon.wait_until(lambda: len(daemon.open_files) <= files + 2, "all are closed")


def test_t6_a_frame_too_large_after_the_handshake_is_closed(attacked: tuple[RunningDaemon, Seed]):
    daemon, seed = attacked

    def call() -> bytes:
        with calling(daemon.peer_port, "127.0.6.1") as connection:
            peer = HonestPeer(connection, Key.parse(seed.key))
            connection.sendall(peer.encrypted(varint(8 * 2**20 + 1)))
            return heard_until_closed(connection, PATIENCE)

    closed_at_once(call)
    unharmed(daemon, seed)


def test_t17_who_asks_and_does_not_read_costs_little_and_delays_nobody(
    attacked: tuple[RunningDaemon, Seed],
):
    daemon, seed = attacked
    before = daemon.memory
    with contextlib.ExitStack() as stack:
        for number in range(4):
            connection = stack.enter_context(calling(daemon.peer_port, f"127.0.17.{number + 1}"))
            peer = HonestPeer(connection, Key.parse(seed.key))
            peer.request(peer.metadata, 0)
            header = Header.decode(peer.receive(peer.metadata).value or b"")
            content = peer.open(Key(header.content_key))
            connection.settimeout(0.3)
            with contextlib.suppress(TimeoutError):
                for _ in range(200):
                    peer.request(content, *range(1, 50))
        daemon.wait_until(lambda: not sends(daemon, seed), "all wait for their readers")
        unharmed(daemon, seed)
        assert daemon.memory - before < 4 * 8 * 2**20
