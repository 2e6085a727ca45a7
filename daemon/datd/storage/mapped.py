"""Content bytes of an archive that lie in plain files, as the `dat` command keeps them.

Which bytes lie where is told by a callable, because only the metadata feed knows. The folder
belongs to a person: names are checked, links are never followed, nothing is ever cut, and bytes
that are there already are not written again. Whether they are the right ones is checked elsewhere.

Source: sleep.md section 9.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from datd.errors import StorageError
from datd.storage.disk import Piece, write_at
from datd.storage.faults import storage_error
from datd.storage.names import safe_path

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Non-blocking, or a pipe put in a file's place would hold us for ever.
_FILE: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

# A person may have removed a file or put something else in its place: its blocks are absent then,
# which the feed finds out by hash. A disk that refuses is another matter.
_GONE: Final = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENXIO}

# L-9: offsets are below 2^53.
_NO_END: Final = 2**53

Locate = Callable[[int], tuple[str, int, int] | None]
"""Content byte to (name of an entry, offset in its file, bytes of the entry from there on); None if
no entry is known to hold the byte."""


class _Place(NamedTuple):
    components: tuple[str, ...]
    offset: int
    start: int  # of the stretch, within what was asked for
    end: int


class MappedFiles:
    """A RandomAccess over the files of a folder, addressed by content byte."""

    def __init__(self, folder: Path, locate: Locate) -> None:
        """Open nothing yet.

        Args:
            folder: What names are below.
            locate: Finds the file of a byte. It is called for each stretch read or written.
        """
        self._folder = folder
        self._locate = locate
        self._unflushed: set[tuple[str, ...]] = set()

    @property
    def name(self) -> str:
        return str(self._folder)

    def read(self, offset: int, length: int) -> bytes:
        out = bytearray()
        for place in self._places(offset, length):
            found = self._read(place)
            if found:
                # The stretch before may be short: a file still being fetched, or cut since.
                out.extend(bytes(place.start - len(out)))
                out += found
        return bytes(out)

    def write(self, offset: int, data: Piece) -> None:
        view = memoryview(data)
        done = 0
        for place in self._places(offset, len(view)):
            if place.start != done:
                break
            self._write(place, view[place.start : place.end])
            done = place.end
        if done < len(view):
            raise StorageError(
                f"no file in {self.name!r} can hold content byte {offset + done}: "
                "the entry that has it is not here, or its name is not allowed on disk"
            )

    def write_many(self, writes: Iterable[tuple[int, Piece]]) -> None:
        for offset, data in writes:
            self.write(offset, data)

    def truncate(self, size: int) -> None:
        """Do nothing: the files are not ours to cut."""

    def punch(self, offset: int, length: int) -> None:
        """Do nothing: all versions of a name share one file, a newer one may lie there by now."""

    def sync(self) -> None:
        for components in list(self._unflushed):
            try:
                self._flush(components)
            except OSError as error:
                raise self._fault(error, components, "flush") from error
            self._unflushed.discard(components)

    def size(self) -> int:
        """More than any feed has: the sizes of these files say nothing of the feed's end."""
        return _NO_END

    def close(self) -> None:
        """Do nothing: no descriptor is held."""

    def _places(self, offset: int, length: int) -> Iterator[_Place]:
        done = 0
        while done < length:
            found = self._locate(offset + done)
            if found is None:
                return
            name, at, available = found
            components = safe_path(name)
            count = min(available, length - done)
            if components is None or count <= 0:
                return
            yield _Place(components, at, done, done + count)
            done += count

    def _read(self, place: _Place) -> bytes:
        try:
            with self._opened(place.components, os.O_RDONLY) as descriptor:
                # What an entry claims is held against the file before memory is taken for it.
                there = os.fstat(descriptor).st_size - place.offset
                return os.pread(
                    descriptor, max(0, min(place.end - place.start, there)), place.offset
                )
        except OSError as error:
            if error.errno in _GONE:
                return b""
            raise self._fault(error, place.components, "read") from error

    def _write(self, place: _Place, data: memoryview) -> None:
        if self._read(place) == data:
            # A publisher's own file, or a block fetched twice: no reason to touch the file.
            return
        try:
            self._make_parents(place.components)
            with self._opened(place.components, os.O_RDWR | os.O_CREAT) as descriptor:
                write_at(descriptor, place.offset, [data])
        except OSError as error:
            raise self._fault(error, place.components, "write") from error
        self._unflushed.add(place.components)

    def _fault(self, error: OSError, components: tuple[str, ...], doing: str) -> StorageError:
        return storage_error(error, self._folder.joinpath(*components), doing)

    def _make_parents(self, components: tuple[str, ...]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for depth in range(1, len(components)):
            with self._parent(components[:depth]) as parent:
                try:
                    os.mkdir(components[depth - 1], dir_fd=parent)
                except FileExistsError:
                    continue

    def _flush(self, components: tuple[str, ...]) -> None:
        try:
            with self._opened(components, os.O_RDONLY) as descriptor:
                os.fsync(descriptor)
            for depth in range(len(components), 0, -1):
                with self._parent(components[:depth]) as parent:
                    os.fsync(parent)
        except FileNotFoundError:
            # Somebody removed it since. Reads will tell.
            return

    @contextmanager
    def _opened(self, components: tuple[str, ...], flags: int) -> Iterator[int]:
        with self._parent(components) as parent:
            descriptor = os.open(components[-1], flags | _FILE, 0o644, dir_fd=parent)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise IsADirectoryError(errno.EISDIR, "not a plain file")
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _parent(self, components: tuple[str, ...]) -> Iterator[int]:
        """The folder of a file, opened component by component so that no link is followed."""
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for component in components[:-1]:
                below = os.open(component, _FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)
