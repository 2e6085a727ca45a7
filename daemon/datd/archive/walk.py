"""Goes through a folder and all below it, entry by entry, holding only the way to where it is."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bitarray import bitarray
from bitarray.util import zeros

from datd.archive.append_tree import AppendTree
from datd.archive.entries import MAX_DEPTH, Entry, Stat, split_name
from datd.archive.rows import Row
from datd.errors import BlockMissing, EntryNotFound

# A page looks at this many entries for each it was asked for; deleted and nameless ones fill no
# page. With pages of 1,000 (L-24) that is under 200 ms of work (reliability.md T-27).
_LOOKED_AT_PER_ITEM = 4
# Entries of one folder named at once as missing: one round trip of a sparse archive.
_MISSING_NAMED = 1000


@dataclass(slots=True)
class _Level:
    prefix: tuple[str, ...]
    row: Row
    owner: int  # the entry whose row it is; it stands in its own row
    own_told: bool  # whether the folder's own entry was given out already
    position: int = 0


class Walk(Iterator[tuple[str, Stat]]):
    """Every file and explicit directory below a folder, as (path, Stat), in the index's order.

    Implied folders are not told of. Nothing is sorted: that would need all of a folder at once.
    `BlockMissing` may come out of any step; once the block is here, simply go on.

    Each entry is visited once, whatever the rows say, so a walk ends also where a hostile index
    has a thousand ways to each entry.
    """

    def __init__(
        self, tree: AppendTree, head: int, names: Sequence[str] = (), after: Sequence[int] = ()
    ) -> None:
        """Stand before the first entry.

        Args:
            tree: The index.
            head: Number of the version.
            names: Components of the folder, or of a file: then that file is all.
            after: The `cursor` of an earlier walk of the same folder and version.

        Raises:
            EntryNotFound: There is no such folder or file.
            BlockMissing: Entries on the way are not held here.
        """
        self._tree = tree
        self._seen = bitarray()
        self._levels: list[_Level] = []
        tree.begin()
        top = tree.newest_below(head, names)
        if top is None:
            if names:
                raise EntryNotFound(f"/{'/'.join(names)} is not in version {head}")
            return
        self._seen = zeros(head + 1)
        self._levels.append(_Level(tuple(names), tree.row(top, len(names)), top.seq, False))
        self._go_behind(after)

    def __iter__(self) -> "Walk":
        return self

    def __next__(self) -> tuple[str, Stat]:
        while self._levels:
            found = self._step()
            if found is not None:
                return found
        raise StopIteration

    @property
    def finished(self) -> bool:
        """Whether everything was told."""
        return not self._levels

    @property
    def cursor(self) -> tuple[int, ...]:
        """Where the walk stands: hand it to a later one to go on there.

        An entry number for each folder on the way; 0 for one that is not begun yet.
        """
        return tuple(
            level.row[level.position - 1] if level.position else 0 for level in self._levels
        )

    def page(self, limit: int) -> list[tuple[str, Stat]]:
        """Give the next entries.

        Args:
            limit: Most entries to give.

        Returns:
            Up to `limit` of them; fewer, even none, if many dead entries had to be passed. The
            walk is over when `finished` says so.

        Raises:
            BlockMissing: The first step that could not be made lacks a block; later steps deliver
                what comes before it first.
        """
        page: list[tuple[str, Stat]] = []
        for _ in range(limit * _LOOKED_AT_PER_ITEM):
            if not self._levels or len(page) == limit:
                break
            try:
                found = self._step()
            except BlockMissing:
                if page:
                    break
                raise
            if found is not None:
                page.append(found)
        return page

    def _step(self) -> tuple[str, Stat] | None:
        level = self._levels[-1]
        if level.position == len(level.row):
            self._levels.pop()
            return None
        number = level.row[level.position]
        self._tree.begin()
        try:
            entry = self._tree.member(number)
        except BlockMissing as missing:
            raise self._missing_ahead(level, missing) from None
        level.position += 1
        if number != level.owner:
            if self._seen[number]:
                return None
            self._seen[number] = 1
        return None if entry is None else self._visit(level, entry)

    def _visit(self, level: _Level, entry: Entry) -> tuple[str, Stat] | None:
        parts = split_name(entry.name)
        depth = len(level.prefix)
        if parts[:depth] != level.prefix:
            return None  # a row that names entries elsewhere is a lie
        if len(parts) == depth:
            if level.own_told:
                return None
            level.own_told = True
        else:
            if depth == MAX_DEPTH or is_hidden(parts[depth]):
                return None
            self._enter(parts[: depth + 1], entry, exact=len(parts) == depth + 1)
            if len(parts) > depth + 1:
                return None
        return ("/" + "/".join(parts), entry.stat) if entry.stat is not None else None

    def _enter(self, folder: tuple[str, ...], entry: Entry, *, exact: bool) -> None:
        row = self._tree.row(entry, len(folder))
        # The row of a file holds the file alone, unless its path is a folder as well.
        if row and (not exact or len(row) > 1 or row[0] != entry.seq):
            self._levels.append(_Level(folder, row, entry.seq, own_told=exact))

    def _missing_ahead(self, level: _Level, missing: BlockMissing) -> BlockMissing:
        ahead = level.row[level.position + 1 : level.position + _MISSING_NAMED]
        metadata = self._tree.metadata
        also = [number for number in ahead if not metadata.has(number)]
        return BlockMissing(missing.discovery_key, missing.index, also)

    def _go_behind(self, cursor: Sequence[int]) -> None:
        for place, number in enumerate(cursor):
            level = self._levels[-1]
            level.position = bisect_right(level.row, number)
            entry = self._tree.member(number) if number in level.row else None
            if place == len(cursor) - 1 or entry is None:
                break
            self._visit(level, entry)
            if self._levels[-1] is level:
                break  # no cursor of this walk


def is_hidden(component: str) -> bool:
    """Whether listings leave a name out: no path can name it. The reference hides the same dots."""
    return component in ("", ".", "..")
