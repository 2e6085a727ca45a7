"""Which blocks of a feed are here, and which nodes of its tree are known, in SLEEP pages.

Bits are kept in memory, page by page, only where one is set; `write_pages` puts changed pages on
disk. Closing tree bits upwards, and when a page may be written, is the business of the feed.

Source: sleep.md section 8.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from bitarray import bitarray
from bitarray.util import zeros

from datd.errors import StorageError
from datd.feed.bitfield_index import (
    HAVE_SIZE,
    UpperIndex,
    old_index_areas,
    page_index,
    page_root,
)
from datd.storage.base import RandomAccess
from datd.storage.sleep import BITFIELD, HEADER_SIZE, read_entry_size

PAGE_BLOCKS: Final = 8192
PAGE_NODES: Final = 16384

# L-9: indexes of 2^32 and above are not kept. It also ends a sparse file of terabytes.
MAX_BLOCKS: Final = 2**32

_TREE_SIZE: Final = 2048
_INDEX_START: Final = HAVE_SIZE + _TREE_SIZE
_BLOCK_SHIFT: Final = 13
_NODE_SHIFT: Final = 14
_OLD_PAGE: Final = 3328

# Opening reads about this many bytes at once.
_READ_SIZE: Final = 2**20


class Bitfield:
    """The have bits and tree bits of one feed."""

    def __init__(self, file: RandomAccess, *, page_size: int = BITFIELD.entry_sizes[0]) -> None:
        """Start with nothing set, whatever the file holds; `open` reads it instead.

        Args:
            file: Where pages go; untouched until `write_pages`.
            page_size: 3584, or 3328 as programs before December 2018 made it.
        """
        self._file = file
        self.page_size = page_size
        self._pages: dict[int, bytearray] = {}
        self._have: dict[int, bitarray] = {}  # both are views into the pages
        self._tree: dict[int, bitarray] = {}
        self._dirty: set[int] = set()
        self._count = 0  # of pages, holes included
        self._have_count = 0
        self._upper: UpperIndex | None = None
        self._has_header = False

    @classmethod
    def open(cls, file: RandomAccess) -> "Bitfield":
        """Read a bitfield file; an absent one has no bit set. Writes nothing.

        Raises:
            StorageError: It is no bitfield, longer than any feed we keep, or cannot be read.
        """
        page_size = read_entry_size(file, BITFIELD)
        bitfield = cls(file, page_size=page_size or BITFIELD.entry_sizes[0])
        bitfield._has_header = page_size is not None
        bitfield._read_pages()
        return bitfield

    # Blocks

    @property
    def have_count(self) -> int:
        """How many blocks are here."""
        return self._have_count

    def get(self, block: int) -> bool:
        """Whether a block is here."""
        page = self._have.get(block >> _BLOCK_SHIFT)
        return page is not None and page[block & (PAGE_BLOCKS - 1)] == 1

    def set(self, block: int) -> bool:
        """Mark a block as here; say whether it was not."""
        number, bit = block >> _BLOCK_SHIFT, block & (PAGE_BLOCKS - 1)
        page = self._have.get(number)
        if page is None:
            self._add(number)
            page = self._have[number]
        if page[bit]:
            return False
        page[bit] = 1
        self._dirty.add(number)
        self._have_count += 1
        return True

    def clear(self, block: int) -> bool:
        """Mark a block as gone; say whether it was here."""
        return self.clear_range(block, block + 1) > 0

    def set_range(self, start: int, end: int) -> int:
        """Mark blocks `start` up to `end` as here; give how many were not."""
        return self._fill(start, end, 1)

    def clear_range(self, start: int, end: int) -> int:
        """Mark blocks `start` up to `end` as gone; give how many were here. Tree bits stay."""
        return self._fill(start, end, 0)

    def have(self, start: int = 0, end: int | None = None) -> bitarray:
        """A copy of the have bits from `start` up to `end`, most significant bit first.

        Without an end it stops behind the last page, so the last bits may all be 0.
        """
        return _gather(self._have, PAGE_BLOCKS, start, self._end(end))

    def runs(self, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
        """Stretches of blocks that are here, as (first, behind the last), within bounds."""
        stop = self._end(end)
        first = behind = -1
        for number in self._numbers(start, stop):
            page, base = self._have[number], number * PAGE_BLOCKS
            at, last = max(start - base, 0), min(stop - base, PAGE_BLOCKS)
            while (one := page.find(1, at, last)) >= 0:
                at = page.find(0, one, last)
                if at < 0:
                    at = last
                if base + one != behind:
                    if behind >= 0:
                        yield first, behind
                    first = base + one
                behind = base + at
        if behind >= 0:
            yield first, behind

    # Tree nodes

    def has_node(self, node: int) -> bool:
        """Whether a node of the tree is known."""
        page = self._tree.get(node >> _NODE_SHIFT)
        return page is not None and page[node & (PAGE_NODES - 1)] == 1

    def set_node(self, node: int) -> bool:
        """Mark a node as known; say whether it was not."""
        number, bit = node >> _NODE_SHIFT, node & (PAGE_NODES - 1)
        page = self._tree.get(number)
        if page is None:
            page = self._add(number)
        if page[bit]:
            return False
        page[bit] = 1
        self._dirty.add(number)
        return True

    def set_nodes(self, nodes: Iterable[int]) -> None:
        """Mark nodes as known, in any order."""
        by_page: dict[int, list[int]] = {}
        for node in nodes:
            number = node >> _NODE_SHIFT
            bits = by_page.get(number)
            if bits is None:
                bits = by_page[number] = []
            bits.append(node & (PAGE_NODES - 1))
        for number, bits in by_page.items():
            page = self._tree.get(number)
            if page is None:
                page = self._add(number)
            page[bits] = 1
            self._dirty.add(number)

    def set_node_range(self, start: int, end: int) -> None:
        """Mark nodes `start` up to `end` as known."""
        for number in range(start >> _NODE_SHIFT, (end - 1 >> _NODE_SHIFT) + 1):
            page = self._tree.get(number)
            if page is None:
                page = self._add(number)
            base = number * PAGE_NODES
            page[max(start - base, 0) : min(end - base, PAGE_NODES)] = 1
            self._dirty.add(number)

    def nodes(self, start: int = 0, end: int | None = None) -> bitarray:
        """A copy of the tree bits from node `start` up to `end`, or behind the last page."""
        stop = self._count * PAGE_NODES if end is None else end
        return _gather(self._tree, PAGE_NODES, start, stop)

    # Pages

    @property
    def dirty(self) -> bool:
        """Whether a bit changed since the pages were written."""
        return bool(self._dirty)

    def write_pages(self) -> int:
        """Write the pages that changed, whole, with their index; give how many.

        Nothing is flushed. After an error the pages are still counted as changed.

        Raises:
            StorageError: The disk refused.
        """
        if not self._dirty:
            return 0
        if self.page_size == _OLD_PAGE:
            self._index_old_pages()
        else:
            self._index_pages()
        numbers = sorted(self._dirty)
        writes: list[tuple[int, bytes | bytearray]] = [
            (HEADER_SIZE + number * self.page_size, self._pages[number]) for number in numbers
        ]
        if not self._has_header:
            writes.insert(0, (0, BITFIELD.header(self.page_size)))
        self._file.write_many(writes)
        self._has_header = True
        self._dirty.clear()
        return len(numbers)

    def _index_pages(self) -> None:
        touched: Iterable[int] = self._dirty
        if self._upper is None:
            # The first write since opening: what the index says of other pages was never read.
            self._upper, touched = UpperIndex(), self._pages
        roots = {number: page_root(self._pages[number][:HAVE_SIZE]) for number in touched}
        for number in self._upper.update(roots, self._count) | roots.keys():
            if number not in self._pages:
                self._add(number)
            if self._pages[number][-1] != self._upper.get(number):
                self._dirty.add(number)
        for number in self._dirty:
            page = self._pages[number]
            page[_INDEX_START:] = page_index(page[:HAVE_SIZE])
            page[-1] = self._upper.get(number)

    def _index_old_pages(self) -> None:
        haves = {number: bytes(page[:HAVE_SIZE]) for number, page in self._pages.items()}
        areas = old_index_areas(haves, self._count)
        for number in areas.keys() - self._pages.keys():
            self._add(number)
        blank = bytes(_OLD_PAGE - _INDEX_START)
        for number, page in self._pages.items():
            area = areas.get(number, blank)
            if page[_INDEX_START:] != area:
                page[_INDEX_START:] = area
                self._dirty.add(number)

    def _read_pages(self) -> None:
        size = self._file.size() - HEADER_SIZE
        self._count = max(0, -(-size // self.page_size))
        if self._count > MAX_BLOCKS // PAGE_BLOCKS:
            raise StorageError(
                f"{self._file.name} is a bitfield of {size} bytes, more than a feed of 2^32 blocks "
                "needs: move it away and have the feed recovered"
            )
        step = max(1, _READ_SIZE // self.page_size)
        for first in range(0, self._count, step):
            chunk = self._file.read(HEADER_SIZE + first * self.page_size, step * self.page_size)
            if chunk.count(0) == len(chunk):
                continue
            for number in range(first, min(first + step, self._count)):
                at = (number - first) * self.page_size
                self._take(number, chunk[at : at + self.page_size])

    def _take(self, number: int, page: bytes) -> None:
        if page[:_INDEX_START].strip(b"\0"):
            # A crash may have cut the last page.
            self._hold(number, bytearray(page.ljust(self.page_size, b"\0")))
            self._have_count += self._have[number].count()

    def _add(self, number: int) -> bitarray:
        """Begin a page; give its tree bits."""
        if not 0 <= number < MAX_BLOCKS // PAGE_BLOCKS:
            raise ValueError(f"page {number} lies beyond the 2^32 blocks that are kept (L-9)")
        self._count = max(self._count, number + 1)
        return self._hold(number, bytearray(self.page_size))

    def _hold(self, number: int, page: bytearray) -> bitarray:
        view = memoryview(page)
        self._pages[number] = page
        self._have[number] = bitarray(buffer=view[:HAVE_SIZE], endian="big")
        tree = bitarray(buffer=view[HAVE_SIZE:_INDEX_START], endian="big")
        self._tree[number] = tree
        return tree

    def _fill(self, start: int, end: int, value: int) -> int:
        changed = 0
        if value:
            numbers: Iterable[int] = range(start >> _BLOCK_SHIFT, (end - 1 >> _BLOCK_SHIFT) + 1)
        else:
            numbers = self._numbers(start, end)
        for number in numbers:
            if number not in self._have:
                self._add(number)
            page, base = self._have[number], number * PAGE_BLOCKS
            low, high = max(start - base, 0), min(end - base, PAGE_BLOCKS)
            different = page.count(1 - value, low, high)
            if different:
                page[low:high] = value
                self._dirty.add(number)
                changed += different
        self._have_count += changed if value else -changed
        return changed

    def _end(self, end: int | None) -> int:
        return self._count * PAGE_BLOCKS if end is None else end

    def _numbers(self, start: int, end: int) -> list[int]:
        """Pages held that have blocks from `start` up to `end`, in order."""
        first, last = start >> _BLOCK_SHIFT, end - 1 >> _BLOCK_SHIFT
        if last - first < len(self._have):
            return [number for number in range(first, last + 1) if number in self._have]
        return sorted(number for number in self._have if first <= number <= last)


def _gather(pages: dict[int, bitarray], page_bits: int, start: int, end: int) -> bitarray:
    bits = zeros(max(0, end - start), endian="big")
    for number, page in pages.items():
        base = number * page_bits
        low, high = max(start, base), min(end, base + page_bits)
        if low < high:
            bits[low - start : high - start] = page[low - base : high - base]
    return bits
