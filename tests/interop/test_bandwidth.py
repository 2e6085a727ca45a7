"""The original beside a daemon that may not send as fast as it could."""

import random
from collections.abc import Callable
from pathlib import Path

from tests.helpers.daemon import running_daemon
from tests.helpers.folders import becomes, hashes_in, write
from tests.helpers.lab import Lab
from tests.helpers.reference import Reference, Where

# It ends a connection when its oldest request was not answered within 7.5 s (wire.md section 9).
# With sixteen under way, each waits half as long.
RATE = 300_000


def test_dat_clones_from_a_limited_daemon_over_one_connection(
    reference: Reference, lan: Callable[[int], Lab], tmp_path: Path
):
    site = tmp_path / "site"
    write(site / "large.bin", random.Random(1).randbytes(1_500_000))
    write(site / "small.txt", b"hello\n")
    lab = lan(2)
    # It calls, and is not called: else two connections are there for a moment, and both are used.
    lab.block("h2", "tcp")
    with running_daemon(
        tmp_path / "datd",
        "--no-utp",
        "--upload-limit",
        str(RATE),
        prefix=lab.prefix("h1"),
        mdns=True,
        environment={"DATD_IMPORT_ROOTS": str(tmp_path)},
    ) as daemon:
        key = daemon.ask("share", str(site))["key"]
        reference.dat_clone(key, tmp_path / "copy", "--no-utp", where=Where(lab, "h2"))
        becomes(tmp_path / "copy", hashes_in(site))
        # Who lost the connection would have called again, from another port.
        peers = daemon.ask("peers", key)
        assert [peer["dropped"] for peer in peers] == [None] * len(peers)
        spoke = [peer for peer in peers if peer["transferred"]["uploaded"] > 0]
        assert len(spoke) == 1
        assert spoke[0]["transferred"]["uploaded"] >= 1_500_000
