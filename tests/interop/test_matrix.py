"""Every way to find and to reach one another: networks, their servers and transports.

In each case a real `dat share` publishes, datd mirrors, the publisher ends, and a real `dat clone`
gets everything from datd. All that passes is recorded and searched for the archive's public key.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.helpers.daemon import RunningDaemon, running_daemon
from tests.helpers.dht import Libtorrent
from tests.helpers.folders import becomes, hashes_in, make_varied_folder
from tests.helpers.lab import Lab
from tests.helpers.reference import Reference, Where
from tests.helpers.servers import running_dht_node, running_discovery_server
from tests.lab.capture import Capture, Packet

PUBLISHER, DATD, CLONER, SERVER = "h1", "h2", "h3", "h4"
# For both sides alike; `dat` hands switches that it does not know to its swarm.
TRANSPORTS: dict[str, tuple[str, ...]] = {
    "tcp+utp": (),
    "tcp": ("--no-utp",),
    "utp": ("--no-tcp",),
}


class Case:
    """One network of four hosts, with the switches that make its programs use one way only.

    Attributes:
        original: Switches of `dat`.
        ours: Switches of `datd`.
        mdns: Whether multicast passes, and is used.
        announced: Tells by a packet at the server that somebody was announced; None: no need.
    """

    def __init__(self, lab: Lab, reference: Reference, stack: ExitStack) -> None:
        self.lab = lab
        self.reference = reference
        self.stack = stack
        self.original: tuple[str, ...] = ()
        self.ours: tuple[str, ...] = ()
        self.mdns = False
        self.announced: Callable[[Packet], bool] | None = None

    @property
    def server(self) -> str:
        return self.lab.ip(SERVER)

    def use_multicast(self) -> None:
        self.mdns = True
        self.original = ("--dns.domain=dat.local", "--no-dht")

    def use_dns(self) -> None:
        self.original = (f"--dns.server={self.server}", "--dns.domain=dat.local", "--no-dht")
        self.ours = (f"--dns-server={self.server}",)

    def use_dht(self) -> None:
        self.original = ("--no-dns", f"--dht.bootstrap={self.server}:6881")
        self.ours = (f"--dht-bootstrap={self.server}:6881",)
        self.announced = lambda packet: b"13:announce_peer" in packet.payload


def multicast(case: Case) -> None:
    case.use_multicast()


def original_dns_server(case: Case) -> None:
    program = case.reference.start(
        "dns-server.js", "--port", 5300, "--port", 53, where=Where(case.lab, SERVER)
    )
    program.wait_for("listening")
    case.use_dns()


def our_dns_server(case: Case) -> None:
    case.stack.enter_context(running_discovery_server(case.lab, SERVER))
    case.use_dns()


def original_dht_node(case: Case) -> None:
    given = ("--port", 6881, "--host", case.server)
    case.reference.start("dht-node.js", *given, where=Where(case.lab, SERVER)).wait_for("listening")
    case.use_dht()


def our_dht_node(case: Case) -> None:
    case.stack.enter_context(running_dht_node(case.lab, SERVER, "--host", case.server))
    case.use_dht()


def libtorrent_node(case: Case) -> None:
    nodes = case.stack.enter_context(Libtorrent())
    nodes.start("--port", 6881, where=Where(case.lab, SERVER)).wait_for("listening")
    case.use_dht()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    "ways",
    [
        multicast,
        original_dns_server,
        our_dns_server,
        original_dht_node,
        our_dht_node,
        libtorrent_node,
    ],
    ids=lambda ways: ways.__name__.replace("_", "-"),
)
def test_what_dat_shares_we_mirror_and_dat_clones_it_from_us(
    ways: Callable[[Case], None],
    transport: str,
    reference: Reference,
    lan: Callable[[int], Lab],
    stack: ExitStack,
    tmp_path: Path,
):
    make_varied_folder(tmp_path / "source", small_files=20)
    lab = lan(4)
    case = Case(lab, reference, stack)
    ways(case)
    for host in (PUBLISHER, DATD, CLONER):
        lab.multicast(host, allowed=case.mdns)
    captures = [stack.enter_context(lab.capture(host)) for host in (PUBLISHER, CLONER, SERVER)]
    at_server = captures[-1]
    switches = (*case.original, *TRANSPORTS[transport])

    publisher, key = reference.dat_share(
        tmp_path / "source", *switches, where=Where(lab, PUBLISHER)
    )
    daemon = stack.enter_context(
        running_daemon(
            tmp_path / "datd",
            *case.ours,
            *TRANSPORTS[transport],
            prefix=lab.prefix(DATD),
            mdns=case.mdns,
            peer_port=3282,
        )
    )
    announced(case, at_server, PUBLISHER)
    daemon.datctl("add", f"dat://{key}", "--wait", "120")
    reached_over(daemon, key, transport)
    publisher.stop()
    announced(case, at_server, DATD)
    reference.dat_clone(key, tmp_path / "copy", *switches, where=Where(lab, CLONER))
    becomes(tmp_path / "copy", hashes_in(tmp_path / "source"))

    secret = bytes.fromhex(key)
    packets = [packet for capture in captures for packet in capture.packets()]
    assert len(packets) > 100
    assert not [p for p in packets if secret in p.raw or key.encode() in p.raw.lower()]


def announced(case: Case, at_server: Capture, host: str) -> None:
    """Wait until a host is known at the server: a search of the DHT is not repeated soon."""
    fits = case.announced
    if fits is not None:
        address = case.lab.ip(host)
        at_server.wait_for(lambda packet: packet.source == address and fits(packet))


def reached_over(daemon: RunningDaemon, key: str, transport: str) -> None:
    """Where there was a choice TCP wins, as between two of the originals.

    Both may be there for a moment, one from each side.
    """

    def kinds() -> set[str]:
        peers = daemon.ask("peers", key)  # by a program: the API is on the loopback of its host
        return {peer["transport"] for peer in peers if peer["state"] == "connected"}

    wanted = {"utp" if transport == "utp" else "tcp"}
    daemon.wait_until(lambda: kinds() == wanted, f"connected over {wanted}")
