"""Writes files of an archive below one folder, and nowhere else.

Folders are opened step by step without following links; files appear complete, by rename.
"""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from datctl.errors import WriteError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# A date before 1970 or after 2262 is no file's; the kernel counts nanoseconds in 64 bits.
_LATEST = 9_223_372_036


class Skipped(Exception):
    """A file that is not written; the text says why."""


class DestinationFolder:
    """A folder that archives' files are written below, for the time of a `with`."""

    def __init__(self, path: Path) -> None:
        """Open the folder, or make it.

        Raises:
            WriteError: It can be neither opened nor made.
        """
        self.path = path
        self._written: set[tuple[int, int]] = set()
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise WriteError(f"{path} cannot be used as a folder: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._root)

    def make_folder(self, parts: Sequence[str]) -> None:
        """Make a folder and those above it.

        Raises:
            Skipped: A link or file lies where one of them should be.
            WriteError: The disk refuses.
        """
        with self._opened(parts):
            pass

    def holds(self, parts: Sequence[str], size: int, mtime: float | None) -> bool:
        """Whether an earlier run has written this very file: same size, same time.

        Raises:
            Skipped: Something else lies there that is not replaced.
            WriteError: The disk refuses.
        """
        with self._opened(parts[:-1]) as folder:
            found = self._existing(folder, parts[-1])
            if found is None or mtime is None or found.st_size != size:
                return False
            if int(found.st_mtime) != int(mtime):
                return False
            self._written.add((found.st_dev, found.st_ino))
            return True

    @contextlib.contextmanager
    def new_file(
        self, parts: Sequence[str], *, executable: bool, mtime: float | None
    ) -> Iterator[IO[bytes]]:
        """A file to write for the time of a `with`. It appears when that ends without an error.

        Raises:
            Skipped: Something lies there that is not replaced: a link, a folder, a file that this
                run has written under a name that falls on the same file here.
            WriteError: The disk refuses.
        """
        name, temporary = parts[-1], f".datctl-{secrets.token_hex(8)}"
        with self._opened(parts[:-1]) as folder, _disk_errors(self.path.joinpath(*parts)):
            self._existing(folder, name)
            file = os.fdopen(os.open(temporary, _NEW_FILE, 0o600, dir_fd=folder), "wb")
            try:
                with file:
                    yield file
                    file.flush()
                    _finish(file.fileno(), executable, mtime)
                    made = os.fstat(file.fileno())
                self._existing(folder, name)
                os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=folder)
                raise
            self._written.add((made.st_dev, made.st_ino))

    def _existing(self, folder: int, name: str) -> os.stat_result | None:
        """What lies under a name, if it may be replaced."""
        try:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Skipped(f"the name cannot be used: {error.strerror}") from error
        if stat.S_ISLNK(found.st_mode):
            raise Skipped("a link lies there")
        if not stat.S_ISREG(found.st_mode):
            raise Skipped("something other than a file lies there")
        if (found.st_dev, found.st_ino) in self._written:
            raise Skipped("another name of the archive falls on the same file here")
        return found

    @contextlib.contextmanager
    def _opened(self, parts: Sequence[str]) -> Iterator[int]:
        """A folder below ours, made if needed."""
        current = os.dup(self._root)
        try:
            for part in parts:
                following = self._step(current, part)
                os.close(current)
                current = following
            yield current
        finally:
            os.close(current)

    def _step(self, folder: int, part: str) -> int:
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=folder)
            return os.open(part, _FOLDER, dir_fd=folder)
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.ENOTDIR}:
                raise Skipped(f"a link or file lies where the folder {part!r} should be") from error
            raise WriteError(f"the folder {part!r} cannot be made: {error.strerror}") from error


def _finish(descriptor: int, executable: bool, mtime: float | None) -> None:
    os.fchmod(descriptor, 0o755 if executable else 0o644)
    if mtime is not None and 0 <= mtime < _LATEST:
        os.utime(descriptor, (mtime, mtime))


@contextlib.contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteError(f"{path} cannot be written: {error.strerror}") from error
