"""SLEEP files: a header of 32 bytes, then entries of one size. Knows no hash and no signature.

What was never written reads as zeros or lies beyond the end; both mean that an entry is absent.

Source: sleep.md sections 2, 5 and 6, as measured from hypercore 6.26 and 7.7.1.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from datd.errors import StorageError
from datd.storage.base import RandomAccess

HEADER_SIZE: Final = 32
_MAGIC: Final = b"\x05\x02\x57"

# A path from leaf to root in a tree of a million blocks touches 13 pages of 128 entries, and paths
# of neighbours share them: 64 pages hold five unrelated paths. Full, a tree's cache is 320 KiB.
_PAGE_ENTRIES: Final = 128
_PAGE_SHIFT: Final = 7
_CACHED_PAGES: Final = 64

# L-9: a feed of 2^32 blocks has fewer nodes than this. What lies beyond is absent, whoever asks.
MAX_ENTRIES: Final = 2**33

# Scans go through a file in stretches of about this many bytes.
_SCAN_SIZE: Final = 2**18


@dataclass(frozen=True, slots=True)
class SleepKind:
    """One of the three kinds of SLEEP file.

    Attributes:
        type: Number of the kind in byte 3 of the header.
        entry_sizes: Bytes of an entry that are understood; the first is used for new files.
        algorithm: Name in the header, empty for bitfields.
    """

    type: int
    entry_sizes: tuple[int, ...]
    algorithm: bytes

    def header(self, entry_size: int) -> bytes:
        """The 32 bytes at the start of such a file."""
        fixed = _MAGIC + bytes((self.type, 0)) + entry_size.to_bytes(2, "big")
        named = fixed + bytes((len(self.algorithm),)) + self.algorithm
        return named.ljust(HEADER_SIZE, b"\0")


BITFIELD: Final = SleepKind(0, (3584, 3328), b"")
SIGNATURES: Final = SleepKind(1, (64,), b"Ed25519")
TREE: Final = SleepKind(2, (40,), b"BLAKE2b")


def read_entry_size(file: RandomAccess, kind: SleepKind) -> int | None:
    """Check a header.

    Returns:
        Bytes of an entry as the header says, or None if no header was written yet.

    Raises:
        StorageError: There is a header of another kind, or no header but other bytes.
    """
    found = file.read(0, HEADER_SIZE)
    # A crash may cut the first write, or lose it and keep a later one: a hole is no foreign file.
    if not found.strip(b"\0"):
        return None
    for entry_size in kind.entry_sizes:
        header = kind.header(entry_size)
        # The reference writes the name, we read on past it: what follows is nobody's business.
        meant = 8 if not kind.algorithm else 8 + len(kind.algorithm)
        if found[:meant] == header[:meant] and len(found) == HEADER_SIZE:
            return entry_size
        if len(found) < HEADER_SIZE and header.startswith(found):
            return None
    raise StorageError(
        f"{file.name} does not begin with the SLEEP header of its kind (found {found[:8].hex()}): "
        "restore this file from a backup, or move it away and have the feed recovered"
    )


class SleepFile:
    """Entries of one size in a `tree` or `signatures` file, read through a bounded cache.

    Opening reads the header and writes nothing. Writes go straight to the file.
    """

    def __init__(self, file: RandomAccess, kind: SleepKind) -> None:
        """Open.

        Raises:
            StorageError: The file is of another kind, or cannot be read.
        """
        self._file = file
        self._kind = kind
        self._size = kind.entry_sizes[0]
        self._blank = bytes(self._size)
        self._pages: dict[int, bytes] = {}
        self._has_header = read_entry_size(file, kind) is not None

    @property
    def name(self) -> str:
        """What an error message calls the file."""
        return self._file.name

    def get(self, index: int) -> bytes | None:
        """Give an entry, or None if it is absent."""
        page = self._pages.get(index >> _PAGE_SHIFT)
        if page is None:
            page = self._load(index >> _PAGE_SHIFT)
        start = (index & (_PAGE_ENTRIES - 1)) * self._size
        entry = page[start : start + self._size]
        if entry == self._blank or len(entry) != self._size:
            return None
        return entry

    def get_many(self, indexes: Iterable[int]) -> list[bytes | None]:
        """Give several entries in the order asked, None for each absent one."""
        get = self.get
        return [get(index) for index in indexes]

    def put(self, index: int, entry: bytes) -> None:
        """Write one entry; see `put_many`."""
        self.put_many(((index, entry),))

    def put_many(self, entries: Iterable[tuple[int, bytes]]) -> None:
        """Write entries, in any order; of two for one index the later counts.

        What lies between the first and the last entry of a page is written along, so that a batch
        is one positioned write for each stretch of touched pages.

        Raises:
            StorageError: The disk refused. Entries may be written in part, as after a crash.
            ValueError: An entry has the wrong size or lies too far out. Nothing is written.
        """
        ordered = sorted(dict(entries).items())
        size = self._size
        if any(len(entry) != size for _, entry in ordered):
            raise ValueError(f"entries of {self.name} have {size} bytes")
        if ordered and not 0 <= ordered[0][0] <= ordered[-1][0] < MAX_ENTRIES:
            raise ValueError(f"entry {ordered[-1][0]} lies beyond what is kept (L-9)")
        writes: list[tuple[int, bytes]] = [] if self._has_header else [(0, self._header())]
        changed: dict[int, bytes] = {}
        at, count = 0, len(ordered)
        while at < count:
            number = ordered[at][0] >> _PAGE_SHIFT
            beyond = (number + 1) << _PAGE_SHIFT
            stop = at
            while stop < count and ordered[stop][0] < beyond:
                stop += 1
            changed[number], offset, piece = self._spliced(number, ordered[at:stop])
            writes.append((offset, piece))
            at = stop
        if changed:
            self._commit(writes, changed)

    def count(self) -> int:
        """How many entries the file has room for: one above the highest that can be there."""
        return max(0, self._file.size() - HEADER_SIZE) // self._size

    def highest(self) -> int | None:
        """Index of the last entry that is not absent, or None if there is none."""
        step = _SCAN_SIZE // self._size
        end = self.count()
        while end > 0:
            start = max(0, end - step)
            found = len(self._raw(start, end - start).rstrip(b"\0"))
            if found:
                return start + (found - 1) // self._size
            end = start
        return None

    def scan(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """Go through all entries that are not absent, from `start`, in order, past the cache."""
        size, blank = self._size, self._blank
        step = _SCAN_SIZE // size
        end = self.count()
        for first in range(start, end, step):
            raw = self._raw(first, min(step, end - first))
            if not raw.strip(b"\0"):
                continue
            for offset in range(0, len(raw) - size + 1, size):
                entry = raw[offset : offset + size]
                if entry != blank:
                    yield first + offset // size, entry

    def truncate(self, count: int) -> None:
        """Forget the entries from `count` on: a failed batch is rolled back with it."""
        if count < self.count():
            self._pages.clear()
            self._file.truncate(HEADER_SIZE + count * self._size)

    def sync(self) -> None:
        """Return only when everything written is on the disk."""
        self._file.sync()

    def forget(self) -> None:
        """Empty the cache: somebody else may have written, or memory is wanted back."""
        self._pages.clear()

    def _header(self) -> bytes:
        return self._kind.header(self._size)

    def _raw(self, first: int, count: int) -> bytes:
        return self._file.read(HEADER_SIZE + first * self._size, count * self._size)

    def _load(self, number: int) -> bytes:
        if number >= MAX_ENTRIES >> _PAGE_SHIFT:
            return b""
        page = self._raw(number << _PAGE_SHIFT, _PAGE_ENTRIES)
        self._keep(number, page)
        return page

    def _keep(self, number: int, page: bytes) -> None:
        pages = self._pages
        pages[number] = page
        if len(pages) > _CACHED_PAGES:
            # First in, first out: a read that hits stays one dictionary look-up, and a page that
            # was wanted after all comes back in one read.
            del pages[next(iter(pages))]

    def _spliced(self, number: int, entries: list[tuple[int, bytes]]) -> tuple[bytes, int, bytes]:
        """The page with entries put in, and the stretch of it to write: its offset and bytes."""
        page = self._pages.get(number)
        if page is None:
            page = self._raw(number << _PAGE_SHIFT, _PAGE_ENTRIES)
        size, base = self._size, number << _PAGE_SHIFT
        start = (entries[0][0] - base) * size
        end = (entries[-1][0] + 1 - base) * size
        if end - start == len(entries) * size:
            piece = b"".join([entry for _, entry in entries])
        else:
            stretch = bytearray(page[start:end].ljust(end - start, b"\0"))
            for index, entry in entries:
                at = (index - base) * size - start
                stretch[at : at + size] = entry
            piece = bytes(stretch)
        fresh = page[:start].ljust(start, b"\0") + piece + page[end:]
        return fresh, HEADER_SIZE + base * size + start, piece

    def _commit(self, writes: list[tuple[int, bytes]], changed: dict[int, bytes]) -> None:
        for number in changed:
            # Should the write fail, the file is to be asked what it holds.
            self._pages.pop(number, None)
        self._file.write_many(writes)
        self._has_header = True
        for number, page in changed.items():
            self._keep(number, page)
