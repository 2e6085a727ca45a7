"""C-2: the power goes again and again while an archive comes in."""

import json
import multiprocessing
import os
import random
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.helpers.daemon import START_SECONDS, clean_environment, running_daemon
from tests.helpers.folders import hashes_in, make_varied_folder
from tests.helpers.reference import Reference
from tests.helpers.relay import slow_wire

from datd import cli

# Of two hundred as many as there is time for: a restart takes a second on a busy machine.
KILLS, ENOUGH, SECONDS = 200, 50, 100
# So slow that the archive is not complete before the last kill.
SPEED = 150_000
# Most of a start is the loading of modules. So many times that is minutes, in which nothing
# could be lost: a process that has loaded them is copied instead.
LOADED = multiprocessing.get_context("forkserver")
LOADED.set_forkserver_preload(["datd.cli", "datd.daemon"])


def datd(folder: Path, log: Path, environment: dict[str, str]) -> None:
    """Be the daemon."""
    os.dup2(os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), 2)
    os.environ.clear()
    os.environ.update(environment)
    words = ["--data-dir", folder, "--port", 0, "--api-port", 0, "--no-mdns", "--log-format=json"]
    raise SystemExit(cli.main([str(word) for word in words]))


@contextmanager
def killed_daemon(folder: Path) -> Iterator[str]:
    """A daemon that ends with the `with` as a power cut would end it. Gives where its API is."""
    log = folder.with_suffix(".log")
    log.unlink(missing_ok=True)
    process = LOADED.Process(target=datd, args=(folder, log, clean_environment()))
    process.start()
    try:
        yield _api_told(process, log)
    finally:
        process.kill()
        process.join()
        process.close()


def _api_told(process: Any, log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while True:
        # Of a line that is being written there may be a part.
        said = (log.read_text() if log.exists() else "").rpartition("\n")[0]
        if "next: datctl" in said:
            break
        assert process.is_alive(), f"datd did not start:\n{said}"
        assert time.monotonic() < deadline, f"datd did not start in time:\n{said}"
        time.sleep(0.005)
    messages = [json.loads(line)["message"] for line in said.splitlines()]
    (told,) = [text for text in messages if text.startswith("API: ")]
    return str(told.split(" ")[1])


def asked(api: str, folder: Path, key: str) -> dict[str, Any]:
    token = (folder / "api.token").read_text().strip()
    request = urllib.request.Request(
        f"{api}/api/v1/archives/{key}", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=START_SECONDS) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def test_c2_kills_at_random_moments_lose_nothing(reference: Reference, tmp_path: Path):
    make_varied_folder(tmp_path / "source", small_files=300)
    reference.make_archive(tmp_path / "source", tmp_path / "store")
    _, seeding = reference.partial_peer(tmp_path / "store")
    key, rng = seeding["key"], random.Random(2)
    folder = tmp_path / "datd"
    seen: list[int] = []
    with slow_wire("127.0.0.1", seeding["port"], SPEED) as port:
        with running_daemon(folder) as daemon:
            daemon.datctl("add", key, "--peer", f"127.0.0.1:{port}")
            daemon.wait_until(lambda: daemon.archive(key)["blocks"]["have"], "begun")
        deadline = time.monotonic() + SECONDS
        for number in range(KILLS):
            if number >= ENOUGH and time.monotonic() > deadline:
                break
            with killed_daemon(folder) as api:
                time.sleep(rng.uniform(0, 0.6))
                shown = asked(api, folder, key)
            assert shown["state"] != "error", shown["error"]
            seen.append(shown["blocks"]["have"])
    assert max(seen) > 0
    with running_daemon(folder) as daemon:
        assert daemon.archive(key)["state"] != "error"
        daemon.datctl("peers", "add", key, f"127.0.0.1:{seeding['port']}")
        daemon.datctl("add", key, "--wait", "120")
        daemon.datctl("get", key, str(tmp_path / "copy"))
    assert hashes_in(tmp_path / "copy") == hashes_in(tmp_path / "source")
