"""Writes files of an archive below one folder, and nowhere else.

Folders are opened step by step without following links; files appear complete, by rename. What is
removed is removed by name in a folder that was opened in that way.
"""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeGuard

from datctl.disk_names import OWN_PREFIX, is_reserved
from datctl.errors import WriteError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# A pipe that somebody put there must not make us wait for its reader.
_BEGUN_FILE = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# A date before 1970 or after 2262 is no file's; the kernel counts nanoseconds in 64 bits.
_LATEST = 9_223_372_036
# FAT keeps times to two seconds.
_COARSEST_SECONDS = 2.0
# What a run writes into meanwhile: a file that stays when it is interrupted, or one that does not,
# unless the power fails.
_MEANWHILE = re.compile(re.escape(OWN_PREFIX) + "([0-9a-f]{16}|[0-9a-f]{32})")
# Whoever is going on with a file within a week finds what he has of it.
_FORGOTTEN_SECONDS = 7 * 86_400


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
        # Folders that files were written into, and what they were called meanwhile.
        self._used: set[tuple[str, ...]] = set()
        self._begun: set[str] = set()
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
        try:
            if error is None:
                self._sweep()
        finally:
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
            if found is None or found.st_size != size or not _is_of(found, mtime):
                return False
            self._written.add((found.st_dev, found.st_ino))
            return True

    def is_one_of(
        self, parts: Sequence[str], versions: Collection[tuple[int, float | None]]
    ) -> bool:
        """Whether what lies there is some version of a file, or nothing that a file replaces.

        Args:
            parts: Where.
            versions: Size and time of each. A time that was not kept when it was written, or only
                roughly, is no reason against it.
        """
        with self._existing_folder(parts[:-1]) as folder:
            try:
                found = None if folder is None else os.lstat(parts[-1], dir_fd=folder)
            except OSError:
                found = None
        if found is None or not stat.S_ISREG(found.st_mode):
            return True
        return any(
            found.st_size == size
            and (not _is_kept(mtime) or abs(found.st_mtime - mtime) <= _COARSEST_SECONDS)
            for size, mtime in versions
        )

    @contextlib.contextmanager
    def new_file(
        self,
        parts: Sequence[str],
        *,
        executable: bool,
        mtime: float | None,
        token: str | None = None,
    ) -> Iterator[IO[bytes]]:
        """A file to write for the time of a `with`. It appears when that ends without an error.

        Args:
            parts: Where.
            executable: Whether it is a program.
            mtime: Seconds since 1970; None: the time of writing.
            token: Hex digits that stand for these very bytes: what an interrupted run has written
                of them is in the file already, which then begins at its end, and what this one
                writes stays for the next.

        Raises:
            Skipped: Something lies there that is not replaced: a link, a folder, a file that this
                run has written under a name that falls on the same file here.
            WriteError: The disk refuses.
        """
        name = parts[-1]
        with self._opened(parts[:-1]) as folder, _disk_errors(self.path.joinpath(*parts)):
            self._existing(folder, name)
            file, temporary, lasting = _begin(folder, token)
            self._used.add(tuple(parts[:-1]))
            self._begun.add(temporary)
            try:
                with file:
                    yield file
                    file.flush()
                    _finish(file.fileno(), executable, mtime)
                    made = os.fstat(file.fileno())
                    # A network disk refuses only when a file is closed; ours stays open, and so
                    # locked: another run must not take for forgotten what is about to appear.
                    os.close(os.dup(file.fileno()))
                    self._existing(folder, name)
                    try:
                        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
                    except OSError:
                        file.close()  # shared folders of some virtual machines rename no open file
                        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                if not lasting:
                    with contextlib.suppress(OSError):
                        os.unlink(temporary, dir_fd=folder)
                raise
            self._written.add((made.st_dev, made.st_ino))
            self._begun.discard(temporary)

    def _sweep(self) -> None:
        """Remove beginnings of files with which nobody has gone on for a week, where we wrote."""
        for parts in self._used:
            with self._existing_folder(parts) as folder:
                if folder is None:
                    continue
                for name in os.listdir(folder):
                    if _MEANWHILE.fullmatch(name) and name not in self._begun:
                        with contextlib.suppress(OSError):
                            _remove_forgotten(folder, name)

    def remove_file(self, parts: Sequence[str], size: int, mtime: float | None) -> bool:
        """Remove a file if it is still the one that was written: same size, same time.

        Returns:
            Whether nothing is left there.
        """
        with self._existing_folder(parts[:-1]) as folder:
            if folder is None:
                return True
            try:
                found = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)
            except OSError:
                return True
            same = stat.S_ISREG(found.st_mode) and found.st_size == size
            if not same or not _is_of(found, mtime):
                return False
            with _disk_errors(self.path.joinpath(*parts)):
                os.unlink(parts[-1], dir_fd=folder)
            return True

    def is_empty(self, parts: Sequence[str]) -> bool:
        """Whether there is a folder with nothing in it."""
        with self._existing_folder(parts) as folder:
            return folder is not None and not os.listdir(folder)

    def remove_folder(self, parts: Sequence[str]) -> None:
        """Remove a folder if it is empty."""
        with self._existing_folder(parts[:-1]) as folder:
            if folder is not None:
                with contextlib.suppress(OSError):
                    os.rmdir(parts[-1], dir_fd=folder)

    def others(self, wanted: Callable[[tuple[str, ...], bool], bool]) -> list[tuple[str, ...]]:
        """What lies here and is not wanted, children before their folders. Keys and feeds stay.

        Args:
            wanted: Told the parts of a name and whether it is a folder; links are never wanted.
        """
        found: list[tuple[str, ...]] = []
        for base, folders, files, descriptor in os.fwalk(".", dir_fd=self._root, topdown=False):
            above = tuple(part for part in base.split("/") if part != ".")
            for name in (*files, *folders):
                parts = (*above, name)
                if is_reserved(parts[0]):
                    continue
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                made = (status.st_dev, status.st_ino) in self._written
                if made and status.st_nlink == 1:
                    continue  # the disk, which knows no upper case, has it by another name
                mode = status.st_mode
                plain = stat.S_ISREG(mode) or stat.S_ISDIR(mode)
                if not plain or not wanted(parts, stat.S_ISDIR(mode)):
                    found.append(parts)
        return found

    def discard(self, parts: Sequence[str]) -> None:
        """Remove what lies under a name, whatever it is; of a folder nothing may be left in it.

        Raises:
            WriteError: The disk refuses.
        """
        with (
            _disk_errors(self.path.joinpath(*parts)),
            self._existing_folder(parts[:-1]) as folder,
        ):
            if folder is None:
                return
            try:
                os.unlink(parts[-1], dir_fd=folder)
            except (IsADirectoryError, PermissionError):
                os.rmdir(parts[-1], dir_fd=folder)

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

    @contextlib.contextmanager
    def _existing_folder(self, parts: Sequence[str]) -> Iterator[int | None]:
        """A folder below ours as it is; None if there is none."""
        current: int | None = os.dup(self._root)
        try:
            for part in parts:
                above, current = current, None
                with contextlib.suppress(OSError):
                    current = os.open(part, _FOLDER, dir_fd=above)
                if above is not None:
                    os.close(above)
                if current is None:
                    break
            yield current
        finally:
            if current is not None:
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


