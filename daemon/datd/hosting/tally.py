"""Counts one version of an archive: its files, their bytes, the content blocks they are made of.

A million files take seconds, so the count goes in slices: each is one short call into the lane.
"""

from dataclasses import dataclass

from bitarray import bitarray
from bitarray.util import zeros

from datd.archive.archive import Archive, HistoryPage
from datd.archive.entries import Stat
from datd.archive.walk import Walk

# T-27: one call into the lane takes at most 200 ms; a page of so many entries takes below that.
SLICE = 1000


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


class Tally:
    """The count of one version.

    Attributes:
        version: Which one.
        files: Files in it.
        size: Their bytes.
        blocks: One bit for each content block known to exist: whether one of them needs it.
        extent: Content blocks that the files claim, whether known or not.
        byte_extent: The same in bytes.
    """

    def __init__(self, archive: Archive, version: int, content_length: int) -> None:
        self.version = version
        self.files = 0
        self.size = 0
        # As long as the signed feed, never as long as an entry claims.
        self.blocks: bitarray = zeros(content_length)
        self.extent = 0
        self.byte_extent = 0
        self._archive = archive
        self._walk: Walk | None = None

    def advance(self) -> bool:
        """Count the next slice, reading files. Returns whether there is more.

        Raises:
            BlockMissing: Metadata of this version is not all here.
            ArchiveFormatError: The version's own entry makes no sense.
        """
        if self._walk is None:
            self._walk = self._archive.walk("/", self.version)
        # By pages, not by entries: a page also ends after many entries that are nothing any more.
        for _, stat in self._walk.page(SLICE):
            self._count(stat)
        return not self._walk.finished

    def _count(self, stat: Stat) -> None:
        if not stat.is_file:
            return
        self.files += 1
        self.size += stat.size
        self.extent = max(self.extent, stat.offset + stat.blocks)
        self.byte_extent = max(self.byte_extent, stat.byte_offset + stat.size)
        self.blocks[stat.offset : stat.offset + stat.blocks] = True
