"""Modes beside the original: it serves us, and is served by us, whatever we keep."""

import os
from pathlib import Path
from typing import Any

import pytest
from tests.helpers.daemon import RunningDaemon, running_daemon
from tests.helpers.folders import hashes_in, write
from tests.helpers.ports import free_port
from tests.helpers.reference import Event, Program, Reference


def host(daemon: RunningDaemon, key: str, *ports: int, **settings: Any) -> None:
    """Have an archive hosted, and wait until all that its mode wants is here."""
    peers = [f"127.0.0.1:{port}" for port in ports]
    daemon.request("POST", "/archives", {"link": key, "peers": peers, **settings})
    daemon.wait_until(lambda: seeds(daemon, key), f"{key} complete", seconds=120)


def seeds(daemon: RunningDaemon, key: str, version: int = 1) -> bool:
    shown = daemon.archive(key)
    return bool(shown["state"] == "seeding" and shown["version"] >= version)


def is_all_there_is(daemon: RunningDaemon, key: str, most: int) -> bool:
    shown = daemon.archive(key)
    return bool(
        shown["blocks"]["have"] == shown["blocks"]["total"] and shown["bytes"]["have"] < most
    )


def clone(
    reference: Reference, daemon: RunningDaemon, key: str, folder: Path
) -> tuple[Program, Event]:
    """A real clone that knows nobody but us; it stays."""
    port = free_port()
    program, ready = reference.peer(
        "clone", folder, "--key", key, "--port", port, "--stay", "--utp=false"
    )
    daemon.datctl("peers", "add", key, f"127.0.0.1:{port}")
    return program, ready


def test_a_latest_mirror_follows_drops_and_serves_live_and_afterwards(
    reference: Reference, tmp_path: Path
):
    source = tmp_path / "source"
    write(source / "kept.txt", b"kept\n" * 5000)
    write(source / "big.bin", os.urandom(1_500_000))
    port = free_port()
    publisher, shared = reference.peer("share", source, "--watch", "--utp=false", "--port", port)
    key = shared["key"]
    publisher.wait_for("appended", version=2)
    with running_daemon(tmp_path / "datd") as daemon:
        host(daemon, key, port, mode="latest")
        first = daemon.archive(key)
        watching, _ = clone(reference, daemon, key, tmp_path / "live")
        watching.wait_for("synced")
        # The old content goes, with an Unhave to a clone that is connected just now.
        write(source / "big.bin", os.urandom(1_000_000))
        publisher.wait_for("appended", version=first["version"] + 1)
        daemon.wait_until(
            lambda: seeds(daemon, key, first["version"] + 1), "the new version here", seconds=120
        )
        daemon.wait_until(
            lambda: hashes_in(tmp_path / "live") == hashes_in(source),
            "the new version at the clone",
            seconds=120,
        )
        # Who watches a folder may see a file while it is written, and publish it twice.
        daemon.wait_until(lambda: is_all_there_is(daemon, key, 1_100_000), "nothing but that here")
        with pytest.raises(AssertionError, match=r"410 .*older version"):
            daemon.request("GET", f"/archives/{key}/files/big.bin?version={first['version']}")
        publisher.stop()
        late, _ = clone(reference, daemon, key, tmp_path / "late")
        late.wait_for("synced")
        daemon.wait_until(
            lambda: hashes_in(tmp_path / "late") == hashes_in(source), "the late clone whole"
        )
        assert not watching.said("stream-error")


def test_a_sparse_mirror_holds_what_its_patterns_name_and_gives_that_to_the_original(
    reference: Reference, tmp_path: Path
):
    source = tmp_path / "source"
    for number in range(5):
        write(source / f"notes/{number}.txt", b"note %d\n" % number * 20_000)
        write(source / f"pictures/{number}.raw", os.urandom(100_000).hex().encode())
    port = free_port()
    publisher, shared = reference.peer("share", source, "--utp=false", "--port", port)
    key = shared["key"]
    publisher.wait_for("imported")
    with running_daemon(tmp_path / "datd") as daemon:
        host(daemon, key, port, mode="sparse", include=["/notes/**", "!4.txt"])
        assert daemon.archive(key)["bytes"]["have"] < 5 * 160_000 + 50_000
        # What is read is fetched, and kept.
        daemon.datctl("cat", f"{key}/pictures/3.raw")
        publisher.stop()
        daemon.datctl("cat", f"{key}/pictures/3.raw")
        copy = tmp_path / "copy"
        clone(reference, daemon, key, copy)
        wanted = {
            path: digest
            for path, digest in hashes_in(source).items()
            if ("notes" in path and "4.txt" not in path) or path.endswith("3.raw")
        }
        daemon.wait_until(
            lambda: wanted.items() <= hashes_in(copy).items(), "our part at the clone", seconds=120
        )
