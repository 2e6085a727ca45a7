"""Counts one version of an archive: its files, their bytes, the content blocks they are made of.

A million files take seconds, so the count goes in slices: each is one short call into the lane. A
newer version is counted by what changed since, not anew.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from datd.archive.archive import Archive, HistoryPage
from datd.archive.entries import Stat
from datd.archive.succession import Passage, Succession
from datd.archive.walk import Walk
from datd.hosting.keeping.claims import Claims
from datd.hosting.keeping.replaced import Replaced
from datd.replication.block_map import BlockMap

# T-27: one call into the lane takes at most 200 ms. A page of so many entries takes some 40, since
# look-ups wait behind it.
SLICE: Final = 400
# Where names are held against patterns, or two versions against one another, each takes longer.
CHOOSY_SLICE: Final = 250

Choice = Callable[[str], bool]


@dataclass(slots=True)
class Extent:
    """What the versions up to one take of the content feed, files deleted since included.

    Attributes:
        version: Up to which version that is known.
        blocks: Content blocks from the first one on.
        size: Their bytes.
    """

    version: int = 0
    blocks: int = 0
    size: int = 0

    def add(self, page: HistoryPage, version: int) -> None:
        """Go on by a page of the history, up to a version."""
        for entry in page.entries:
            if entry.seq <= version and entry.stat is not None and entry.stat.is_file:
                self.blocks = max(self.blocks, entry.stat.offset + entry.stat.blocks)
                self.size = max(self.size, entry.stat.byte_offset + entry.stat.size)
        self.version = min(page.last, version)


class Count(NamedTuple):
    """What is on record of a version that was here in full, and no two files of which share blocks.

    Attributes:
        version: Which one.
        files: Files in it.
        size: Their bytes.
        blocks: Content blocks of the chosen ones.
        claimed_size: Bytes of those.
    """

    version: int
    files: int
    size: int
    blocks: BlockMap
    claimed_size: int


class Tally:
    """The count of one version.

    Attributes:
        version: Which one.
        files: Files in it.
        size: Their bytes.
        claims: Content blocks of the chosen ones, whether they exist or not.
        claimed_size: Their bytes.
        extent: Content blocks that files claim, up to the last one.
        byte_extent: The same in bytes.
        replaced: Files that became others while versions were followed; None if nobody asks.
        unsound: Whether a file is gone that claimed more than there was: then only a new count can
            tell how far the others reach.
    """

    def __init__(
        self,
        archive: Archive,
        version: int,
        chosen: Choice | None = None,
        replaced: Replaced | None = None,
    ) -> None:
        """Count nothing yet; call `advance` until it is done.

        Args:
            archive: The archive.
            version: Number of a version.
            chosen: Whether the content of a path is wanted; None: of all.
            replaced: Is to hear what became another file while versions were followed.
        """
        self.version = version
        self.files = 0
        self.size = 0
        self.claims = Claims()
        self.claimed_size = 0
        self.extent = 0
        self.byte_extent = 0
        self.replaced = replaced
        self.unsound = False
        self._archive = archive
        self._chosen = chosen
        self._walk: Walk | None = None
        self._succession: Succession | None = None
        self._content_length = 0

    @classmethod
    def resume(cls, archive: Archive, count: Count, chosen: Choice | None) -> "Tally":
        """The count of an earlier version, as it is on record: it is to be followed from there."""
        made = cls(archive, count.version, chosen, Replaced())
        made.files, made.size = count.files, count.size
        made.claims, made.claimed_size = Claims.of(count.blocks), count.claimed_size
        made.extent = count.blocks.end()
        return made

    def advance(self) -> bool:
        """Count the next slice, reading files. Returns whether there is more.

        Raises:
            BlockMissing: Metadata of this version is not all here.
            ArchiveFormatError: The version's own entry makes no sense.
        """
        if self._succession is not None:
            for passage in self._succession.page(CHOOSY_SLICE):
                self._take(passage)
            return not self._succession.finished
        if self._walk is None:
            self._walk = self._archive.walk("/", self.version)
        # By pages, not by entries: a page also ends after many entries that are nothing any more.
        for path, stat in self._walk.page(SLICE if self._chosen is None else CHOOSY_SLICE):
            self._count(path, stat, 1)
        return not self._walk.finished

    def follow(self, archive: Archive, version: int) -> None:
        """Go on to another version: `advance` until it is done.

        Raises:
            BlockMissing, ArchiveFormatError: As `advance`; this count is as before.
        """
        self._succession = archive.succession(self.version, version)
        self._content_length = archive.content.length if archive.content is not None else 0
        self.version = version

    def _take(self, passage: Passage) -> None:
        for entry, sign in ((passage.old, -1), (passage.new, 1)):
            if entry is not None and entry.stat is not None:
                self._count(passage.path, entry.stat, sign)
        if self.replaced is not None:
            self.replaced.note(passage)

    def _count(self, path: str, stat: Stat, sign: int) -> None:
        if not stat.is_file:
            return
        self.files += sign
        self.size += sign * stat.size
        end = stat.offset + stat.blocks
        if sign > 0:
            self.extent = max(self.extent, end)
            self.byte_extent = max(self.byte_extent, stat.byte_offset + stat.size)
        elif end > self._content_length:
            self.unsound = True
        if self._chosen is not None and not self._chosen(path):
            return
        self.claimed_size += sign * stat.size
        change = self.claims.add if sign > 0 else self.claims.remove
        change(stat.offset, end)
