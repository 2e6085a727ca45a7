"""C-19: the catalogue is deleted, cut, overwritten, or one of its pages turns."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.helpers.daemon import RunningDaemon, running_daemon
from tests.helpers.seeds import host, make
from tests.helpers.writing import Writer

# No network: else half a minute is waited for somebody who knows of a longer history.
ALONE = {"DATD_DISCOVERY__NETWORKS": "[]"}


@dataclass(frozen=True)
class Before:
    """A data folder whose daemon has ended, with an archive of somebody else and one of ours."""

    folder: Path
    theirs: str
    own: str

    def copy(self, place: Path) -> Path:
        return Path(shutil.copytree(self.folder, place))


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Before:
    folder = tmp_path_factory.mktemp("before") / "data"
    seed = make(1, folder, size=200_000)
    with running_daemon(folder, environment=ALONE) as daemon:
        host(daemon, seed)
        daemon.request("PATCH", f"/archives/{seed.key}", {"name": "theirs"})
        daemon.request("POST", "/tokens", {"name": "reader", "scope": "read"})
        writer = Writer(daemon)
        own = writer.create(name="mine")
        writer.put(own, "/file", b"first")
        daemon.request("POST", f"/archives/{own}/pause")
        assert daemon.stop() == 0
    return Before(folder, seed.key, own)


def states(daemon: RunningDaemon) -> dict[str, str]:
    return {one["key"]: one["state"] for one in daemon.ask("list")}


def read(daemon: RunningDaemon, link: str) -> str:
    return daemon.datctl("cat", f"{link}/file").stdout


def said_by_the_doctor(daemon: RunningDaemon) -> Any:
    findings = daemon.request("GET", "/diagnosis")["findings"]
    (found,) = [finding for finding in findings if finding["check"] == "catalogue"]
    return found


def delete(catalogue: Path) -> None:
    catalogue.unlink()


def empty(catalogue: Path) -> None:
    catalogue.write_bytes(b"")


def cut(catalogue: Path) -> None:
    whole = catalogue.read_bytes()
    catalogue.write_bytes(whole[: len(whole) // 2 + 100])


def overwrite(catalogue: Path) -> None:
    catalogue.write_bytes(b"no database " * 2_000)


def turn_a_page(catalogue: Path, table: str) -> None:
    """Fill the first page of a table with noise."""
    database = sqlite3.connect(catalogue)
    query = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
    (page,) = database.execute(query, (table,)).fetchone()
    (size,) = database.execute("PRAGMA page_size").fetchone()
    database.close()
    with catalogue.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(bytes(range(256)) * (size // 256))


@pytest.mark.parametrize("harm", [delete, empty, overwrite])
def test_c19_archives_of_a_lost_catalogue_come_back_paused_and_go_on(
    harm: Callable[[Path], None], before: Before, tmp_path: Path
):
    folder = before.copy(tmp_path / "data")
    catalogue = folder / "catalogue.sqlite3"
    harm(catalogue)
    harmed = catalogue.read_bytes() if catalogue.exists() else None
    with running_daemon(folder, environment=ALONE) as daemon:
        assert states(daemon) == {before.theirs: "paused", before.own: "paused"}
        assert any("the catalogue was" in line for line in daemon.messages)
        assert any("is lost: names, tags, modes" in line for line in daemon.messages)
        assert not any(key in line for key in (before.theirs, before.own) for line in daemon.log)
        if harmed is not None:
            assert (folder / "catalogue.sqlite3.damaged-1").read_bytes() == harmed
        report = folder / "catalogue-rebuilt.txt"
        assert report.stat().st_mode & 0o777 == 0o600
        assert before.theirs in report.read_text()
        said = said_by_the_doctor(daemon)
        assert said["state"] == "warn"
        assert str(report) in said["advice"]
        daemon.datctl("resume", before.theirs, before.own)
        with running_daemon(tmp_path / "reader") as reader:
            peer = f"127.0.0.1:{daemon.peer_port}"
            for key in (before.theirs, before.own):
                reader.datctl("add", key, "--peer", peer, "--wait", "60")
        # The secret key is usable, and nothing that was published is forgotten.
        Writer(daemon).put(before.own, "/file", b"second")
        assert read(daemon, before.own) == "second"
        assert read(daemon, f"{before.own}+1") == "first"
        report.unlink()
        assert said_by_the_doctor(daemon)["state"] == "ok"
        assert daemon.stop() == 0
    with running_daemon(folder, environment=ALONE) as daemon:
        assert states(daemon) == {before.theirs: "seeding", before.own: "seeding"}
        assert not any("anew" in line for line in daemon.messages)


def test_c19_of_a_damaged_page_only_what_stood_on_it_is_lost(before: Before, tmp_path: Path):
    folder = before.copy(tmp_path / "data")
    catalogue = folder / "catalogue.sqlite3"
    turn_a_page(catalogue, "events")
    with running_daemon(folder, environment=ALONE) as daemon:
        assert any("2 archives could still be read" in line for line in daemon.messages)
        assert states(daemon) == {before.theirs: "seeding", before.own: "paused"}
        assert daemon.archive("theirs")["key"] == before.theirs
        assert "reader" in str(daemon.request("GET", "/tokens"))
        assert said_by_the_doctor(daemon)["state"] == "warn"
        assert daemon.stop() == 0
    turn_a_page(catalogue, "archives")
    with running_daemon(folder, environment=ALONE) as daemon:
        assert states(daemon) == {before.theirs: "paused", before.own: "paused"}
        assert "reader" in str(daemon.request("GET", "/tokens"))
    assert (folder / "catalogue.sqlite3.damaged-2").exists()


def test_c19_a_catalogue_that_was_cut_short_is_noticed(before: Before, tmp_path: Path):
    folder = before.copy(tmp_path / "data")
    cut(folder / "catalogue.sqlite3")
    with running_daemon(folder, environment=ALONE) as daemon:
        assert states(daemon).keys() == {before.theirs, before.own}
        assert said_by_the_doctor(daemon)["state"] == "warn"


def test_c19_damage_that_shows_while_it_runs_is_said_and_mended_by_the_next_start(
    before: Before, tmp_path: Path
):
    folder = before.copy(tmp_path / "data")
    with running_daemon(folder, environment=ALONE) as daemon:
        # A write of somebody else has the daemon read pages from the file again.
        other = sqlite3.connect(folder / "catalogue.sqlite3", isolation_level=None)
        other.execute("UPDATE archives SET uploaded = uploaded")
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        other.close()
        turn_a_page(folder / "catalogue.sqlite3", "accounts")
        somebody = {"name": "somebody", "password": "long enough"}
        status, answer = Writer(daemon).ask("POST", "/accounts", json.dumps(somebody).encode())
        assert (status, answer["type"]) == (500, "urn:datd:problem/damaged")
        assert "start datd anew" in answer["detail"]
        assert said_by_the_doctor(daemon)["state"] == "fail"
        # What does not need that page goes on.
        daemon.request("POST", f"/archives/{before.own}/resume")
        assert states(daemon)[before.theirs] == "seeding"
        daemon.stop()
    with running_daemon(folder, environment=ALONE) as daemon:
        assert states(daemon) == {before.theirs: "seeding", before.own: "seeding"}
        assert "no accounts" in daemon.datctl("accounts", "list").stderr
