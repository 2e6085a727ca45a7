"""One file on disk behind the interface RandomAccess; and how whole files are replaced.

Holds no descriptor: each call borrows one from the pool. Absent and unreadable are different things
here (D-7): only a file that is not there reads as empty, all else is a StorageError.
"""

import contextlib
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from datd.storage import holes
from datd.storage.base import DescriptorPool
from datd.storage.faults import not_a_file, storage_error

Piece = bytes | bytearray | memoryview

_CREATE: Final = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

# Reading takes memory for what is asked before it looks at the file: above this, a size that a
# damaged tree claims is first held against the file's.
_LARGE_READ: Final = 2**20

# The system takes at most this many pieces in one call (IOV_MAX of Linux).
_MOST_PIECES: Final = 1024

# Bytes written at once that are worth a word to the disk. Blocks from peers come in smaller
# batches.
_LARGE_WRITE: Final = 2**20

# Of a long run of large writes so much stays in memory, for whoever reads it next. What lies before
# would push out what others use, and new memory for each page is slower than the disk: on a virtual
# machine, whose host has to find it first, 500 MB took 1.2 s so, and 0.3 s in these pages again.
_KEPT_BEHIND: Final = 32 * 2**20


class DiskFile:
    """A RandomAccess over one path. Nothing is made before the first byte is written."""

    def __init__(self, path: Path, pool: DescriptorPool, *, mode: int = 0o644) -> None:
        """Name a file; it need not be there.

        Args:
            path: Where it lies. Missing folders above are made, for the owner only, on first write.
            pool: Lends descriptors.
            mode: Permissions of the file if it is made; the umask takes from them.
        """
        self._path = path
        self._pool = pool
        self._mode = mode
        self._exists = False
        self._unflushed_folders: list[Path] = []

    @property
    def name(self) -> str:
        return str(self._path)

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return self._path

    def read(self, offset: int, length: int) -> bytes:
        try:
            with self._pool.lease(self._path, create=False) as descriptor:
                if length > _LARGE_READ:
                    length = max(0, min(length, os.fstat(descriptor).st_size - offset))
                data = os.pread(descriptor, length, offset)
                while len(data) < length:
                    # A signal or a size above 2 GiB may cut a read; only the end gives nothing.
                    more = os.pread(descriptor, length - len(data), offset + len(data))
                    if not more:
                        break
                    data += more
                return data
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise storage_error(error, self._path, "read") from error

    def write(self, offset: int, data: Piece) -> None:
        self.write_many(((offset, data),))

    def write_many(self, writes: Iterable[tuple[int, Piece]]) -> None:
        stretches = _joined(writes)
        if not stretches:
            return
        try:
            self._make()
            with self._pool.lease(self._path, create=True) as descriptor:
                for offset, pieces in stretches:
                    write_at(descriptor, offset, pieces)
                    _write_back(descriptor, offset, sum(map(len, pieces)))
        except OSError as error:
            raise storage_error(error, self._path, "write") from error

    def truncate(self, size: int) -> None:
        if size == self.size():
            return
        try:
            self._make()
            with self._pool.lease(self._path, create=True) as descriptor:
                os.ftruncate(descriptor, size)
        except OSError as error:
            raise storage_error(error, self._path, "cut") from error

    def sync(self) -> None:
        # Also when we wrote nothing: what a killed process wrote before us may still be in memory
        # only, and recovery relies on it.
        try:
            with self._pool.lease(self._path, create=False) as descriptor:
                os.fdatasync(descriptor)
            while self._unflushed_folders:
                flush_folder(self._unflushed_folders[-1])
                self._unflushed_folders.pop()
        except FileNotFoundError:
            return
        except OSError as error:
            # D-4: the kernel may have dropped the pages; the same descriptor would then lie.
            self._pool.forget(self._path)
            raise storage_error(error, self._path, "flush") from error

    def punch(self, offset: int, length: int) -> None:
        if offset >= self.size():
            return
        try:
            with self._pool.lease(self._path, create=True) as descriptor:
                holes.punch(descriptor, offset, length)
        except OSError as error:
            raise storage_error(error, self._path, "clear bytes of") from error

    def size(self) -> int:
        try:
            with self._pool.lease(self._path, create=False) as descriptor:
                status = os.fstat(descriptor)
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise storage_error(error, self._path, "read") from error
        if not stat.S_ISREG(status.st_mode):
            raise not_a_file(self._path)
        return status.st_size

    def close(self) -> None:
        self._pool.forget(self._path)
        self._exists = False

    def _make(self) -> None:
        """See to it that the file is there, with our permissions; note which folder changed."""
        if self._exists:
            return
        # Noted at once: if the file is refused now, nobody makes them a second time.
        self._unflushed_folders += make_folders(self._path.parent)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self._path, _CREATE, self._mode))
            self._unflushed_folders.append(self._path.parent)
        self._exists = True


