"""The unit files are accepted by systemd, as installed, and give as little as they can."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers.pieces import missing

UNITS = Path(__file__).parents[1] / "systemd"
UNIT = UNITS / "datd.service"
DISCOVERY = UNITS / "datd-discovery.service"
DHT = UNITS / "datd-dht.service"
# Reliability 6: what was reached without taking away the network or Unix sockets; a port below 1024
# costs a little more.
WORST_EXPOSURE = {UNIT: 1.5, DISCOVERY: 1.7, DHT: 1.5}
# Units that every system has and ours leans on, and the programs that ours starts.
OTHER_UNITS = ["sysinit", "basic", "network-online", "shutdown", "multi-user"]
PROGRAMS = ["datd", "kill"]


@pytest.fixture
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        missing("systemd-analyze is not here: apt-get install systemd")
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system on which the package was installed."""
    units = tmp_path / "usr/lib/systemd/system"
    units.mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    for unit in WORST_EXPOSURE:
        shutil.copy(unit, units)
    for name in OTHER_UNITS:
        (units / f"{name}.target").write_text(f"[Unit]\nDescription={name}\n")
    (tmp_path / "usr/bin").mkdir()
    for name in PROGRAMS:
        program = tmp_path / "usr/bin" / name
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    return tmp_path


def verify(analyze: str, root: Path, unit: Path = UNIT) -> str:
    """What systemd complains of in an installed unit; nothing is best."""
    command = [analyze, "verify", "--man=no", f"--root={root}", unit.name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr + done.stdout


@pytest.mark.parametrize("unit", WORST_EXPOSURE, ids=lambda unit: unit.stem)
def test_systemd_accepts_the_installed_unit(analyze: str, root: Path, unit: Path):
    assert verify(analyze, root, unit) == ""


def test_a_misspelt_setting_would_have_been_noticed(analyze: str, root: Path):
    unit = root / "usr/lib/systemd/system" / UNIT.name
    unit.write_text(unit.read_text().replace("UMask=", "Umaks="))
    assert "Umaks" in verify(analyze, root)


@pytest.mark.parametrize(
    ("unit", "threshold", "status"),
    [*((unit, worst, 0) for unit, worst in WORST_EXPOSURE.items()), (UNIT, 0.1, 1)],
)
def test_exposure_is_low(analyze: str, unit: Path, threshold: float, status: int):
    options = ["--offline=yes", "--no-pager", f"--threshold={threshold * 10:.0f}"]
    command = [analyze, "security", *options, str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout


def test_what_the_daemon_relies_on_is_granted():
    text = UNIT.read_text()
    settings = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    assert settings["Type"] == "notify"
    assert settings["ExecStart"] == "datd"
    assert settings["StateDirectory"] == settings["RuntimeDirectory"] == "datd"
    # The daemon ends within 10 s of SIGTERM, and 78 means that a setting is wrong.
    assert int(settings["TimeoutStopSec"].removesuffix("s")) > 10
    assert settings["RestartPreventExitStatus"] == "78"


def test_the_discovery_server_may_use_port_53_and_has_nothing_else():
    settings = dict(re.findall(r"^(\w+)=(.*)$", DISCOVERY.read_text(), re.MULTILINE))
    assert settings["Type"] == "notify"
    assert settings["ExecStart"] == "datd discovery-server --port 5300 --port 53"
    assert settings["AmbientCapabilities"] == "CAP_NET_BIND_SERVICE"
    assert settings["CapabilityBoundingSet"] == "CAP_NET_BIND_SERVICE"
    # In a user namespace of its own the capability would be worth nothing.
    assert "PrivateUsers" not in settings
    assert "StateDirectory" not in settings
