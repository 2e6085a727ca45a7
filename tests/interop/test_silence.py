"""What is paused, removed, limited or without a server is not heard of on any network.

Original programs go on asking for it: by multicast (also as dat 14 does), at an original discovery
server and at ours, and in the DHT.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.helpers.lab import Lab
from tests.helpers.lab_daemon import LabDaemon, lab_daemon, lab_dht_node
from tests.helpers.reference import Program, Reference, Where
from tests.helpers.seeds import Seed, make
from tests.helpers.servers import running_discovery_server
from tests.lab.capture import Capture, Packet

DATD, ASKER, OURS, THEIRS = "h1", "h2", "h3", "h4"
PORT = 3282
# Seconds in which a withdrawal is confirmed, and everybody who asks has asked again.
WITHDRAWN_WITHIN = 1.5
# On a busy machine it takes its time to leave; nothing of an archive may be said after it has.
LEAVES_WITHIN = 60.0
# So long nothing is heard. Everybody who asks does so each second; rounds of our own come every
# minute, but one of them would not come alone: four archives share that minute.
LISTENING = 15.0


class Stage:
    """The lab with its servers, who ask each second, and the daemon with four archives."""

    def __init__(self, reference: Reference, stack: ExitStack, folder: Path) -> None:
        self.reference = reference
        self.lab = lab = stack.enter_context(Lab.lan(4))
        stack.enter_context(running_discovery_server(lab, OURS))
        server = reference.start("dns-server.js", "--port", 5300, where=Where(lab, THEIRS))
        server.wait_for("listening")
        self.servers = lab.ip(OURS), lab.ip(THEIRS)
        self.node = stack.enter_context(lab_dht_node(lab, OURS))
        self._port = 7000
        self.paused, self.active, self.gone, self.local = (
            make(number, folder / "datd") for number in range(4)
        )
        self.capture = stack.enter_context(lab.capture(DATD))
        words = [f"--dns-server={server}" for server in self.servers]
        self.daemon: LabDaemon = stack.enter_context(
            lab_daemon(
                lab, DATD, folder / "datd", *words, f"--dht-bootstrap={self.node}", mdns=True
            )
        )

    def host(self) -> None:
        """Have all four hosted and announced, the last one on the local network only."""
        for seed in (self.paused, self.active, self.gone):
            self.daemon.add(seed.key)
        self.daemon.add(self.local.key, networks=["mdns"])
        for seed in (self.paused, self.active, self.gone):
            for server in self.servers:
                found_at(self.ask_server(seed, server, every=1), self.lab.ip(DATD))
            self.capture.wait_for(announces_in_the_dht(seed))

    def ask_server(self, seed: Seed, server: str, *, every: int = 0) -> Program:
        return self._ask("dns-client.js", "lookup", name(seed), "--server", server, every=every)

    def ask_all(self, seed: Seed) -> list[Program]:
        """Have originals ask for an archive everywhere, again and again."""
        return [
            self._ask("dns-client.js", "lookup", name(seed), "--mdns", every=1),
            self._ask("mdns14.js", "lookup", seed.discovery_key.hex()),
            *(self.ask_server(seed, server, every=1) for server in self.servers),
            self.ask_the_dht(seed),
        ]

    def ask_the_dht(self, seed: Seed) -> Program:
        self._port += 1
        words = ("--port", self._port, "--bootstrap", self.node, "--lookup", name(seed))
        return self._ask("dht-node.js", *words)

    def announce(self, seed: Seed) -> None:
        """Somebody else has it, too: subscribers are told."""
        for server in self.servers:
            words = ("announce", name(seed), "--port", 9999, "--server", server)
            self._ask("dns-client.js", *words).wait_for("done", error=None)

    def _ask(self, script: str, *arguments: object, every: int = 0) -> Program:
        often = ("--every", every) if every else ()
        return self.reference.start(script, *arguments, *often, where=Where(self.lab, ASKER))

    def listed(self, seed: Seed) -> list[str]:
        """The servers that still name the daemon."""
        clients = {server: self.ask_server(seed, server) for server in self.servers}
        for client in clients.values():
            client.wait_for("done", error=None)
        return [
            server
            for server, client in clients.items()
            if client.said("peer", host=self.lab.ip(DATD))
        ]


def name(seed: Seed) -> str:
    return seed.discovery_key[:20].hex()


def found_at(program: Program, host: str) -> None:
    program.wait_for("peer", host=host, port=PORT)


def names(seed: Seed) -> Callable[[Packet], bool]:
    """Whether a packet names an archive, in any of the ways of the networks."""
    raw = seed.discovery_key[:20]
    text = raw.hex().encode()
    return lambda packet: raw in packet.raw or text in packet.raw.lower()


def announces_in_the_dht(seed: Seed) -> Callable[[Packet], bool]:
    named = names(seed)
    return lambda packet: b"13:announce_peer" in packet.payload and named(packet)


def withdraws_at(server: str, seed: Seed) -> Callable[[Packet], bool]:
    named = names(seed)
    return lambda packet: (
        packet.destination == server and b"unannounce=" in packet.payload and named(packet)
    )


def answers(asked: Packet) -> Callable[[Packet], bool]:
    """Whether a packet is what a server says to a query: it bears the same number."""
    return lambda packet: (
        packet.source == asked.destination
        and packet.source_port == asked.destination_port
        and packet.payload[:2] == asked.payload[:2]
    )


def sent_since(capture: Capture, begin: float) -> list[Packet]:
    return [packet for packet in capture.packets() if packet.sent and packet.time >= begin]


def silent_since(stage: Stage, seed: Seed) -> float:
    """Since when nothing more is said of an archive that was withdrawn; soon, if not yet."""
    for server in stage.servers:
        # One that is not answered is sent again, after pauses that are longer than what follows.
        asked = stage.capture.wait_for(withdraws_at(server, seed))
        stage.capture.wait_for(answers(asked))
    deadline = time.monotonic() + LEAVES_WITHIN
    while time.monotonic() < deadline:
        since = time.time()
        time.sleep(WITHDRAWN_WITHIN)
        if not list(filter(names(seed), sent_since(stage.capture, since))):
            return since
    raise AssertionError("it is still spoken of")


def test_paused_removed_limited_and_ended_it_is_withdrawn_and_silent(
    reference: Reference, stack: ExitStack, tmp_path: Path
):
    stage = Stage(reference, stack, tmp_path)
    daemon, capture, own = stage.daemon, stage.capture, stage.lab.ip(DATD)
    stage.host()
    for program in stage.ask_all(stage.paused):
        found_at(program, own)  # the questions are good ones: so far they are answered
    active, _ = stage.ask_all(stage.active)[:2]
    found_at(active, own)

    daemon.request("POST", f"/archives/{stage.paused.key}/pause")
    paused_at = silent_since(stage, stage.paused)
    assert stage.listed(stage.paused) == []
    stage.ask_the_dht(stage.paused)
    announced_at = time.time()
    stage.announce(stage.paused)
    daemon.request("DELETE", f"/archives/{stage.gone.key}")
    removed_at = silent_since(stage, stage.gone)
    time.sleep(LISTENING)
    heard = sent_since(capture, paused_at)
    assert not list(filter(names(stage.paused), heard))
    assert len(list(filter(names(stage.active), heard))) >= LISTENING / 2, "others go on"
    assert not list(filter(names(stage.gone), sent_since(capture, removed_at)))
    assert stage.listed(stage.gone) == []
    # Nor did the servers tell it: it was forgotten as a subscriber as well. Their answer to what it
    # said last came before that announcement.
    late = [one for one in capture.packets() if one.time > announced_at]
    told = [one for one in late if not one.sent and one.source in stage.servers]
    assert not [one for one in told if names(stage.paused)(one)]

    assert set(stage.listed(stage.active)) == set(stage.servers)
    assert daemon.stop() == 0
    assert stage.listed(stage.active) == []

    local = [packet for packet in capture.packets() if names(stage.local)(packet)]
    assert {packet.destination for packet in local} == {"224.0.0.251"}


@pytest.mark.parametrize("mdns", [False, True], ids=["no network", "multicast"])
def test_without_a_server_and_a_first_node_nothing_is_sent_to_anybody(
    stack: ExitStack, mdns: bool, tmp_path: Path
):
    lab = stack.enter_context(Lab.lan(1))
    seed = make(1, tmp_path)
    with lab.capture("h1") as capture, lab_daemon(lab, "h1", tmp_path, mdns=mdns) as daemon:
        networks = daemon.request("GET", "/stats")["networks"]
        assert networks == [*(["mdns"] if mdns else []), "dns", "dht"]
        daemon.add(seed.key)
        daemon.wait_until(lambda: daemon.whole(seed.key), "looked over")
        time.sleep(5)  # retries, and looks for bootstrap nodes, would come within two
        assert daemon.stop() == 0
    sent = [packet for packet in capture.packets() if packet.sent]
    assert {one.destination for one in sent if one.protocol != "igmp"} == (
        {"224.0.0.251"} if mdns else set()
    )
