"""What changed between two versions, found by comparing rows and descending where they differ."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from datd.archive.append_tree import AppendTree, Folder
from datd.archive.entries import Entry, split_name
from datd.errors import BlockMissing

# A page looks at this many members for each change it was asked for: folders that did not change
# fill no page, and no page takes over 200 ms (reliability.md T-27).
_LOOKED_AT_PER_ITEM = 4

_Path = tuple[str, ...]
_Kind = Literal["put", "del"]


@dataclass(frozen=True, slots=True)
class Change:
    """One step from one version to another.

    Attributes:
        kind: "put" the entry appears, "del" it disappears. A replaced file is both.
        path: Its path.
        entry: The entry that appears or disappears. One without Stat is a deletion that stands for
            a folder of the same path, in which other files live: the reference tells these too.
    """

    kind: _Kind
    path: str
    entry: Entry


class _Difference(NamedTuple):
    kind: _Kind | None  # None: the same entry in both versions
    number: int
    component: str


class Diff(Iterator[Change]):
    """What turns the tree of one version into that of another, either way in time.

    Unchanged folders are not entered. The order is the reference's: as rows come, the folder found
    last is entered first. `BlockMissing` may come out of any step; once the block is here, simply
    go on.

    Attributes:
        finished: Whether everything was told.

    Source: archives.md section 7.
    """

    def __init__(self, tree: AppendTree, old: int, new: int) -> None:
        """Stand before the first change.

        Raises:
            BlockMissing: The newest entry of `new` is not held here.
            ArchiveFormatError: It cannot be decoded.
        """
        self.finished = False
        self._tree = tree
        self._old = old
        self._new = new
        tree.begin()
        self._forced = _way_to_deletion(tree, new)
        self._waiting: list[_Path] = [()]
        self._entered: set[str] = set()
        self._folder: _Path = ()
        self._differences: Iterator[_Difference] = iter(())

    def __iter__(self) -> "Diff":
        return self

    def __next__(self) -> Change:
        while not self.finished:
            change = self._step()
            if change is not None:
                return change
        raise StopIteration

    def page(self, limit: int) -> list[Change]:
        """Give up to `limit` changes; fewer, even none, if much that is alike had to be passed.

        Raises:
            BlockMissing: The next step lacks a block; changes found before are given out first.
        """
        found: list[Change] = []
        for _ in range(limit * _LOOKED_AT_PER_ITEM):
            if self.finished or len(found) == limit:
                break
            try:
                change = self._step()
            except BlockMissing:
                if found:
                    break
                raise
            if change is not None:
                found.append(change)
        return found

    def _step(self) -> Change | None:
        difference = next(self._differences, None)
        if difference is None:
            self._open_folder()
            return None
        kind, number, component = difference
        path = (*self._folder, component)
        if kind is None and path not in self._forced:
            return None
        if component not in self._entered:
            self._entered.add(component)
            self._waiting.append(path)
        if kind is None:
            return None
        entry = self._tree.entry(number)
        return Change(kind, "/" + "/".join(path), entry) if split_name(entry.name) == path else None

    def _open_folder(self) -> None:
        if not self._waiting:
            self.finished = True
            return
        folder = self._waiting[-1]
        self._tree.begin()
        new = self._tree.list(self._new, folder)
        old = self._tree.list(self._old, folder)
        self._waiting.pop()
        self._folder = folder
        self._entered = set()
        self._differences = _compare(new, old)


def _compare(new: Folder | None, old: Folder | None) -> Iterator[_Difference]:
    # Both ascend by entry number: go along them side by side.
    puts = [(number, name) for name, number in new.children.items()] if new else []
    dels = [(number, name) for name, number in old.children.items()] if old else []
    left = right = 0
    while left < len(puts) and right < len(dels):
        put, gone = puts[left], dels[right]
        if put[0] == gone[0]:
            yield _Difference(None, *put)
            left, right = left + 1, right + 1
        elif put[0] < gone[0]:
            yield _Difference("put", *put)
            left += 1
        else:
            yield _Difference("del", *gone)
            right += 1
    for put in puts[left:]:
        yield _Difference("put", *put)
    for gone in dels[right:]:
        yield _Difference("del", *gone)


def _way_to_deletion(tree: AppendTree, head: int) -> set[_Path]:
    # Folders on the way to the newest deletion are entered though their numbers may be alike.
    if head < 1:
        return set()
    entry = tree.entry(head)
    if entry.stat is not None:
        return set()
    names = split_name(entry.name)
    return {names[:depth] for depth in range(len(names))}
