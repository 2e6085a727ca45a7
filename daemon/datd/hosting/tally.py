"""Counts one version of an archive: its files, their bytes, the content blocks they are made of.

A million files take seconds, so the count goes in slices: each is one short call into the lane.
"""

from bitarray import bitarray
from bitarray.util import zeros

from datd.archive.archive import Archive
from datd.archive.entries import Stat

# T-27: one call into the lane takes at most 200 ms; reading 2,000 entries takes well below that.
SLICE = 2000


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
        self._rest = archive.walk("/", version)

    def advance(self) -> bool:
        """Count the next slice. Returns whether there is more.

        Raises:
            BlockMissing: Metadata of this version is not all here.
        """
        for _ in range(SLICE):
            found = next(self._rest, None)
            if found is None:
                return False
            self._count(found[1])
        return True

    def _count(self, stat: Stat) -> None:
        if not stat.is_file:
            return
        self.files += 1
        self.size += stat.size
        self.extent = max(self.extent, stat.offset + stat.blocks)
        self.byte_extent = max(self.byte_extent, stat.byte_offset + stat.size)
        self.blocks[stat.offset : stat.offset + stat.blocks] = True
