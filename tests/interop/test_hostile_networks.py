"""Everything that tells of peers lies and floods; the daemon finds the honest ones all the same.

A host on a public address is a discovery server, a DHT node and a neighbour, and hostile as each of
them; besides, it throws forged datagrams at the port for peers. Original peers share one archive
each: one is announced at an honest server, one in the DHT, one on the local network.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.helpers.folders import write
from tests.helpers.hostile import FORBIDDEN, PRETENDED, VICTIM, hostile
from tests.helpers.lab import Lab
from tests.helpers.lab_daemon import LabDaemon, lab_daemon, lab_dht_node
from tests.helpers.reference import Reference, Where
from tests.helpers.servers import running_discovery_server
from tests.lab.capture import Packet

from datd.keys import Key
from datd.swarm.limits import DIAL_SPACING

DATD, HONEST, HOSTILE, SERVERS = "a", "b", "pub", "pub2"
GATEWAY = "203.0.113.254"
FORBIDDEN_HOSTS = {address.host for address in FORBIDDEN}
MULTICAST = "224.0.0.251"
# T-32: 20 dials a second, and as many more that may have been saved up.
MOST_IN_TEN_SECONDS = 20 * 10 + 20
# Seconds that the worst of it lasts, and until honest peers must be found in the rest of it. Seen
# are up to 36 s beside ten programs that want the same processor: all honest peers live at one
# host, which the liars name under invented ports, and a host is dialled every 5 s (T-32).
STORM, PATIENCE = 8.0, 150.0
SAVED_UP = 2.0
# A dial is counted when it is decided on. On a busy machine its packet leaves later, by up to this
# and what the slowest answer of the daemon took, which had to wait for its turn, too; never by
# more than the last number, else nothing would be shown.
LATE, LATEST = 0.5, 2.0
# What is thrown in the rest of it, in datagrams a second, unless that is more than this share of
# what got through to the daemon in the storm: else the system loses the words of honest peers, too.
CALM, CALM_SHARE = {"neighbour": 1000, "flood": 2000}, 0.25
# Seen are 5 MiB. All that strangers can fill: 200 candidates an archive (L-20), 10,000 announced
# peers and the routing table of the DHT, 1,024 calls by uTP; a few kilobytes each at the worst.
MAX_GROWTH = 32 * 2**20
# Seen is 0.07 s beside three programs that attack on the same machine, and 1.1 s if the daemon gets
# a tenth of a processor.
ANSWERS_WITHIN = 5.0


class Stage:
    """The lab, the honest peers, and the daemon."""

    def __init__(self, reference: Reference, stack: ExitStack, folder: Path) -> None:
        self.lab = lab = stack.enter_context(Lab.nat("none", "none"))
        # What goes to addresses that are not here goes to somebody who keeps it: it is seen.
        lab.run(SERVERS, ["ip", "addr", "add", f"{GATEWAY}/24", "dev", "eth0"])
        for host in (DATD, HONEST, HOSTILE):
            lab.run(host, ["ip", "route", "add", "224.0.0.0/4", "dev", "eth0"])
            lab.run(host, ["ip", "route", "add", "default", "via", GATEWAY])
        # Only the daemon is attacked: the original would not stand it.
        drop = f"ip saddr {lab.ip(HOSTILE)} drop;"
        rules = f"table ip apart {{ chain i {{ type filter hook input priority 0; {drop} }}; }}"
        lab.run(HONEST, ["nft", "-f", "-"], input=rules.encode())

        stack.enter_context(running_discovery_server(lab, SERVERS))
        node = stack.enter_context(lab_dht_node(lab, SERVERS))
        ways = (("--dns", lab.ip(SERVERS)), ("--dht", node), ("--mdns",))
        self.reference = reference
        self.node = node
        self.keys: list[str] = []
        self.taken = 0.0  # datagrams a second that got through to the daemon in the last attack
        for number, way in enumerate(ways):
            shared = folder / f"shared {number}"
            write(shared / "file", bytes([number]) * 300_000)
            port, where = ("--port", 3282 + number), Where(lab, HONEST)
            _, told = reference.peer("share", shared, *port, *way, where=where)
            self.keys.append(str(told["key"]))
        self.by_dns, self.by_dht, self.by_mdns = self.keys
        self.daemon: LabDaemon = stack.enter_context(
            lab_daemon(
                lab,
                DATD,
                folder / "datd",
                *("--dns-server", lab.ip(HOSTILE), "--dns-server", lab.ip(SERVERS)),
                *("--dht-bootstrap", f"{lab.ip(HOSTILE)}:6881", "--dht-bootstrap", node),
                mdns=True,
            )
        )

    def endure(self, seconds: float) -> None:
        """Let an attack go on, and ask the daemon how it is."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.daemon.request("GET", "/archives")
            time.sleep(0.1)

    def calm(self) -> dict[str, int]:
        """Rates of an attack in which the system itself loses next to nothing."""
        share = min(1.0, CALM_SHARE * self.taken / sum(CALM.values()))
        return {role: int(rate * share) for role, rate in CALM.items()}

    def _lost(self) -> int:
        told = self.lab.run(DATD, ["cat", "/proc/net/udp"], capture_output=True, text=True)
        return sum(int(line.split()[-1]) for line in told.stdout.splitlines()[1:])

    def connections(self) -> list[str]:
        """Those over TCP that the daemon holds open, or tries to make."""
        told = self.lab.run(DATD, ["cat", "/proc/net/tcp"], capture_output=True, text=True)
        rows = [line.split() for line in told.stdout.splitlines()[1:]]
        # Not what listens, nor what the system ends by itself, which has no descriptor.
        return [row[2] for row in rows if row[3] != "0A" and row[9] != "0"]

    def found_by_others(self) -> None:
        """An original program hears of the daemon at the honest server, and in the DHT."""
        where, own = Where(self.lab, HONEST), self.lab.ip(DATD)
        name = Key.parse(self.by_dns).discovery_key.raw[:20].hex()
        given = ("--server", self.lab.ip(SERVERS), "--every", 1)
        client = self.reference.start("dns-client.js", "lookup", name, *given, where=where)
        client.wait_for("peer", host=own, port=3282)
        name = Key.parse(self.by_dht).discovery_key.raw[:20].hex()
        words = ("--port", 7000, "--bootstrap", self.node, "--lookup", name)
        node = self.reference.start("dht-node.js", *words, where=where)
        node.wait_for("peer", host=own)

    @contextmanager
    def attack(self, **rates: int) -> Iterator[None]:
        """Everything at once.

        Args:
            rates: Datagrams a second of `neighbour` and `flood`.
        """
        near = self.lab.ip(HONEST), self.lab.ip(HOSTILE), self.lab.ip(DATD)
        words = ["--target", self.lab.ip(DATD), "--honest", self.lab.ip(SERVERS)]
        words += ["--own", self.lab.ip(HOSTILE)]
        words += [word for host in near for word in ("--near", host)]
        for key in self.keys:
            words += ["--name", Key.parse(key).discovery_key.raw[:20].hex()]
        with ExitStack() as stack:
            begin, lost, thrown = time.monotonic(), self._lost(), 0
            attackers = {
                role: stack.enter_context(
                    hostile(self.lab, HOSTILE, role, *words, "--rate", rates.get(role, 0))
                )
                for role in ("server", "neighbour", "flood")
            }
            together = time.monotonic()
            yield
            end = time.monotonic()
            for role, attacker in attackers.items():
                attacker.stop()
                (done,) = attacker.said("done")
                # A busy machine throws less than it should; below this nothing would be shown.
                thrown += done["sent"]
                least = rates.get(role, 400) / 8 * (end - together)
                assert done["sent"] > least, f"{role}: no attack worth the name"
            seconds = end - begin
            self.taken = (thrown - self._lost() + lost) / seconds


