"""What an archive held when an import began, folder by folder.

Entries never change, so this stays true while the import queues its own.
"""

from datd.archive.append_tree import AppendTree
from datd.archive.archive import Archive
from datd.archive.entries import IMPLIED_DIRECTORY, Stat, split_name
from datd.archive.walk import Walk

# A folder of our own may be wider than what a look-up on behalf of others reads.
_READS = 2**32

# Name of a child, and the newest entry at or below it.
Children = dict[str, int]


class KnownVersion:
    """One version of an archive of our own. Paths are relative, without a slash in front."""

    def __init__(self, archive: Archive) -> None:
        """Take the newest version.

        Raises:
            ArchiveFormatError: The feed is no archive.
        """
        if archive.metadata.length:
            archive.content_key()
        self._tree = AppendTree(archive.metadata, most_reads=_READS)
        self._head = archive.version

    def children(self, path: str) -> Children:
        """What lies directly in a folder; nothing if there is none."""
        self._tree.begin()
        folder = self._tree.list(self._head, _names(path))
        return {} if folder is None else folder.children

    def stat(self, path: str, number: int) -> Stat:
        """What a child is.

        Args:
            path: Its path.
            number: Its number among the `children` of its folder.

        Returns:
            A file, also if there is a folder at the same path; else a directory.
        """
        names = _names(path)
        self._tree.begin()
        entry = self._tree.entry(number)
        if split_name(entry.name) != names:
            own = self._tree.folder(entry, len(names)).own
            if own is None:
                return IMPLIED_DIRECTORY
            entry = self._tree.entry(own)
        return entry.stat if entry.stat is not None else IMPLIED_DIRECTORY

    def below(self, path: str) -> Walk:
        """Go through all files and explicit directories at and below a path.

        Raises:
            EntryNotFound: There is none.
        """
        return Walk(self._tree, self._head, _names(path))


def _names(path: str) -> tuple[str, ...]:
    return tuple(path.split("/")) if path else ()
