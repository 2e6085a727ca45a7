"""Folders imported: by the original as `dat share` does it, and by us, each in a new process.

The original leaves the files where they are and writes their hashes, and what it wrote may still be
in memory when it is done. We store the content, and all of it is on disk.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.benchmarks.report import ratio, table
from tests.helpers.reference import RUNNERS, Program

# An import that takes longer has hung.
PATIENCE = 1800.0
COLUMNS = ("", "s", "files/s", "MB/s", "CPU s", "MB memory")
SMALL_FILES, SMALL_SIZE, FOLDERS = 10_000, 300, 100
_PIECE = 2**22


class Source(NamedTuple):
    """A folder to import.

    Attributes:
        title: Its name for people.
        wanted: How many times as fast as the original we want to be; None where that is only told.
        make: Fills an empty folder.
    """

    title: str
    wanted: float | None
    make: Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Import:
    """One import.

    Attributes:
        seconds: From the call to its end.
        files: Files imported.
        size: Bytes of them.
        cpu: Processor seconds.
        memory: Peak bytes of the process.
    """

    seconds: float
    files: int
    size: int
    cpu: float
    memory: int


# Source, side.
Imports = dict[tuple[str, str], list[Import]]


def sources(large: int, flat: int) -> list[Source]:
    """What is imported: one file of so many bytes, small files in folders, so many in one."""

    def one_file(folder: Path) -> None:
        with (folder / "file").open("wb") as file:
            for start in range(0, large, _PIECE):
                file.write(os.urandom(min(_PIECE, large - start)))

    def many_folders(folder: Path) -> None:
        for number in range(SMALL_FILES):
            below = folder / f"{number * FOLDERS // SMALL_FILES:03}"
            below.mkdir(exist_ok=True)
            (below / f"{number:05}").write_bytes(os.urandom(SMALL_SIZE))

    def one_folder(folder: Path) -> None:
        for number in range(flat):
            (folder / f"{number:05}").write_bytes(os.urandom(SMALL_SIZE))

    small = f"files of {SMALL_SIZE} B"
    chosen = [
        Source(f"one file of {large / 1e6:g} MB", 3, one_file),
        Source(f"{SMALL_FILES:,} {small} in {FOLDERS} folders", 15, many_folders),
        # The index lists all siblings in each entry, whoever writes it.
        Source(f"{flat:,} {small} in one folder", None, one_folder),
    ]
    return chosen[: None if flat else -1]


def imported(words: Sequence[str], home: Path, folder: Path) -> Import:
    """Run an importing program once; it tells of the event `imported`."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    environment = {"HOME": str(home), "NO_UPDATE_NOTIFIER": "1"}
    with Program.start(words, Path(words[-1]).name, environment) as program:
        told = program.wait_for("imported", timeout=PATIENCE)
        if told["version"] != len(files):
            raise RuntimeError(f"{words[0]} imported {told['version']} of {len(files)} files")
    return Import(told["seconds"], len(files), size, told["cpu"], told["memory"])


def measure(node: str, large: int, flat: int, rounds: int) -> tuple[list[Source], Imports]:
    """Both sides in turns, so many rounds, each into a new archive."""
    done: Imports = defaultdict(list)
    chosen = sources(large, flat)
    with tempfile.TemporaryDirectory(prefix="datd-bench-") as name:
        top = Path(name)
        for source in chosen:
            folder = top / "source"
            folder.mkdir()
            source.make(folder)
            # What was made is not to be written out while others are timed.
            subprocess.run(["sync", "-f", str(folder)], check=True)
            for number in range(rounds if source.wanted else 1):
                for side in ("original", "datd"):
                    if side == "original":
                        words = [node, str(RUNNERS / "import.js"), str(folder)]
                    else:
                        store = str(top / "store")
                        words = [sys.executable, "-m", "tests.benchmarks.writing_side"]
                        words += [str(folder), store]
                    one = imported(words, top / "home", folder)
                    shutil.rmtree(folder / ".dat", ignore_errors=True)
                    shutil.rmtree(top / "store", ignore_errors=True)
                    done[source.title, side].append(one)
                    sys.stderr.write(
                        f"  round {number + 1}: {source.title}, {side}: {one.seconds:.2f} s\n"
                    )
            shutil.rmtree(folder)
    return chosen, done


def show(chosen: Sequence[Source], done: Imports) -> list[str]:
    """A table for each source, and how the medians compare."""
    lines: list[str] = []
    for source in chosen:
        rows, seconds = [], {}
        for side in ("original", "datd"):
            runs = done[source.title, side]
            seconds[side] = taken = median(run.seconds for run in runs)
            rows.append(
                [
                    side,
                    f"{taken:.2f}",
                    f"{runs[0].files / taken:,.0f}",
                    f"{runs[0].size / taken / 1e6:.1f}",
                    f"{median(run.cpu for run in runs):.2f}",
                    f"{median(run.memory for run in runs) / 1e6:.0f}",
                ]
            )
        lines += ["", table(source.title, rows, COLUMNS)]
        times = seconds["original"] / seconds["datd"]
        if source.wanted is None:
            lines.append(f"  as fast as the original: {times:.2f} times")
        else:
            lines.append(ratio("as fast as the original", times, source.wanted))
    return lines
