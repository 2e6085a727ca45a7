"""The blocks of one feed that are here: read and checked, counted, damaged or dropped.

How they come in is told in `intake` and `appending`; what proves them to others in `merkle`.

Source: feeds.md section 6; sleep.md sections 7 and 9.
"""

import errno
from collections.abc import Iterable, Iterator
from typing import Final

from datd.crypto import leaf_hash
from datd.errors import BlockMissing, StorageError
from datd.feed.merkle import MerkleTree
from datd.feed.store import FeedStore

# A file system gives room back in blocks of its own, usually 4 KiB and at most 64 KiB: a hole is
# made that much wider where nothing is held beside it, or files of 300 bytes would never free any.
_REACH: Final = 65536
# Looked at on each side for that; of smaller blocks than 256 bytes some room may stay taken.
_NEIGHBOURS: Final = 256


class Blocks:
    """Blocks on disk, as far as their bits are set."""

    def __init__(self, discovery_key: bytes, store: FeedStore, tree: MerkleTree) -> None:
        """Look at nothing yet.

        Args:
            discovery_key: 32 bytes; `BlockMissing` names them.
            store: Where they lie.
            tree: Tells where in there, and what they must hash to.
        """
        self._discovery_key = discovery_key
        self._store = store
        self._tree = tree
        self._damaged: list[int] = []
        self._size: int | None = None
        self._cursor = (0, 0)  # a block and its offset: who reads in order never searches

    @property
    def size(self) -> int:
        """Bytes in them."""
        if self._size is None:
            places = self._places([(0, self._tree.length)])
            self._size = sum(size for _, size in places)
        return self._size

    def added(self, size: int) -> None:
        """So many bytes came in."""
        if self._size is not None:
            self._size += size

    def recount(self) -> None:
        """Nobody can tell how many came in: count them when somebody asks."""
        self._size = None

    # Reading

    def get(self, block: int) -> bytes:
        """Read a block and check its hash; see `Feed.get`."""
        if not self._store.bitfield.get(block):
            raise BlockMissing(self._discovery_key, block)
        leaf, offset = self._tree.get(2 * block), self._offset(block)
        if leaf is None or offset is None:
            self._lose(block)
            raise BlockMissing(self._discovery_key, block)
        value = self._read(offset, leaf.size)
        if leaf_hash(value) != leaf.hash:
            self._tree.drop_rotten(leaf.index)  # it may be the hash that is damaged
            self._lose(block)
            raise BlockMissing(self._discovery_key, block)
        self._cursor = (block + 1, offset + leaf.size)
        return value

    def audit(self, start: int, end: int) -> list[int]:
        """Read and hash the present ones from `start` up to `end`; give those now lost."""
        damaged = []
        for low, high in list(self._store.bitfield.runs(start, end)):
            for block in range(low, high):
                try:
                    self.get(block)
                except BlockMissing:
                    damaged.append(block)
        return damaged

    def take_damaged(self) -> list[int]:
        """Blocks found damaged since the last call."""
        damaged, self._damaged = self._damaged, []
        return damaged

    def _offset(self, block: int) -> int | None:
        at, offset = self._cursor
        return offset if at == block else self._tree.block_offset(block)

    def _read(self, offset: int, size: int) -> bytes:
        try:
            return self._store.data.read(offset, size)
        except StorageError as error:
            # C-9: a bad sector is a damaged block; anything else concerns the whole disk.
            if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EIO:
                return b""
            raise

    def _lose(self, block: int) -> None:
        self._store.bitfield.clear(block)
        self._damaged.append(block)
        self._size = None

    # Dropping

    def forget(self, ranges: Iterable[tuple[int, int]]) -> list[int]:
        """Take the bits of blocks away, in memory; give the blocks that were here."""
        bitfield = self._store.bitfield
        gone: list[int] = []
        for start, end in ranges:
            for low, high in list(bitfield.runs(start, min(end, self._tree.length))):
                gone.extend(range(low, high))
                if self._size is not None:
                    places = self._places([(low, high)])
                    self._size = self._size - places[0][1] if places else None
                bitfield.clear_range(low, high)
        return gone

    def remember(self, blocks: Iterable[int]) -> None:
        """The disk did not take it: those blocks are here as before."""
        for block in blocks:
            self._store.bitfield.set(block)
        self._size = None

    def punch(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Give back the room of blocks that have no bit any more.

        Args:
            ranges: Blocks; those that are here keep their bytes.

        Raises:
            StorageError: The disk refused.
        """
        for offset, size in self._gaps(ranges):
            self._store.data.punch(offset, size)

    def _gaps(self, ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """Stretches of bytes of which nothing is held, as offset and size."""
        bitfield, length = self._store.bitfield, self._tree.length
        for start, end in ranges:
            at, stop = start, min(end, length)
            for low, high in [*bitfield.runs(start, stop), (stop, stop)]:
                if at < low:
                    yield from self._widened(at, low)
                at = high

    def _widened(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Bytes of a run of blocks, and of their neighbours as far as those are not here either."""
        offset, stop = self._sound_offset(start), self._sound_offset(end - 1, behind=True)
        # Hashes that do not fit do not tell where it lies, and others lie beside it.
        if offset is None or stop is None:
            return
        first = self._last_empty(range(start - 1, max(-1, start - 1 - _NEIGHBOURS), -1))
        last = self._last_empty(range(end, min(self._tree.length, end + _NEIGHBOURS)))
        low = offset if first is None else self._sound_offset(first)
        high = stop if last is None else self._sound_offset(last, behind=True)
        low = offset if low is None else max(low, offset - _REACH)
        high = stop if high is None else min(high, stop + _REACH)
        if low < high:
            yield low, high - low

    def _last_empty(self, neighbours: range) -> int | None:
        """The last of some blocks up to which none is here, and all hashes are known."""
        found = None
        for block in neighbours:
            if self._store.bitfield.get(block) or not self._tree.has(2 * block):
                break
            found = block
        return found

    def _sound_offset(self, block: int, *, behind: bool = False) -> int | None:
        """Where a block starts, or ends, if the hashes that say so are sound."""
        if self._tree.drop_rotten(2 * block):
            return None
        return self._start_or_end(block + behind)

    def _start_or_end(self, block: int) -> int | None:
        if block >= self._tree.length:
            return self._tree.byte_length
        return self._tree.block_offset(block)

    def _places(self, ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Stretches of bytes that are here, as offset and size, where their hashes are sound."""
        found = []
        for start, end in ranges:
            for low, high in self._store.bitfield.runs(start, min(end, self._tree.length)):
                first, last = self._tree.block_offset(low), self._tree.block_offset(high - 1)
                leaf = self._tree.get(2 * high - 2)
                if first is not None and last is not None and leaf is not None:
                    found.append((first, last + leaf.size - first))
        return found
