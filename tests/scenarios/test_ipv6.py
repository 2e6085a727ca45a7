"""Two daemons that reach one another by IPv6, on a LAN that has it beside IPv4."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.helpers.lab import Lab, needs_lab
from tests.helpers.lab_daemon import LabDaemon, lab_daemon, lab_dht_node
from tests.helpers.seeds import make
from tests.lab.capture import Packet

SIZE = 1_000_000


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Three hosts."""
    needs_lab()
    with Lab.lan(3, ipv6=True) as built:
        yield built


def kinds(daemon: LabDaemon, key: str) -> set[str]:
    """Transports of the connections."""
    return {one["transport"] for one in daemon.peers(key) if one["state"] == "connected"}


def carried(packets: list[Packet], protocol: str) -> tuple[int, int]:
    """Bytes that passed by IPv6, and by IPv4, between hosts."""
    sizes = [0, 0]
    for packet in packets:
        if packet.protocol == protocol:
            sizes["." in packet.destination] += len(packet.payload)
    return sizes[0], sizes[1]


@pytest.mark.parametrize(
    ("kind", "protocol", "switch"), [("tcp", "tcp", "--no-utp"), ("utp", "udp", "--no-tcp")]
)
def test_a_peer_given_by_hand_is_reached_by_ipv6(
    lab: Lab, kind: str, protocol: str, switch: str, tmp_path: Path
):
    seed = make(1, tmp_path / "1", size=SIZE)
    quiet = ("--no-dns", "--no-dht", switch)
    with (
        lab_daemon(lab, "h1", tmp_path / "1", *quiet) as first,
        lab_daemon(lab, "h2", tmp_path / "2", *quiet) as second,
        lab.capture("h2") as capture,
    ):
        first.add(seed.key)
        second.add(seed.key)
        at = f"[{lab.ip6('h1')}]:3282"
        second.running.datctl("peers", "add", seed.key, at)
        second.wait_until(lambda: second.whole(seed.key), "fetched")
        assert kinds(second, seed.key) == {kind}
        assert [one["address"] for one in second.peers(seed.key)] == [at]
        assert kinds(first, seed.key) == {kind}
    # It has ended: all that passed has been read.
    by_6, by_4 = carried(capture.packets(), protocol)
    assert by_6 > SIZE
    assert by_4 == 0


@pytest.mark.parametrize("switches", [(), ("--no-tcp",)], ids=["tcp and utp", "utp"])
def test_they_find_one_another_in_a_dht_by_ipv6(
    lab: Lab, switches: tuple[str, ...], tmp_path: Path
):
    """The DHT's first node is told by its IPv6 address, so that nothing of IPv4 is ever known."""
    seed = make(1, tmp_path / "1", size=SIZE)
    with lab_dht_node(lab, "h3"):
        given = ("--no-dns", f"--dht-bootstrap=[{lab.ip6('h3')}]:6881", *switches)
        with (
            lab_daemon(lab, "h1", tmp_path / "1", *given) as first,
            lab_daemon(lab, "h2", tmp_path / "2", *given) as second,
            lab.capture("h3") as capture,
        ):
            first.add(seed.key)
            capture.wait_for(lambda packet: b"13:announce_peer" in packet.payload)
            second.add(seed.key)
            second.wait_until(lambda: second.whole(seed.key), "found and fetched")
            (peer, *_) = second.peers(seed.key)
            assert lab.ip6("h1") in peer["address"]
            assert "dht" in peer["sources"]
    by_6, by_4 = carried(capture.packets(), "udp")
    assert by_6 > 0
    assert by_4 == 0
