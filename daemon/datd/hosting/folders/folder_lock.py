"""The lock on a folder that another program could open, too: two writers destroy an archive.

hypercore takes `flock` on `bitfield` when it opens a folder of its own; the `dat` command takes no
lock at all, but holds its files open for as long as it runs. So both is looked at.

Source: sleep.md section 10 ("Locks"); decision 13.
"""

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from datd.errors import StorageError
from datd.shortage import OUT_OF_DESCRIPTORS
from datd.storage.faults import storage_error

_PROCESSES: Final = Path("/proc")
_OPEN: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


class FolderLock:
    """Held from its making until `release`."""

    def __init__(self, files: Sequence[Path]) -> None:
        """Take the lock on each of some files; those that are not there are left out.

        Raises:
            StorageError: Another program has one of them open; the text says which.
        """
        self._held: list[int] = []
        try:
            for file in files:
                self._take(file)
            others = holders(files)
            if others:
                raise StorageError(_taken(files[0], others))
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let others have them."""
        while self._held:
            os.close(self._held.pop())

    def _take(self, file: Path) -> None:
        try:
            descriptor = os.open(file, _OPEN)
        except FileNotFoundError:
            return
        except OSError as error:
            raise storage_error(error, file, "open") from error
        self._held.append(descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError(_taken(file, holders([file]))) from None
        except OSError as error:  # a network disk without locks
            raise storage_error(error, file, "lock") from error


def holders(files: Sequence[Path]) -> list[str]:
    """Other programs that have one of some files open, as far as this user may see, for people.

    Nothing is known of programs of other users, nor where the system does not tell.

    Raises:
        StorageError: There is no descriptor to look with.
    """
    wanted = set()
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue
        wanted.add((status.st_dev, status.st_ino))
    if not wanted:
        return []
    return [
        f"{_name(process)} (process {process.name})"
        for process in _processes()
        if _has_open(process, wanted)
    ]


def _processes() -> list[Path]:
    own = str(os.getpid())
    try:
        names = os.listdir(_PROCESSES)
    except OSError as error:
        _require_looked(error, _PROCESSES)
        return []
    return [_PROCESSES / name for name in names if name.isdigit() and name != own]


def _has_open(process: Path, wanted: set[tuple[int, int]]) -> bool:
    try:
        with os.scandir(process / "fd") as links:
            for link in links:
                try:
                    status = link.stat()
                except OSError:
                    continue
                if (status.st_dev, status.st_ino) in wanted:
                    return True
    except OSError as error:
        _require_looked(error, process)  # else it has ended, or is another user's
    return False


def _require_looked(error: OSError, path: Path) -> None:
    """C-17: who could not look has not seen that nobody is there."""
    if error.errno in OUT_OF_DESCRIPTORS:
        raise storage_error(error, path, "look into") from error


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text(errors="replace").strip() or "a program"
    except OSError:
        return "a program"


def _taken(file: Path, by: Sequence[str]) -> str:
    who = " and ".join(by) or "another program"
    return (
        f"the archive of {str(file)!r} is in use by {who}: two programs on one folder would "
        "destroy it, so end that one first"
    )
