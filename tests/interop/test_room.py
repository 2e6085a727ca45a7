"""T-29: an archive grows without end; the others go on."""

import time
from pathlib import Path
from typing import Any

from tests.helpers.daemon import RunningDaemon, running_daemon
from tests.helpers.folders import hashes_in, write
from tests.helpers.reference import Reference


def test_t29_an_archive_at_its_limit_stops_is_served_and_the_others_go_on(
    reference: Reference, tmp_path: Path
):
    write(tmp_path / "large/big.bin", b"0123456789abcdef" * 320_000)
    write(tmp_path / "small/note.txt", b"short\n")
    reference.make_archive(tmp_path / "large", tmp_path / "store-l")
    reference.make_archive(tmp_path / "small", tmp_path / "store-s")
    _, large = reference.partial_peer(tmp_path / "store-l")
    _, small = reference.partial_peer(tmp_path / "store-s")
    limit = {"DATD_STORAGE__MAX_ARCHIVE_BYTES": "1000000"}
    with running_daemon(tmp_path / "datd", environment=limit) as daemon:
        daemon.datctl("add", large["key"], "--peer", f"127.0.0.1:{large['port']}")
        stopped = _shown_in_state(daemon, large["key"], "error")
        assert "storage.max_archive_bytes" in stopped["error"]
        assert 1_000_000 <= stopped["bytes"]["have"] < 5_120_000
        daemon.datctl("add", small["key"], "--peer", f"127.0.0.1:{small['port']}", "--wait", "30")
        first = daemon.datctl("cat", f"{large['key']}/big.bin", "--range", "0-9").stdout
        assert first == "0123456789"
        refused = daemon.datctl(
            "cat", f"{large['key']}/big.bin", "--range", "5000000-5000009", check=1
        )
        assert "storage.max_archive_bytes" in refused.stderr
    with running_daemon(tmp_path / "datd") as daemon:
        daemon.datctl("add", large["key"], "--wait", "30")
        daemon.datctl("get", large["key"], str(tmp_path / "copy"))
    assert hashes_in(tmp_path / "copy") == hashes_in(tmp_path / "large")


def _shown_in_state(daemon: RunningDaemon, key: str, state: str) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    shown: dict[str, Any] = daemon.ask("show", key)
    while shown["state"] != state and time.monotonic() < deadline:
        shown = daemon.ask("show", key)
    assert shown["state"] == state, shown
    return shown
