"""Entries that are made and not yet in their feed, read as if they were."""

from datd.errors import BlockMissing
from datd.feed.feed import Feed


class EntryQueue:
    """A metadata feed with the entries behind it that wait to be appended together.

    Attributes:
        blocks: The waiting entries, encoded, in order.
        size: Their bytes.
    """

    def __init__(self, metadata: Feed) -> None:
        self.blocks: list[bytes] = []
        self.size = 0
        self._metadata = metadata

    @property
    def discovery_key(self) -> bytes:
        """32 bytes, the feed's public name."""
        return self._metadata.discovery_key

    @property
    def length(self) -> int:
        """Blocks of the feed once all are appended."""
        return self._metadata.length + len(self.blocks)

    def has(self, block: int) -> bool:
        """Whether a block can be read."""
        return self._metadata.has(block) or 0 <= block - self._metadata.length < len(self.blocks)

    def get(self, block: int) -> bytes:
        """Read a block.

        Raises:
            BlockMissing: It is not here.
        """
        place = block - self._metadata.length
        if place < 0:
            return self._metadata.get(block)
        if place < len(self.blocks):
            return self.blocks[place]
        raise BlockMissing(self.discovery_key, block)

    def add(self, block: bytes) -> None:
        """Put an entry at the end."""
        self.blocks.append(block)
        self.size += len(block)

    def append_all(self) -> None:
        """Append all under one signature, unflushed; on an error they still wait.

        Raises:
            StorageError: The disk refused; the feed is as before (D-12).
            NotWritableError: Part of the feed was lost.
        """
        if self.blocks:
            self._metadata.append(self.blocks)
            self.blocks = []
            self.size = 0
