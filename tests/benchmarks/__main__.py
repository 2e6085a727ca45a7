"""Measures datd beside the original programs, in ten parts.

archives fetches the same archive between all pairs of original and datd, over TCP on loopback. Each
process has its archive on disk in the same layout. `x original` is the rate beside original ->
original of the same run.

steps tells what each step of a transfer costs in processor time, both ends in one thread: a busy
machine changes these numbers by a few parts in ten, and rates many times over.

utp carries bytes between all pairs of datd and utp-native, through two network namespaces where
this machine allows them.

dedup tells what it costs, and saves, that hashes are asked for first where content may be here.

sharing tells what a TCP transfer keeps of a narrow wire beside one of ours over uTP, whichever of
them was first (needs root).

writing imports folders into new archives: a large file, and many small ones.

million asks a daemon for files, folders and histories of an archive of a million entries.

parquet reads one column of a large parquet file on an original peer.

guests calls both sides as many peers: short visits, guests that stay, greedy and polite ones.

quiet starts a daemon of ten thousand archives that nobody asks for.

Rounds are interleaved, so that a busy moment of the machine hits all pairs alike; tables show
medians.
"""

import argparse
import itertools
import json
import os
import shutil
import signal
import sys
import tempfile
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks import (
    dedup,
    guests,
    million,
    parquet,
    quiet,
    sharing,
    steps,
    utp,
    writing,
)
from tests.benchmarks.datd_side import DatdSide
from tests.benchmarks.original_side import OriginalSide
from tests.benchmarks.report import Load, Measurement, machine, row, table
from tests.benchmarks.side import Side
from tests.helpers.processes import peak_memory, processor_seconds
from tests.lab.install import Reference

PARTS = (
    "archives",
    "steps",
    "utp",
    "sharing",
    "dedup",
    "writing",
    "million",
    "parquet",
    "guests",
    "quiet",
)

Runs = dict[tuple[str, str], list[Measurement]]


def options() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="./dev bench --",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, what in (("--only", "this part"), ("--skip", "all but this part")):
        parser.add_argument(
            name, choices=PARTS, action="append", default=[], help=f"{what}; may be given again"
        )
    rounds = "fetches of each pair (3); over uTP three times as many"
    parser.add_argument("--rounds", type=int, default=3, help=rounds)
    parser.add_argument("--large", type=float, default=200, help="MB in blocks of 64 KiB (200)")
    parser.add_argument("--small", type=float, default=4, help="MB in blocks of 100 B (4)")
    parser.add_argument("--side", choices=["original", "datd"], help="archives: both sides this")
    parser.add_argument("--wide", type=int, default=100, help="million: cube root of it (100)")
    parser.add_argument("--utp", type=float, default=20, help="MB over uTP (20)")
    parser.add_argument("--writing", type=float, default=500, help="MB in one file imported (500)")
    flat = "files imported in one folder, once (10000): the original takes minutes"
    parser.add_argument("--flat", type=int, default=10_000, help=flat)
    parser.add_argument("--parquet", type=float, default=1000, help="MB of that file (1000)")
    parser.add_argument("--quiet", type=int, default=10_000, help="quiet archives (10000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement there")
    return parser.parse_args()


def fetch_once(
    seeder: Side, reader: Side, store: Path, made: dict[str, int], folder: Path
) -> Measurement:
    """One archive from one side to the other, through new processes and new folders."""
    served, got = folder / "s", folder / "f"
    served.mkdir()
    got.mkdir()
    with seeder.serve(store, served) as source, reader.reader(source, got) as ready:
        seed_cpu, fetch_cpu = processor_seconds(source.pid), processor_seconds(ready.pid)
        seconds = ready.fetch()
        return Measurement(
            seconds,
            made["bytes"],
            made["blocks"],
            processor_seconds(source.pid) - seed_cpu,
            processor_seconds(ready.pid) - fetch_cpu,
            peak_memory(ready.pid),
        )


def measure(load: Load, sides: list[Side], original: OriginalSide, rounds: int) -> Runs:
    """All pairs, interleaved, so many rounds."""
    runs: Runs = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="datd-bench-") as name:
        top = Path(name)
        source = top / "source"
        source.mkdir()
        (source / "file").write_bytes(os.urandom(load.size))
        made = original.make(source, top / "store", load.block_size)
        for number, (seeder, reader) in itertools.product(
            range(rounds), itertools.product(sides, repeat=2)
        ):
            folder = top / "run"
            folder.mkdir()
            done = fetch_once(seeder, reader, top / "store", made, folder)
            shutil.rmtree(folder)
            runs[seeder.name, reader.name].append(done)
            pair = f"{seeder.name} -> {reader.name}"
            sys.stderr.write(f"  round {number + 1}: {pair}: {done.rate / 1e6:.1f} MB/s\n")
    return runs


def show(load: Load, runs: Runs) -> None:
    """Print the table of one load."""
    baseline = runs.get(("original", "original"), [])
    rows = [row(f"{seeder} -> {reader}", done, baseline) for (seeder, reader), done in runs.items()]
    sys.stdout.write(f"\n{table(load.title, rows)}\n")


