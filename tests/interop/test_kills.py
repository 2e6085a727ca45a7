"""C-2: the power goes again and again while an archive comes in."""

import json
import random
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from tests.helpers.daemon import RunningDaemon, running_daemon
from tests.helpers.folders import hashes_in, make_varied_folder
from tests.helpers.reference import Reference
from tests.helpers.relay import slow_wire

# On a busy machine a restart may take several seconds: then they are fewer, but not too few.
KILLS, ENOUGH, SECONDS = 200, 50, 400
# So slow that the archive is not complete before the last kill.
SPEED = 150_000


def archive_shown(daemon: RunningDaemon, key: str) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{daemon.api}/api/v1/archives/{key}", headers={"Authorization": f"Bearer {daemon.token}"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


@pytest.mark.timeout(900)  # each restart costs most of a second, and there are two hundred
def test_c2_two_hundred_kills_at_random_moments_lose_nothing(reference: Reference, tmp_path: Path):
    make_varied_folder(tmp_path / "source", small_files=300)
    reference.make_archive(tmp_path / "source", tmp_path / "store")
    _, seeding = reference.partial_peer(tmp_path / "store")
    key, rng = seeding["key"], random.Random(2)
    folder = tmp_path / "datd"
    seen: list[int] = []
    with slow_wire("127.0.0.1", seeding["port"], SPEED) as port:
        with running_daemon(folder) as daemon:
            daemon.datctl("add", key, "--peer", f"127.0.0.1:{port}")
        deadline = time.monotonic() + SECONDS
        for number in range(KILLS):
            if number >= ENOUGH and time.monotonic() > deadline:
                break
            with running_daemon(folder) as daemon:
                time.sleep(rng.uniform(0, 0.6))
                shown = archive_shown(daemon, key)
                daemon.kill()
            assert shown["state"] != "error", shown["error"]
            seen.append(shown["blocks"]["have"])
        with running_daemon(folder) as daemon:
            assert archive_shown(daemon, key)["state"] != "error"
    assert max(seen) > 0
    with running_daemon(folder) as daemon:
        daemon.datctl("peers", "add", key, f"127.0.0.1:{seeding['port']}")
        daemon.datctl("add", key, "--wait", "120")
        daemon.datctl("get", key, str(tmp_path / "copy"))
    assert hashes_in(tmp_path / "copy") == hashes_in(tmp_path / "source")
