"""The original programs find one another through our discovery server."""

import random
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.helpers.folders import becomes, hashes_in, write
from tests.helpers.lab import Lab, needs_lab
from tests.helpers.reference import PATIENCE, Event, Program, Reference, Where
from tests.helpers.servers import running_discovery_server

NAME = "0de13c996ac2b1c615eee05750d180da0a97042d"
DNS = ("--dns.domain=dat.local", "--no-dht")

# Forty hosts with one archive: each asks for its token and announces itself from its own address.
CROWD = """
import socket, sys
from datd.discovery import dns_message
server, name, *crowd = sys.argv[1:]
for host in crowd:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind((host, 0))
        own.connect((server, 5300))
        own.settimeout(60)
        own.send(dns_message.encode_probe(7, "dat.local"))
        token = dns_message.decode(own.recv(1500), "dat.local").records[0].text.token
        announce = dns_message.encode_announce(
            8, bytes.fromhex(name), "dat.local", token=token, port=3282
        )
        own.send(announce)
        own.recv(1500)
"""

LanMaker = Callable[[int], Lab]


def client(
    reference: Reference, verb: str, *options: object, where: Where, server: str = "10.99.0.3:5300"
) -> tuple[Program, Event]:
    """dns-discovery as a client, and what came of its first request. It stays."""
    name = [] if verb == "whoami" else [NAME]
    program = reference.start(
        "dns-client.js", verb, *name, "--server", server, *options, where=where
    )
    return program, program.wait_for("done")


def peers(program: Program) -> set[str]:
    return {f"{event['host']}:{event['port']}" for event in program.said("peer")}


def test_announce_lookup_push_and_unannounce(reference: Reference, lan: LanMaker):
    lab = lan(3)
    one, two = Where(lab, "h1"), Where(lab, "h2")
    with running_discovery_server(lab, "h3") as server:
        announcer, done = client(reference, "announce", "--port", 3282, where=one)
        assert done["error"] is None
        assert peers(announcer) == set()
        # The second one hears of the first in its answer, the first of the second by a push.
        other, _ = client(reference, "announce", "--port", 4444, where=two)
        other.wait_for("peer", host="10.99.0.1", port=3282)
        announcer.wait_for("peer", host="10.99.0.2", port=4444)
        seeker, _ = client(reference, "lookup", where=two)
        seeker.wait_for("peer", count=2)
        assert peers(seeker) == {"10.99.0.1:3282", "10.99.0.2:4444"}
        client(reference, "unannounce", "--port", 3282, where=one)
        seeker, _ = client(reference, "lookup", where=two)
        seeker.wait_for("peer")
        assert peers(seeker) == {"10.99.0.2:4444"}
        numbers = server.wait_for_numbers("pushes sent 1, heard 1, failed 0")
    # On a busy machine they ask again before they have heard the answer.
    told = r"announced [2-9], withdrawn [1-9], too_fast 0, unreadable 0, foreign 0, bad_tokens 0"
    assert re.search(told, numbers)


def test_an_implied_port_is_the_one_the_server_sees(reference: Reference, lan: LanMaker):
    lab = lan(3)
    with running_discovery_server(lab, "h3"):
        announcer, done = client(
            reference, "announce", "--port", 3282, "--implied", "--every", 1, where=Where(lab, "h1")
        )
        assert done["error"] is None
        told = announcer.wait_for("peer", host="10.99.0.1")
        assert told["port"] != 3282


def test_whoami_needs_two_servers_to_confirm_a_port(reference: Reference, lan: LanMaker):
    lab = lan(3)
    asker = Where(lab, "h1")
    with running_discovery_server(lab, "h2"), running_discovery_server(lab, "h3"):
        _, done = client(reference, "whoami", where=asker)
        assert done["me"] == {"host": "10.99.0.1", "port": 0}
        _, done = client(reference, "whoami", "--server", "10.99.0.2:5300", where=asker)
        assert done["me"]["host"] == "10.99.0.1"
        assert done["me"]["port"] > 0


def test_clients_fall_back_to_port_53(reference: Reference, lan: LanMaker):
    lab = lan(3)
    with running_discovery_server(lab, "h3", "--port", "53"):
        # The original tries 5300 for 1.75 s when it asks who it is, and then 53.
        _, done = client(reference, "whoami", where=Where(lab, "h1"), server="10.99.0.3")
        assert done["me"] == {"host": "10.99.0.1", "port": 0}


