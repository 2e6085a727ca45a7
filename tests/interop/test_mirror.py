"""The main job: what the original publishes we mirror, what we mirror the original clones."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from tests.helpers.daemon import RunningDaemon, running_daemon
from tests.helpers.folders import becomes, hashes_in, make_varied_folder, write
from tests.helpers.lab import Lab
from tests.helpers.ports import free_port
from tests.helpers.reference import Reference, Where


def test_a_published_folder_survives_its_publisher_on_a_lan_with_nothing_but_multicast(
    reference: Reference, lan: Callable[[int], Lab], tmp_path: Path
):
    make_varied_folder(tmp_path / "source")
    lab = lan(3)
    publisher, key = reference.dat_share(tmp_path / "source", where=Where(lab, "h1"))
    with running_daemon(tmp_path / "datd", prefix=lab.prefix("h2"), mdns=True) as daemon:
        daemon.datctl("add", f"dat://{key}", "--wait", "120")
        publisher.stop()
        reference.dat_clone(key, tmp_path / "copy", where=Where(lab, "h3"))
        becomes(tmp_path / "copy", hashes_in(tmp_path / "source"))


def test_the_same_without_multicast_through_addresses_given_by_hand(
    reference: Reference, lan: Callable[[int], Lab], tmp_path: Path
):
    make_varied_folder(tmp_path / "source", small_files=100)
    lab = lan(3)
    for host in ("h1", "h2", "h3"):
        lab.multicast(host, allowed=False)
    publisher, key = reference.dat_share(tmp_path / "source", where=Where(lab, "h1"))
    with running_daemon(tmp_path / "datd", prefix=lab.prefix("h2"), mdns=True) as daemon:
        daemon.datctl("add", key, "--peer", f"{lab.ip('h1')}:3282", "--wait", "120")
        publisher.stop()
        clone = reference.dat_clone(key, tmp_path / "copy", where=Where(lab, "h3"))
        clone.wait_for_line(r"archive ready")
        daemon.datctl("peers", "add", key, f"{lab.ip('h3')}:3282")
        becomes(tmp_path / "copy", hashes_in(tmp_path / "source"))


def test_a_restarted_daemon_serves_what_it_has_and_fetches_nothing_twice(
    reference: Reference, tmp_path: Path
):
    make_varied_folder(tmp_path / "source", small_files=50)
    store = tmp_path / "store"
    reference.make_archive(tmp_path / "source", store)
    peer, seeding = reference.partial_peer(store)
    with running_daemon(tmp_path / "datd") as daemon:
        address = f"127.0.0.1:{seeding['port']}"
        daemon.datctl("add", seeding["key"], "--peer", address, "--wait", "120")
        assert daemon.stop() == 0
    peer.stop()
    with running_daemon(tmp_path / "datd") as daemon:
        shown = daemon.ask("show", seeding["key"])
        assert shown["state"] == "seeding"
        before = shown["transferred"]["downloaded"]
        daemon.datctl("get", seeding["key"], str(tmp_path / "copy"))
        assert daemon.ask("show", seeding["key"])["transferred"]["downloaded"] == before
    assert hashes_in(tmp_path / "copy") == hashes_in(tmp_path / "source")


def test_a_file_added_at_the_publisher_is_listed_within_two_seconds(
    reference: Reference, tmp_path: Path
):
    source = tmp_path / "source"
    write(source / "first.txt", b"one\n")
    port = free_port()
    publisher, shared = reference.peer("share", source, "--watch", "--utp=false", "--port", port)
    publisher.wait_for("appended")
    with running_daemon(tmp_path / "datd") as daemon:
        daemon.datctl("add", shared["key"], "--peer", f"127.0.0.1:{port}", "--wait", "120")
        times = []
        for number in range(2, 7):
            # Who watches may see a file while it is written, and publish it twice.
            write(tmp_path / "new", b"more\n" * number)
            (tmp_path / "new").rename(source / f"file {number}.txt")
            version = publisher.wait_for("appended", version=number)["t"]
            times.append(_listed_at(daemon, shared["key"], f"/file {number}.txt") - version / 1000)
        # A busy machine may lose a second now and then; who asked again and again would be late
        # most of the time.
        assert sorted(times)[2] < 2.0, times
        assert len(daemon.ask("ls", shared["key"])) == 6


def _listed_at(daemon: RunningDaemon, key: str, path: str) -> float:
    # Asked without the start of a program each time, which takes longer than what is measured.
    deadline = time.time() + 90
    while time.time() < deadline:
        listing = daemon.request("GET", f"/archives/{key}/files/")
        if any(entry["path"] == path for entry in listing["entries"]):
            return time.time()
    raise AssertionError(f"{path} was never listed")


def test_a_folder_of_ours_copied_out_opens_in_the_original(reference: Reference, tmp_path: Path):
    make_varied_folder(tmp_path / "source", small_files=50)
    reference.make_archive(tmp_path / "source", tmp_path / "store")
    _, seeding = reference.partial_peer(tmp_path / "store")
    with running_daemon(tmp_path / "datd") as daemon:
        address = f"127.0.0.1:{seeding['port']}"
        daemon.datctl("add", seeding["key"], "--peer", address, "--wait", "120")
        listed = daemon.ask("ls", seeding["key"], "-R")
    name = seeding["discoveryKey"]
    shutil.copytree(tmp_path / "datd/archives" / name[:2] / name[2:], tmp_path / "out")
    checked = reference.check_folder(tmp_path / "out")
    found = {file["name"]: file["sha256"] for file in checked["files"] if file["size"]}
    assert found == hashes_in(tmp_path / "source")
    assert sorted(file["name"] for file in checked["files"]) == sorted(
        entry["path"] for entry in listed if entry["kind"] == "file"
    )
