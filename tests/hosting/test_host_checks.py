import errno
import os
import resource
import shutil
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from tests.helpers.people import as_ordinary_user
from tests.helpers.pieces import missing

from datd.hosting import host_checks

NOW = datetime(2026, 6, 1, tzinfo=UTC).timestamp()


def at_once() -> float:
    """A timer by which a disk is quick, however busy that of the tests is."""
    return 0.0


def states(findings):
    return {finding.check: finding.state for finding in findings}


@pytest.mark.parametrize(
    ("now", "noted", "follows", "state"),
    [
        (NOW, NOW - 5, True, "ok"),
        (NOW, None, None, "ok"),
        (0.0, None, True, "fail"),
        (NOW, NOW + 86_400, True, "warn"),
        (NOW, NOW + 60, True, "ok"),
        (NOW, None, False, "warn"),
    ],
)
def test_a_clock_that_cannot_be_right_is_noticed(now, noted, follows, state):
    finding = host_checks.clock(now, noted, follows)
    assert finding.state == state
    assert bool(finding.advice) == (state != "ok")


def test_the_kernel_says_whether_its_clock_is_set():
    assert host_checks.is_synchronised() in (True, False, None)


def test_a_disk_that_takes_what_is_written_is_well(tmp_path):
    assert states(host_checks.disk(tmp_path, None, at_once)) == {"disk": "ok"}
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_failure(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    with as_ordinary_user(folder):
        if os.access(folder, os.W_OK, effective_ids=True):
            missing("only root can have folders that others cannot write")
        (finding,) = host_checks.disk(folder, None)
    assert finding.state == "fail"
    assert str(folder) in finding.text
    assert "who owns it" in finding.advice


def test_a_disk_that_was_mounted_read_only_or_is_full_is_a_failure(tmp_path):
    """Provoked with file systems of their own, which the host does not see."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        missing("mounting needs root")
    code = (
        "from pathlib import Path; from datd.hosting import host_checks;"
        f"print(host_checks.disk(Path({str(tmp_path)!r}), None)[0])"
    )
    options = {"ro": errno.EROFS, "size=4096,nr_inodes=1": errno.ENOSPC}
    for option, reason in options.items():
        line = f"mount -t tmpfs -o {option} none '{tmp_path}' && '{sys.executable}' -c \"{code}\""
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", line], capture_output=True, text=True, check=False
        )
        if "mount:" in done.stderr:
            missing("this host does not let us mount")
        assert "state='fail'" in done.stdout, done
        assert os.strerror(reason) in done.stdout


def test_a_slow_disk_is_noticed(tmp_path):
    moments = iter([0.0, 2.0])
    assert states(host_checks.disk(tmp_path, None, lambda: next(moments))) == {"disk speed": "warn"}


def test_what_forbids_storing_more_is_told_with_its_advice(tmp_path):
    (finding,) = host_checks.disk(tmp_path, "only 3 bytes are free: make room", at_once)
    assert (finding.state, finding.text, finding.advice) == (
        "fail", "only 3 bytes are free", "make room",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("free", "total", "expected"),
    [(500, 1000, {}), (10, 1000, {"inodes": "warn"}), (0, 1000, {"inodes": "fail"}), (0, 0, {})],
)
def test_a_file_system_without_room_for_files_is_noticed(tmp_path, free, total, expected):
    assert states(host_checks.inodes(tmp_path, free, total)) == expected


def test_secrets_that_others_can_read_are_a_failure(tmp_path):
    tmp_path.chmod(0o700)
    keys = tmp_path / "keys" / "ab"
    keys.mkdir(parents=True, mode=0o700)
    keys.parent.chmod(0o700)
    for file in (tmp_path / "api.token", keys / "cd"):
        file.write_text("secret")
        file.chmod(0o600)
    assert host_checks.rights(tmp_path).state == "ok"
    (keys / "cd").chmod(0o640)
    found = host_checks.rights(tmp_path)
    assert (found.state, found.advice) == ("fail", f"chmod -R go-rwx {keys}")
    (keys / "cd").chmod(0o600)
    tmp_path.chmod(0o777)
    assert host_checks.rights(tmp_path).state == "fail"


@pytest.mark.parametrize(
    ("limit", "used", "state"),
    [(65_536, 100, "ok"), (1_024, 100, "warn"), (65_536, 60_000, "fail")],
)
def test_too_few_open_files_are_noticed(limit, used, state):
    finding = host_checks.open_files(limit, used)
    assert finding.state == state
    assert ("LimitNOFILE" in finding.advice) == (state != "ok")


def test_open_files_are_those_of_the_process():
    assert host_checks.descriptors()[0] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    # In a process of its own: in this one whatever earlier tests left may close a file meanwhile.
    code = (
        "from datd.hosting.host_checks import descriptors; used = descriptors()[1];"
        "files = [open('/dev/null') for _ in range(3)]; print(descriptors()[1] - used)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "3\n", done


def test_a_small_udp_buffer_is_noticed():
    small, large = host_checks.udp_buffer(212_992), host_checks.udp_buffer(8 * 2**20)
    assert small is not None
    assert small.state == "warn"
    assert "net.core.rmem_max=4194304" in small.advice
    assert large is not None
    assert large.state == "ok"
    assert host_checks.udp_buffer(None) is None


def test_folders_that_cannot_all_be_watched_are_noticed(tmp_path):
    for number in range(9):
        (tmp_path / str(number)).mkdir()
    for allowed, state in ((100, "ok"), (11, "warn"), (5, "fail")):
        finding = host_checks.watches([tmp_path], allowed)
        assert finding is not None
        assert finding.state == state
    assert host_checks.watches([], 5) is None


def test_settings_of_the_kernel_are_read_as_far_as_it_has_them():
    assert (host_checks.kernel_number("fs/file-max") or 0) > 0
    assert host_checks.kernel_number("no/such/thing") is None


def test_c19_a_catalogue_that_was_made_anew_is_told_of_until_the_report_goes(tmp_path):
    report = tmp_path / "catalogue-rebuilt.txt"
    assert host_checks.catalogue(report, None).state == "ok"
    report.write_text("2026-01-02 03:04:05 UTC\nthe catalogue was lost: it was made anew\nmore\n")
    found = host_checks.catalogue(report, None)
    assert (found.check, found.state) == ("catalogue", "warn")
    assert found.text == "2026-01-02 03:04:05 UTC: the catalogue was lost: it was made anew"
    assert found.advice == f"do what {report} says, then remove that file"
    damaged = host_checks.catalogue(report, "database disk image is malformed")
    assert (damaged.state, "restart datd" in damaged.advice) == ("fail", True)
