"""What a person sees who types verbs at a living daemon; what a script sees in exit status."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.helpers.daemon import RunningDaemon, running_daemon
from tests.helpers.seeds import Seed, host, make, plant

# One worker: the daemons of this file are started once.
pytestmark = pytest.mark.xdist_group("datctl")

# Nobody has it.
STRANGER = "f0" * 32


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningDaemon, Seed]]:
    """A mirror, with its source connected; the archive is called `history`."""
    folder = tmp_path_factory.mktemp("datctl")
    seed = plant("archival-history", folder / "1")
    with running_daemon(folder / "1") as source, running_daemon(folder / "2") as daemon:
        host(source, seed)
        peer = f"127.0.0.1:{source.peer_port}"
        daemon.datctl(
            *("add", f"dat://{seed.key}", "--name", "history", "--tag", "old"),
            *("--peer", peer, "--wait", "120"),
        )
        yield daemon, seed


def reason(done: subprocess.CompletedProcess[str]) -> str:
    """Why a verb failed: one line on stderr, nothing on stdout."""
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("datctl: ")
    return line.removeprefix("datctl: ")


# ---- what is shown


def test_list_and_show_tell_what_is_hosted(pair: tuple[RunningDaemon, Seed]):
    daemon, seed = pair
    head, line = daemon.datctl("list").stdout.splitlines()
    assert head.split()[:4] == ["KEY", "NAME", "STATE", "DONE"]
    assert line.split()[:5] == [seed.key[:12], "history", "seeding", "100", "%"]
    assert daemon.datctl("list", "--tag", "new").stdout == ""
    shown = daemon.datctl("show", "history").stdout
    for text in (f"dat://{seed.key}", seed.discovery_key.hex(), "43 of 43", "1 connected"):
        assert text in shown
    (whole,) = daemon.ask("list")
    assert whole["key"] == seed.key
    assert whole["blocks"] == {"have": 43, "total": 43, "unavailable": 0}
    assert daemon.ask("show", seed.key[:6])["link"] == f"dat://{seed.key}"


def test_peers_and_stats_tell_who_gave_how_much(pair: tuple[RunningDaemon, Seed]):
    daemon, seed = pair
    (peer,) = daemon.ask("peers", "history")
    assert (peer["archive"], peer["source"], peer["state"]) == (seed.key, "manual", "connected")
    assert peer["transferred"]["downloaded"] == 1145 + 412_626
    assert "manual" in daemon.datctl("peers").stdout
    assert daemon.ask("stats")["archives"] == {"seeding": 1}
    assert daemon.ask("stats", "history")["progress"] == 1
    assert "43 of 43" in daemon.datctl("stats", "history").stdout
    assert "1 seeding" in daemon.datctl("status").stdout


def test_ls_lists_folders_and_files_of_any_version(pair: tuple[RunningDaemon, Seed]):
    daemon, _ = pair
    assert daemon.datctl("ls", "history").stdout.split() == [
        "data/", "keep", "last.txt", "made/", "readme.md",
    ]  # fmt: skip
    assert "data/one.csv/now-a-folder" in daemon.datctl("ls", "history", "-R").stdout
    assert daemon.datctl("ls", "history", "--version", "2").stdout.split() == ["made/", "readme.md"]
    (entry,) = [e for e in daemon.ask("ls", "history") if e["path"] == "/readme.md"]
    assert (entry["kind"], entry["size"]) == ("file", 100)
    long = daemon.datctl("ls", "-l", "history/readme.md").stdout
    assert long.startswith("-rw-r--r--  100    100 %  2018-06-01")


def test_cat_gives_exactly_the_bytes_asked_for(pair: tuple[RunningDaemon, Seed]):
    daemon, _ = pair
    whole = daemon.datctl("cat", "history/readme.md").stdout
    assert len(whole) == 100
    for wanted, part in (("10-19", whole[10:20]), ("90-", whole[90:]), ("-7", whole[-7:])):
        assert daemon.datctl("cat", "history/readme.md", "--range", wanted).stdout == part


def test_get_repeated_fetches_nothing_again(pair: tuple[RunningDaemon, Seed], tmp_path: Path):
    daemon, seed = pair
    first = daemon.datctl("get", "history", str(tmp_path / "copy")).stderr
    assert f"{len(seed.files)} files" in first
    again = daemon.datctl("get", "history", str(tmp_path / "copy")).stderr
    assert again.startswith(f"0 files, 0 B, {len(seed.files)} kept")


def test_adding_what_is_hosted_says_so(pair: tuple[RunningDaemon, Seed]):
    daemon, seed = pair
    done = daemon.datctl("add", seed.key)
    assert done.stdout == f"hosted already: dat://{seed.key}\n"
    other = daemon.datctl("add", seed.key, "--name", "other", check=1)
    assert "hosted already" in reason(other)


# ---- exit status


def test_status_1_what_is_no_link(pair: tuple[RunningDaemon, Seed]):
    daemon, _ = pair
    assert "'dat://nonsense' is not a Dat link" in reason(
        daemon.datctl("add", "dat://nonsense", check=1)
    )


def test_status_1_a_wrong_token(pair: tuple[RunningDaemon, Seed]):
    daemon, _ = pair
    assert "token" in reason(daemon.datctl("list", "--token", "guessed", check=1))


@pytest.mark.parametrize(
    "words",
    [
        ("frobnicate",),
        ("add",),
        ("list", "--state", "asleep"),
        ("cat", "history/readme.md", "--range", "9-3"),
        ("remove", "history"),  # nobody is there to be asked
        ("pause",),
        ("add", STRANGER, "--wait", "1", "--paused"),
        ("--api", "ftp://x", "list"),
    ],
)
def test_status_2_wrong_usage(pair: tuple[RunningDaemon, Seed], words: tuple[str, ...]):
    daemon, _ = pair
    assert reason(daemon.datctl(*words, check=2))
    assert len(daemon.ask("list")) == 1


def test_status_3_no_daemon_answers(tmp_path: Path):
    for api in ("http://127.0.0.1:1", f"unix://{tmp_path}/none.sock"):
        done = subprocess.run(
            [sys.executable, "-m", "datctl", "list"],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DATD_API": api},
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert done.returncode == 3
        said = reason(done)
        assert "no daemon answers at" in said
        assert "start datd" in said


@pytest.mark.parametrize(
    "words",
    [
        ("show", STRANGER),
        ("show", "unheard-of"),
        ("pause", STRANGER),
        ("ls", f"{STRANGER}/x"),
        ("cat", "history/absent.txt"),
        ("ls", "history/absent"),
        ("get", "history/absent", "/dev/null/x"),
        ("ls", "history", "--version", "9999", "--wait", "0"),
        ("remove", "history", STRANGER, "--yes"),
    ],
)
def test_status_4_no_such_archive_file_or_version(
    pair: tuple[RunningDaemon, Seed], words: tuple[str, ...]
):
    daemon, _ = pair
    assert reason(daemon.datctl(*words, check=4))
    assert len(daemon.ask("list")) == 1, "nothing is removed if one of several is unknown"


def test_status_5_timed_out(tmp_path: Path):
    seed = make(1, tmp_path / "elsewhere")
    with running_daemon(tmp_path / "data") as daemon:
        done = daemon.datctl("add", seed.key, "--wait", "0.2", check=5)
        assert done.stdout == f"added dat://{seed.key}\n"
        (line,) = done.stderr.splitlines()
        assert line.startswith("datctl: not complete after 0.2 s: 0.0 %, searching")
        assert "No peer gave" in reason(
            daemon.datctl("cat", f"{seed.key}/file", "--wait", "0", check=5)
        )


# ---- one document


def test_json_is_one_document_on_every_reading_verb(pair: tuple[RunningDaemon, Seed]):
    daemon, _ = pair
    verbs = (("list",), ("show", "history"), ("stats",), ("stats", "history"), ("peers",),
             ("ls", "history"), ("status",))  # fmt: skip
    for verb in verbs:
        json.loads(daemon.datctl(*verb, "--json").stdout)