def _begin(folder: int, token: str | None) -> tuple[IO[bytes], str, bool]:
    """A file to write, its name meanwhile, and whether it stays when writing is interrupted."""
    if token is not None:
        name = f"{OWN_PREFIX}{token}"
        with contextlib.suppress(OSError):
            file = os.fdopen(os.open(name, _BEGUN_FILE, 0o600, dir_fd=folder), "ab")
            try:
                # Two that write the same file would spoil each other's.
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                found, named = os.fstat(file.fileno()), os.stat(name, dir_fd=folder)
                # Another run may just have finished it, and given it its own name.
                if (
                    stat.S_ISREG(found.st_mode)
                    and os.path.samestat(found, named)
                    # A second name of a file elsewhere is none that we began.
                    and (found.st_nlink, found.st_uid) == (1, os.geteuid())
                ):
                    return file, name, True
            except OSError:
                pass
            file.close()
    name = f"{OWN_PREFIX}{secrets.token_hex(8)}"
    file = os.fdopen(os.open(name, _NEW_FILE, 0o600, dir_fd=folder), "wb")
    with contextlib.suppress(OSError):  # a network disk without locks
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file, name, False


def _remove_forgotten(folder: int, name: str) -> None:
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        # Held by whoever writes it, however slowly.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(file)
        ours = stat.S_ISREG(found.st_mode) and (found.st_nlink, found.st_uid) == (1, os.geteuid())
        if ours and found.st_mtime < time.time() - _FORGOTTEN_SECONDS:
            os.unlink(name, dir_fd=folder)
    finally:
        os.close(file)


def _is_of(found: os.stat_result, mtime: float | None) -> bool:
    """Whether a file has this time. Two versions of one second differ in milliseconds only."""
    return mtime is not None and round(found.st_mtime_ns / 10**6) == round(mtime * 1000)


def _is_kept(mtime: float | None) -> TypeGuard[float]:
    """Whether a file is given this time when it is written."""
    return mtime is not None and 0 <= mtime < _LATEST


def _finish(descriptor: int, executable: bool, mtime: float | None) -> None:
    os.fchmod(descriptor, 0o755 if executable else 0o644)
    if _is_kept(mtime):
        nanoseconds = round(mtime * 1000) * 10**6
        os.utime(descriptor, ns=(nanoseconds, nanoseconds))


@contextlib.contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteError(f"{path} cannot be written: {error.strerror}") from error
