"""Giving back the room of a stretch of a file, with what the system offers for it."""

import ctypes
import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

_KEEP_SIZE: Final = 0x01
_PUNCH_HOLE: Final = 0x02
_ZEROS: Final = bytes(2**16)

# Answers that mean "not on this file system", as opposed to a fault.
_UNSUPPORTED: Final = {errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODEV, errno.EINVAL}


def punch(descriptor: int, offset: int, length: int) -> None:
    """Make bytes read as zeros; the file's size stays.

    Where the system cannot make holes, an end is cut off and grown again, and what lies further in
    is overwritten with zeros.

    Raises:
        OSError: As the system says.
    """
    size = os.fstat(descriptor).st_size
    length = min(length, size - offset)
    if length <= 0:
        return
    if _fallocate is not None:
        if _fallocate(descriptor, _PUNCH_HOLE | _KEEP_SIZE, offset, length) == 0:
            return
        code = ctypes.get_errno()
        if code not in _UNSUPPORTED:
            raise OSError(code, os.strerror(code))
    _overwrite(descriptor, offset, length, size)


def possible(folder: Path) -> bool:
    """Whether files in a folder can have holes punched into them.

    Raises:
        OSError: As the system says.
    """
    if _fallocate is None:
        return False
    with tempfile.TemporaryFile(dir=folder) as file:
        os.ftruncate(file.fileno(), len(_ZEROS))
        if _fallocate(file.fileno(), _PUNCH_HOLE | _KEEP_SIZE, 0, len(_ZEROS)) == 0:
            return True
        code = ctypes.get_errno()
    if code not in _UNSUPPORTED:
        raise OSError(code, os.strerror(code))
    return False


def _overwrite(descriptor: int, offset: int, length: int, size: int) -> None:
    if offset + length == size:
        os.ftruncate(descriptor, offset)
        os.ftruncate(descriptor, size)
        return
    end = offset + length
    while offset < end:
        offset += os.pwrite(descriptor, _ZEROS[: end - offset], offset)


def _find_fallocate() -> Callable[[int, int, int, int], int] | None:
    # Python offers posix_fallocate only, which cannot punch.
    library = ctypes.CDLL(None, use_errno=True)
    for name in ("fallocate64", "fallocate"):
        function = getattr(library, name, None)
        if function is not None:
            function.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
            function.restype = ctypes.c_int
            call: Callable[[int, int, int, int], int] = function
            return call
    return None


_fallocate = _find_fallocate()