def _write_back(descriptor: int, offset: int, size: int) -> None:
    """Have the disk begin with a large piece now, so that `sync` has little left to wait for.

    Linux does so when it is told that the pages are not needed any more, and keeps those that are
    not written yet: the advice costs a tenth of a millisecond a MiB, and saves as much twice over.
    The pages well before are written by now, so the same words free them.
    """
    if size >= _LARGE_WRITE and hasattr(os, "posix_fadvise"):
        behind = max(0, offset - _KEPT_BEHIND)
        with contextlib.suppress(OSError):  # no such advice on this file system
            os.posix_fadvise(descriptor, offset, size, os.POSIX_FADV_DONTNEED)
            if behind:
                os.posix_fadvise(
                    descriptor, max(0, behind - size), min(size, behind), os.POSIX_FADV_DONTNEED
                )


def write_at(descriptor: int, offset: int, pieces: Sequence[Piece]) -> None:
    """Write pieces one behind the other from an offset on, all of them.

    Raises:
        OSError: As the system says; a part may have been written.
    """
    for first in range(0, len(pieces), _MOST_PIECES):
        batch = pieces[first : first + _MOST_PIECES]
        wanted = sum(map(len, batch))
        written = os.pwritev(descriptor, batch, offset)
        if written < wanted:
            rest = memoryview(b"".join(batch))[written:]
            while rest:
                rest = rest[os.pwrite(descriptor, rest, offset + wanted - len(rest)) :]
        offset += wanted


def replace_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Put a whole file in the place of another or of none: a crash leaves old or new (D-11).

    Forget the path in a descriptor pool first. Missing folders are made for the owner only.

    Raises:
        StorageError: The disk refused; the old file is untouched.
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        folders = make_folders(path.parent)
        # One left over from a crash is worth nothing.
        fresh.unlink(missing_ok=True)
        write_new(fresh, data, mode)
        try:
            fresh.rename(path)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise
        for folder in (path.parent, *folders):
            flush_folder(folder)
    except OSError as error:
        raise storage_error(error, path, "write") from error


def write_new(path: Path, data: bytes, mode: int) -> None:
    """Make a file that must not be there yet, with its bytes flushed; on failure there is none.

    Raises:
        OSError: As the system says; FileExistsError if there is one.
    """
    descriptor = os.open(path, _CREATE, mode)
    try:
        try:
            write_at(descriptor, 0, [data])
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def make_folders(folder: Path) -> list[Path]:
    """Make a folder and those missing above it; give the folders that got a new name in them.

    Raises:
        OSError: As the system says.
    """
    missing: list[Path] = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
    return [path.parent for path in missing]


def flush_folder(folder: Path) -> None:
    """Return only when the names in a folder are on the disk.

    Raises:
        OSError: As the system says.
    """
    descriptor = os.open(folder, _FOLDER)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _joined(writes: Iterable[tuple[int, Piece]]) -> list[tuple[int, list[Piece]]]:
    """Pieces that lie one behind the other, together; the order of the others stays."""
    stretches: list[tuple[int, list[Piece]]] = []
    end = -1
    for offset, data in writes:
        if not data:
            continue
        if offset == end:
            stretches[-1][1].append(data)
        else:
            stretches.append((offset, [data]))
        end = offset + len(data)
    return stretches
