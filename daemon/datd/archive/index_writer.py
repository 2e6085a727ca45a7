"""The index of the next entry: what changes in each folder on the way to a path.

Holds the folders that were written to last, as names and as encoded rows. Writes nothing itself.
Source: archives.md section 6, with its own rule for deletions: the reference's rule can lose
folders whose newest change is a deletion.
"""

from collections import OrderedDict
from collections.abc import Collection, Sequence

from datd import varint
from datd.archive.append_tree import MAX_MISSING_NAMED, AppendTree, Folder
from datd.archive.entries import Entry
from datd.archive.growing_row import GrowingRow
from datd.errors import BlockMissing

# Names held, over all folders, at some 200 bytes each; those of the last path stay whatever their
# number, or a folder wider than this would be read anew for each file in it.
NAMES_HELD = 100_000


class _Folder:
    """What lies directly in one folder, as of the newest entry."""

    __slots__ = ("children", "own", "row")

    def __init__(self, children: dict[str, int], own: int | None) -> None:
        self.children = children
        self.own = own
        self.row = GrowingRow(children.values() if own is None else (*children.values(), own))

    def drop(self, name: str | None) -> None:
        """Take out a child's number, or with None that of the folder's own path."""
        if name is None:
            number, self.own = self.own, None
        else:
            number = self.children.pop(name, None)
        if number is not None:
            self.row.remove(number)

    def add(self, name: str | None, number: int) -> None:
        """Put in the newest number for a child that was dropped, or for the own path."""
        if name is None:
            self.own = number
        else:
            self.children[name] = number
        self.row.append(number)

    def write_to(self, parts: list[bytes | bytearray]) -> None:
        """Add the encoded row to the parts of an index."""
        parts.append(varint.encode(len(self.row.numbers)))
        parts.append(self.row.encoded)