def main() -> int:
    """Measure, print, write."""
    asked = options()
    # Ended from outside, the processes of a run end too and its folders go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    found = Reference.load()
    if found is None:
        sys.stderr.write("bench: the original programs are not here: ./dev bench brings them\n")
        return 1
    parts = [part for part in asked.only or PARTS if part not in asked.skip]
    sys.stdout.write(f"machine   {machine()}\n")
    kept: list[dict[str, object]] = []
    if "archives" in parts:
        kept += bench_archives(asked, found)
    if "steps" in parts:
        kept += bench_steps(asked)
    if "utp" in parts:
        kept += bench_utp(asked, found)
    if "sharing" in parts:
        kept += bench_sharing(asked)
    if "dedup" in parts:
        kept += bench_dedup(asked, found)
    if "writing" in parts:
        kept += bench_writing(asked, found)
    if "million" in parts:
        kept += bench_million(asked)
    if "parquet" in parts:
        kept += bench_parquet(asked)
    if "guests" in parts:
        kept += bench_guests(asked, found)
    if "quiet" in parts:
        kept += bench_quiet(asked, found)
    if asked.json:
        asked.json.write_text(json.dumps(kept, indent=1) + "\n")
    return 0


def bench_archives(asked: argparse.Namespace, found: Reference) -> list[dict[str, object]]:
    """Archives between all pairs; gives every measurement."""
    original = OriginalSide(found.baseline or found.node)
    sides: list[Side] = [original, DatdSide()]
    if asked.side:
        sides = [side for side in sides if side.name == asked.side]
    for side in sides:
        sys.stdout.write(f"{side.name:<10}{side.describe()}\n")
    if found.baseline is None:
        sys.stdout.write(f"no native baseline: {found.baseline_missing}\n")
    loads = [Load(65536, int(asked.large * 1e6)), Load(100, int(asked.small * 1e6))]
    kept: list[dict[str, object]] = []
    for load in loads:
        if not load.size:
            continue
        runs = measure(load, sides, original, asked.rounds)
        show(load, runs)
        for (seeder, reader), done in runs.items():
            pair = {"seeder": seeder, "reader": reader, "block_size": load.block_size}
            kept += [{**pair, **asdict(run)} for run in done]
    return kept


def bench_steps(asked: argparse.Namespace) -> list[dict[str, object]]:
    """Steps of transfers; gives every measurement."""
    done = steps.measure(asked.rounds, sys.stderr.write)
    sys.stdout.write("\n" + "\n".join(steps.show(done)) + "\n")
    return [asdict(one) for one in done]


def bench_utp(asked: argparse.Namespace, found: Reference) -> list[dict[str, object]]:
    """Bytes over uTP between all pairs; gives every measurement."""
    with utp.two_hosts() as (places, name):
        flows = utp.measure(found.node, places, int(asked.utp * 1e6), asked.rounds * utp.TURNS)
    title = f"uTP, {asked.utp:g} MB, {name}"
    sys.stdout.write("\n" + "\n".join([utp.show(flows, title), *utp.compare(flows)]) + "\n")
    return [
        {"sender": sender, "receiver": receiver, "direction": direction, **asdict(flow)}
        for (sender, receiver, direction), done in flows.items()
        for flow in done
    ]


def bench_dedup(asked: argparse.Namespace, found: Reference) -> list[dict[str, object]]:
    """Hashes asked for first, or not; gives every measurement."""
    original = OriginalSide(found.baseline or found.node)
    done = dedup.measure(original, int(asked.large * 1e6), asked.rounds, sys.stderr.write)
    sys.stdout.write("\n" + "\n".join(dedup.show(done)) + "\n")
    return [asdict(one) for one in done]


def bench_million(asked: argparse.Namespace) -> list[dict[str, object]]:
    """A large archive; gives every figure."""
    done = million.measure(asked.wide, sys.stderr.write)
    sys.stdout.write("\n" + "\n".join(million.show(done, asked.wide)) + "\n")
    return [asdict(one) for one in done]


def bench_parquet(asked: argparse.Namespace) -> list[dict[str, object]]:
    """A column of a large file; gives what each reader moved."""
    size = int(asked.parquet * 1e6)
    done = parquet.measure(size, sys.stderr.write)
    sys.stdout.write("\n" + "\n".join(parquet.show(done, size)) + "\n")
    return [asdict(one) for one in done]


def bench_guests(asked: argparse.Namespace, found: Reference) -> list[dict[str, object]]:
    """Peers that call; gives every measurement."""
    original = OriginalSide(found.baseline or found.node)
    done = guests.measure([original, DatdSide()], original, asked.rounds, sys.stderr.write)
    sys.stdout.write("\n" + "\n".join(guests.show(done)) + "\n")
    return [{"side": side, **asdict(one)} for side, stays in done.items() for one in stays]


def bench_quiet(asked: argparse.Namespace, found: Reference) -> list[dict[str, object]]:
    """Many archives, nobody there; gives every figure."""
    node = found.baseline or found.node
    done = quiet.measure(node, asked.quiet, sys.stderr.write)
    sys.stdout.write("\n" + "\n".join(quiet.show(done, asked.quiet)) + "\n")
    return [asdict(one) for one in done]


def bench_sharing(asked: argparse.Namespace) -> list[dict[str, object]]:
    """TCP beside uTP on a narrow wire; gives every measurement."""
    if not sharing.possible():
        sys.stdout.write("\nno wire to share: it needs root, iproute2 and /dev/net/tun\n")
        return []
    done = sharing.measure(max(1, asked.rounds // 3))  # they hardly differ, and take two minutes
    sys.stdout.write("\n" + "\n".join(sharing.show(done)) + "\n")
    return [asdict(one) for one in done]


def bench_writing(asked: argparse.Namespace, found: Reference) -> list[dict[str, object]]:
    """Imports by both; gives every measurement."""
    node = found.baseline or found.node
    chosen, done = writing.measure(node, int(asked.writing * 1e6), asked.flat, asked.rounds)
    sys.stdout.write("\n".join(writing.show(chosen, done)) + "\n")
    return [
        {"source": source, "side": side, **asdict(one)}
        for (source, side), runs in done.items()
        for one in runs
    ]


if __name__ == "__main__":
    sys.exit(main())
