"""The workshop itself: the original programs work here, and so do the small ones made of them."""

import hashlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.helpers.folders import becomes, hashes_in
from tests.helpers.lab import Lab, needs_lab
from tests.helpers.reference import Event, NotHeard, Program, Reference, Where


def make_files(folder: Path) -> dict[str, str]:
    """Three files in two folders, and the SHA-256 of each by its name in the archive."""
    (folder / "sub").mkdir(parents=True)
    content = {
        "/blob.bin": random.Random(6).randbytes(400_000),
        "/hello.txt": b"hello world\n",
        "/sub/deep.txt": b"deep\n",
    }
    for name, data in content.items():
        (folder / name[1:]).write_bytes(data)
    return {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}


def all_hashes_in(folder: Path) -> dict[str, str]:
    return hashes_in(folder, with_empty=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "source"
    make_files(made)
    return made


def test_dat_clone_finds_dat_share_on_a_lan(
    reference: Reference, lan: Callable[[int], Lab], folder: Path, tmp_path: Path
):
    lab = lan(2)
    _, key = reference.dat_share(folder, where=Where(lab, "h1"))
    reference.dat_clone(key, tmp_path / "copy", where=Where(lab, "h2"))
    becomes(tmp_path / "copy", hashes_in(folder))


@pytest.mark.parametrize("kind", ["tcp", "utp"])
def test_a_clone_over_one_transport_through_our_own_discovery_server(
    reference: Reference, lan: Callable[[int], Lab], folder: Path, tmp_path: Path, kind: str
):
    lab = lan(3)
    reference.start("dns-server.js", where=Where(lab, "h3")).wait_for("listening")
    other = "utp" if kind == "tcp" else "tcp"
    options = ("--dns", f"{lab.ip('h3')}:5300", f"--{other}=false")
    sharer, shared = reference.peer("share", folder, *options, where=Where(lab, "h1"))
    sharer.wait_for("imported")
    sharer.wait_for("first-round-done")
    cloner, _ = reference.peer(
        "clone", tmp_path / "copy", "--key", shared["key"], *options, where=Where(lab, "h2")
    )
    cloner.wait_for("synced")
    assert {event["type"] for event in cloner.said("connection")} == {kind}
    assert all_hashes_in(tmp_path / "copy") == all_hashes_in(folder)


def test_a_clone_through_two_nat_boxes(reference: Reference, folder: Path, tmp_path: Path):
    needs_lab()
    with Lab.nat("full", "cone") as lab:
        server = ("--dns", f"{lab.ip('pub')}:5300", "--dns", f"{lab.ip('pub2')}:5300")
        for public in ("pub", "pub2"):
            reference.start("dns-server.js", where=Where(lab, public)).wait_for("listening")
        sharer, shared = reference.peer("share", folder, *server, where=Where(lab, "a"))
        sharer.wait_for("imported")
        sharer.wait_for("first-round-done")
        reference.peer(
            "clone", tmp_path / "copy", "--key", shared["key"], *server, where=Where(lab, "b")
        )[0].wait_for("synced")
        reference.stop_all()
    assert all_hashes_in(tmp_path / "copy") == all_hashes_in(folder)


def test_a_clone_over_a_cable_that_loses_packets(
    reference: Reference, folder: Path, tmp_path: Path
):
    needs_lab(tun=True)
    with Lab.wire(delay=10, loss=2) as lab:
        seed = reference.start("core.js", "seed", "--blocks", 50, where=Where(lab, "h1"))
        key = seed.wait_for("seeding")["key"]
        fetch = reference.start(
            "core.js", "fetch", "--key", key, "--port", 3282, "--host", lab.ip("h1"),
            where=Where(lab, "h2"),
        )  # fmt: skip
        fetched = fetch.wait_for("fetched")
        assert fetched["error"] is None
        assert fetched["length"] == 50
        reference.stop_all()


def fetch(reference: Reference, into: Path, seeding: Event) -> Program:
    """The original as a reader of an archive that somebody seeds on this machine."""
    return reference.start(
        "bench.js", "fetch", into, "--key", seeding["key"], "--port", seeding["port"]
    )


def test_what_the_original_made_it_reads_again_from_a_flat_folder(
    reference: Reference, tmp_path: Path
):
    expected = make_files(tmp_path / "source")
    made = reference.make_archive(tmp_path / "source", tmp_path / "store")
    checked = reference.check_folder(tmp_path / "store")
    assert checked["key"] == made["key"]
    assert checked["version"] == made["version"] == 3
    assert {file["name"]: file["sha256"] for file in checked["files"]} == expected
    assert [
        f["name"] for f in reference.check_folder(tmp_path / "store", "--version", 1)["files"]
    ] == ["/blob.bin"]


def test_a_whole_peer_is_fetched_and_its_store_stays_as_it_was(
    reference: Reference, folder: Path, tmp_path: Path
):
    store = tmp_path / "store"
    reference.make_archive(folder, store, block_size=1000)
    before = all_hashes_in(store)
    _, seeding = reference.partial_peer(store)
    fetch(reference, tmp_path / "got", seeding).wait_for("fetched")
    checked = reference.check_folder(tmp_path / "got")
    assert {f["name"]: f["sha256"] for f in checked["files"]} == all_hashes_in(folder)
    assert all_hashes_in(store) == before


def test_a_peer_that_holds_a_third_gives_that_third(
    reference: Reference, folder: Path, tmp_path: Path
):
    store = tmp_path / "store"
    made = reference.make_archive(folder, store, block_size=1000)
    peer, seeding = reference.partial_peer(store, "--hold", 1, "--of", 3)
    third = range(1, made["blocks"] - made["version"] - 1, 3)  # the others are of the metadata
    assert seeding["held"] == len(third)
    reader = fetch(reference, tmp_path / "got", seeding)
    peer.wait_for("uploaded", count=len(third))
    assert [event["block"] % 3 for event in peer.said("uploaded")] == [1] * len(third)
    assert not reader.said("fetched")


@pytest.mark.parametrize(
    ("fault", "event"), [(("--corrupt", "3"), "corrupted"), (("--silent",), "unanswered")]
)
def test_a_peer_with_a_fault_is_no_source(
    reference: Reference, folder: Path, tmp_path: Path, fault: tuple[str, ...], event: str
):
    store = tmp_path / "store"
    reference.make_archive(folder, store)
    peer, seeding = reference.partial_peer(store, *fault)
    reader = fetch(reference, tmp_path / "got", seeding)
    peer.wait_for(event)
    if event == "corrupted":
        peer.wait_for("closed")  # the original throws such a peer out
    assert not reader.said("fetched")


def test_a_program_that_says_something_else_is_quoted(reference: Reference, tmp_path: Path):
    program = reference.start("lib.js")
    with pytest.raises(NotHeard, match=r"lib.js ended without listening"):
        program.wait_for("listening")