def test_both_ports_know_the_same_peers(reference: Reference, lan: LanMaker):
    lab = lan(3)
    ports = ("--port", "5300", "--port", "53")
    with running_discovery_server(lab, "h3", *ports) as server:
        assert server.ports == [5300, 53]
        announcer, _ = client(
            reference, "announce", "--port", 3282, where=Where(lab, "h1"), server="10.99.0.3:53"
        )
        seeker, _ = client(reference, "announce", "--port", 4444, where=Where(lab, "h2"))
        seeker.wait_for("peer", host="10.99.0.1", port=3282)
        # The push leaves from port 53, to which the announcer had spoken.
        announcer.wait_for("peer", host="10.99.0.2", port=4444)
        server.wait_for_numbers("heard 1")


def test_answers_stay_readable_above_31_announcers(reference: Reference, lan: LanMaker):
    lab = lan(3)
    crowd = [f"10.99.0.{number}" for number in range(100, 140)]
    for address in crowd:
        lab.run("h1", ["ip", "addr", "add", f"{address}/24", "dev", "eth0"])
    with running_discovery_server(lab, "h3") as server:
        words = [sys.executable, "-c", CROWD, "10.99.0.3", NAME, *crowd]
        assert lab.run("h1", words).returncode == 0
        assert server.numbers().startswith("40 peers of 1 names")
        seeker, _ = client(reference, "lookup", "--every", 0.5, where=Where(lab, "h2"))
        # The original server's answer would name nobody.
        seeker.wait_for("peer", count=31)
        found = found_by(seeker, 40)
    assert found == {f"{address}:3282" for address in crowd}


def found_by(program: Program, count: int) -> set[str]:
    """What a program has found as soon as it is so much."""
    deadline = time.monotonic() + PATIENCE
    while len(peers(program)) < count and time.monotonic() < deadline:
        program.wait_for("done", count=len(program.said("done")) + 1)
    return peers(program)


def test_a_peer_that_fell_silent_is_forgotten(reference: Reference, lan: LanMaker):
    lab = lan(3)
    with running_discovery_server(lab, "h3", "--ttl", "2") as server:
        seeker, _ = client(reference, "lookup", "--every", 0.3, where=Where(lab, "h2"))
        announcer, _ = client(reference, "announce", "--port", 3282, where=Where(lab, "h1"))
        seeker.wait_for("peer", host="10.99.0.1", port=3282)
        announcer.kill()
        deadline = time.monotonic() + PATIENCE
        while [one["event"] for one in seeker.events[-4:]] != ["done"] * 4:
            assert time.monotonic() < deadline
            seeker.wait_for("done", count=len(seeker.said("done")) + 1)
        server.wait_for_numbers("^0 peers of 0 names")
        # And it can come back.
        told = len(seeker.said("peer"))
        client(reference, "announce", "--port", 3282, where=Where(lab, "h1"))
        seeker.wait_for("peer", count=told + 1)


@pytest.mark.parametrize("transport", [(), ("--no-tcp",)], ids=["tcp", "utp"])
def test_dat_clone_finds_dat_share(
    reference: Reference, lan: LanMaker, tmp_path: Path, transport: tuple[str, ...]
):
    lab = lan(3)
    for host in ("h1", "h2"):
        lab.multicast(host, allowed=False)
    write(tmp_path / "source/hello.txt", b"hello world\n")
    write(tmp_path / "source/blob.bin", random.Random(1).randbytes(2**20))
    with running_discovery_server(lab, "h3") as server:
        switches = (f"--dns.server={server.server}", *DNS, *transport)
        _, key = reference.dat_share(tmp_path / "source", *switches, where=Where(lab, "h1"))
        reference.dat_clone(key, tmp_path / "copy", *switches, where=Where(lab, "h2"))
        becomes(tmp_path / "copy", hashes_in(tmp_path / "source"))
        numbers = server.numbers()
    assert "too_fast 0, unreadable 0, foreign 0, bad_tokens 0, full 0" in numbers


def test_two_servers_let_two_hosts_behind_nats_punch_holes(reference: Reference, tmp_path: Path):
    needs_lab()
    write(tmp_path / "source/hello.txt", b"hello world\n")
    with (
        Lab.nat("cone", "cone") as lab,
        running_discovery_server(lab, "pub") as first,
        running_discovery_server(lab, "pub2") as second,
    ):
        switches = (f"--dns.server={first.server}", f"--dns.server={second.server}", *DNS)
        _, key = reference.dat_share(tmp_path / "source", *switches, where=Where(lab, "a"))
        first.wait_for_numbers("1 peers of 1 names")
        cloner = reference.dat_clone(key, tmp_path / "copy", *switches, where=Where(lab, "b"))
        becomes(tmp_path / "copy", hashes_in(tmp_path / "source"))
        # Whose first packet was let in, theirs or ours, is a matter of chance.
        connected = re.compile(r"(onconnect|inbound connection) .*type=utp")
        cloner.wait_for("line", text=connected)
        reference.stop_all()
