"""Very many archives that nobody asks for: how soon a daemon is there, and what they cost.

They are complete, on disk, and nobody connects. The original cannot host them at all: beside ours
stand as many of its archives as it opens in reasonable time, held open and nothing else.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from datd import crypto
from datd.keys import Key
from tests.benchmarks.datd_side import LOOPBACK, ask
from tests.benchmarks.report import Figure, line
from tests.helpers.daemon import RunningDaemon, running_daemon
from tests.helpers.large_archives import put, writing
from tests.helpers.processes import memory, open_files, processor_seconds
from tests.helpers.reference import RUNNERS, Program

# Goals of reliability.md section 5, for 10,000 archives.
READY_SECONDS, AFTER_KILL_SECONDS = 3.0, 5.0
ARCHIVE_BYTES = 8000
# Archives that the original opens, the first of which only tells what the program itself takes.
OF_ORIGINAL = 101
WATCHED_SECONDS = 30.0
PATIENCE = 600.0


@dataclass(frozen=True, slots=True)
class Held:
    """What a process with archives costs, beside one without.

    Attributes:
        seconds: From its start until it serves.
        memory: Resident bytes.
        files: Open descriptors; of our daemon, those that lead to archives.
    """

    seconds: float
    memory: int
    files: int


def make(folder: Path, count: int) -> list[str]:
    """So many archives of one small file where a daemon finds them; gives their keys."""
    keys = []
    for number in range(count):
        pair = crypto.key_pair(number.to_bytes(32, "big"))
        with writing(folder / "archives", pair) as writer:
            put(writer, f"/file {number}.txt")
        keys.append(Key(pair.public).hex)
    return keys


def measure(
    node: str,
    count: int,
    say: Callable[[str], object],
    *,
    of_original: int = OF_ORIGINAL,
    watched: float = WATCHED_SECONDS,
) -> list[Figure]:
    """Make them, host them, start again, be killed, start again.

    Args:
        node: Program that runs the original.
        count: Archives.
        say: Takes progress.
        of_original: How many of them the original opens; at least two.
        watched: Seconds of watching how much a quiet daemon works.
    """
    with tempfile.TemporaryDirectory(prefix="datd-bench-") as name:
        folder = Path(name)
        with _started(folder / "none") as (_, empty):
            pass
        keys = make(folder / "many", count)
        say(f"  {count:,} archives made\n")
        with _started(folder / "many") as (daemon, _):
            taken_in = _take_in(daemon, keys)
        say(f"  taken in, {taken_in:.0f} s\n")
        with _started(folder / "many") as (daemon, full):
            busy = _busy(daemon, watched)
            listed = _timed(lambda: ask(daemon, "GET", "/archives?limit=1000"))
            daemon.kill()
        with _started(folder / "many") as (daemon, killed):
            pass
        original = _original(node, folder / "many", keys[:of_original])
    each = (full.memory - empty.memory) / count
    return [
        Figure("READY without archives", empty.seconds, "s"),
        Figure("READY", full.seconds, "s", READY_SECONDS),
        Figure("READY after kill -9", killed.seconds, "s", AFTER_KILL_SECONDS),
        Figure("memory an archive", each, "bytes", ARCHIVE_BYTES),
        Figure("descriptors of them", full.files, "in all", 0.5),
        Figure("processor, all quiet", busy * 100, "% of a core"),
        Figure("a page of 1,000", listed * 1000, "ms"),
        Figure("original: opened", original.seconds * count, f"s for {count:,}"),
        Figure("original: memory an archive", original.memory, "bytes"),
        Figure("original: descriptors an archive", original.files, "each"),
    ]


@contextmanager
def _started(folder: Path) -> Iterator[tuple[RunningDaemon, Held]]:
    """A daemon of a folder, and what it was like when it was ready."""
    start = time.monotonic()
    with running_daemon(folder, *LOOPBACK) as daemon:
        seconds = time.monotonic() - start
        ask(daemon, "GET", "/stats")
        # The daemon has others of its own, more or fewer while it begins.
        archives = (folder / "archives").resolve()
        files = [path for path in daemon.open_files if Path(path).is_relative_to(archives)]
        yield daemon, Held(seconds, daemon.memory, len(files))


def _take_in(daemon: RunningDaemon, keys: list[str]) -> float:
    """The files are new to this daemon: all are looked over. Gives the seconds."""
    start = time.monotonic()
    for key in keys:
        ask(daemon, "POST", "/archives", {"link": f"dat://{key}"})
        ask(daemon, "GET", f"/archives/{key}/files/")  # what lies there is looked at now
    while (found := ask(daemon, "GET", "/stats")["archives"]) != {"seeding": len(keys)}:
        if time.monotonic() - start > PATIENCE:
            raise RuntimeError(f"not all archives are complete: {found}")
        time.sleep(0.5)
    return time.monotonic() - start


def _busy(daemon: RunningDaemon, seconds: float) -> float:
    """The part of a core that it takes while nothing happens."""
    before = processor_seconds(daemon.process.pid)
    time.sleep(seconds)
    return (processor_seconds(daemon.process.pid) - before) / seconds


def _timed(action: Callable[[], object]) -> float:
    start = time.monotonic()
    action()
    return time.monotonic() - start


def _original(node: str, folder: Path, keys: list[str]) -> Held:
    """What the original takes for each archive of a folder that it holds open."""
    names = [str(Key.parse(key).discovery_key) for key in keys]
    folders = [str(folder / "archives" / name[:2] / name[2:]) for name in names]
    none, held = _holding(node, folders[:1]), _holding(node, folders)
    beside = len(keys) - 1
    return Held(
        (held.seconds - none.seconds) / beside,
        (held.memory - none.memory) // beside,
        round((held.files - none.files) / beside),
    )


def _holding(node: str, folders: list[str]) -> Held:
    words = [node, RUNNERS / "hold-archives.js", *folders]
    with Program.start(words, "hold-archives.js") as program:
        pid = program.process.pid
        seconds = float(program.wait_for("held", timeout=PATIENCE)["seconds"])
        return Held(seconds, memory(pid), len(open_files(pid)))


def show(figures: list[Figure], count: int) -> list[str]:
    """Lines for people."""
    return [f"{count:,} quiet archives", *(line(one) for one in figures)]
