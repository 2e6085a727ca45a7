"""Paths over a metadata feed: which entry is what a path means at a version. No content, no Stat.

Every entry carries the index of the whole way to its path (`Rows`), so a look-up starts at the
newest entry and jumps, folder by folder, to entries with smaller numbers.
Source: archives.md section 5; append-tree 2.4.4 follows the same steps, but trusts the rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from datd.archive.cache import BoundedCache
from datd.archive.entries import MAX_DEPTH, Entry, split_name
from datd.archive.rows import NO_ROW, Row
from datd.errors import ArchiveFormatError, BlockMissing, LookUpTooLong

# Reading 10,000 entries takes a third of a second; a folder of that many files has 50 MB of
# metadata. The second term leaves room for the way to such a folder.
MAX_ENTRIES_READ = 10_000 + MAX_DEPTH
# Blocks named at once as missing: those of one folder, which the reference asks for together too.
MAX_MISSING_NAMED = MAX_ENTRIES_READ
# About 20,000 entries, so a wide folder fits; an archive nobody looks into holds nothing.
ENTRY_CACHE_SIZE = 8 * 2**20
# Children, over all folders whose names are known by heart; some 200 bytes each.
FOLDER_CACHE_SIZE = 50_000
# Rows above this size are dropped from cached entries but for the path's own: 10,000 siblings
# would hold 10,000 lists of each other.
_ROWS_KEPT = 256
# What an entry takes in memory beside its name and rows: objects for it, its Stat and the numbers.
_ENTRY_OVERHEAD = 500


class EntrySource(Protocol):
    """Blocks of a metadata feed: the feed itself, or one with entries that are not in it yet."""

    @property
    def discovery_key(self) -> bytes:
        """32 bytes, the feed's public name."""

    @property
    def length(self) -> int:
        """Blocks known of."""

    def has(self, block: int) -> bool:
        """Whether a block is here."""

    def get(self, block: int) -> bytes:
        """Read a block, or raise BlockMissing."""


@dataclass(slots=True)
class Folder:
    """What lies directly in one folder.

    Attributes:
        children: Component → number of the newest entry at or below it, in row order.
        own: Number of the folder path's own entry, if it has one (an explicit directory, or a file
            at the same path).
        missing: Members of the row that are not held here: the picture is incomplete.
    """

    children: dict[str, int] = field(default_factory=dict)
    own: int | None = None
    missing: list[int] = field(default_factory=list)


