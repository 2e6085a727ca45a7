from datetime import UTC, datetime

import pytest

from datctl.errors import UsageError
from datctl.routes import (
    archive_path,
    file_path,
    job_path,
    patience,
    setting_changes,
    several,
    version_text,
)


def test_names_of_archives_and_files_are_encoded():
    assert archive_path("dat://a/b?#%") == "/archives/dat%3A%2F%2Fa%2Fb%3F%23%25"
    assert file_path("x", "/a b/ö?.txt") == "/archives/x/files/a%20b/%C3%B6%3F.txt"
    assert file_path("x", "folder/") == "/archives/x/files/folder/"
    assert file_path("x", "/") == "/archives/x/files/"


def test_a_job_is_not_something_else():
    assert job_path("../archives/x?y") == "/jobs/..%2Farchives%2Fx%3Fy"


@pytest.mark.parametrize("path", [archive_path, job_path, lambda text: file_path("x", text)])
def test_what_is_no_text_is_wrong_usage(path):
    with pytest.raises(UsageError, match="UTF-8"):
        path("\udcff")


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (None, None),
        (12, "12"),
        ("v1", "v1"),
        (datetime(2019, 3, 1, 12, tzinfo=UTC), datetime(2019, 3, 1, 12, tzinfo=UTC)),
        (datetime(2019, 3, 1, 12), datetime(2019, 3, 1, 12).astimezone()),
    ],
)
def test_a_version_is_said_so_that_the_daemon_understands(version, expected):
    told = version_text(version)
    if isinstance(expected, datetime):
        assert told is not None
        assert datetime.fromisoformat(told) == expected
        assert datetime.fromisoformat(told).tzinfo is not None
    else:
        assert told == expected


def test_who_waits_for_peers_is_patient_with_the_daemon():
    assert patience(0) >= 60
    assert patience(300) > 300


def test_one_text_is_not_taken_for_its_letters():
    assert several(("a", "b")) == ["a", "b"]
    assert several({"a": 1}) == ["a"]
    with pytest.raises(UsageError, match=r"\['kitchen'\]"):
        several("kitchen")


def test_settings_are_sent_by_section():
    body = setting_changes({"network.upload_limit": None, "log.level": "debug"})
    sent = {"network": {"upload_limit": None}, "log": {"level": "debug"}}
    assert body.model_dump(exclude_unset=True) == sent


@pytest.mark.parametrize("name", ["swarm.port", "upload_limit", "network", "network.", ""])
def test_settings_that_cannot_be_changed_are_not_sent(name):
    with pytest.raises(UsageError, match="no setting"):
        setting_changes({name: 1})
