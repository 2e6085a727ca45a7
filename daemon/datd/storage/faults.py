"""What a refusal of the system means to a person: one sentence with the file and what to do."""

import errno
from pathlib import Path
from typing import Final

from datd.errors import ReadOnlyError, StorageError
from datd.shortage import OUT_OF_DESCRIPTORS

_ADVICE: Final = {
    errno.EACCES: "let the user that runs datd have it (owner and permissions)",
    errno.EPERM: "let the user that runs datd have it (owner, permissions, attributes)",
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "free some space or raise the quota",
    errno.EFBIG: "use a file system, or a limit on file sizes, that takes larger files",
    errno.EEXIST: "something else lies in its place: move it away",
    errno.EISDIR: "a folder lies where a file should be: move it away",
    errno.ENOTDIR: "a file or a link lies where a folder should be: move it away",
    errno.ENXIO: "a pipe or socket lies where a file should be: move it away",
    errno.ELOOP: "a symbolic link lies on the way, and links are not followed: remove it",
    errno.EMFILE: "raise the limit on open files",
    errno.ENFILE: "raise the system's limit on open files",
    errno.EIO: "the disk reports a fault: check it, and restore from a backup",
    errno.ENAMETOOLONG: "use a folder with a shorter path",
}


def storage_error(error: OSError, path: Path | str, doing: str) -> StorageError:
    """Put an OSError into words; raise the result `from error`, whose errno callers may look at.

    Args:
        error: What the system said.
        path: The file meant, or what to call it.
        doing: The verb: "read", "write", "flush".
    """
    if error.errno == errno.EROFS:
        return ReadOnlyError(
            f"cannot {doing} {str(path)!r}: the disk is read-only; mount it for writing, "
            "or move the archive to a disk that takes writes"
        )
    reason = error.strerror or type(error).__name__
    advice = _ADVICE.get(error.errno or 0)
    return StorageError(
        f"cannot {doing} {str(path)!r}: {reason}" + (f"; {advice}" if advice else "")
    )


def not_a_file(path: Path | str) -> StorageError:
    """There is something at a path, but it is a folder, a pipe or a device."""
    return StorageError(f"cannot use {str(path)!r}: it is not a plain file; move it away")


def is_full(error: StorageError) -> bool:
    """Whether a disk that refused a write is as good as before, and only takes no more."""
    cause = error.__cause__
    full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return full or isinstance(error, ReadOnlyError)


def is_short(error: BaseException) -> bool:
    """Whether there was no descriptor to look at the disk with: nothing is known of it then."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in OUT_OF_DESCRIPTORS


def storage_fault(error: BaseException) -> StorageError | None:
    """What the disk has to do with an error, or with several at once."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(storage_fault, error.exceptions)), None)
    return error if isinstance(error, StorageError) and not is_short(error) else None
