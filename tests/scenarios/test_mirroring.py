"""An archive goes from datd to datd over loopback, stays, and goes on to others."""

import random
import time
import urllib.request
from functools import partial
from pathlib import Path

from tests.helpers.daemon import RunningDaemon, running_daemon
from tests.helpers.folders import hashes_in
from tests.helpers.relay import slow_wire
from tests.helpers.seeds import Seed, host, make, plant

KILLS = 4


def at(daemon: RunningDaemon) -> str:
    return f"127.0.0.1:{daemon.peer_port}"


def mirror(daemon: RunningDaemon, seed: Seed, source: RunningDaemon) -> None:
    daemon.datctl("add", seed.key, "--peer", at(source), "--wait", "120")


def copy_of(daemon: RunningDaemon, seed: Seed, place: Path) -> dict[str, str]:
    daemon.datctl("get", seed.key, str(place))
    return hashes_in(place)


def file_of(daemon: RunningDaemon, seed: Seed, path: str) -> bytes:
    request = urllib.request.Request(
        f"{daemon.api}/api/v1/archives/{seed.key}/files{path}?wait=60",
        headers={"Authorization": f"Bearer {daemon.token}"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        data: bytes = answer.read()
    return data


def downloaded(daemon: RunningDaemon, seed: Seed) -> int:
    return int(daemon.archive(seed.key)["transferred"]["downloaded"])


def blocks(daemon: RunningDaemon, seed: Seed) -> int:
    return int(daemon.archive(seed.key)["blocks"]["have"])


def connected(daemon: RunningDaemon, seed: Seed) -> int:
    return int(daemon.archive(seed.key)["peers"]["connected"])


def test_a_chain_of_mirrors_outlives_its_beginning(tmp_path: Path):
    seeds = [plant(name, tmp_path / "1") for name in ("archival-history", "archival-wide")]
    with running_daemon(tmp_path / "2") as second:
        with running_daemon(tmp_path / "1") as first:
            host(first, *seeds)
            for seed in seeds:
                mirror(second, seed, first)
            assert first.stop() == 0
        with running_daemon(tmp_path / "3") as third:
            for number, seed in enumerate(seeds):
                mirror(third, seed, second)
                assert copy_of(third, seed, tmp_path / f"copy {number}") == seed.files


def test_older_versions_come_along(tmp_path: Path):
    seed = plant("archival-history", tmp_path / "1")
    with running_daemon(tmp_path / "1") as first, running_daemon(tmp_path / "2") as second:
        host(first, seed)
        mirror(second, seed, first)
        assert first.stop() == 0
        for version in ("2", "9", "23"):
            assert second.ask("ls", seed.key, "-R", "--version", version)
        old = second.datctl("cat", f"dat://{seed.key}+2/readme.md").stdout
        new = second.datctl("cat", f"{seed.key}/readme.md").stdout
        assert (len(old), len(new)) == (300, 100)


def test_a_file_is_read_before_the_archive_is_complete(tmp_path: Path):
    seed = plant("archival-big", tmp_path / "1")
    with running_daemon(tmp_path / "1") as first, running_daemon(tmp_path / "2") as second:
        host(first, seed)
        # Without the start of a program: on a busy machine that takes longer than all of it.
        with slow_wire("127.0.0.1", first.peer_port, 150_000) as port:
            peers = [f"127.0.0.1:{port}"]
            second.request("POST", "/archives", {"link": seed.key, "peers": peers})
            said = file_of(second, seed, "/zz-after.txt")
            half = second.archive(seed.key)
        assert len(said) == 2000
        assert half["state"] == "syncing"
        assert 0 < half["progress"] < 1
        # The rest comes by the fast way.
        second.datctl("peers", "add", seed.key, at(first))
        second.datctl("add", seed.key, "--wait", "120")
        assert copy_of(second, seed, tmp_path / "copy") == seed.files


def test_pause_stops_all_traffic_and_resume_goes_on(tmp_path: Path):
    seed = plant("archival-big", tmp_path / "1")
    with running_daemon(tmp_path / "1") as first, running_daemon(tmp_path / "2") as second:
        host(first, seed)
        with slow_wire("127.0.0.1", first.peer_port, 400_000) as port:
            second.datctl("add", seed.key, "--peer", f"127.0.0.1:{port}")
            second.wait_until(lambda: blocks(second, seed) > 5, "begun")
            second.datctl("pause", seed.key)
            paused = second.archive(seed.key)
            assert paused["state"] == "paused"
            assert paused["peers"]["connected"] == 0
            # T-4: for the other side it might not exist.
            first.wait_until(lambda: not connected(first, seed), "disconnected")
            before = downloaded(second, seed)
            time.sleep(0.5)  # in this time the wire would bring three more blocks
            assert downloaded(second, seed) == before
        second.datctl("resume", seed.key)
        second.datctl("peers", "add", seed.key, at(first))
        second.datctl("add", seed.key, "--wait", "120")
        # What was under way when it was paused may come twice, the rest may not.
        assert downloaded(second, seed) < 1.2 * 3_159_880


def test_a_paused_seeder_serves_nobody_until_it_is_resumed(tmp_path: Path):
    seed = make(1, tmp_path / "1")
    with running_daemon(tmp_path / "1") as first, running_daemon(tmp_path / "2") as second:
        host(first, seed)
        first.datctl("pause", seed.key)
        second.datctl("add", seed.key, "--peer", at(first), "--wait", "1", check=5)
        assert blocks(second, seed) == 0
        first.datctl("resume", seed.key)
        second.datctl("peers", "add", seed.key, at(first))
        second.datctl("add", seed.key, "--wait", "120")


def test_remove_deletes_the_files_and_nothing_else(tmp_path: Path):
    gone, kept = make(1, tmp_path / "1"), make(2, tmp_path / "1")
    with running_daemon(tmp_path / "1") as daemon:
        host(daemon, gone, kept)
        daemon.datctl("remove", gone.key, "--yes")
        assert not gone.folder.exists()
        assert kept.folder.exists()
        daemon.datctl("show", gone.key, check=4)
        assert copy_of(daemon, kept, tmp_path / "copy") == kept.files
        daemon.datctl("remove", "--all", "--yes")
        assert daemon.ask("list") == []
        assert [file for file in daemon.archives.rglob("*") if file.is_file()] == []


def test_what_a_removal_kept_is_adopted_again_without_any_peer(tmp_path: Path):
    seed = plant("archival-nested", tmp_path / "1")
    with running_daemon(tmp_path / "1") as first, running_daemon(tmp_path / "2") as second:
        host(first, seed)
        mirror(second, seed, first)
        assert first.stop() == 0
        second.datctl("remove", seed.key, "--keep-data", "--yes")
        assert second.ask("list") == []
        second.datctl("add", seed.key, "--wait", "120")
        assert downloaded(second, seed) == 0
        assert copy_of(second, seed, tmp_path / "copy") == seed.files


def test_a_restart_hosts_everything_again_and_fetches_nothing_twice(tmp_path: Path):
    seeds = [plant("archival-wide", tmp_path / "1"), make(1, tmp_path / "1", size=500_000)]
    with running_daemon(tmp_path / "1") as first:
        host(first, *seeds)
        with running_daemon(tmp_path / "2") as second:
            for number, seed in enumerate(seeds):
                second.datctl("add", seed.key, "--name", f"number {number}", "--tag", "t")
                second.datctl("peers", "add", seed.key, at(first))
                second.datctl("add", seed.key, "--wait", "120")
            before = second.ask("list")
            assert second.stop() == 0
        with running_daemon(tmp_path / "2") as second:
            for seed in seeds:
                # Its peer was remembered, and is met again.
                second.wait_until(partial(connected, second, seed), "connected")
            after = second.ask("list")
    same = ("key", "name", "tags", "state", "version", "blocks", "bytes", "transferred", "added_at")
    assert [{k: a[k] for k in same} for a in after] == [{k: b[k] for k in same} for b in before]


def test_c2_kills_while_an_archive_comes_in_cost_nothing_that_was_safe(tmp_path: Path):
    seed = plant("archival-big", tmp_path / "1")
    chance, seen = random.Random(3), []
    with running_daemon(tmp_path / "1") as first:
        host(first, seed)
        with slow_wire("127.0.0.1", first.peer_port, 250_000) as port:
            with running_daemon(tmp_path / "2") as second:
                second.datctl("add", seed.key, "--peer", f"127.0.0.1:{port}")
                second.kill()
            for left in reversed(range(KILLS)):
                with running_daemon(tmp_path / "2") as second:
                    time.sleep(chance.uniform(0.1, 0.9))
                    if not left:  # so much later, on a busy machine, that something is here
                        second.wait_until(partial(blocks, second, seed), "begun")
                    shown = second.archive(seed.key)
                    second.kill()
                # On a busy machine it may all be here before the last of them.
                assert shown["state"] in ("searching", "syncing", "seeding"), shown
                seen.append(shown["blocks"]["have"])
        with running_daemon(tmp_path / "2") as second:
            second.datctl("peers", "add", seed.key, at(first))
            second.datctl("add", seed.key, "--wait", "120")
            assert copy_of(second, seed, tmp_path / "copy") == seed.files
            assert not [line for line in second.log if "Traceback" in line]
    assert max(seen) > 0
