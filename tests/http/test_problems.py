import errno
import json

import pytest

from datd import errors
from datd.http.problems import KINDS, Problem, from_error


def caused_by(number):
    error = errors.StorageError("archive.data cannot be written")
    error.__cause__ = OSError(number, "no")
    return error


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        (errors.KeyFormatError("'x' is not a Dat link"), "bad_link", 400),
        (errors.UnknownArchive("no archive 'x'"), "unknown_archive", 404),
        (errors.EntryNotFound("no file"), "no_such_file", 404),
        (errors.VersionNotFound("no version 9"), "no_such_version", 404),
        (errors.ArchiveExists("hosted already"), "exists", 409),
        (errors.NameNotFound("nothing behind x.example"), "unknown_name", 404),
        (errors.NameUnreachable("nobody answers"), "name_unreachable", 504),
        (errors.Timeout("no peer"), "no_peers", 504),
        (errors.NotWritableError("needs the secret key"), "forbidden", 403),
        (errors.ReadOnlyError("disk"), "read_only", 507),
        (caused_by(errno.ENOSPC), "disk_full", 507),
        (caused_by(errno.EDQUOT), "disk_full", 507),
        (caused_by(errno.EIO), "damaged", 500),
        (caused_by(errno.EMFILE), "busy", 503),  # C-17
        (caused_by(errno.ENFILE), "busy", 503),
        (errors.StorageError("tree is cut"), "damaged", 500),
        (errors.ArchiveFormatError("lies"), "damaged", 500),
        (errors.ProtocolError("a peer's fault"), "internal", 500),
    ],
)
def test_each_of_our_errors_has_its_kind(error, kind, status):
    problem = from_error(error)
    assert (problem.kind, problem.status) == (kind, status)
    document = json.loads(problem.document())
    assert document["type"].endswith("/" + kind)
    assert document["status"] == status
    assert document["detail"].endswith(".")


def test_faults_of_ours_are_not_told_to_clients():
    problem = from_error(errors.ConfigError("secret in /etc/x"))
    assert "secret" not in problem.detail


def test_the_kinds_promised_to_clients_have_their_status():
    promised = {
        "bad_link": 400, "bad_request": 400, "unauthorized": 401, "forbidden": 403,
        "unknown_archive": 404, "no_such_file": 404, "exists": 409, "method": 405, "timeout": 408,
        "precondition": 412, "media_type": 415, "headers": 431, "too_large": 413, "bad_range": 416,
        "wrong_host": 421, "too_many": 429, "damaged": 500, "disk_full": 507, "read_only": 507,
        "no_peers": 504, "busy": 503,
    }  # fmt: skip
    assert {kind: KINDS[kind].status for kind in promised} == promised


def test_t47_a_hostile_name_in_a_detail_stays_ascii_and_valid_json():
    problem = Problem("no_such_file", "no '\x1b[2J\u202e\ud800\n' here")
    document = problem.document()
    assert document.isascii()
    assert b"\x1b" not in document
    assert json.loads(document)["detail"] == problem.detail
