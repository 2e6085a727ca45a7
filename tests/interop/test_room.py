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
        daemon.datctl("add", small["key"], "--peer", f"127.0.0.1:{small['port']}", "--wait", "120")
        first = daemon.datctl("cat", f"{large['key']}/big.bin", "--range", "0-9").stdout
        assert first == "0123456789"
        refused = daemon.datctl(
            "cat", f"{large['key']}/big.bin", "--range", "5000000-5000009", check=1
        )
        assert "storage.max_archive_bytes" in refused.stderr
    with running_daemon(tmp_path / "datd") as daemon:
        daemon.datctl("add", large["key"], "--wait", "120")
        daemon.datctl("get", large["key"], str(tmp_path / "copy"))
    assert hashes_in(tmp_path / "copy") == hashes_in(tmp_path / "large")


def _shown_in_state(daemon: RunningDaemon, key: str, state: str) -> dict[str, Any]:
    deadline = time.monotonic() + 90
    shown: dict[str, Any] = daemon.ask("show", key)
    while shown["state"] != state and time.monotonic() < deadline:
        shown = daemon.ask("show", key)
    assert shown["state"] == state, shown["error"]
    return shown


def test_what_there_was_no_room_for_is_fetched_once_there_is_and_nobody_is_to_blame(
    reference: Reference, tmp_path: Path
):
    write(tmp_path / "first/big.bin", b"abcdefghijklmnop" * 320_000)
    write(tmp_path / "second/big.bin", b"0123456789abcdef" * 320_000)
    peers = []
    for name in ("first", "second"):
        reference.make_archive(tmp_path / name, tmp_path / f"store-{name}", block_size=8192)
        peers.append(reference.partial_peer(tmp_path / f"store-{name}")[1])
    first, second = peers
    limit = {"DATD_STORAGE__MAX_BYTES": "7500000"}
    with running_daemon(tmp_path / "datd", environment=limit) as daemon:
        daemon.datctl("add", first["key"], "--peer", f"127.0.0.1:{first['port']}", "--wait", "120")
        daemon.datctl("add", second["key"], "--peer", f"127.0.0.1:{second['port']}")
        stopped = _shown_in_state(daemon, second["key"], "error")
        assert "storage.max_bytes" in stopped["error"]
        daemon.datctl("remove", first["key"], "--yes")
        _shown_in_state(daemon, second["key"], "seeding")
        (peer,) = daemon.ask("peers", second["key"])
        assert peer["dropped"] is None
        daemon.datctl("get", second["key"], str(tmp_path / "copy"))
    assert hashes_in(tmp_path / "copy") == hashes_in(tmp_path / "second")