class Dial(NamedTuple):
    """One attempt to connect, however often its packet was sent."""

    time: float
    kind: str
    host: str
    port: int


def dials(packets: list[Packet]) -> list[Dial]:
    """Attempts of the host that captured them."""
    found: dict[tuple[str | int | bytes, ...], Dial] = {}
    for packet in packets:
        if not packet.sent:
            continue
        to = packet.destination, packet.destination_port
        if packet.protocol == "tcp" and packet.raw[33] & 0x12 == 0x02:
            mark: tuple[str | int | bytes, ...] = ("tcp", packet.source_port, *to)
        elif packet.protocol == "udp" and len(packet.payload) == 20 and packet.payload[0] == 0x41:
            mark = ("utp", packet.payload[2:4], *to)
        else:
            continue
        found.setdefault(mark, Dial(packet.time, str(mark[0]), *to))
    return list(found.values())


@pytest.mark.timeout(600)
def test_t31_t32_t37_t38_hostile_networks_cost_little_and_hide_nobody(
    reference: Reference, stack: ExitStack, tmp_path: Path
):
    stage = Stage(reference, stack, tmp_path)
    daemon, running = stage.daemon, stage.daemon.running
    daemon.request("GET", "/stats")
    memory = running.memory
    with stage.lab.capture(DATD) as capture, stage.lab.capture(DATD, "lo") as loopback:
        with stage.attack(neighbour=3000, flood=20_000):
            daemon.add(stage.by_mdns)
            stage.endure(STORM)
            assert running.memory - memory < MAX_GROWTH
            assert daemon.slowest < ANSWERS_WITHIN
        daemon.request("DELETE", f"/archives/{stage.by_mdns}")
        # In the storm the system itself loses what the daemon has no time for. It goes on with less
        # than a sixth of that, and everybody honest is found meanwhile.
        with stage.attack(**stage.calm()):
            for key in (stage.by_dns, stage.by_dht):
                daemon.add(key)
            # Until nothing is left of what the quiet before has saved up for multicast.
            stage.endure(SAVED_UP)
            daemon.add(stage.by_mdns)
            for key in reversed(stage.keys):
                daemon.wait_until(partial(daemon.whole, key), "found", seconds=PATIENCE)
            assert running.memory - memory < MAX_GROWTH
        stage.found_by_others()
        assert daemon.busy(2) < 0.25
        for key in stage.keys:
            daemon.request("DELETE", f"/archives/{key}")

        def closed() -> bool:
            """Not by their number: the daemon opens some of its own when it first needs them."""
            files = [path for path in running.open_files if str(running.archives) in path]
            return not files and not stage.connections()

        daemon.wait_until(closed, "all closed again")
        assert daemon.busy(2) < 0.05
        assert running.memory - memory < MAX_GROWTH
    assert running.process.poll() is None
    assert not [line for line in running.log if "Traceback" in line or '"error"' in line]
    nobody_else_is_bothered(stage, capture.packets(), loopback.packets())


