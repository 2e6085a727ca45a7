import errno
import os

import pytest

from datd.errors import ReadOnlyError, StorageError
from datd.storage.faults import is_full, is_short, not_a_file, storage_error, storage_fault


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


@pytest.mark.parametrize(
    ("code", "full"),
    [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EFBIG, True), (errno.EROFS, True),
     (errno.EIO, False), (errno.EMFILE, False)],
)  # fmt: skip
def test_c8_a_full_disk_is_told_from_a_broken_one(code: int, full: bool):
    cause = OSError(code, os.strerror(code))
    error = storage_error(cause, "/data", "write")
    error.__cause__ = cause
    assert is_full(error) is full


def test_what_the_disk_has_to_do_with_several_errors_is_found():
    fault = StorageError("gone")
    inner = ExceptionGroup("", [ValueError("x"), fault])
    assert storage_fault(ExceptionGroup("", [KeyError("y"), inner])) is fault
    assert storage_fault(ExceptionGroup("", [ValueError("x")])) is None
    assert storage_fault(fault) is fault


def test_c17_too_few_descriptors_say_nothing_of_the_disk():
    short = OSError(errno.EMFILE, "Too many open files")
    with pytest.raises(StorageError) as caught:
        raise storage_error(short, "tree", "read") from short
    assert is_short(caught.value)
    assert storage_fault(ExceptionGroup("", [caught.value])) is None
    assert not is_short(StorageError("damaged"))
