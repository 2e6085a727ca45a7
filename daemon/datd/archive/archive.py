"""Files and folders of an archive: a metadata feed read as a tree, a content feed read as files.

Synchronous and local. What is not held here is raised as `BlockMissing`: whoever has a network
fetches that block (and those named beside it) and calls again.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from datd.archive import file_blocks
from datd.archive.append_tree import AppendTree, EntrySource
from datd.archive.content_key import checked_content_key
from datd.archive.diff import Diff
from datd.archive.entries import IMPLIED_DIRECTORY, Entry, Header, Stat, split_name
from datd.archive.file_blocks import Span
from datd.archive.manifest import MANIFEST_PATH, MAX_MANIFEST_SIZE, Manifest, parse_manifest
from datd.archive.moment import MomentSearch
from datd.archive.succession import Succession
from datd.archive.walk import Walk, is_hidden
from datd.errors import ArchiveFormatError, BlockMissing, EntryNotFound, VersionNotFound
from datd.feed.feed import Feed
from datd.keys import Key

# A page of the history looks at this many entries: some 40 ms, which a look-up may have to wait.
HISTORY_LOOKED_AT = 1000
# Entries named at once as missing.
_MISSING_NAMED = 1000
# A listed folder may have an entry of its own, which stands anywhere in its row. All of a row of at
# most 16 is looked at, in lists of at most 100; else only the oldest, which is where `mkdir` leaves
# it. Otherwise listing a folder would read everything in the folders below it.
_OWN_ENTRY_ROW = 16
_OWN_ENTRY_LIST = 100


class HistoryPage(NamedTuple):
    """A stretch of an archive's history.

    Attributes:
        entries: Changes, oldest first.
        last: Number of the last entry that was looked at: hand it in as `since` to go on. The
            history is at its end when it equals the archive's version.
    """

    entries: list[Entry]
    last: int


class Archive:
    """One archive.

    A path is what people type: `/a/b`, `a/b/`, `/a/./b` and `/a/x/../b` are the same.

    Attributes:
        metadata: The metadata feed; its key is the archive's.
        content: The content feed, once it is open: its key is known only from block 0.
    """

    def __init__(
        self,
        metadata: Feed,
        content: Feed | None = None,
        *,
        entries: EntrySource | None = None,
    ) -> None:
        """Read nothing yet.

        Args:
            metadata: The metadata feed.
            content: The content feed, if it is open already.
            entries: Where entries are read instead of the feed: those of a writer's next commit
                included.
        """
        self.metadata = metadata
        self.content = content
        self._entries = entries or metadata
        self._tree = AppendTree(self._entries)
        self._content_key: Key | None = None

    @property
    def version(self) -> int:
        """Number of the newest entry known here; 0 for an archive without any."""
        return max(self._entries.length - 1, 0)

    def content_key(self) -> Key:
        """Give the content feed's key.

        Raises:
            BlockMissing: Block 0 is not held here.
            ArchiveFormatError: The feed is no archive, or the key cannot be one.
        """
        if self._content_key is None:
            if not self.metadata.has(0):
                raise BlockMissing(self.metadata.discovery_key, 0)
            header = Header.decode(self.metadata.get(0))
            self._content_key = checked_content_key(header, self.metadata.key)
        return self._content_key

    def find(self, path: str, version: int | None = None) -> Entry | None:
        """Find the entry that put a file or an explicit directory.

        Returns:
            The entry, whose number changes whenever the path does; None if the path has none. It
            may be an implied folder then.

        Raises:
            VersionNotFound, BlockMissing, ArchiveFormatError: As `stat`.
        """
        self._tree.begin()
        return self._tree.get(self._head(version), resolve(path))

    def stat(self, path: str, version: int | None = None) -> Stat:
        """Tell what a path is.

        Args:
            path: File or folder.
            version: Number of the version; None for the newest known here.

        Returns:
            Its Stat; `IMPLIED_DIRECTORY` for `/` and for folders that exist through files in them.
            A path that is both a file and a folder shows the file.

        Raises:
            EntryNotFound: There is no such path.
            VersionNotFound: That version is not known here.
            BlockMissing: Entries on the way are not held here.
            ArchiveFormatError: The version's entry cannot be decoded, the feed is no archive, or a
                folder on the way has more children than a look-up may read.
        """
        head = self._head(version)
        names = resolve(path)
        if not names:
            return IMPLIED_DIRECTORY
        self._tree.begin()
        entry = self._tree.get(head, names)
        if entry is not None and entry.stat is not None:
            return entry.stat
        if self._tree.list(head, names) is None:
            raise EntryNotFound(f"/{'/'.join(names)} is not in version {head} of this archive")
        return IMPLIED_DIRECTORY

    def list(
        self,
        path: str = "/",
        version: int | None = None,
        *,
        after: str | None = None,
        limit: int | None = None,
    ) -> list[tuple[str, Stat]]:
        """List a folder, or a part of it: only of what is given the entries are looked up.

        Args:
            path: The folder.
            version: Number of the version; None for the newest known here.
            after: Only names behind this one.
            limit: No more than so many.

        Returns:
            Name and Stat of what lies directly in it, sorted by name; nothing for a file. Names
            `.` and `..`, which no path can reach, are left out.

        Raises:
            EntryNotFound, VersionNotFound, BlockMissing, ArchiveFormatError: As `stat`.
        """
        head = self._head(version)
        names = resolve(path)
        self._tree.begin()
        folder = self._tree.list(head, names)
        if folder is None:
            if names:
                raise EntryNotFound(f"/{'/'.join(names)} is not in version {head} of this archive")
            return []
        searched = _OWN_ENTRY_ROW if len(folder.children) <= _OWN_ENTRY_LIST else 1
        found: list[tuple[str, Stat]] = []
        for name in sorted(folder.children):
            if is_hidden(name) or (after is not None and name <= after):
                continue
            if limit is not None and len(found) >= limit:
                break
            self._tree.begin()
            stat = self._child(folder.children[name], (*names, name), searched)
            if stat is not None:
                found.append((name, stat))
        return found

    def walk(self, path: str = "/", version: int | None = None, after: Sequence[int] = ()) -> Walk:
        """Go through all files and explicit directories at and below a path, lazily.

        Args:
            path: Folder or file.
            version: Number of the version; None for the newest known here.
            after: `cursor` of an earlier walk of the same path and version.

        Raises:
            EntryNotFound, VersionNotFound, BlockMissing, ArchiveFormatError: As `stat`.
        """
        return Walk(self._tree, self._head(version), resolve(path), after)

    def history(self, since: int = 0, limit: int = 1000, path: str = "/") -> HistoryPage:
        """Give the changes after a version, oldest first.

        Args:
            since: Number of the version; 0 for all.
            limit: Most changes to give.
            path: Only changes at or below this path.

        Returns:
            Changes, fewer than `limit` if `HISTORY_LOOKED_AT` entries were looked at. Entries that
            cannot be decoded are left out.

        Raises:
            BlockMissing: The first of these entries is not held here.
            ArchiveFormatError: The feed is no archive.
        """
        newest = self._head(None)
        names = resolve(path)
        found: list[Entry] = []
        last = since = max(since, 0)
        for seq in range(since + 1, min(newest, since + HISTORY_LOOKED_AT) + 1):
            if len(found) == limit:
                break
            if not self._entries.has(seq):
                if found or last > since:
                    break
                raise self._missing_from(seq)
            self._tree.begin()
            entry = self._tree.member(seq)
            if entry is not None and split_name(entry.name)[: len(names)] == names:
                found.append(entry)
            last = seq
        return HistoryPage(found, last)

    def diff(self, old: int, new: int) -> Diff:
        """Tell what turns version `old` into version `new`, lazily, in the reference's order.

        Raises:
            VersionNotFound: One of them is not known here.
            BlockMissing: The newest entry of one of them is not held here.
            ArchiveFormatError: As `stat`.
        """
        return Diff(self._tree, self._head(old), self._head(new))

    def succession(
        self, old: int, new: int, path: str = "/", after: Sequence[str] | None = None
    ) -> Succession:
        """Tell what became of each file between two versions: the truth, where `diff` is not.

        Args:
            old: Number of a version.
            new: Number of another.
            path: Only what is at or below it.
            after: `cursor` of an earlier one of the same versions and path.

        Raises:
            VersionNotFound, BlockMissing, ArchiveFormatError: As `diff`.
        """
        return Succession(self._tree, self._head(old), self._head(new), resolve(path), after)

    def newest_change(self, path: str, version: int | None = None) -> Entry | None:
        """Find the newest change at or below a path, as far as a version's index leads there.

        As long as the path exists, asking again for the version before the change that was found
        gives them all. Changes from before it was there once more are out of sight.

        Raises:
            VersionNotFound, BlockMissing, ArchiveFormatError: As `stat`.
        """
        self._tree.begin()
        return self._tree.newest_below(self._head(version), resolve(path))

    def changes(self, numbers: Iterable[int]) -> Sequence[Entry]:
        """Read some entries; those that cannot be decoded are left out.

        Raises:
            BlockMissing: One of them is not held here.
        """
        self._tree.begin()
        return [entry for entry in map(self._tree.member, numbers) if entry is not None]

    def names(self, start: int, stop: int) -> Sequence[tuple[str, ...] | None]:
        """Tell which paths the entries `start` to `stop` change; ends before one not held here.

        Returns:
            Components of each; None for an entry that cannot be decoded.
        """
        found: list[tuple[str, ...] | None] = []
        for seq in range(start, stop):
            try:
                # Past the memory of entries: nobody will ask for these again.
                found.append(Entry.decode(seq, self._entries.get(seq)).components)
            except BlockMissing:
                break
            except ArchiveFormatError:
                found.append(None)
        return found

    def moment(self, time: int) -> MomentSearch:
        """Look for the version that was the newest at a time.

        Args:
            time: Milliseconds since 1970.

        Raises:
            BlockMissing, ArchiveFormatError: As `stat`.
        """
        return MomentSearch(self._tree, self._head(None), time)

    def spans(self, stat: Stat, start: int, stop: int) -> Sequence[Span]:
        """Tell which content blocks hold the bytes `start` to `stop` of a file.

        Returns:
            Neighbouring spans from `start` on, as many as are known; call again behind them for
            the rest (see `file_blocks.spans`).

        Raises:
            BlockMissing: Where `start` lies is not known; fetch that block and call again.
            ArchiveFormatError: It is no file, or its entry does not fit the signed sizes.
        """
        if not stat.is_file:
            raise ArchiveFormatError(f"this is no file that could be read (mode {stat.mode:#o})")
        if self.content is None:
            raise BlockMissing(self.content_key().discovery_key.raw, stat.offset)
        return file_blocks.spans(self.content, stat, start, stop)

    def manifest(self, version: int | None = None) -> Manifest | None:
        """Read `/dat.json`.

        Returns:
            What it says, cleaned; None if there is none, or none that makes sense.

        Raises:
            BlockMissing: It exists, but is not held here.
            VersionNotFound, ArchiveFormatError: As `stat`.
        """
        entry = self.find(MANIFEST_PATH, version)
        if entry is None or entry.stat is None or entry.stat.size > MAX_MANIFEST_SIZE:
            return None
        try:
            return parse_manifest(self._read_small(entry.stat))
        except ArchiveFormatError:
            return None  # an entry that lies makes its file unreadable, nothing else

    def _read_small(self, stat: Stat) -> bytes:
        data = b""
        while len(data) < stat.size:
            for block, start, stop in self.spans(stat, len(data), stat.size):
                assert self.content is not None
                data += self.content.get(block)[start:stop]
        return data

    def _head(self, version: int | None) -> int:
        newest = self.version
        if self.metadata.length:
            self.content_key()  # a plain feed has no versions
        if version is None:
            return newest
        if not 0 <= version <= newest:
            raise VersionNotFound(f"version {version} is not known here: the newest is {newest}")
        return version

    def _child(self, seq: int, names: tuple[str, ...], searched: int) -> Stat | None:
        # What a listed name is; `seq` is the newest entry at or below it.
        entry = self._tree.entry(seq)
        if entry.stat is not None and split_name(entry.name) == names:
            return entry.stat
        row = self._tree.row(entry, len(names))
        if not row:
            return None
        for number in row if len(row) <= searched else row[:1]:
            # Fetching a whole folder for the sake of its own entry would cost too much.
            member = self._tree.member(number) if self._entries.has(number) else None
            if member and member.stat is not None and split_name(member.name) == names:
                return member.stat
        return IMPLIED_DIRECTORY

    def _missing_from(self, seq: int) -> BlockMissing:
        ahead = range(seq + 1, min(self._entries.length, seq + _MISSING_NAMED))
        also = [number for number in ahead if not self._entries.has(number)]
        return BlockMissing(self.metadata.discovery_key, seq, also)


def resolve(path: str) -> tuple[str, ...]:
    r"""Split what a caller names: `.`, `..`, doubled and trailing slashes go; `..` stops at `/`.

    The reference turns `\` into `/` as well; here it stays, or files with such a name, which other
    writers can make, could be listed but not read.
    """
    names: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del names[-1:]
        elif part not in ("", "."):
            names.append(part)
    return tuple(names)