def nobody_else_is_bothered(stage: Stage, packets: list[Packet], inside: list[Packet]) -> None:
    """What left the daemon stayed within the limits."""
    own = stage.lab.ip(DATD)
    sent = [packet for packet in packets if packet.sent]
    to_forbidden = [one for one in sent if one.destination in FORBIDDEN_HOSTS - {MULTICAST}]
    assert to_forbidden == []
    assert not [one for one in sent + inside if one.protocol == "tcp" and not one.destination_port]
    assert {one.destination for one in inside if one.protocol in ("tcp", "udp")} <= {own}
    tried = dials(packets)
    late = min(LATE + stage.daemon.slowest, LATEST)
    assert len(tried) > 100, "made-up peers were dialled: nothing was measured"
    known = stage.lab.ip(HONEST)
    for kind in ("tcp", "utp"):
        times = defaultdict(list)
        for dial in tried:
            if dial.kind == kind:
                times[dial.host].append(dial.time)
        every = sorted(time for one in times.values() for time in one)
        for first, last in pairwise_apart(every, MOST_IN_TEN_SECONDS):
            assert last - first > 10 - late, "T-32: 20 dials a second"
        gaps = [b - a for host in times if host != known for a, b in pairwise(sorted(times[host]))]
        assert min(gaps) > DIAL_SPACING - late, "T-32: one host every 5 s"
        assert VICTIM in times
    # Questions of the DHT come on top for who is said to be a node.
    assert len([one for one in sent if one.destination == VICTIM]) < 100
    # T-33, T-35, T-37: no weapon against who only seems to ask.
    came = sum(len(one.raw) for one in packets if one.source == PRETENDED)
    went = sum(len(one.raw) for one in sent if one.destination == PRETENDED)
    assert came > 1_000_000
    assert went < came / 10


def pairwise_apart(times: list[float], count: int) -> Iterator[tuple[float, float]]:
    """Each time with the one `count` places later."""
    return zip(times, times[count:], strict=False)
