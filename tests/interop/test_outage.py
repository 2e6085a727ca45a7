"""The cable is pulled and put back: known good peers are enough to go on, nobody has to be asked.

A daemon mirrors an archive over a cable of 4 Mbit/s. Multicast leads it to the source, once; from
then on all discovery networks are off, on both sides, and no peer was given by hand: what is known
lies in the catalogue.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path

from tests.helpers.folders import write
from tests.helpers.lab import Lab, needs_lab
from tests.helpers.lab_daemon import LabDaemon, lab_daemon
from tests.helpers.reference import Reference, Where
from tests.helpers.seeds import make

# What the wire needs a minute for; the test uses a part of that time, and more on a busy machine.
SIZE = 32_000_000
AWAY = 60.0
# The figure is 5 s. Seen are 0.2 to 2.0 s: so far apart are the packets of a dial, at most.
# The rest is for machines that are busy with other things; who waits for what was on its way when
# the cable was pulled waits for half a minute.
BACK_WITHIN = 15.0
# The second time the mirror restarts while the network is away; its start takes a second or three.
AWAY_AGAIN = 12.0
# Seconds in which nothing comes any more; a busy machine may have something to catch up with first.
QUIET, CATCHES_UP = 1.0, 20.0


class Wire:
    """Two hosts with a cable: the source at h1, the mirror at h2, both with one transport only."""

    def __init__(
        self, source: str, kind: str, reference: Reference, stack: ExitStack, folder: Path
    ) -> None:
        self.name = f"{kind} from {source}"
        self._lab = stack.enter_context(Lab.wire(rate=4, delay=5))
        self._folder = folder
        other = {"tcp": "utp", "utp": "tcp"}[kind]
        self._switch = f"--no-{other}"
        self._ours = source == "datd"
        if self._ours:
            self.key = make(1, folder / "source", size=SIZE).key
        else:
            write(folder / "original" / "file", bytes(range(256)) * (SIZE // 256))
            where, only = Where(self._lab, "h1"), f"--{other}=false"
            _, told = reference.peer("share", folder / "original", "--mdns", only, where=where)
            self.key = str(told["key"])

    def source(self, *, mdns: bool = False) -> AbstractContextManager[LabDaemon | None]:
        return self._daemon("h1", "source", mdns) if self._ours else nullcontext()

    def mirror(self, *, mdns: bool = False) -> AbstractContextManager[LabDaemon]:
        return self._daemon("h2", "mirror", mdns)

    def _daemon(self, host: str, name: str, mdns: bool) -> AbstractContextManager[LabDaemon]:
        words = (self._switch, "--no-dns", "--no-dht")
        return lab_daemon(self._lab, host, self._folder / name, *words, mdns=mdns)

    def meet(self) -> None:
        """Find one another by multicast, get a part of the archive, and know where to dial.

        The source may have called first: then blocks come before the mirror's own dial is answered.
        """
        with self.source(mdns=True) as source, self.mirror(mdns=True) as mirror:
            if source is not None:
                source.add(self.key)
                source.wait_until(lambda: source.whole(self.key), "looked over")
            mirror.add(self.key)
            self.goes_on(mirror)
            mirror.wait_until(lambda: self.knows_somebody(mirror), f"{self.name} knows its peer")
            assert mirror.stop() == 0
            assert source is None or source.stop() == 0

    def knows_somebody(self, mirror: LabDaemon) -> bool:
        """Whether the mirror has a peer that it may dial, and that spoke Dat with it."""
        return any(one["last_success"] for one in mirror.peers(self.key))

    def goes_on(self, mirror: LabDaemon) -> float:
        """Wait until blocks arrive; gives how long that took, in seconds."""
        begin, before = time.monotonic(), mirror.blocks(self.key)
        mirror.wait_until(lambda: mirror.blocks(self.key) > before, f"{self.name} goes on")
        return time.monotonic() - begin

    def pull(self, mirror: LabDaemon) -> None:
        """Pull the cable, and see that nothing comes but what was on its way."""
        self._lab.cut("h1")
        deadline = time.monotonic() + CATCHES_UP
        before = -1
        while before != mirror.blocks(self.key):
            assert time.monotonic() < deadline, f"{self.name} goes on without a cable"
            before = mirror.blocks(self.key)
            time.sleep(QUIET)
        assert not mirror.whole(self.key)

    def plug_in(self) -> None:
        self._lab.cut("h1", on=False)


def story(wire: Wire) -> list[float]:
    """All that happens on a wire; gives how long it took each time until blocks arrived."""
    wire.meet()
    with wire.source():
        with wire.mirror() as mirror:
            wire.goes_on(mirror)
            wire.pull(mirror)
            time.sleep(AWAY - QUIET)
            wire.plug_in()
            after_a_minute = wire.goes_on(mirror)
            assert not [one for one in mirror.peers(wire.key) if "manual" in one["sources"]]
            wire.pull(mirror)
            assert mirror.stop() == 0
        with wire.mirror() as mirror:
            time.sleep(AWAY_AGAIN)
            wire.plug_in()
            after_a_restart = wire.goes_on(mirror)
            assert not [line for line in mirror.running.log if "Traceback" in line]
    return [after_a_minute, after_a_restart]


def test_after_an_outage_known_good_peers_bring_the_transfer_back(
    reference: Reference, stack: ExitStack, tmp_path: Path
):
    needs_lab(tun=True)
    wires = [
        Wire(source, kind, reference, stack, tmp_path / kind / source)
        for source in ("original", "datd")
        for kind in ("tcp", "utp")
    ]
    # All wires go through the same minutes: one alone would not be ready any sooner.
    with ThreadPoolExecutor(len(wires)) as threads:
        told = {
            wire.name: seconds
            for wire, seconds in zip(wires, threads.map(story, wires), strict=True)
        }
    assert max(max(seconds) for seconds in told.values()) < BACK_WITHIN, told
