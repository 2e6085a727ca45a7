"""C-19: the catalogue is deleted, cut, overwritten, or one of its pages turns."""

import http.client
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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
    event: str

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
        event = daemon.request("GET", "/events?format=json&since=0")["next"]
        assert daemon.stop() == 0
    return Before(folder, seed.key, own, event)


def states(daemon: RunningDaemon) -> dict[str, str]:
    archives = daemon.request("GET", "/archives")["archives"]
    return {one["key"]: one["state"] for one in archives}


def resume(daemon: RunningDaemon, *keys: str) -> None:
    for key in keys:
        daemon.request("POST", f"/archives/{key}/resume")


def read(daemon: RunningDaemon, key: str, version: int | None = None) -> bytes:
    of = "" if version is None else f"?version={version}"
    connection = http.client.HTTPConnection(urlsplit(daemon.api).netloc, timeout=120)
    with closing(connection):
        headers = {"Authorization": f"Bearer {daemon.token}"}
        connection.request("GET", f"/api/v1/archives/{key}/files/file{of}", headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.read()


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


@pytest.mark.parametrize("harm", [delete, empty])
def test_c19_archives_of_a_lost_catalogue_come_back_paused(
    harm: Callable[[Path], None], before: Before, tmp_path: Path
):
    folder = before.copy(tmp_path / "data")
    harm(folder / "catalogue.sqlite3")
    with running_daemon(folder, environment=ALONE) as daemon:
        assert states(daemon) == {before.theirs: "paused", before.own: "paused"}
        assert any("the catalogue was lost" in line for line in daemon.messages)
        # Whoever read events before is told that there were others.
        told = daemon.request("GET", f"/events?format=json&since={before.event}")
        assert told["events"][0]["kind"] == "events.lost"


def test_c19_archives_of_a_catalogue_that_was_overwritten_come_back_and_go_on(
    before: Before, tmp_path: Path
):
    folder = before.copy(tmp_path / "data")
    catalogue = folder / "catalogue.sqlite3"
    overwrite(catalogue)
    harmed = catalogue.read_bytes()
    with running_daemon(folder, environment=ALONE) as daemon:
        assert states(daemon) == {before.theirs: "paused", before.own: "paused"}
        assert any("the catalogue was" in line for line in daemon.messages)
        assert any("is lost: names, tags, modes" in line for line in daemon.messages)
        assert not any(key in line for key in (before.theirs, before.own) for line in daemon.log)
        assert (folder / "catalogue.sqlite3.damaged-1").read_bytes() == harmed
        report = folder / "catalogue-rebuilt.txt"
        assert report.stat().st_mode & 0o777 == 0o600
        assert before.theirs in report.read_text()
        said = said_by_the_doctor(daemon)
        assert said["state"] == "warn"
        assert str(report) in said["advice"]
        resume(daemon, before.theirs, before.own)
        with running_daemon(tmp_path / "reader") as reader:
            peer = f"127.0.0.1:{daemon.peer_port}"
            for key in (before.theirs, before.own):
                reader.request("POST", "/archives", {"link": key, "peers": [peer]})
            there = {before.theirs: "seeding", before.own: "seeding"}
            reader.wait_until(lambda: states(reader) == there, "all there", seconds=120)
        # The secret key is usable, and nothing that was published is forgotten.
        Writer(daemon).put(before.own, "/file", b"second")
        assert read(daemon, before.own) == b"second"
        assert read(daemon, before.own, 1) == b"first"
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
        other = sqlite3.connect(folder / "catalogue.sqlite3", 60, isolation_level=None)
        other.execute("UPDATE archives SET uploaded = uploaded")
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        other.close()
        turn_a_page(folder / "catalogue.sqlite3", "accounts")
        somebody = {"name": "somebody", "password": "long enough"}
        status, answer = Writer(daemon).ask("POST", "/accounts", json.dumps(somebody).encode())
        assert (status, answer["type"]) == (500, "urn:datd:problem/damaged")
        assert "start datd anew" in answer["detail"]
        assert said_by_the_doctor(daemon)["state"] == "fail"
        assert "malformed" in daemon.request("GET", "/stats")["damage"]
        # What does not need that page goes on.
        resume(daemon, before.own)
        assert states(daemon)[before.theirs] == "seeding"
        daemon.stop()
    with running_daemon(folder, environment=ALONE) as daemon:
        assert states(daemon) == {before.theirs: "seeding", before.own: "seeding"}
        assert daemon.request("GET", "/accounts")["accounts"] == []
        assert daemon.request("GET", "/stats")["damage"] is None
