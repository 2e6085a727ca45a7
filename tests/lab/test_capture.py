"""A capture shows what passed, all of it, and takes packets apart as they are."""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.lab import Lab, needs_lab
from tests.lab.capture import Capture, Packet, read_packet

pytestmark = [pytest.mark.network, pytest.mark.xdist_group("netlab")]

UDP = (
    "import socket, sys; s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else"
    " socket.AF_INET, socket.SOCK_DGRAM);"
    " [s.sendto(b'number %d' % n, (sys.argv[1], 9)) for n in range(int(sys.argv[2]))]"
)
SERVE = (
    "import socket; s = socket.create_server(('', 7777)); print('ready', flush=True);"
    " c, _ = s.accept(); c.sendall(b'secret word'); c.recv(1)"
)
CALL = "import socket, sys; c = socket.create_connection((sys.argv[1], 7777)); print(c.recv(99))"


@pytest.fixture(scope="module")
def lan() -> Iterator[Lab]:
    needs_lab()
    with Lab.lan(2, ipv6=True) as lab:
        yield lab


def python(lab: Lab, host: str, code: str, *words: str) -> None:
    done = lab.run(host, [sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def says(text: bytes, packet: Packet) -> bool:
    return packet.payload == text


def udp_of(capture: Capture) -> list[bytes]:
    """What its datagrams carry."""
    return [packet.payload for packet in capture.packets() if packet.protocol == "udp"]


def begins(start: bytes, packet: Packet) -> bool:
    return packet.destination_port == 4444 and packet.payload.startswith(start)


@pytest.mark.parametrize("family", ["ip", "ip6"])
def test_datagrams_are_seen_at_both_ends(lan: Lab, family: str):
    here, there = (getattr(lan, family)(host) for host in ("h1", "h2"))
    with lan.capture("h1") as sent, lan.capture("h2") as received:
        python(lan, "h1", UDP, there, "5")
        for number in range(5):
            received.wait_for(partial(says, b"number %d" % number))
    # Two processors may hand them on in another order than they were sent in.
    assert udp_of(sent) == [b"number %d" % n for n in range(5)]
    assert sorted(udp_of(received)) == udp_of(sent)
    for capture, mine in ((sent, True), (received, False)):
        found = [packet for packet in capture.packets() if packet.protocol == "udp"]
        assert {packet.sent for packet in found} == {mine}
        assert {(p.source, p.destination, p.destination_port) for p in found} == {(here, there, 9)}
        assert len({packet.source_port for packet in found}) == 1


def test_what_tcp_carries_can_be_searched(lan: Lab):
    with lan.capture("h2") as capture:
        server = lan.popen("h1", [sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        with server.stdout:
            assert server.stdout.readline() == "ready\n"
            python(lan, "h2", CALL, lan.ip("h1"))
    carried = b"".join(p.payload for p in capture.packets() if p.protocol == "tcp" and not p.sent)
    assert carried == b"secret word"
    assert any(b"secret word" in packet.raw for packet in capture.packets())


def test_thousands_of_packets_are_all_there(lan: Lab):
    # Where they are sent: on their way the kernel of a busy machine may lose some. And it keeps few
    # of them until it knows where the other host is, so that one of them goes ahead.
    with lan.capture("h1") as capture:
        python(lan, "h1", UDP, lan.ip("h2"), "1")
        capture.wait_for(partial(says, b"number 0"))
        python(lan, "h1", UDP, lan.ip("h2"), "20000")
    assert udp_of(capture)[1:] == [b"number %d" % number for number in range(20_000)]


def test_silence_is_seen_as_such(lan: Lab):
    with lan.capture("h2") as capture:
        pass
    assert [packet for packet in capture.packets() if packet.protocol in ("udp", "tcp")] == []


def test_both_sides_of_a_cable_can_be_captured():
    needs_lab(tun=True)
    with Lab.wire(loss=100) as lab, lab.capture("h1") as near, lab.capture("h2") as far:
        python(lab, "h1", UDP, lab.ip("h2"), "3")
        near.wait_for(lambda packet: packet.payload == b"number 2")
    assert not [packet for packet in far.packets() if packet.protocol == "udp"]


def test_garbage_arrives_and_looks_like_many_things(lan: Lab):
    with lan.capture("h2") as capture:
        lan.garbage("h1", "h2", 4444, rate=2000)
        for start in (b"d", b"\x41", b"\x21"):
            capture.wait_for(partial(begins, start))


def test_an_interface_that_is_not_there_is_an_error(lan: Lab):
    with pytest.raises(OSError, match="nosuch"):
        lan.capture("h1", "nosuch")


@given(st.binary(max_size=80), st.sampled_from([b"", b"\x45", b"\x60", b"\x4f"]))
def test_packets_of_any_bytes_are_taken_apart_or_kept_whole(raw: bytes, start: bytes):
    packet = read_packet(0.0, True, start + raw)
    assert packet.payload in start + raw
