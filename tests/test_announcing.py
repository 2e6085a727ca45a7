import json
import subprocess
import sys

import pytest

from datd.announcing import announced_hosts
from tests.helpers.daemon import VERB_SECONDS
from tests.helpers.lab import Lab, needs_lab
from tests.helpers.lab_daemon import lab_daemon

OWN = ["127.0.0.1", "::1", "192.0.2.7", "10.0.0.4", "2001:db8::7", "fe80::1%eth0"]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", []),
        ("::1", []),
        ("[::1]", []),
        ("localhost", []),
        ("192.0.2.7", ["192.0.2.7"]),
        ("0.0.0.0", ["10.0.0.4", "192.0.2.7"]),
        ("::", ["2001:db8::7"]),
    ],
)
def test_only_what_other_hosts_reach_is_announced(host, expected):
    assert announced_hosts(host, OWN) == expected


def discovered(lab, host, seconds=2):
    """What is heard in so short a time; on a busy machine not always all that could be."""
    done = subprocess.run(
        [*lab.prefix(host), sys.executable, "-m", "datctl", "discover", "--json",
         "--seconds", str(seconds)],
        capture_output=True, text=True, check=False, timeout=VERB_SECONDS,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.network
def test_daemons_are_found_on_the_network_and_peers_beside_them(tmp_path):
    """Both kinds of multicast DNS share port 5353, and neither is in the way of the other."""
    needs_lab()
    site = tmp_path / "site"
    site.mkdir()
    (site / "a").write_text("x" * 100_000)
    open_api = ("--api-host", "0.0.0.0")
    environment = {
        "DATD_API__ALLOW_PUBLIC": "true",
        "DATD_IMPORT_ROOTS": json.dumps([str(tmp_path)]),
    }
    with (
        Lab.lan(3) as lab,
        lab_daemon(
            lab, "h1", tmp_path / "one", *open_api, mdns=True, environment=environment
        ) as one,
        lab_daemon(lab, "h2", tmp_path / "two", mdns=True) as two,
    ):
        key = one.request("POST", "/archives", {"folder": str(site)})["key"]
        two.add(key)
        two.wait_until(lambda: two.whole(key), "found by multicast, and fetched")
        # Only the one that other hosts reach says so; found from a third host and from its own.
        (only,) = one.wait_until(lambda: discovered(lab, "h3"), "announced")
        one.wait_until(lambda: discovered(lab, "h1") == [only], "found from its own host")
        assert only["api"] == f"http://{lab.ip('h1')}:{one.running.api.rsplit(':')[-1]}"
        assert only["version"]
        # Peers go on to be found while zeroconf listens at the same port.
        late = tmp_path / "late"
        late.mkdir()
        (late / "b").write_text("y" * 100_000)
        key = one.request("POST", "/archives", {"folder": str(late)})["key"]
        two.add(key)
        two.wait_until(lambda: two.whole(key), "the second archive found, and fetched")
        token = one.running.token
        listed = subprocess.run(
            [*lab.prefix("h3"), sys.executable, "-m", "datctl", "--api", only["api"],
             "--token", token, "list", "--json"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert listed.returncode == 0, listed.stderr
        assert len(json.loads(listed.stdout)) == 2
        assert one.stop() == 0
        assert discovered(lab, "h3") == []


@pytest.mark.network
def test_an_api_that_is_to_be_silent_is_not_announced(tmp_path):
    needs_lab()
    silent = {"DATD_API__ALLOW_PUBLIC": "true", "DATD_API__ANNOUNCE": "false"}
    with (
        Lab.lan(2) as lab,
        lab_daemon(lab, "h1", tmp_path, "--api-host", "0.0.0.0", environment=silent),
    ):
        assert discovered(lab, "h2") == []
