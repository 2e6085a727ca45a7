"""The unit file is accepted by systemd, as installed, and gives the service as little as it can."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers.pieces import missing

UNIT = Path(__file__).parents[1] / "systemd" / "datd.service"
# Reliability 6: what was reached without taking away the network or Unix sockets.
WORST_EXPOSURE = 1.5
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
    shutil.copy(UNIT, units)
    for name in OTHER_UNITS:
        (units / f"{name}.target").write_text(f"[Unit]\nDescription={name}\n")
    (tmp_path / "usr/bin").mkdir()
    for name in PROGRAMS:
        program = tmp_path / "usr/bin" / name
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    return tmp_path


def verify(analyze: str, root: Path) -> str:
    """What systemd complains of in the installed unit; nothing is best."""
    command = [analyze, "verify", "--man=no", f"--root={root}", UNIT.name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr + done.stdout


def test_systemd_accepts_the_installed_unit(analyze: str, root: Path):
    assert verify(analyze, root) == ""


def test_a_misspelt_setting_would_have_been_noticed(analyze: str, root: Path):
    unit = root / "usr/lib/systemd/system" / UNIT.name
    unit.write_text(unit.read_text().replace("UMask=", "Umaks="))
    assert "Umaks" in verify(analyze, root)


@pytest.mark.parametrize(("threshold", "status"), [(WORST_EXPOSURE, 0), (0.1, 1)])
def test_exposure_is_low(analyze: str, threshold: float, status: int):
    options = ["--offline=yes", "--no-pager", f"--threshold={threshold * 10:.0f}"]
    command = [analyze, "security", *options, str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout


def test_what_the_daemon_relies_on_is_granted():
    text = UNIT.read_text()
    settings = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    assert settings["Type"] == "notify"
    assert settings["ExecStart"] == "/usr/bin/datd"
    assert settings["StateDirectory"] == settings["RuntimeDirectory"] == "datd"
    # The daemon ends within 10 s of SIGTERM, and 78 means that a setting is wrong.
    assert int(settings["TimeoutStopSec"].removesuffix("s")) > 10
    assert settings["RestartPreventExitStatus"] == "78"
