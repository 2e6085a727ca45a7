"""All ways for two real `dat` commands to find one another: `python -m tests.lab.matrix`.

Runs `dat share` on one host and `dat clone` on another, once for each discovery network and
transport, and prints one JSON object a line: whether the files arrived, over what, and how fast.
Needs root, the lab and an installed reference.
"""

import argparse
import contextlib
import json
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.helpers.reference import NotHeard, Program, Reference, Where
from tests.lab.netlab import Lab, Nat

# The command hands switches that it does not know to its swarm.
DNS = ("--dns.server={server}", "--dns.domain=dat.local", "--no-dht")
DHT = ("--no-dns", "--dht.bootstrap={server}:6881")
MULTICAST = ("--dns.domain=dat.local", "--no-dht")
TRANSPORTS = {"tcp+utp": (), "tcp": ("--no-utp",), "utp": ("--no-tcp",)}
# A host behind a box learns its outside port from two servers.
WHOAMI = ("--dns.server={server}", "--dns.server={second}", "--dns.domain=dat.local", "--no-dht")
BOXES: list[tuple[Nat, Nat]] = [
    ("none", "cone"), ("cone", "none"), ("cone", "cone"), ("full", "cone"), ("full", "symmetric"),
    ("none", "symmetric"), ("cone", "symmetric"), ("symmetric", "symmetric"),
]  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One way.

    Attributes:
        announced: Which server must have heard of the sharer before the clone begins.
        boxes: What stands before either host; None for a LAN.
    """

    name: str
    switches: tuple[str, ...]
    announced: Literal["dns", "dht"] | None = None
    multicast: bool = False
    no_tcp: bool = False
    boxes: tuple[Nat, Nat] | None = None


def cases(*, behind_nat: bool) -> Iterator[Case]:
    """All of them, LAN or NAT."""
    if behind_nat:
        for boxes in BOXES:
            yield Case(f"nat-{boxes[0]}-{boxes[1]}", WHOAMI, "dns", boxes=boxes)
        return
    yield Case("defaults", (), multicast=True)
    for name, switches in TRANSPORTS.items():
        yield Case(f"multicast-{name}", (*MULTICAST, *switches), multicast=True)
        yield Case(f"dns-{name}", (*DNS, *switches), "dns")
        yield Case(f"dht-{name}", (*DHT, *switches), "dht")
    yield Case("dns-tcp-blocked", DNS, "dns", no_tcp=True)


@contextlib.contextmanager
def network(case: Case) -> Iterator[tuple[Where, Where, list[Where]]]:
    """The lab of a case: sharer, cloner and the hosts of the servers."""
    with Lab.nat(*case.boxes) if case.boxes else Lab.lan(3) as lab:
        names = ("a", "b") if case.boxes else ("h1", "h2")
        servers = ["pub", "pub2"] if case.boxes else ["h3"]
        for name in names:
            lab.multicast(name, allowed=case.multicast)
            if case.no_tcp:
                lab.block(name, "tcp")
        first, second = (Where(lab, name) for name in names)
        yield first, second, [Where(lab, name) for name in servers]


def files_of(folder: Path) -> dict[str, bytes]:
    """What must arrive."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def connections(program: Program) -> list[str]:
    """Transports of the connections that a `dat` command made or took."""
    lines = [event["text"] for event in program.said("line")]
    found = [re.search(r"onconnect \S+ type=(\w+)", line) for line in lines]
    return [match[1] for match in found if match]


def start_servers(reference: Reference, hosts: list[Where]) -> tuple[Program, Program]:
    """A discovery server on each host and a DHT node on the first; gives the first and the node."""
    ports = ("--port", 5300, "--port", 53)
    servers = [reference.start("dns-server.js", *ports, where=host) for host in hosts]
    own = ("--port", 6881, "--host", hosts[0].address)
    node = reference.start("dht-node.js", *own, where=hosts[0])
    for program in (*servers, node):
        program.wait_for("listening")
    return servers[0], node


def run(case: Case, reference: Reference, work: Path, timeout: float) -> dict[str, object]:
    """Share, clone, compare."""
    source, copy = work / "source", work / "copy"
    source.mkdir()
    (source / "hello.txt").write_text("hello world\n")
    (source / "blob.bin").write_bytes(random.Random(1).randbytes(2**20))
    with network(case) as (sharer_at, cloner_at, servers_at):
        dns, dht = start_servers(reference, servers_at)
        addresses = {"server": servers_at[0].address, "second": servers_at[-1].address}
        switches = [switch.format(**addresses) for switch in case.switches]
        sharer, key = reference.dat_share(source, *switches, where=sharer_at)
        if case.announced == "dns":
            dns.wait_for("peer")
        elif case.announced == "dht":
            dht.wait_for("announced-here")
        start = time.monotonic()
        cloner = reference.dat_clone(key, copy, *switches, where=cloner_at)
        with contextlib.suppress(NotHeard):
            cloner.wait_for_line(r"dat sync|Dat synced|sync complete", timeout=timeout)
        seconds = time.monotonic() - start
        reference.stop_all()
    return {
        "case": case.name,
        "ok": copy.exists() and files_of(copy) == files_of(source),
        "seconds": round(seconds, 2),
        "cloner": connections(cloner),
        "sharer": connections(sharer),
    }


def main() -> int:
    """Run the chosen cases."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.matrix", description=__doc__)
    parser.add_argument("--nat", action="store_true", help="the cases behind NAT boxes")
    parser.add_argument("--only", default="", help="cases with this in their name")
    parser.add_argument("--timeout", type=float, default=30, help="seconds for one clone (30)")
    asked = parser.parse_args()
    failed = 0
    for case in cases(behind_nat=asked.nat):
        if asked.only not in case.name:
            continue
        with tempfile.TemporaryDirectory(prefix="datd-matrix-") as name:
            work = Path(name)
            with Reference.installed(work / "homes") as reference:
                found = run(case, reference, work, asked.timeout)
        failed += not found["ok"]
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
