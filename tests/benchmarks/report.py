"""The table of a benchmark, and the machine it was measured on."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

COLUMNS = ("", "MB/s", "blocks/s", "CPU s seed", "CPU s fetch", "MB fetch", "x original")


@dataclass(frozen=True, slots=True)
class Load:
    """What is carried: an archive of one file in blocks of one size.

    Attributes:
        size: Bytes of the file.
    """

    block_size: int
    size: int

    @property
    def title(self) -> str:
        """Its name for people."""
        sizes = {65536: "64 KiB", 1024: "1 KiB"}
        blocks = sizes.get(self.block_size, f"{self.block_size} B")
        return f"blocks of {blocks}, {self.size / 1e6:g} MB"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One fetch.

    Attributes:
        seconds: From the first dial to the last stored block.
        size: Bytes of both feeds.
        blocks: Blocks of both feeds.
        seed_cpu: Processor seconds of the serving process meanwhile.
        fetch_cpu: The same of the fetching one.
        fetch_memory: Peak bytes of the fetching one.
    """

    seconds: float
    size: int
    blocks: int
    seed_cpu: float
    fetch_cpu: float
    fetch_memory: int

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.size / self.seconds


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing measured, and what it may be at most (0: nobody said)."""

    what: str
    value: float
    unit: str
    most: float = 0.0


def line(figure: Figure) -> str:
    """A line for people."""
    wanted = f" (at most {figure.most:g})" if figure.most else ""
    verdict = "  TOO MUCH" if figure.most and figure.value > figure.most else ""
    return f"  {figure.what}: {figure.value:.4g} {figure.unit}{wanted}{verdict}"


def machine() -> str:
    """Processor, cores and system."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    return f"{model}, {cores} cores, Linux {platform.release()}, load before {load:.1f}"


def row(pair: str, runs: Sequence[Measurement], baseline: Sequence[Measurement]) -> list[str]:
    """One line of the table: medians over the rounds, and the rate beside the original's."""
    rate = median(run.rate for run in runs)
    beside = f"{rate / median(run.rate for run in baseline):.2f}" if baseline else "-"
    return [
        pair,
        f"{rate / 1e6:.1f}",
        f"{median(run.blocks / run.seconds for run in runs):,.0f}",
        f"{median(run.seed_cpu for run in runs):.2f}",
        f"{median(run.fetch_cpu for run in runs):.2f}",
        f"{median(run.fetch_memory for run in runs) / 1e6:.0f}",
        beside,
    ]


def ratio(what: str, is_: float, wanted: float) -> str:
    """A line that compares a ratio with what it should at least be."""
    verdict = "" if is_ >= wanted else "  TOO LOW"
    return f"  {what}: {is_:.2f} (wanted: {wanted:g}){verdict}"


def table(title: str, rows: Sequence[Sequence[str]], columns: Sequence[str] = COLUMNS) -> str:
    """Lines of a table whose first column is text and whose others are numbers."""
    lines = [(title, *columns[1:]), *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
