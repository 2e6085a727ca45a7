"""What a TCP transfer keeps of a narrow wire when a transfer of ours over uTP is beside it.

uTP is made for this: it gives way when the queue before the wire grows (LEDBAT). Who comes late
finds that queue there already, so either of them is first once.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.report import ratio, table
from tests.benchmarks.utp import PORT
from tests.helpers.reference import Program, Where
from tests.helpers.utp_programs import DATD, ROOT, connected
from tests.lab.netlab import Lab

# Mbit/s, and milliseconds: a home's upstream of today with a queue as long as they are.
WIRE: dict[str, Any] = {"rate": 20.0, "delay": 10.0, "queue_ms": 200.0}
TCP_PORT = 5002
# Seconds until a transfer has found its pace, that are counted of TCP alone, and of both.
WARM = 3.0
ALONE = 5.0
BOTH = 15.0
COLUMNS = ("", "MB/s", "share")
FIRST = ("uTP", "TCP")


@dataclass(frozen=True, slots=True)
class Sharing:
    """One round, in bytes a second of TCP.

    Attributes:
        congestion: Name of the rule it sent by.
        first: Which of the two was there when the other began, of `FIRST`.
        alone: With the wire for itself, in the same round.
        beside: From the moment on that both were at work.
    """

    congestion: str
    first: str
    alone: float
    beside: float


def possible() -> bool:
    """Whether a wire can be built here at all."""
    tools = shutil.which("ip") is not None and Path("/dev/net/tun").exists()
    return os.geteuid() == 0 and tools


def rules() -> list[str]:
    """What most hosts of the world send by, and what this one is set up for."""
    folder = Path("/proc/sys/net/ipv4")
    known = (folder / "tcp_available_congestion_control").read_text().split()
    here = (folder / "tcp_congestion_control").read_text().strip()
    return list(dict.fromkeys([*(rule for rule in ("cubic", "bbr") if rule in known), here]))


@contextmanager
def tcp_flow(lab: Lab, congestion: str, seconds: float) -> Iterator[Program]:
    """A TCP transfer from h1 to h2 that has begun; gives the side that counts."""
    program = [sys.executable, "-m", "tests.benchmarks.tcp_flow"]
    address, port = lab.ip("h2"), str(TCP_PORT)
    with ExitStack() as ended:
        pipe = subprocess.PIPE
        options = {"stdout": pipe, "stderr": subprocess.STDOUT, "text": True, "cwd": ROOT}
        words = [*program, "sink", address, port, str(seconds)]
        receiver = Program(lab.popen("h2", words, **options), "tcp sink")
        ended.callback(receiver.stop)
        receiver.wait_for("listening")
        words = [*program, "send", address, port, congestion]
        sender = Program(lab.popen("h1", words, **options), "tcp sender")
        ended.callback(sender.stop)
        receiver.wait_for("connection")
        yield receiver


def rate(notes: Sequence[tuple[float, int]], begin: float, end: float) -> float:
    """Bytes a second between two moments, of a count noted now and then."""
    inside = [note for note in notes if begin <= note[0] <= end]
    (start, before), (stop, after) = inside[0], inside[-1]
    return (after - before) / (stop - start)


def notes_of(receiver: Program, seconds: float) -> list[tuple[float, int]]:
    """What the counting side noted, once it is done."""
    heard = receiver.wait_for("counted", timeout=seconds + 30)
    return [(at, count) for at, count in heard["notes"]]


@contextmanager
def utp_flow(lab: Lab) -> Iterator[None]:
    """A transfer over uTP from h1 to h2 that has begun."""
    places = Where(lab, "h2"), Where(lab, "h1")
    with connected(DATD, "sink", DATD, "send", places, port=PORT, bytes=10**10) as (sink, _):
        sink.wait_for("connection")
        yield


def tcp_first(lab: Lab, congestion: str) -> tuple[float, float]:
    """Rates of a TCP transfer alone, and after one over uTP has come."""
    # What the programs of uTP take to begin comes on top.
    seconds = WARM + ALONE + BOTH + 3
    with tcp_flow(lab, congestion, seconds) as receiver:
        begun = time.monotonic()
        time.sleep(WARM + ALONE)
        with utp_flow(lab):
            joined = time.monotonic()
            notes = notes_of(receiver, seconds)
    alone = rate(notes, begun + WARM, begun + WARM + ALONE)
    return alone, rate(notes, joined, joined + BOTH)


def utp_first(lab: Lab, congestion: str) -> float:
    """Rate of a TCP transfer that comes where one over uTP is at work."""
    with utp_flow(lab):
        time.sleep(WARM)
        with tcp_flow(lab, congestion, BOTH + 0.5) as receiver:
            joined = time.monotonic()
            notes = notes_of(receiver, BOTH)
    return rate(notes, joined, joined + BOTH)


def measure(rounds: int) -> list[Sharing]:
    """TCP alone and beside uTP, in both orders, so many rounds, over a new wire each time."""
    done = []
    for number, congestion in product(range(rounds), rules()):
        with Lab.wire(**WIRE) as lab:
            alone, beside = tcp_first(lab, congestion)
        with Lab.wire(**WIRE) as lab:
            late = utp_first(lab, congestion)
        done.append(Sharing(congestion, "uTP", alone, late))
        done.append(Sharing(congestion, "TCP", alone, beside))
        sys.stderr.write(
            f"  round {number + 1}: TCP ({congestion}) alone {alone / 1e6:.2f} MB/s, beside uTP"
            f" {late / 1e6:.2f} MB/s if that was first, else {beside / 1e6:.2f} MB/s\n"
        )
    return done


def show(done: list[Sharing]) -> list[str]:
    """The table, and what it should say."""
    rows, verdicts = [], []
    for congestion in dict.fromkeys(one.congestion for one in done):
        alone = median(one.alone for one in done if one.congestion == congestion)
        rows.append([f"TCP ({congestion}) alone", f"{alone / 1e6:.2f}", "1.00"])
        for first in FIRST:
            of_it = [one for one in done if (one.congestion, one.first) == (congestion, first)]
            if not of_it:
                continue
            beside = median(one.beside for one in of_it)
            rows.append(
                [f"... beside uTP, {first} first", f"{beside / 1e6:.2f}", f"{beside / alone:.2f}"]
            )
            what = f"TCP ({congestion}) keeps beside uTP, {first} first"
            verdicts.append(ratio(what, beside / alone, 0.8))
    title = f"a wire of {WIRE['rate']:g} Mbit/s, {WIRE['delay']:g} ms each way"
    return [table(title, rows, COLUMNS), *verdicts]
