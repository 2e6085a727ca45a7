"""An archive of a million entries: look-ups, memory and histories of a daemon that hosts it.

The archive is written by our own writer, in three levels of folders, and a few files of it change
again at the end. The daemon is asked over HTTP, a connection for each question, as `datctl` does.
"""

import http.client
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from threading import Event, Thread
from urllib.parse import urlsplit

from datd.keys import Key
from tests.benchmarks.datd_side import LOOPBACK, ask, wait_until_whole
from tests.benchmarks.report import Figure, line
from tests.helpers.daemon import RunningDaemon, running_daemon
from tests.helpers.large_archives import PAIR, cube, put, writing

# What issue 4 asks for.
FIRST_SECONDS = 0.5
LATER_SECONDS = 0.05
GROWN_BYTES = 60_000_000

# Look-ups of each kind once the first one was answered.
LATER = 50
# An index of a million entries takes a quarter of a minute.
INDEX_SECONDS = 300.0
_ASK_EVERY = 0.5


def make(folder: Path, wide: int) -> str:
    """An archive of `wide` to the third power files where a daemon finds it; gives its key."""
    with writing(folder / "archives") as writer:
        for path in cube(wide):
            put(writer, path)
        put(writer, _path(wide // 2, wide // 2, 0))
        writer.remove(_path(wide // 2, wide // 2, 1))
        put(writer, _path(wide // 2, wide // 2, 1))
    return Key(PAIR.public).hex


def measure(wide: int, say: Callable[[str], object]) -> list[Figure]:
    """Make it, host it, and ask."""
    with tempfile.TemporaryDirectory(prefix="datd-bench-") as name:
        folder = Path(name)
        start = time.monotonic()
        key = make(folder, wide)
        took = time.monotonic() - start
        figures = [Figure("entries written", wide**3 / took / 1000, "thousand a second")]
        say(f"  {wide**3:,} entries in {took:.0f} s\n")
        with running_daemon(folder, *LOOPBACK) as daemon:
            figures += _taking_in(daemon, key, wide)
            say("  taken in\n")
        with running_daemon(folder, *LOOPBACK) as daemon:
            figures += _looking(daemon, key, wide)
            say("  looked up\n")
            figures += _remembering(daemon, key, wide)
    return figures


def show(figures: list[Figure], wide: int) -> list[str]:
    """Lines for people."""
    return [f"an archive of {wide**3:,} entries", *map(line, figures)]


def _taking_in(daemon: RunningDaemon, key: str, wide: int) -> list[Figure]:
    """The files are new to this daemon: it looks them over and counts them."""
    chance = random.Random(1)
    start = time.monotonic()
    ask(daemon, "POST", "/archives", {"link": f"dat://{key}"})
    with _asked_meanwhile(lambda: _stat(daemon, key, chance, wide)) as seconds:
        wait_until_whole(daemon, key)
        took = time.monotonic() - start
    files = ask(daemon, "GET", f"/archives/{key}")["files"]
    if files != wide**3:
        raise RuntimeError(f"{files} files were counted, {wide**3} were written")
    return [
        Figure("counted for the first time", took, "s"),
        Figure("stat meanwhile, median", _milliseconds(median(seconds)), "ms"),
        Figure("stat meanwhile, slowest", _milliseconds(max(seconds)), "ms"),
    ]


def _looking(daemon: RunningDaemon, key: str, wide: int) -> list[Figure]:
    """The daemon has just started."""
    chance = random.Random(2)
    ask(daemon, "GET", "/archives")
    before = daemon.memory
    first_list = _timed(daemon, _folder(key, chance, wide))
    first_stat = _stat(daemon, key, chance, wide)
    lists = [_timed(daemon, _folder(key, chance, wide)) for _ in range(LATER)]
    stats = [_stat(daemon, key, chance, wide) for _ in range(LATER)]
    return [
        Figure("first ls of a folder", _milliseconds(first_list), "ms", FIRST_SECONDS * 1000),
        Figure("first stat of a file", _milliseconds(first_stat), "ms", FIRST_SECONDS * 1000),
        Figure("further ls, each elsewhere", _milliseconds(median(lists)), "ms", 50),
        Figure("the slowest of them", _milliseconds(max(lists)), "ms"),
        Figure("further stat, each elsewhere", _milliseconds(median(stats)), "ms", 50),
        Figure("the slowest of them", _milliseconds(max(stats)), "ms"),
        Figure("memory grown", (daemon.memory - before) / 1e6, "MB", GROWN_BYTES / 1e6),
    ]


def _remembering(daemon: RunningDaemon, key: str, wide: int) -> list[Figure]:
    """What became of one file, before there is an index and when it is there."""
    chance = random.Random(3)
    before = daemon.memory
    live = f"/archives/{key}/history?path={_path(wide // 2, wide // 2, 0)}"
    gone = f"/archives/{key}/history?path={_path(wide // 2, wide // 2, 1)}"
    start = time.monotonic()
    first = ask(daemon, "GET", live)
    at_once = time.monotonic() - start
    start = time.monotonic()
    with _asked_meanwhile(lambda: _stat(daemon, key, chance, wide)) as seconds:
        while not ask(daemon, "GET", gone)["complete"]:
            if time.monotonic() - start > INDEX_SECONDS:
                raise RuntimeError("the index does not get ready")
            time.sleep(_ASK_EVERY)
        took = time.monotonic() - start
    seen = len(first["changes"]), len(ask(daemon, "GET", gone)["changes"])
    if seen != (2, 3):
        raise RuntimeError(f"histories of {seen} changes, not of 2 and 3")
    later = [_timed(daemon, live) for _ in range(LATER)]
    size = sum(file.stat().st_size for file in (daemon.folder / "index").glob("history*"))
    return [
        Figure("history of a live file, no index yet", _milliseconds(at_once), "ms"),
        Figure("the index made", took, "s"),
        Figure("stat meanwhile, median", _milliseconds(median(seconds)), "ms"),
        Figure("stat meanwhile, slowest", _milliseconds(max(seconds)), "ms"),
        Figure("history of a file by index", _milliseconds(median(later)), "ms"),
        Figure("the index on disk", size / 1e6, "MB"),
        Figure("memory grown by it", (daemon.memory - before) / 1e6, "MB"),
    ]


@contextmanager
def _asked_meanwhile(question: Callable[[], float]) -> Iterator[list[float]]:
    """Ask again and again as long as something else goes on; gives the seconds of each answer."""
    over, seconds = Event(), list[float]()

    def go_on() -> None:
        while not seconds or not over.wait(0.05):
            seconds.append(question())

    asking = Thread(target=go_on)
    asking.start()
    try:
        yield seconds
    finally:
        over.set()
        asking.join()


def _timed(daemon: RunningDaemon, path: str, method: str = "GET") -> float:
    """Seconds until the answer is here; only its head where a file is meant."""
    start = time.monotonic()
    connection = http.client.HTTPConnection(urlsplit(daemon.api).netloc, timeout=60)
    try:
        connection.request(
            method, f"/api/v1{path}", headers={"Authorization": f"Bearer {daemon.token}"}
        )
        answer = connection.getresponse()
        answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{method} {path}: {answer.status}")
    return time.monotonic() - start


def _stat(daemon: RunningDaemon, key: str, chance: random.Random, wide: int) -> float:
    path = _path(*(chance.randrange(wide) for _ in range(3)))
    return _timed(daemon, f"/archives/{key}/files{path}", "HEAD")


def _folder(key: str, chance: random.Random, wide: int) -> str:
    return f"/archives/{key}/files/{chance.randrange(wide):02}/{chance.randrange(wide):02}/"


def _path(*numbers: int) -> str:
    return "/{:02}/{:02}/{:02}.txt".format(*numbers)


def _milliseconds(seconds: float) -> float:
    return seconds * 1000
