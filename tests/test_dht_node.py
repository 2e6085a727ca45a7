"""The command around the DHT node, as a process that is spoken to over loopback."""

import argparse
import random
import re
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from datd import dht_node
from datd.discovery.dht import krpc
from datd.discovery.dht.krpc import Answer, Error, Query
from datd.errors import ConfigError
from tests.helpers.reference import PATIENCE
from tests.helpers.servers import Server, running_dht_node
from tests.helpers.virtual_time import in_virtual_time

NAME, ME = b"n" * 20, b"m" * 20
UNIT = Path(__file__).parents[1] / "systemd" / "datd-dht.service"


# On loopback.
running = partial(running_dht_node, None, "")


def numbers(node: Server) -> dict[str, int]:
    """What a node tells of itself when asked."""
    told = (one.split() for one in node.numbers().split(", "))
    return {name: int(count) for name, count in told}


@pytest.fixture
def asker() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(PATIENCE)
        yield sock


def ask(sock: socket.socket, port: int, query: Query) -> Answer | Error:
    sock.sendto(krpc.encode(query), ("127.0.0.1", port))
    while True:
        message = krpc.decode(sock.recv(2000))
        if isinstance(message, Query):
            continue  # it wants to know whether we live
        return message


def test_it_keeps_what_is_announced_and_tells_it(asker):
    with running() as node:
        got = ask(asker, node.ports[0], Query(b"1", krpc.GET_PEERS, ME, NAME))
        assert isinstance(got, Answer)
        announcement = Query(b"2", krpc.ANNOUNCE_PEER, ME, NAME, port=3282, token=got.token)
        assert isinstance(ask(asker, node.ports[0], announcement), Answer)
        got = ask(asker, node.ports[0], Query(b"3", krpc.GET_PEERS, ME, NAME))
        assert isinstance(got, Answer)
        assert got.values == (bytes([127, 0, 0, 1]) + (3282).to_bytes(2, "big"),)
        told = numbers(node)
        assert (told["peers"], told["answered"]) == (1, 3)
        assert node.stop() == 0


def test_it_comes_back_with_its_id(tmp_path, asker):
    state = tmp_path / "deep" / "state"
    ids = []
    for _ in range(2):
        with running("--state", state) as node:
            got = ask(asker, node.ports[0], Query(b"1", krpc.PING, ME))
            assert isinstance(got, Answer)
            ids.append(got.sender)
            assert node.stop() == 0
    assert ids[0] == ids[1]
    assert state.stat().st_mode & 0o777 == 0o600


def test_nodes_find_each_other_through_the_first_one():
    with (
        running() as first,
        running("--bootstrap", first.server) as second,
    ):
        for node in (first, second):
            node.wait_for_numbers(r"nodes [1-9]")


def test_more_may_be_answered_than_usual(asker):
    # So many that there is not enough for all of them, even if a busy machine reads them slowly.
    def answered(node: Server) -> int:
        for number in range(200):
            query = Query(bytes([number]), krpc.PING, ME, read_only=True)
            asker.sendto(krpc.encode(query), ("127.0.0.1", node.ports[0]))
        deadline = time.monotonic() + PATIENCE
        while (told := numbers(node))["received"] < 200:
            assert time.monotonic() < deadline
        return told["answered"]

    with running() as node:
        assert answered(node) < 200
    with running("--queries", 1000, "--bytes", 1e6) as node:
        assert answered(node) == 200


def test_the_service_manager_hears_that_it_is_ready_and_ends(tmp_path, monkeypatch):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(PATIENCE)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        monkeypatch.setenv("WATCHDOG_USEC", "3600000000")
        with running() as node:
            assert {manager.recv(100), manager.recv(100)} == {b"READY=1", b"WATCHDOG=1"}
            assert node.stop() == 0
            assert manager.recv(100) == b"STOPPING=1"


def answers(sock: socket.socket, port: int) -> bool:
    try:
        return isinstance(ask(sock, port, Query(b"1", krpc.PING, ME)), Answer)
    except TimeoutError:
        return False


def test_garbage_does_not_end_it(asker):
    chance = random.Random(4)
    with running() as node:
        for _ in range(500):
            asker.sendto(
                b"d" + chance.randbytes(chance.randrange(60)), ("127.0.0.1", node.ports[0])
            )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", 0))
            other.settimeout(1)  # what came before may have filled the node's buffer
            deadline = time.monotonic() + PATIENCE
            while not answers(other, node.ports[0]):
                assert time.monotonic() < deadline
        assert node.stop() == 0


def given(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    dht_node.add_arguments(parser)
    return parser.parse_args(arguments)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--host", "dat.example.org"), "not a numeric address"),
        (("--host", "192.0.2.1"), "no such address"),
        (("--port", "70000"), "between 0"),
        (("--bootstrap", "host:x"), "expected host:port"),
        (("--queries", "0"), "--queries 0"),
        (("--bytes", "nan"), "--bytes nan"),
        (("--peers", "-1"), "--peers -1"),
    ],
)
def test_a_wrong_argument_is_named(arguments, text):
    with pytest.raises(ConfigError, match=re.escape(text)):
        in_virtual_time(dht_node.run(given(*arguments)))


def test_a_taken_port_is_an_error(asker):
    port = str(asker.getsockname()[1])
    with pytest.raises(OSError, match=f"port {port} is taken"):
        in_virtual_time(dht_node.run(given("--host", "127.0.0.1", "--port", port)))


def test_the_unit_starts_this_command():
    text = UNIT.read_text()
    settings = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    words = settings["ExecStart"].split()
    assert words[:2] == ["datd", "dht-node"]
    assert given(*words[2:]).state == Path("${STATE_DIRECTORY}/state")
    assert settings["Type"] == "notify"
    assert settings["CapabilityBoundingSet"] == ""