class AppendTree:
    """Look-ups in one metadata feed, with a bounded memory of decoded entries.

    Entries never change, so nothing here goes stale when the feed grows. Not for use by two
    threads at once.

    Attributes:
        reads: Entries read so far; who does much in slices ends one by that.
    """

    def __init__(self, metadata: EntrySource, *, most_reads: int | None = None) -> None:
        """Read nothing yet.

        Args:
            metadata: Where the entries lie.
            most_reads: Entries that one look-up may read; None for `MAX_ENTRIES_READ`.
        """
        self.metadata = metadata
        self.reads = 0
        self._most_reads = MAX_ENTRIES_READ if most_reads is None else most_reads
        self._entries: BoundedCache[int, Entry] = BoundedCache(ENTRY_CACHE_SIZE)
        self._folders: BoundedCache[tuple[int, int], Folder] = BoundedCache(FOLDER_CACHE_SIZE)
        self._reads_left = self._most_reads

    def begin(self) -> None:
        """Start counting reads anew: a look-up reads at most `most_reads` entries.

        What a look-up over the limit has read stays in memory, and costs nothing next time.
        """
        self._reads_left = self._most_reads

    def entry(self, seq: int) -> Entry:
        """Read one entry.

        Its `rows` may lack those above the path's own; ask `row` for them.

        Raises:
            BlockMissing: It is not held here.
            ArchiveFormatError: It cannot be decoded, or too much was read since `begin`.
        """
        return self._entries.get(seq) or self._read(seq)

    def member(self, seq: int) -> Entry | None:
        """Read an entry that a row names; None if it cannot be decoded.

        Raises:
            BlockMissing: It is not held here.
            ArchiveFormatError: Too much was read since `begin`.
        """
        found = self._entries.get(seq)
        if found is not None:
            return found
        self._spend()
        try:
            return self._decode(seq)
        except ArchiveFormatError:
            return None

    def row(self, entry: Entry, depth: int) -> Row:
        """Give the row of the folder that the first `depth` components of an entry's name make.

        An invalid row is an empty one: it must not break listings of others.

        Raises:
            BlockMissing: The entry is not held here any more.
            LookUpTooLong: Too much was read since `begin`.
        """
        if depth > MAX_DEPTH:
            return NO_ROW
        try:
            rows = entry.rows
            if depth < rows.first:
                self._spend()
                rows = Entry.decode(entry.seq, self.metadata.get(entry.seq)).rows
            return rows[depth]
        except LookUpTooLong:
            raise
        except ArchiveFormatError:
            return NO_ROW

    def folder(self, entry: Entry, depth: int) -> Folder:
        """Learn what lies in the folder of an entry's name at `depth`, as of that entry.

        Members that the row names and that are not below the folder do not count. An entry of
        the reference never has such; following them is how it can be sent round in circles.

        Raises:
            ArchiveFormatError: Too much was read since `begin`.
        """
        key = (entry.seq, depth)
        found = self._folders.get(key)
        if found is not None:
            return found
        found = Folder()
        prefix = entry.components[:depth]
        for number in self.row(entry, depth):
            try:
                member = entry if number == entry.seq else self.member(number)
            except BlockMissing:
                found.missing.append(number)
                continue
            if member is None:
                continue
            parts = split_name(member.name)
            if parts[:depth] != prefix:
                continue
            if len(parts) == depth:
                found.own = number
            else:
                found.children[parts[depth]] = number
        if not found.missing:
            self._folders.put(key, found, len(found.children) + 1)
        return found

    def get(self, head: int, names: Sequence[str]) -> Entry | None:
        """Find the live file or directory entry of a path.

        Args:
            head: Number of the version, or of an entry known to be the newest at or below the path.
            names: Components of the path.

        Returns:
            The entry, or None: there is none, but the path may still be a folder.

        Raises:
            BlockMissing: Entries on the way are not held; all that one folder lacks are named.
            ArchiveFormatError: Entry `head` cannot be decoded, or too much would have to be read.
        """
        wanted = tuple(names)
        depth = len(wanted)
        entry, common = self._approach(head, wanted)
        if entry is None or common < depth:
            return None
        if len(split_name(entry.name)) > depth:
            folder = self.folder(entry, depth)
            if folder.own is None:
                self._refuse_missing(folder)
                return None
            entry = self.entry(folder.own)
        return entry if entry.stat is not None else None

    def list(self, head: int, names: Sequence[str]) -> Folder | None:
        """Find what lies in a folder.

        Returns:
            The folder; one without children for the path of a file; None if there is neither.

        Raises:
            BlockMissing: Entries on the way, or of the folder, are not held.
            ArchiveFormatError: As `get`.
        """
        wanted = tuple(names)
        entry = self.newest_below(head, wanted)
        if entry is None:
            return None
        folder = self.folder(entry, len(wanted))
        self._refuse_missing(folder)
        return folder if folder.children or folder.own is not None else None

    def newest_below(self, head: int, names: Sequence[str]) -> Entry | None:
        """Find the entry whose row describes a folder: the newest one at or below its path.

        Returns:
            That entry, or None if no row leads there or its own row is empty.

        Raises:
            BlockMissing, ArchiveFormatError: As `get`.
        """
        wanted = tuple(names)
        entry, common = self._approach(head, wanted)
        if entry is None or common < len(wanted) or not self.row(entry, common):
            return None
        return entry

    def _approach(self, head: int, wanted: tuple[str, ...]) -> tuple[Entry | None, int]:
        # Jump from the head to the newest entry at or below the path. Each jump goes to an entry
        # that shares one component more, so there are at most as many as components.
        if head < 1 or len(wanted) > MAX_DEPTH:
            return None, 0
        entry = self.entry(head)
        common = _common(wanted, split_name(entry.name))
        while common < len(wanted):
            folder = self.folder(entry, common)
            number = folder.children.get(wanted[common])
            if number is None:
                self._refuse_missing(folder)
                return None, common
            entry = self.entry(number)
            common = _common(wanted, split_name(entry.name))
        return entry, common

    def _refuse_missing(self, folder: Folder) -> None:
        if folder.missing:
            first, *also = folder.missing[:MAX_MISSING_NAMED]
            raise BlockMissing(self.metadata.discovery_key, first, also)

    def _read(self, seq: int) -> Entry:
        self._spend()
        return self._decode(seq)

    def _spend(self) -> None:
        self.reads += 1
        self._reads_left -= 1
        if self._reads_left < 0:
            raise LookUpTooLong(
                f"more than {self._most_reads:,} entries would have to be read: "
                "a folder has too many children, or the index of the archive makes no sense"
            )

    def _decode(self, seq: int) -> Entry:
        entry = Entry.decode(seq, self.metadata.get(seq))
        rows = entry.rows
        if len(rows) > _ROWS_KEPT:
            rows = rows.since(len(split_name(entry.name)))
            small = Entry(seq, entry.name, entry.stat, rows)
        else:
            small = entry
        self._entries.put(seq, small, _ENTRY_OVERHEAD + 2 * len(entry.name) + len(rows))
        return entry


def _common(left: tuple[str, ...], right: tuple[str, ...]) -> int:
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count
