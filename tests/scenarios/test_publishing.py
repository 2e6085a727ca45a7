"""We publish: over HTTP, from folders, watched; a second daemon follows, whatever happens to us."""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.daemon import RunningDaemon, running_daemon
from tests.helpers.folders import hashes_in, write
from tests.helpers.writing import Writer

FILES = 160


def at(daemon: RunningDaemon) -> str:
    return f"127.0.0.1:{daemon.peer_port}"


def follows(mirror: RunningDaemon, key: str, version: int, *, seconds: float = 90) -> None:
    """Wait until a mirror has all of a version."""

    def has() -> bool:
        shown = mirror.archive(key)
        return bool(shown["version"] >= version and shown["state"] == "seeding")

    mirror.wait_until(has, f"version {version} in the mirror", seconds=seconds)


def sizes(daemon: RunningDaemon, key: str) -> dict[str, int]:
    """The files of the newest version, as they are listed."""
    entries = daemon.request("GET", f"/archives/{key}/files/?recursive=true")["entries"]
    return {one["path"]: one["size"] for one in entries if one["kind"] == "file"}


def files_of(daemon: RunningDaemon, key: str, place: Path) -> dict[str, str]:
    daemon.datctl("get", key, str(place))
    return hashes_in(place)


def test_a_second_daemon_follows_what_is_written(tmp_path: Path):
    with running_daemon(tmp_path / "1") as first, running_daemon(tmp_path / "2") as second:
        writer = Writer(first)
        key = writer.create(name="mine")
        second.datctl("add", key, "--peer", at(first))
        body = random.Random(1).randbytes(3_000_000)
        writer.put(key, "/big.bin", body)
        writer.put(key, "/a/b/c.txt", b"hello")
        follows(second, key, 2)
        begun = time.monotonic()
        version = writer.put(key, "/a/b/c.txt", b"hello again")["version"]
        second.wait_until(lambda: second.archive(key)["version"] == version, "the new version")
        assert time.monotonic() - begun < 20  # a second, and the patience of a busy machine
        writer.remove(key, "/a", recursive=True)
        follows(second, key, version + 1)
        assert list(files_of(second, key, tmp_path / "copy")) == ["/big.bin"]
        assert (tmp_path / "copy/big.bin").read_bytes() == body
        assert second.datctl("cat", f"{key}/a/b/c.txt", "--version", "2").stdout == "hello"
        assert first.stop() == 0


def test_a_watched_folder_is_followed_through_restarts(tmp_path: Path):
    site = tmp_path / "site"
    write(site / "index.html", b"one")
    roots = {"DATD_IMPORT_ROOTS": str(tmp_path)}
    with running_daemon(tmp_path / "2") as second:
        with running_daemon(tmp_path / "1", environment=roots) as first:
            writer = Writer(first)
            made = writer.done("POST", "/archives", {"folder": str(site), "watch": True})
            key = made["key"]
            writer.ended(made["job"])
            second.datctl("add", key, "--peer", at(first))
            follows(second, key, 1)
            write(site / "more/page.html", b"two")
            both = {"/index.html": 3, "/more/page.html": 3}
            second.wait_until(lambda: sizes(second, key) == both, "the change")
            assert first.stop() == 0
        write(site / "index.html", b"three!")
        os.unlink(site / "more/page.html")
        with running_daemon(tmp_path / "1", environment=roots) as first:
            second.datctl("peers", "add", key, at(first))
            second.wait_until(lambda: sizes(second, key) == {"/index.html": 6}, "what changed")
            write(site / "last.html", b"4")
            # Not by its number: a file that is seen while it is written makes two versions.
            second.wait_until(
                lambda: sizes(second, key) == {"/index.html": 6, "/last.html": 1}, "it"
            )
            follows(second, key, first.archive(key)["version"])
            assert first.archive(key)["watch"] is True
            assert files_of(second, key, tmp_path / "copy") == hashes_in(site)


def test_c1_an_import_that_is_killed_goes_on_and_never_forks(tmp_path: Path):
    site, chance = tmp_path / "site", random.Random(7)
    for number in range(FILES):
        write(site / f"{number % 20}/{number}.bin", chance.randbytes(chance.randrange(1_000_000)))
    roots = {"DATD_IMPORT_ROOTS": str(tmp_path)}
    key, kills = "", 0
    with running_daemon(tmp_path / "2") as second:
        for goal in (5_000_000, 25_000_000, 50_000_000):
            with running_daemon(tmp_path / "1", environment=roots) as first:
                if not key:
                    answer = Writer(first).done("POST", "/archives", {"folder": str(site)})
                    key = answer["key"]
                # On a busy machine the import would be over before the second one is told.
                with held(first):
                    second.request("POST", "/archives", {"link": key})
                    second.request("POST", f"/archives/{key}/peers", {"address": at(first)})
                kills += killed(first, key, goal)
        assert kills
        with running_daemon(tmp_path / "1", environment=roots) as first:
            second.datctl("peers", "add", key, at(first))
            first.wait_until(lambda: not first.archive(key)["job"], "the import", seconds=120)
            follows(second, key, FILES, seconds=120)
            whole = first.archive(key)
            assert (whole["files"], whole["version"]) == (FILES, FILES)  # nothing twice
            assert [one.archive(key)["conflict"] for one in (first, second)] == [None, None]
        assert files_of(second, key, tmp_path / "copy") == hashes_in(site)


@contextmanager
def held(daemon: RunningDaemon) -> Iterator[None]:
    """A daemon that gets no turn on the processor for the time of a `with`."""
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        daemon.process.send_signal(signal.SIGCONT)


def killed(daemon: RunningDaemon, key: str, goal: int) -> int:
    """Kill a daemon in the middle of an import, once so many bytes were read; 0 if it was over."""

    def at_goal() -> str:
        job = daemon.archive(key)["job"]
        if job is None:
            return "over"
        return "there" if daemon.request("GET", f"/jobs/{job}")["done"] >= goal else ""

    found = daemon.wait_until(at_goal, "in the middle of the import")
    if found == "there":
        daemon.kill()
    return found == "there"
