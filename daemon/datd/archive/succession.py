"""What became of every file between two versions: the file that was at a path, and the one that is.

`Diff` tells what the reference tells, which is not always so: where a path is a file and a folder
at once, it takes the file for removed when something below it changes. Who drops content because a
file is gone needs the truth, which is what a walk of both versions would find.

Source: archives.md sections 4 and 5.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from datd.archive.append_tree import AppendTree
from datd.archive.entries import MAX_DEPTH, Entry
from datd.archive.walk import is_hidden
from datd.errors import BlockMissing

# A page looks at this many paths for each it was asked for: what is alike fills no page, and no
# page takes over 200 ms (reliability.md T-27).
_LOOKED_AT_PER_ITEM = 4
# And reads this many entries: folders of thousands of children are compared as a whole, so that
# the number of paths alone would bound nothing. Some 40 ms.
_READ_AT_ONCE = 1000

_Path = tuple[str, ...]


class Passage(NamedTuple):
    """One path that is not what it was.

    Attributes:
        path: The path.
        old: Its live entry in the old version, if it had one.
        new: Its live entry in the new version, if it has one.
    """

    path: str
    old: Entry | None
    new: Entry | None


class _Place(NamedTuple):
    names: _Path
    old: int | None  # number of the newest entry at or below the path, in each version
    new: int | None


class Succession:
    """Goes through all paths that two versions hold differently; folders alike are not entered.

    `BlockMissing` may come out of any step; once the block is here, simply go on.
    """

    def __init__(
        self,
        tree: AppendTree,
        old: int,
        new: int,
        names: Sequence[str] = (),
        after: Sequence[str] | None = None,
    ) -> None:
        """Stand before the first path.

        Args:
            tree: The index.
            old: Number of a version; 0 for the empty one.
            new: Number of another.
            names: Only what is at or below this path.
            after: `cursor` of an earlier one of the same versions and path: go on behind it.

        Raises:
            BlockMissing: Entries on the way are not held here.
            ArchiveFormatError: The index of one of the versions makes no sense.
        """
        self._tree = tree
        self._levels: list[Iterator[_Place]] = []
        top = tuple(names)
        self._place: _Place | None = _Place(top, self._newest(old, top), self._newest(new, top))
        self._last: _Path | None = None
        if after is not None:
            self._go_behind(tuple(after))

    @property
    def finished(self) -> bool:
        """Whether everything was told."""
        return self._place is None and not self._levels

    @property
    def cursor(self) -> _Path | None:
        """The path that was looked at last: hand it to a later one as `after`. None: none was."""
        return self._last

    def page(self, limit: int) -> list[Passage]:
        """Give up to `limit` paths; fewer, even none, if much that is alike had to be passed.

        Raises:
            BlockMissing: The next step lacks a block; what was found before is given out first.
            ArchiveFormatError: The index of one of the versions makes no sense.
        """
        found: list[Passage] = []
        enough = self._tree.reads + _READ_AT_ONCE
        for _ in range(limit * _LOOKED_AT_PER_ITEM):
            if self.finished or len(found) == limit or self._tree.reads > enough:
                break
            try:
                passage = self._step()
            except BlockMissing:
                if found:
                    break
                raise
            if passage is not None:
                found.append(passage)
        return found

    def _step(self) -> Passage | None:
        place = self._place
        if place is None:
            place = self._place = next(self._levels[-1], None)
            if place is None:
                self._levels.pop()
                return None
        self._tree.begin()
        old, new = self._live(place.names, place.old), self._live(place.names, place.new)
        below = self._below(place) if len(place.names) < MAX_DEPTH else []
        self._place, self._last = None, place.names
        self._go_into(below)
        same = old is new or (old is not None and new is not None and old.seq == new.seq)
        return None if same else Passage("/" + "/".join(place.names), old, new)

    def _newest(self, head: int, names: _Path) -> int | None:
        """Number of the newest entry at or below a path, if there is any at that version."""
        if not names:
            return head or None
        self._tree.begin()
        entry = self._tree.newest_below(head, names)
        return None if entry is None else entry.seq

    def _go_behind(self, after: _Path) -> None:
        place = self._place
        while place is not None:
            self._place, self._last = None, place.names
            self._tree.begin()
            below = self._below(place) if len(place.names) < MAX_DEPTH else []
            depth = len(place.names)
            if after == place.names:
                self._go_into(below)
                return
            names = [one.names for one in below]
            if after[: depth + 1] not in names:
                self._levels.clear()
                return  # no cursor of this one
            at = names.index(after[: depth + 1])
            self._go_into(below[at + 1 :])
            place = below[at]

    def _go_into(self, places: list[_Place]) -> None:
        # Never into nothing: leaving it would be a step, and no cursor would tell that it was made.
        if places:
            self._levels.append(iter(places))

    def _live(self, names: _Path, newest: int | None) -> Entry | None:
        return self._tree.get(newest, names) if newest is not None and names else None

    def _below(self, place: _Place) -> list[_Place]:
        old = self._children(place.names, place.old)
        new = self._children(place.names, place.new)
        return [
            _Place((*place.names, name), old.get(name), new.get(name))
            for name in {**old, **new}
            if old.get(name) != new.get(name) and not is_hidden(name)
        ]

    def _children(self, names: _Path, newest: int | None) -> dict[str, int]:
        folder = self._tree.list(newest, names) if newest is not None else None
        return folder.children if folder is not None else {}
