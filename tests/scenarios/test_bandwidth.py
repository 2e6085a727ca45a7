"""Limits of bandwidth between real daemons on loopback, changed while they run."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.helpers.daemon import RunningDaemon, running_daemon
from tests.helpers.writing import Writer

SIZE = 3_000_000


@contextmanager
def published(tmp_path: Path, *arguments: str) -> Iterator[tuple[RunningDaemon, str]]:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/large.bin").write_bytes(random.Random(1).randbytes(SIZE))
    environment = {"DATD_IMPORT_ROOTS": str(tmp_path)}
    with running_daemon(tmp_path / "1", *arguments, environment=environment) as one:
        made = one.request("POST", "/archives", {"folder": str(tmp_path / "site")})
        Writer(one).ended(made["job"])
        yield one, made["key"]


def have(daemon: RunningDaemon, key: str) -> int:
    return int(daemon.archive(key)["bytes"]["have"])


@pytest.mark.parametrize(("way", "transport"), [("upload", "--no-utp"), ("download", "--no-tcp")])
def test_a_mirror_keeps_to_the_limit_and_goes_on_at_once_when_it_is_lifted(
    tmp_path: Path, way: str, transport: str
):
    limit = f"--{way}-limit"
    with (
        published(tmp_path, transport, *([limit, "100kB"] if way == "upload" else [])) as (
            one,
            key,
        ),
        running_daemon(
            tmp_path / "2", transport, *([limit, "100kB"] if way == "download" else [])
        ) as two,
    ):
        limited = one if way == "upload" else two
        began = time.monotonic()
        peers = [f"127.0.0.1:{one.peer_port}"]
        two.request("POST", "/archives", {"link": key, "peers": peers})
        two.wait_until(lambda: have(two, key) > 500_000, "under way")
        # What nobody used before may come at once, and what is under way: 400 kB at the most. On a
        # slow machine it takes longer.
        assert time.monotonic() - began > 0.9
        assert two.archive(key)["state"] == "syncing"
        limited.request("PATCH", "/settings", {"network": {f"{way}_limit": 10**9}})
        two.wait_until(lambda: two.archive(key)["state"] == "seeding", "complete")
        (peer,) = two.request("GET", f"/archives/{key}/peers")["peers"]
        assert (peer["marks"]["handshakes"], peer["dropped"], peer["last_error"]) == (1, None, None)


def test_a_change_outlives_the_daemon_and_the_file_comes_back(tmp_path: Path):
    settings = tmp_path / "datd.toml"
    settings.write_text("[network]\nupload_limit = '2 MB'\n")

    def limit(daemon: RunningDaemon) -> tuple[object, object]:
        found = daemon.request("GET", "/settings")["settings"]
        one = next(one for one in found if one["name"] == "network.upload_limit")
        return one["value"], one["source"]

    with running_daemon(tmp_path / "1", "--config", str(settings)) as daemon:
        assert limit(daemon) == (2_000_000, "file")
        daemon.datctl("settings", "set", "network.upload_limit", "300 kB")
        daemon.request("PATCH", "/settings", {"log": {"level": "debug"}})
        assert daemon.stop() == 0
    assert "signal 15" in daemon.messages, "the end is told at level debug"
    with running_daemon(tmp_path / "1", "--config", str(settings)) as daemon:
        assert limit(daemon) == (300_000, "changed")
        assert daemon.request("GET", "/stats")["limits"] == {"upload": 300_000, "download": None}
        daemon.request("PATCH", "/settings", {"network": {"upload_limit": None}})
        assert limit(daemon) == (2_000_000, "file")
        assert daemon.stop() == 0
