"""Secrets in files: made for the owner only, and not used when others can read them (T-50)."""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from datd.errors import StorageError
from datd.storage.disk import flush_folder, make_folders, write_new
from datd.storage.faults import not_a_file, storage_error

# Keys have 64 bytes, marks and tokens a few more: a larger file is something else.
_LARGEST: Final = 4096
# What SQLite puts beside a database, with the mode that the database had at that moment.
_OF_DATABASES: Final = ("", "-wal", "-shm", "-journal")


def create_private(path: Path, data: bytes) -> None:
    """Make a file of mode 0600, in folders of mode 0700, and flush both. Never replaces one.

    Raises:
        StorageError: There is one already, or the disk refused; then there is none.
    """
    try:
        folders = make_folders(path.parent)
        write_new(path, data, 0o600)
        try:
            for folder in (path.parent, *folders):
                flush_folder(folder)
        except OSError:
            path.unlink(missing_ok=True)
            raise
    except FileExistsError as error:
        raise StorageError(
            f"{str(path)!r} exists already: a secret is never overwritten"
        ) from error
    except OSError as error:
        raise storage_error(error, path, "write") from error


def make_database_private(path: Path) -> None:
    """Have a database be there, for SQLite to use, that only its owner can read.

    One that earlier versions made wider is narrowed, with what lies beside it. Where that is
    refused it stays as it is: the file is somebody else's, who gave it to us.

    Raises:
        OSError: It cannot be made.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    for ending in _OF_DATABASES:
        file = path.with_name(path.name + ending)
        with suppress(FileNotFoundError, PermissionError):
            mode = stat.S_IMODE(file.stat().st_mode)
            if mode & 0o077:
                file.chmod(mode & ~0o077)


def read_private(path: Path) -> bytes | None:
    """Read a secret, or None if there is none.

    Raises:
        StorageError: Others than the owner can use it, it is no plain file or too long, or the disk
            refused.
    """
    try:
        # Non-blocking, or a pipe put in its place would hold us for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(error, path, "read") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise not_a_file(path)
        if status.st_mode & 0o077:
            raise StorageError(
                f"{str(path)!r} is a secret that others can read, so it is not used: chmod 600 it"
            )
        data = os.pread(descriptor, _LARGEST + 1, 0)
    except OSError as error:
        raise storage_error(error, path, "read") from error
    finally:
        os.close(descriptor)
    if len(data) > _LARGEST:
        raise StorageError(f"{str(path)!r} is larger than any secret: at most {_LARGEST} bytes")
    return data