class IndexWriter:
    """Makes the `paths` field of one entry after the other.

    Paths are components as `split_name` gives them; that of an entry has one at least.
    `BlockMissing` and `StorageError` come out of every method when an entry cannot be read; nothing
    has changed then.

    Attributes:
        head: Number of the newest entry.
    """

    def __init__(self, tree: AppendTree, head: int) -> None:
        """Begin behind an entry.

        Args:
            tree: Reads all entries up to the newest, also those that are not in the feed yet.
            head: Number of the newest entry; 0 for none.
        """
        self.head = head
        self._tree = tree
        self._held: OrderedDict[tuple[str, ...], _Folder] = OrderedDict()
        self._names_held = 0
        # The folders from `/` to the one that was written to last, and that one's path. Most
        # entries follow one in the same folder.
        self._way: list[_Folder] = []
        self._folder: tuple[str, ...] | None = None

    def put(self, names: tuple[str, ...]) -> bytes:
        """Give the index of the next entry, which puts a path; count it as written."""
        way = self._enter(names[:-1])
        # The usual new file: nothing is there, so nothing lies below it either.
        below = self._at(names, way[-1]) if names[-1] in way[-1].children else None
        parts: list[bytes | bytearray] = [b"\x01"]
        for folder, name in zip(way, names, strict=True):
            if name in folder.children:
                folder.drop(name)
            else:
                self._names_held += 1
            folder.write_to(parts)
        if below is None:
            parts.append(b"\x00")
        else:
            below.drop(None)
            below.write_to(parts)
        paths = b"".join(parts)
        self.head = seq = self.head + 1
        for folder, name in zip(way, names, strict=True):
            folder.add(name, seq)
        if below is not None:
            below.add(None, seq)
        return paths

    def remove(self, names: tuple[str, ...]) -> bytes:
        """Give the index of the next entry, which deletes a path; count it as written."""
        way = [*self._enter(names[:-1])]
        way.append(self._at(names, way[-1]))
        deepest = max(self._deepest_alive(way, names), 0)
        parts: list[bytes | bytearray] = [b"\x00"]
        self.head += 1
        for depth, folder in enumerate(way[: deepest + 1]):
            name = names[depth] if depth < len(names) else None
            folder.drop(name)
            if depth < deepest:
                folder.add(name, self.head)
            folder.write_to(parts)
        self._names_held -= deepest < len(names)
        for depth in range(deepest + 1, len(names) + 1):
            self._forget(names[:depth])
        self._folder = None
        return b"".join(parts)

    def find(self, names: tuple[str, ...]) -> Entry | None:
        """Give the live entry of a path itself, if it has one."""
        number = self._enter(names[:-1])[-1].children.get(names[-1])
        if number is None:
            return None
        entry = self._tree.entry(number)
        if entry.components != names:
            own = self._at(names, self._way[-1]).own
            if own is None:
                return None
            entry = self._tree.entry(own)
        return entry if entry.stat is not None else None

    def children(self, names: tuple[str, ...]) -> Collection[str]:
        """Names of what lies directly in a folder, in no order; none if there is no such folder."""
        return self._enter(names)[-1].children.keys()

    # Folders

    def _enter(self, path: tuple[str, ...]) -> list[_Folder]:
        """Give the folders from `/` to a path; new ones where there is none."""
        if path == self._folder:
            return self._way
        self._leave()
        way: list[_Folder] = []
        for depth in range(len(path) + 1):
            folder = self._held.get(path[:depth])
            if folder is None:
                number = way[-1].children.get(path[depth - 1], 0) if depth else self.head
                folder = self._read(number, depth)
                self._hold(path[:depth], folder)
            else:
                self._held.move_to_end(path[:depth])
            way.append(folder)
        self._way, self._folder = way, path
        while self._names_held > NAMES_HELD and len(self._held) > len(way):
            self._forget(next(iter(self._held)))
        return way

    def _leave(self) -> None:
        """Drop the folders that were looked for and are not there."""
        path, self._folder = self._folder, None
        for depth in range(len(path or ()), -1, -1):
            if path is None or self._way[depth].children:
                break
            self._forget(path[:depth])

    def _at(self, path: tuple[str, ...], parent: _Folder) -> _Folder:
        """What lies below a path that is written to: nothing, unless it is a folder as well."""
        folder = self._held.get(path)
        if folder is None:
            folder = self._read(parent.children.get(path[-1], 0), len(path))
            if folder.children:
                self._hold(path, folder)
        return folder

    def _read(self, number: int, depth: int) -> _Folder:
        if not number:
            return _Folder({}, None)
        self._tree.begin()
        found = self._tree.folder(self._tree.entry(number), depth)
        _refuse_missing(self._tree, found)
        return _Folder(dict(found.children), found.own)

    def _hold(self, path: tuple[str, ...], folder: _Folder) -> None:
        self._held[path] = folder
        self._names_held += len(folder.children) + 1

    def _forget(self, path: tuple[str, ...]) -> None:
        folder = self._held.pop(path, None)
        if folder is not None:
            self._names_held -= len(folder.children) + 1

    # Life

    def _deepest_alive(self, way: Sequence[_Folder], names: tuple[str, ...]) -> int:
        """Depth of the deepest folder on the way with a live path beside this one; -1 for none."""
        for depth in range(len(names), -1, -1):
            folder = way[depth]
            own = folder.own if depth < len(names) else None
            if own is not None and self._is_live(own):
                return depth
            gone = names[depth] if depth < len(names) else None
            for name, number in folder.children.items():
                # What lies on the way was found dead one step before.
                if name != gone and self._lives_below(number, depth + 1):
                    return depth
        return -1

    def _is_live(self, number: int) -> bool:
        entry = self._tree.member(number)
        return entry is not None and entry.stat is not None

    def _lives_below(self, number: int, depth: int) -> bool:
        """Whether a live path is at or below the child that a number of its folder's row means.

        The newest change there may be a deletion, which is where the reference stops looking. Each
        folder that one of our own entries names has something alive, so the first way down ends.
        """
        below = [(number, depth)]
        while below:
            number, depth = below.pop()
            entry = self._tree.member(number)
            if entry is None:
                continue
            if entry.stat is not None:
                return True
            folder = self._tree.folder(entry, depth)
            _refuse_missing(self._tree, folder)
            if folder.own is not None and self._is_live(folder.own):
                return True
            below += [(child, depth + 1) for child in folder.children.values()]
        return False


def _refuse_missing(tree: AppendTree, folder: Folder) -> None:
    if folder.missing:
        first, *also = folder.missing[:MAX_MISSING_NAMED]
        raise BlockMissing(tree.metadata.discovery_key, first, also)
