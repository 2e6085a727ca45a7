"""Content bytes of an archive that lie in plain files, as the `dat` command keeps them.

Which bytes lie where is told by a callable, because only the metadata feed knows. The folder
belongs to a person: names are checked, links are never followed, and bytes that are there already
are not written again. Whether they are the right ones is checked elsewhere.

What such a folder cannot hold (names that are not allowed on disk, files below files, what lies
behind a link, older versions) lies aside, in a file of ours at the same offsets: there it is out of
everybody's way, and can be read.

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
from datd.storage.base import RandomAccess
from datd.storage.disk import Piece, write_at
from datd.storage.faults import storage_error
from datd.storage.names import safe_path

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Non-blocking, or a pipe put in a file's place would hold us for ever.
_FILE: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

# A person may have removed a file or put something else in its place: its blocks are absent then,
# which the feed finds out by hash. A disk that refuses is another matter.
_GONE: Final = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENXIO}
# This folder will never hold a file of that name, as things are; elsewhere its bytes can lie.
_IN_THE_WAY: Final = _GONE | {errno.EEXIST, errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL}

# L-9: offsets are below 2^53.
_NO_END: Final = 2**53

Locate = Callable[[int], tuple[str, int, int] | None]
"""Content byte to (name of an entry, offset in its file, bytes of the entry from there on); None if
no entry is known to hold the byte. A name that is not allowed on disk, such as "", lies aside."""


class _Place(NamedTuple):
    components: tuple[str, ...] | None  # None: aside
    offset: int
    start: int  # of the stretch, within what was asked for
    end: int


class MappedFiles:
    """A RandomAccess over the files of a folder, addressed by content byte."""

    def __init__(
        self,
        folder: Path,
        locate: Locate,
        *,
        aside: RandomAccess | None = None,
        theirs: bool = False,
    ) -> None:
        """Open nothing yet.

        Args:
            folder: What names are below.
            locate: Finds the file of a byte. It is called for each stretch read or written.
            aside: Holds what the folder cannot; without it such bytes are refused.
            theirs: Whether the archive is published from these files: then they are never written,
                and bytes that differ from them lie aside.
        """
        self._folder = folder
        self._locate = locate
        self._aside = aside
        self._theirs = theirs
        self._unflushed: set[tuple[str, ...]] = set()

    @property
    def name(self) -> str:
        return str(self._folder)

    def read(self, offset: int, length: int) -> bytes:
        out = bytearray()
        for place in self._places(offset, length):
            found = None if place.components is None else self._read(place.components, place)
            if found is None and self._aside is not None:
                found = self._aside.read(offset + place.start, place.end - place.start)
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
            piece = view[place.start : place.end]
            if place.components is None or not self._write(place.components, place, piece):
                if self._aside is None:
                    break
                self._aside.write(offset + place.start, piece)
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
        """Leave the files as they are: they are not ours to cut."""
        if self._aside is not None and self._aside.size() > size:
            self._aside.truncate(size)

    def punch(self, offset: int, length: int) -> None:
        """Leave the files: all versions of a name share one, a newer one may lie there by now."""
        if self._aside is not None:
            self._aside.punch(offset, length)

    def sync(self) -> None:
        for components in list(self._unflushed):
            try:
                self._flush(components)
            except OSError as error:
                raise self._fault(error, components, "flush") from error
            self._unflushed.discard(components)
        if self._aside is not None:
            self._aside.sync()

    def size(self) -> int:
        """More than any feed has: the sizes of these files say nothing of the feed's end."""
        return _NO_END

    def close(self) -> None:
        """Hold nothing: files are opened for each call."""
        if self._aside is not None:
            self._aside.close()

    def remove(self, name: str) -> bool:
        """Remove the file of an entry, and the folders that are empty then; whether it was there.

        Names that are not allowed on disk, and links, mean no file.

        Raises:
            StorageError: The disk refused.
        """
        components = safe_path(name)
        if components is None or self._theirs:
            return False
        self._unflushed.discard(components)
        try:
            with self._opened(components, os.O_RDONLY), self._parent(components) as parent:
                os.unlink(components[-1], dir_fd=parent)
            for depth in range(len(components) - 1, 0, -1):
                with self._parent(components[:depth]) as parent:
                    os.rmdir(components[depth - 1], dir_fd=parent)
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:
                return True
            if error.errno in _GONE:
                return False
            raise self._fault(error, components, "remove") from error
        return True

    def shorten(self, name: str, size: int) -> None:
        """Cut off what an older version left behind the end of a file.

        Raises:
            StorageError: The disk refused.
        """
        components = safe_path(name)
        if components is None or self._theirs:
            return
        try:
            with self._opened(components, os.O_RDWR) as descriptor:
                if os.fstat(descriptor).st_size > size:
                    os.ftruncate(descriptor, size)
                    self._unflushed.add(components)
        except OSError as error:
            if error.errno not in _GONE:
                raise self._fault(error, components, "cut") from error

    def _places(self, offset: int, length: int) -> Iterator[_Place]:
        done = 0
        while done < length:
            found = self._locate(offset + done)
            if found is None:
                if self._aside is not None:
                    yield _Place(None, 0, done, length)
                return
            name, at, available = found
            components = safe_path(name)
            count = min(available, length - done)
            if count <= 0 or (components is None and self._aside is None):
                return
            yield _Place(components, at, done, done + count)
            done += count

    def _read(self, components: tuple[str, ...], place: _Place) -> bytes | None:
        """What the file holds there; None if there is no such file."""
        try:
            with self._opened(components, os.O_RDONLY) as descriptor:
                # What an entry claims is held against the file before memory is taken for it.
                there = os.fstat(descriptor).st_size - place.offset
                return os.pread(
                    descriptor, max(0, min(place.end - place.start, there)), place.offset
                )
        except OSError as error:
            if error.errno in _GONE or (self._aside and error.errno in _IN_THE_WAY):
                return None
            raise self._fault(error, components, "read") from error

    def _write(self, components: tuple[str, ...], place: _Place, data: memoryview) -> bool:
        """Put bytes into their file; False if the folder cannot hold them."""
        if self._read(components, place) == bytes(data):
            # A publisher's own file, or a block fetched twice: no reason to touch the file.
            return True
        if self._theirs:
            return False
        try:
            self._make_parents(components)
            with self._opened(components, os.O_RDWR | os.O_CREAT) as descriptor:
                write_at(descriptor, place.offset, [data])
        except OSError as error:
            if self._aside is not None and error.errno in _IN_THE_WAY:
                return False
            raise self._fault(error, components, "write") from error
        self._unflushed.add(components)
        return True

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
