"""Peers behind NATs: the table of discovery.md section 8, with datd as one of the two.

A hosts an archive with datd, B is a real `dat clone`; both use our discovery servers at two public
hosts, from which each learns its own public port.
"""

import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.helpers.daemon import RunningDaemon, running_daemon
from tests.helpers.folders import becomes, hashes_in, make_varied_folder
from tests.helpers.lab import Lab
from tests.helpers.reference import Reference, Where
from tests.helpers.servers import running_discovery_server
from tests.lab.netlab import Nat

# The pairs that meet do so in about a second.
LONG_ENOUGH = 12.0


class Pair:
    """A and B with what stands before them."""

    def __init__(
        self, boxes: tuple[Nat, Nat], reference: Reference, stack: ExitStack, folder: Path
    ) -> None:
        self.lab = stack.enter_context(Lab.nat(*boxes))
        self.reference = reference
        self.folder = folder
        servers = [
            stack.enter_context(running_discovery_server(self.lab, host))
            for host in ("pub", "pub2")
        ]
        self.addresses = [server.server for server in servers]
        for host in ("a", "b"):
            self.lab.multicast(host, allowed=False)
        given = [word for address in self.addresses for word in ("--dns-server", address)]
        self.daemon = stack.enter_context(
            running_daemon(folder / "datd", *given, prefix=self.lab.prefix("a"), peer_port=3282)
        )

    def fill(self) -> str:
        """Give datd an archive, complete; returns its key."""
        make_varied_folder(self.folder / "source", small_files=20)
        self.reference.make_archive(self.folder / "source", self.folder / "store")
        peer, seeding = self.reference.partial_peer(
            self.folder / "store", where=Where(self.lab, "a")
        )
        near = f"{self.lab.ip('a')}:{seeding['port']}"
        self.daemon.datctl("add", seeding["key"], "--peer", near, "--wait", "120")
        peer.stop()
        return str(seeding["key"])

    def clone(self, key: str) -> None:
        """B asks for it."""
        switches = [f"--dns.server={address}" for address in self.addresses]
        switches += ["--dns.domain=dat.local", "--no-dht"]
        self.reference.dat_clone(key, self.folder / "copy", *switches, where=Where(self.lab, "b"))


def kinds(daemon: RunningDaemon, key: str) -> set[str]:
    """Transports of the connections with B."""
    peers = daemon.ask("peers", key)
    return {peer["transport"] for peer in peers if peer["state"] == "connected"}


@pytest.mark.parametrize(
    ("a", "b", "transport"),
    [
        ("none", "cone", "tcp"),
        ("cone", "none", "tcp"),
        ("full", "cone", "tcp"),
        ("full", "symmetric", "tcp"),
        ("none", "symmetric", "tcp"),
        ("cone", "cone", "utp"),
    ],
)
def test_these_pairs_meet(
    a: Nat, b: Nat, transport: str, reference: Reference, stack: ExitStack, tmp_path: Path
):
    pair = Pair((a, b), reference, stack, tmp_path)
    key = pair.fill()
    pair.clone(key)
    becomes(tmp_path / "copy", hashes_in(tmp_path / "source"))
    # Both transports may come up, one from each side; a moment later the better one is left.
    pair.daemon.wait_until(lambda: kinds(pair.daemon, key) == {transport}, f"only {transport}")


@pytest.mark.parametrize(("a", "b"), [("cone", "symmetric"), ("symmetric", "symmetric")])
def test_these_pairs_cannot_meet(
    a: Nat, b: Nat, reference: Reference, stack: ExitStack, tmp_path: Path
):
    """If they do, the table of the specification is out of date."""
    pair = Pair((a, b), reference, stack, tmp_path)
    key = pair.fill()
    pair.clone(key)
    pair.daemon.wait_until(lambda: pair.daemon.ask("peers", key), "B was found")
    time.sleep(LONG_ENOUGH)
    assert kinds(pair.daemon, key) == set()
    assert not hashes_in(tmp_path / "copy")
