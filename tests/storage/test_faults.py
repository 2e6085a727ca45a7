import errno
import os

import pytest

from datd.errors import ReadOnlyError, StorageError
from datd.storage.faults import not_a_file, storage_error


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.EACCES, "permissions"),
        (errno.EPERM, "permissions"),
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "quota"),
        (errno.EMFILE, "limit on open files"),
        (errno.EIO, "disk reports a fault"),
        (errno.EISDIR, "move it away"),
        (errno.EPROTO, "Protocol error"),
    ],
)
def test_a_refusal_becomes_one_sentence_with_advice(code: int, advice: str):
    error = storage_error(OSError(code, os.strerror(code)), "/data/tree", "read")
    assert str(error).startswith("cannot read '/data/tree': ")
    assert advice in str(error)
    assert "\n" not in str(error)
    assert not isinstance(error, ReadOnlyError)


def test_c13_a_disk_without_writes_is_told_apart():
    error = storage_error(OSError(errno.EROFS, "Read-only file system"), "/data/tree", "write")
    assert isinstance(error, ReadOnlyError)
    assert "read-only" in str(error)


def test_t47_a_path_with_control_characters_is_escaped():
    assert "\x1b" not in str(storage_error(OSError(errno.EIO, "fault"), "/a\x1b[2J", "read"))
    assert isinstance(not_a_file("/a\nb"), StorageError)
    assert "\n" not in str(not_a_file("/a\nb"))
