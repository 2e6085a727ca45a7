"""uTP alone, without an archive: datd and utp-native in every pair and both directions of the call.

The transports differ in whether they fill the path; the figures say so better when nothing is
stored and nothing enciphered.

utp-native carries the same bytes at 4 to 170 MB/s from one time to the next, as it happens to lose
a packet or not: each of its time-outs is a second. So what it is measured by is the median of many
transfers, and the table shows how far apart they are.
"""

import itertools
import os
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

from tests.benchmarks.report import ratio, table
from tests.helpers.ports import free_port
from tests.helpers.reference import HERE, Program, Where
from tests.helpers.utp_programs import DATD, connected, original
from tests.lab.netlab import Lab
from tests.lab.system import LabError

# Of a lab, where nobody else is.
PORT = 5001
# A transfer that takes longer has hung.
PATIENCE = 300.0
# Transfers of each pair either way for every round that was asked for.
TURNS = 3
COLUMNS = ("", "MB/s", "lowest", "highest", "CPU s send", "CPU s receive")
CALLER = "the caller sends"
CALLED = "the called side sends"

Places = tuple[Where, Where]


@dataclass(frozen=True, slots=True)
class Flow:
    """One transfer.

    Attributes:
        seconds: From the first byte at the receiver to the end.
        size: Bytes.
        send_cpu: Processor seconds of the sender since the connection was made.
        receive_cpu: The same of the receiver.
    """

    seconds: float
    size: int
    send_cpu: float
    receive_cpu: float

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.size / self.seconds


# Sender, receiver, and which of them called.
Flows = dict[tuple[str, str, str], list[Flow]]


@contextmanager
def two_hosts() -> Iterator[tuple[Places, str]]:
    """Two namespaces if this machine lets us build them, else loopback; and the name for it."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        yield (HERE, HERE), "loopback"
        return
    try:
        lab = Lab.lan(2)
    except (LabError, OSError):
        yield (HERE, HERE), "loopback"
        return
    with lab:
        yield (Where(lab, "h1"), Where(lab, "h2")), "two namespaces"


def transfer(
    sender: list[str], receiver: list[str], direction: str, places: Places, size: int
) -> Flow:
    """Carry so many bytes once, through new processes."""
    port = free_port() if places[0].lab is None else PORT
    if direction == CALLER:
        pair = connected(receiver, "sink", sender, "send", places, port=port, bytes=size)
    else:
        pair = connected(sender, "source", receiver, "recv", places, port=port, bytes=size)
    with pair as (called, calling):
        sends, receives = (calling, called) if direction == CALLER else (called, calling)
        heard = receives.wait_for("received", timeout=PATIENCE)
        if (heard["bytes"], heard["bad"]) != (size, 0):
            raise RuntimeError(f"{sends.name} -> {receives.name}: {heard}")
    return Flow(heard["seconds"], size, _used(sends), _used(receives))


def _used(ended: Program) -> float:
    return float(ended.wait_for("usage")["cpu"])


def measure(node: str, places: Places, size: int, rounds: int) -> Flows:
    """All pairs both ways, so many rounds; those that are compared follow each other."""
    sides = {"original": original(node), "datd": DATD}
    flows: Flows = defaultdict(list)
    for number, direction, (sender, receiver) in itertools.product(
        range(rounds), (CALLER, CALLED), itertools.product(sides, repeat=2)
    ):
        flow = transfer(sides[sender], sides[receiver], direction, places, size)
        flows[sender, receiver, direction].append(flow)
        sys.stderr.write(
            f"  round {number + 1}: uTP {sender} -> {receiver}, {direction}:"
            f" {flow.rate / 1e6:.1f} MB/s\n"
        )
    return flows


def show(flows: Flows, title: str) -> str:
    """The table of medians, with the slowest and the fastest transfer."""
    rows = [
        [
            f"{sender} -> {receiver}, {direction}",
            f"{median(flow.rate for flow in done) / 1e6:.1f}",
            f"{min(flow.rate for flow in done) / 1e6:.1f}",
            f"{max(flow.rate for flow in done) / 1e6:.1f}",
            f"{median(flow.send_cpu for flow in done):.2f}",
            f"{median(flow.receive_cpu for flow in done):.2f}",
        ]
        for (sender, receiver, direction), done in flows.items()
    ]
    return table(title, rows, COLUMNS)


def compare(flows: Flows) -> list[str]:
    """What datd promises beside the original, in the same run."""
    rates = {pair: median(flow.rate for flow in done) for pair, done in flows.items()}
    lines = []
    for direction in (CALLER, CALLED):
        native = rates["original", "original", direction]
        receiving = rates["original", "datd", direction] / native
        sending = rates["datd", "original", direction] / native
        lines.append(ratio(f"datd receives beside original, {direction}", receiving, 1))
        lines.append(ratio(f"datd sends to original beside it, {direction}", sending, 0.5))
    best = max(rates["original", "original", direction] for direction in (CALLER, CALLED))
    for direction in (CALLER, CALLED):
        both = rates["datd", "datd", direction] / best
        lines.append(ratio(f"two datd beside the better original pair, {direction}", both, 1.5))
    return lines
