"""Tells which plain file holds a byte of the content feed, for archives in layout `dat`.

There the content feed has no data file: its bytes are those of the archive's files. Names come as
the author wrote them; whether one may be touched on this disk is for storage to say.
Source: sleep.md section 9.
"""

from typing import NamedTuple

from datd.archive.cache import BoundedCache
from datd.archive.entries import Entry
from datd.errors import ArchiveFormatError, BlockMissing
from datd.feed.feed import Feed

# Some 4,000 files: those that peers ask for at the moment.
_CACHE_SIZE = 2**20
_FILE_OVERHEAD = 200
# Stretches of deletions and directories passed once are not read again; short ones cost nothing.
_STRETCHES_KEPT = 4096
_SHORT_STRETCH = 16


class _File(NamedTuple):
    name: str
    start: int
    size: int


_NO_FILE = _File("", 0, 0)


class PlainFiles:
    """Maps content bytes to files by the metadata feed: entries of any version, deleted or not.

    Attributes:
        metadata: The metadata feed. The layout is opened before it, so it may be set later; until
            then no byte is mapped.
    """

    def __init__(self, metadata: Feed | None = None) -> None:
        self.metadata = metadata
        self._files: BoundedCache[int, _File] = BoundedCache(_CACHE_SIZE)
        self._stretches: BoundedCache[int, int] = BoundedCache(_STRETCHES_KEPT)
        self._latest = _NO_FILE

    def locate(self, byte_offset: int) -> tuple[str, int, int] | None:
        """Find one byte of the content feed.

        Args:
            byte_offset: Its position in the content feed.

        Returns:
            The file's name relative to the archive's folder, the byte's position in that file, and
            the number of bytes from there to the end of the file. None if no entry that is held
            here covers the byte.
        """
        file = self._latest
        if not file.start <= byte_offset < file.start + file.size:
            found = self._covering(byte_offset)
            if found is None:
                return None
            file = self._latest = found
        inside = byte_offset - file.start
        return file.name.removeprefix("/"), inside, file.size - inside

    def _covering(self, byte_offset: int) -> _File | None:
        # Files were written one after another: the last one that starts at or before the byte
        # covers it, or none does.
        if self.metadata is None:
            return None
        best = _NO_FILE
        low, high = 1, self.metadata.length
        while low < high:
            middle = (low + high) // 2
            seq, file = self._file_at_or_below(self.metadata, middle, low)
            if file.size and file.start > byte_offset:
                high = seq
            else:
                best = file if file.size else best
                low = middle + 1
        return best if byte_offset < best.start + best.size else None

    def _file_at_or_below(self, metadata: Feed, seq: int, lowest: int) -> tuple[int, _File]:
        found = _NO_FILE
        number = seq
        complete = True
        while number >= lowest:
            known = self._stretches.get(number)
            if known is not None:
                number = known
                continue
            file = self._read(metadata, number)
            if file is not None and file.size:
                found = file
                break
            complete = complete and file is not None
            number -= 1
        if complete and seq - number > _SHORT_STRETCH:
            self._stretches.put(seq, number, 1)
        return number, found

    def _read(self, metadata: Feed, seq: int) -> _File | None:
        file = self._files.get(seq)
        if file is not None:
            return file
        if not metadata.has(seq):
            return None
        try:
            entry = Entry.decode(seq, metadata.get(seq))
        except ArchiveFormatError:
            return _NO_FILE
        except BlockMissing:
            return None
        stat = entry.stat
        file = _NO_FILE
        if stat is not None and stat.is_file and stat.size:
            file = _File(entry.name, stat.byte_offset, stat.size)
        self._files.put(seq, file, _FILE_OVERHEAD + 2 * len(file.name))
        return file
