"""Opens what lies below a folder, one name at a time and never through a link (T-44).

Whoever can write to the folder may put a link or a pipe in the place of anything while we look.
What was opened is looked at afterwards, so nobody can lead us out of the folder or make us wait.
"""

import errno
import os
import stat as file_mode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from datd.errors import FolderRefused

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A pipe would wait for its other end, a terminal would become ours.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class NotRegular(OSError):
    """What was opened is no regular file."""


class FolderTree:
    """What lies below one folder. Holds two descriptors; close it.

    Paths are relative, with slashes; the folder itself is "". Every method raises OSError as the
    system does; a link on the way is one (ELOOP or ENOTDIR).
    """

    def __init__(self, folder: Path) -> None:
        """Open a folder step by step from the top.

        Args:
            folder: Absolute, and without links in it: resolve it first, and check what comes out.

        Raises:
            FolderRefused: It cannot be opened, or there is a link on the way.
        """
        self.folder = folder
        try:
            top = os.open("/", _FOLDER)
            try:
                self._root = _descend(top, str(folder).strip("/"))
            finally:
                os.close(top)
        except OSError as error:
            raise _refused(folder, error) from error
        self._current: tuple[str, int] | None = None

    def close(self) -> None:
        """Let go of the folder."""
        self._leave()
        os.close(self._root)

    def check(self) -> None:
        """Make sure that the folder still is where it was opened.

        What was removed goes on to exist for who has it open, as an empty folder; taken for the
        truth, that would empty the archive.

        Raises:
            FolderRefused: It is gone, or another one is in its place.
        """
        try:
            there, here = os.stat(self.folder), os.fstat(self._root)
        except OSError as error:
            raise _refused(self.folder, error) from error
        if (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino):
            raise FolderRefused(f"{self.folder} was replaced by another folder: import it again")

    @contextmanager
    def listing(self, path: str) -> Iterator[Iterator[os.DirEntry[str]]]:
        """What lies in a folder, in the order of the disk."""
        with os.scandir(self._at(path)) as entries:
            yield entries

    def stat(self, path: str) -> os.stat_result:
        """What lies at a path; a link is told as one."""
        folder, _, name = path.rpartition("/")
        return os.stat(name, dir_fd=self._at(folder), follow_symlinks=False)

    def open_file(self, path: str) -> tuple[int, os.stat_result]:
        """Open a regular file for reading; gives its descriptor, and what it is now.

        Raises:
            NotRegular: It is something else.
        """
        folder, _, name = path.rpartition("/")
        descriptor = os.open(name, _FILE, dir_fd=self._at(folder))
        try:
            found = os.fstat(descriptor)
            if not file_mode.S_ISREG(found.st_mode):
                raise NotRegular(errno.EINVAL, "it is no regular file")
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor, found

    def _at(self, folder: str) -> int:
        """A descriptor of a folder; those of neighbours are asked for one after the other."""
        if not folder:
            return self._root
        if self._current is None or self._current[0] != folder:
            opened = _descend(self._root, folder)
            self._leave()
            self._current = (folder, opened)
        return self._current[1]

    def _leave(self) -> None:
        if self._current is not None:
            os.close(self._current[1])
            self._current = None


def _descend(start: int, path: str) -> int:
    """Open a folder below an open one."""
    here = os.dup(start)
    try:
        for name in path.split("/") if path else ():
            below = os.open(name, _FOLDER, dir_fd=here)
            os.close(here)
            here = below
    except BaseException:
        with suppress(OSError):
            os.close(here)
        raise
    return here


def _refused(folder: Path, error: OSError) -> FolderRefused:
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return FolderRefused(f"{folder} is no folder, or a link leads there: name it itself")
    return FolderRefused(f"{folder} cannot be opened: {error.strerror}")
