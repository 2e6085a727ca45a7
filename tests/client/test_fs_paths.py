from datetime import UTC, datetime

import pytest

from datctl import errors
from datctl.fs_paths import as_os_error, entry_info, nameable, never_changes, split
from datctl.models import Entry

KEY = "a" * 64


def test_paths_are_an_archive_and_what_lies_in_it():
    assert split(f"{KEY}+5/a/b.txt") == (f"{KEY}+5", "/a/b.txt")
    assert split(KEY) == (KEY, "/")
    assert split(f"{KEY}/") == (KEY, "/")
    assert split("") == ("", "/")


def test_only_a_key_with_a_number_never_changes():
    assert never_changes(f"{KEY}+5")
    assert never_changes(f"{KEY.upper()}+5")
    # A name that somebody gave may mean anything tomorrow.
    for archive in (KEY, f"{KEY}+v1", "name+5", f"{KEY}+", f"{KEY}+5+6"):
        assert not never_changes(archive)


def test_what_no_path_can_name_is_left_out():
    assert nameable("/a/b")
    for path in ("/a/../b", "/./a", "/a//b", "/a/", "/..", "/"):
        assert not nameable(path)


def test_entries_as_fsspec_has_them():
    then = datetime(2019, 1, 1, tzinfo=UTC)
    entry = Entry(
        path="/a/b", kind="file", size=5, mode=0o100644, mtime=then, blocks=1, available=0
    )
    assert entry_info("name", entry) == {
        "name": "name/a/b", "size": 5, "type": "file", "mtime": then, "mode": 0o100644,
        "blocks": 1, "available": 0,
    }  # fmt: skip
    folder = entry.model_copy(update={"kind": "directory", "size": 0})
    assert entry_info("name", folder)["type"] == "directory"
    link = entry.model_copy(update={"kind": "other"})
    assert entry_info("name", link)["type"] == "other"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.NotFound(404, "no_such_file", "x"), FileNotFoundError),
        (errors.NoPeers(504, "no_peers", "x"), TimeoutError),
        (errors.TimedOut("x"), TimeoutError),
        (errors.NoDaemon("x"), ConnectionError),
        (errors.Unauthorized(401, "unauthorized", "x"), PermissionError),
        (errors.ApiError(403, "forbidden", "x"), PermissionError),
        (errors.Conflict(409, "exists", "x"), FileExistsError),
        (errors.Gone(410, "gone", "x"), OSError),
    ],
)
def test_errors_are_those_of_file_systems_and_name_the_path(error, expected):
    made = as_os_error(error, "name/a")
    assert isinstance(made, expected)
    assert str(made) == "name/a: x"
