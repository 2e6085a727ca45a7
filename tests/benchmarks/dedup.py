"""What asking for hashes first costs where nothing is shared, and what it saves where much is.

A daemon that holds one archive fetches another one from the original on loopback, with
`storage.dedup` on and off in turns. Bytes are what the serving process wrote.
"""

import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median

from tests.benchmarks.datd_side import LOOPBACK, ask, wait_until_whole
from tests.benchmarks.original_side import OriginalSide
from tests.benchmarks.report import ratio, table
from tests.benchmarks.side import Source
from tests.helpers.daemon import RunningDaemon, running_daemon
from tests.helpers.processes import processor_seconds

FILES = 100
# One file in so many is another one in the copy.
CHANGED_ONE_IN = 20
COLUMNS = ("", "s", "CPU s", "MB on the wire", "% of the archive")
BLOCK_SIZES = (65536, 16384, 4096)
# Two fetches of the same differ by a tenth and more. What asking costs is to be seen all the same,
# so where nothing is shared each round has so many pairs of fetches.
PAIRS = 4
# What was taken stock of goes into the index in the background, within a fraction of this.
NOTED_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Fetch:
    """One fetch.

    Attributes:
        block_size: Of the archive.
        copy: Whether it shares most files with the one held before; else it shares nothing.
        dedup: Whether hashes were asked for.
        seconds: From the request to the last stored block.
        size: Bytes of both feeds.
        sent: Bytes that the seeder wrote.
        cpu: Processor seconds of the fetching daemon until a second after that, by when it has
            noted what came.
    """

    block_size: int
    copy: bool
    dedup: bool
    seconds: float
    size: int
    sent: int
    cpu: float


def written(pid: int) -> int:
    """Bytes that a process has handed to the kernel so far, to sockets and files."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar:"))


def make_folders(top: Path, size: int) -> dict[str, Path]:
    """Three folders of random files: one to hold, a copy with some changed, and a strange one."""
    chance = random.Random(4)
    folders = {name: top / name for name in ("held", "copy", "strange")}
    for folder in folders.values():
        folder.mkdir()
    for number in range(FILES):
        held, other, strange = (chance.randbytes(size // FILES) for _ in range(3))
        (folders["held"] / f"{number}").write_bytes(held)
        changed = number % CHANGED_ONE_IN == 0
        (folders["copy"] / f"{number}").write_bytes(other if changed else held)
        (folders["strange"] / f"{number}").write_bytes(strange)
    return folders


def fetch(
    original: OriginalSide, held: Path, wanted: Path, work: Path, *, dedup: bool
) -> tuple[float, int, float]:
    """Hold one archive, fetch the other; gives seconds, bytes sent and processor seconds."""
    environment = {"DATD_STORAGE__DEDUP": str(dedup).lower()}
    with (
        original.serve(held, work / "held") as first,
        original.serve(wanted, work / "wanted") as second,
        running_daemon(work / "datd", *LOOPBACK, environment=environment) as daemon,
    ):
        add_and_wait(daemon, first)
        time.sleep(NOTED_SECONDS)
        pid = daemon.process.pid
        used, before, start = processor_seconds(pid), written(second.pid), time.monotonic()
        add_and_wait(daemon, second)
        seconds, sent = time.monotonic() - start, written(second.pid) - before
        time.sleep(NOTED_SECONDS)
        return seconds, sent, processor_seconds(pid) - used


def add_and_wait(daemon: RunningDaemon, source: Source) -> None:
    """Fetch a whole archive."""
    peers = [f"127.0.0.1:{source.port}"]
    ask(daemon, "POST", "/archives", {"link": source.key, "peers": peers})
    wait_until_whole(daemon, source.key)


def measure(
    original: OriginalSide, size: int, rounds: int, tell: Callable[[str], object]
) -> list[Fetch]:
    """All pairs, with and without, interleaved."""
    done: list[Fetch] = []
    with tempfile.TemporaryDirectory(prefix="datd-bench-") as name:
        top = Path(name)
        folders = make_folders(top, size)
        for block_size in BLOCK_SIZES:
            stores = {name: top / f"{name} {block_size}" for name in folders}
            made = {
                name: original.make(folder, stores[name], block_size)
                for name, folder in folders.items()
            }
            turns = product(range(rounds), (*["strange"] * PAIRS, "copy"))
            for turn, (number, wanted) in enumerate(turns):
                # Neither way is always the first one.
                for dedup in (False, True) if turn % 2 else (True, False):
                    work = top / "run"
                    for part in ("held", "wanted"):
                        os.makedirs(work / part)
                    seconds, sent, cpu = fetch(
                        original, stores["held"], stores[wanted], work, dedup=dedup
                    )
                    shutil.rmtree(work)
                    bytes_ = made[wanted]["bytes"]
                    one = Fetch(block_size, wanted == "copy", dedup, seconds, bytes_, sent, cpu)
                    done.append(one)
                    tell(f"  round {number + 1}: {_name(one)}: {seconds:.2f} s, {sent} bytes\n")
    return done


def show(done: Sequence[Fetch]) -> list[str]:
    """The tables, and what they should say."""
    lines: list[str] = []
    for block_size in dict.fromkeys(one.block_size for one in done):
        rows, verdicts = [], []
        for copy in (False, True):
            on, off = (
                [
                    one
                    for one in done
                    if (one.block_size, one.copy, one.dedup) == (block_size, copy, d)
                ]
                for d in (True, False)
            )
            rows += [_row(off), _row(on)]
            if copy:
                share = median(one.sent / one.size for one in on)
                verdicts.append(ratio("kept off the wire, of a copy", 1 - share, 0.92))
            else:
                # Each with its neighbour: what else the machine does hits both alike.
                pairs = list(zip(on, off, strict=True))
                for what, share in (
                    ("seconds", median(b.seconds / a.seconds for a, b in pairs)),
                    ("CPU seconds", median(b.cpu / a.cpu for a, b in pairs)),
                    ("bytes", median(b.sent / a.sent for a, b in pairs)),
                ):
                    verdicts.append(
                        ratio(f"{what} where nothing is shared, off by on", share, 0.97)
                    )
        size = done[0].size / 1e6
        title = f"{size:.0f} MB in blocks of {block_size // 1024} KiB"
        lines += [table(title, rows, COLUMNS), *verdicts]
    return lines


def _row(runs: Sequence[Fetch]) -> list[str]:
    sent = median(one.sent for one in runs)
    return [
        _name(runs[0]),
        f"{median(one.seconds for one in runs):.2f}",
        f"{median(one.cpu for one in runs):.2f}",
        f"{sent / 1e6:.2f}",
        f"{100 * sent / runs[0].size:.1f}",
    ]


def _name(one: Fetch) -> str:
    what = "a copy with 5 % changed" if one.copy else "nothing shared"
    return f"{what}, dedup {'on' if one.dedup else 'off'}"
