"""A link is the right to read, a token the right to command: no log tells either."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.helpers.callers import calling, heard_until_closed
from tests.helpers.daemon import RunningDaemon, running_daemon
from tests.helpers.folders import hashes_in
from tests.helpers.seeds import Seed, host, make, plant

from datd.keys import Key


def a_full_day(first: RunningDaemon, second: RunningDaemon, seed: Seed, place: Path) -> None:
    """Everything that may be logged: success, refusals, faults of users, peers and disks."""
    peer = f"127.0.0.1:{first.peer_port}"
    second.datctl("add", f"dat://{seed.key}", "--name", "canary", "--peer", peer, "--wait", "120")
    second.datctl("add", seed.key, "--name", "another", check=1)
    second.datctl("add", f"dat://{seed.key[:-1]}", check=1)
    second.datctl("cat", f"{seed.key}/absent", check=4)
    second.datctl("peers", "add", seed.key, "127.0.0.1:1")
    second.datctl("get", seed.key, str(place))
    second.datctl("list", "--token", seed.key, check=1)
    for verb in ("pause", "resume"):
        second.datctl(verb, seed.key)
    with calling(second.peer_port) as nonsense:
        nonsense.sendall(b"\xff" * 20)
        heard_until_closed(nonsense, 60)
    second.datctl("remove", seed.key, "--keep-data", "--yes")
    spoil(second, seed)
    second.datctl("add", seed.key)
    second.datctl("ls", seed.key, "--wait", "1", check=None)
    second.datctl("remove", seed.key, "--yes")


def spoil(daemon: RunningDaemon, seed: Seed) -> None:
    """Damage one archive's files as a bad disk would (C-11): a file that is none."""
    folder = daemon.archives / seed.folder.relative_to(seed.folder.parents[1])
    (folder / "metadata.tree").unlink()
    (folder / "metadata.tree").mkdir()


def everything_said(daemons: Sequence[RunningDaemon]) -> str:
    return "\n".join(line for daemon in daemons for line in daemon.log).lower()


def test_no_link_token_or_traceback_is_in_any_log_line(tmp_path: Path):
    seed = plant("archival-nested", tmp_path / "1")
    content = (seed.folder / "content.key").read_bytes()[-32:].hex()
    debug = ("--log-level", "debug")
    with (
        running_daemon(tmp_path / "1", *debug) as first,
        running_daemon(tmp_path / "2", *debug) as second,
    ):
        host(first, seed)
        a_full_day(first, second, seed, tmp_path / "copy")
        tokens = [daemon.token for daemon in (first, second)]
        assert [daemon.stop() for daemon in (first, second)] == [0, 0]
    said = everything_said((first, second))
    assert hashes_in(tmp_path / "copy") == seed.files
    assert seed.discovery_key.hex() in said, "a fault is told by discovery key"
    for secret in (seed.key, content, *tokens):
        assert secret not in said
        assert secret[:16] not in said
    assert "traceback" not in said


def test_files_of_another_archive_are_an_error_that_names_no_link(tmp_path: Path):
    # As after a mistake with a backup: the folder is called after one archive and holds another.
    seed, other = make(1, tmp_path), make(2, tmp_path)
    shutil.rmtree(seed.folder)
    other.folder.rename(seed.folder)
    with running_daemon(tmp_path, "--log-level", "debug") as daemon:
        daemon.datctl("add", seed.key)
        daemon.datctl("ls", seed.key, "--wait", "1", check=1)
        assert daemon.archive(seed.key)["state"] == "error"
        assert daemon.stop() == 0
    said = everything_said([daemon])
    assert str(Key.parse(seed.key).discovery_key) in said
    assert seed.key[:16] not in said
    assert other.key[:16] not in said
    assert "traceback" not in said
