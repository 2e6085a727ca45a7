"""Archives that nobody uses just now: they cost next to nothing, and wake up for a caller."""

from pathlib import Path

from tests.helpers.callers import seconds_for_a_block
from tests.helpers.daemon import MOST_THREADS, RunningDaemon, running_daemon
from tests.helpers.seeds import host, make

from datd.keys import Key

ARCHIVES = 20


def archive_files(daemon: RunningDaemon) -> list[str]:
    return [name for name in daemon.open_files if str(daemon.archives) in name]


def test_twenty_quiet_archives_hold_no_file_open_and_no_thread(tmp_path: Path):
    seeds = [make(number, tmp_path) for number in range(ARCHIVES)]
    with running_daemon(tmp_path) as daemon:
        host(daemon, *seeds)
        for number, seed in enumerate(seeds, 1):
            seconds_for_a_block(daemon.peer_port, Key.parse(seed.key), f"127.0.5.{number}")
        daemon.wait_until(lambda: not archive_files(daemon), "closed after a while")
        assert daemon.threads <= MOST_THREADS
        assert {archive["state"] for archive in daemon.ask("list")} == {"seeding"}


def test_a_start_opens_no_archive(tmp_path: Path):
    seeds = [make(number, tmp_path) for number in range(ARCHIVES)]
    with running_daemon(tmp_path) as daemon:
        host(daemon, *seeds)
        assert daemon.stop() == 0
    with running_daemon(tmp_path) as daemon:
        assert daemon.ask("stats")["archives"] == {"seeding": ARCHIVES}
        assert archive_files(daemon) == []
