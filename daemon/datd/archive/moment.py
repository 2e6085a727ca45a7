"""Which version was the newest at a time: entries say when they were written, as their author says.

The time of an entry is its ctime, which every importer sets to the moment of the import. A deletion
has none, nor has an entry that says 0: it was made when the last one before it was that has. Times
need not ascend: nothing keeps an author from signing any. So the answer is a version that is not
younger than the time, and the next one that has a time is younger; where times ascend, there is one
such version only.

Source: archives.md sections 2 and 7.
"""

from datd.archive.append_tree import AppendTree
from datd.errors import ArchiveFormatError

# Entries that one slice reads: some 30 ms.
_SLICE = 1000
# Clocks jump, and parallel writers finish out of turn: so many entries behind the place where times
# seem to pass are looked at, as far as they are here, and the last that is old enough counts.
_LOOKED_AHEAD = 256
# A long stretch of deletions has to be passed to learn its time. No stretch is passed twice; this
# many entries take some 30 seconds, in slices.
_MOST_PASSED = 1_000_000


class MomentSearch:
    """The search, in slices. `BlockMissing` may come out of any; with the block here, go on.

    Attributes:
        version: The version found so far; it is the answer when `advance` says so. 0: the archive
            was empty then.
    """

    def __init__(self, tree: AppendTree, newest: int, time: int) -> None:
        """Nothing is read yet.

        Args:
            tree: The index.
            newest: Number of the newest version.
            time: Milliseconds since 1970.
        """
        self.version = 0
        self._tree = tree
        self._newest = newest
        self._time = time
        self._younger = newest + 1  # all from here on is, if times ascend
        self._middle = 0  # the entry whose time is wanted; 0: none is chosen
        self._at = 0  # and the one looked at for it
        self._ahead: int | None = None
        self._end = 0
        self._passed = 0

    def advance(self) -> bool:
        """Search on for a slice. Returns whether there is more to do.

        Raises:
            BlockMissing: An entry is not held here.
            ArchiveFormatError: No times are to be found within any reason.
        """
        self._tree.begin()
        for _ in range(_SLICE):
            if self._ahead is not None:
                if not self._look_ahead(self._ahead):
                    return False
            elif self._younger - self.version > 1:
                self._halve()
            else:
                self._ahead = self.version + 1
                self._end = min(self._newest, self.version + _LOOKED_AHEAD)
        return True

    def _halve(self) -> None:
        if not self._middle:
            self._middle = self._at = (self.version + self._younger) // 2
        time = self._time_of(self._at)
        if time is None and self._at - 1 > self.version:
            self._at -= 1
            self._passed += 1
            if self._passed > _MOST_PASSED:
                raise ArchiveFormatError(
                    f"{_MOST_PASSED:,} entries say nothing of when they were made: "
                    "name the version by its number"
                )
            return
        if time is None or time <= self._time:
            self.version = self._middle
        else:
            self._younger = self._at
        self._middle = 0

    def _look_ahead(self, seq: int) -> bool:
        if seq > self._end or not self._tree.metadata.has(seq):
            return False
        time = self._time_of(seq)
        older = self.version == seq - 1 if time is None else time <= self._time
        if older:
            self.version = seq
        self._ahead = seq + 1
        return True

    def _time_of(self, seq: int) -> int | None:
        entry = self._tree.member(seq)
        return None if entry is None or entry.stat is None else entry.stat.ctime or None
