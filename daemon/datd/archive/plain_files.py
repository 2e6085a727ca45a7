"""Tells which plain file holds a byte of the content feed, for archives in layout `dat`.

There the content feed has no data file: its bytes are those of the archive's files. Names come as
the author wrote them; whether one may be touched on this disk is for storage to say.
Source: sleep.md section 9.
"""

from bisect import bisect_left, bisect_right
from typing import NamedTuple

from datd.archive.archive import Archive
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
# Files being imported whose entries are not committed yet: an import commits before it has this
# many, so the older half of twice as many is known to the metadata by then.
_COMING_KEPT = 16_384
# Of a file that is being read it is not known yet where it ends.
_NO_END = 2**53


class _File(NamedTuple):
    name: str
    start: int
    size: int
    number: int = 0  # of its entry


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
        self._archive: Archive | None = None
        self._newest = (0, _NO_FILE, False)  # the last verdict, and the length it was made at
        self._coming: list[tuple[int, str]] = []

    def begin(self, path: str, byte_offset: int) -> None:
        """A file of the folder is about to be imported: its bytes come from there on."""
        del self._coming[bisect_left(self._coming, (byte_offset, "")) :]
        if len(self._coming) >= 2 * _COMING_KEPT:
            del self._coming[:_COMING_KEPT]
        self._coming.append((byte_offset, path))

    def place(self, byte_offset: int) -> tuple[str, int, int] | None:
        """Where a byte lies in the folder as it should be now; see `locate`.

        All versions of a name share one file, which is the newest one's: of others the name is "".
        """
        found = self.locate(byte_offset)
        if found is None:
            return self._place_coming(byte_offset)
        return found if self._is_newest(self._latest) else ("", *found[1:])

    def _place_coming(self, byte_offset: int) -> tuple[str, int, int] | None:
        at = bisect_right(self._coming, byte_offset, key=lambda one: one[0])
        if not at:
            return None
        start, name = self._coming[at - 1]
        end = self._coming[at][0] if at < len(self._coming) else _NO_END
        return name, byte_offset - start, end - byte_offset

    def _is_newest(self, file: _File) -> bool:
        metadata = self.metadata
        assert metadata is not None
        length, known, verdict = self._newest
        if (length, known) == (metadata.length, file):
            return verdict
        if self._archive is None or self._archive.metadata is not metadata:
            self._archive = Archive(metadata)
        try:
            entry = self._archive.find(file.name)
        except BlockMissing:
            return False  # until the metadata that tells is here
        except ArchiveFormatError:
            entry = None  # nobody can find it
        verdict = entry is not None and entry.seq == file.number
        self._newest = (metadata.length, file, verdict)
        return verdict

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
            file = _File(entry.name, stat.byte_offset, stat.size, seq)
        self._files.put(seq, file, _FILE_OVERHEAD + 2 * len(file.name))
        return file
