"""The index area of bitfield pages: are all, none or some blocks of ever larger stretches here?

We never read it. Other programs trust it to find missing blocks, so what is written must be right:
it is computed here from the *have* bits alone, never carried over from what a file held.

Positions are numbered in order, like nodes of a feed's tree, over all pages. Page p holds positions
512p to 512p+510, the tree over its own 1024 bytes of *have*, and 512p+511, a node above pages.

Source: sleep.md section 8.
"""

from collections.abc import Iterable, Mapping
from typing import Final

HAVE_SIZE: Final = 1024
INDEX_SIZE: Final = 512
OLD_INDEX_SIZE: Final = 256

_ROOT: Final = 255  # position of a page's own root within its area
_LEVELS: Final = 9  # 256 leaves and eight levels above them


def _tuple_of(value: int, full: int) -> int:
    return 0b11 if value == full else 0b01 if value else 0b00


# One *have* byte as a tuple; one index byte as the nibble that its parent holds of it.
_BYTE_TO_TUPLE: Final = bytes(_tuple_of(byte, 0xFF) for byte in range(256))
_TO_NIBBLE: Final = bytes(
    _tuple_of(byte >> 4, 0xF) << 2 | _tuple_of(byte & 0xF, 0xF) for byte in range(256)
)


def page_index(have: bytes | bytearray) -> bytearray:
    """The 512 index bytes over one page's 1024 bytes of *have*, the last of them 0.

    A level is computed in one go: bytes of a big number never carry into each other, because
    every part is shifted to bits of its own.
    """
    area = bytearray(INDEX_SIZE)
    tuples = have.translate(_BYTE_TO_TUPLE)
    first, second, third, fourth = (int.from_bytes(tuples[at::4], "big") for at in range(4))
    count = HAVE_SIZE // 4
    level = (first << 6 | second << 4 | third << 2 | fourth).to_bytes(count, "big")
    area[0::2] = level
    for depth in range(1, _LEVELS):
        nibbles = level.translate(_TO_NIBBLE)
        count //= 2
        left, right = int.from_bytes(nibbles[0::2], "big"), int.from_bytes(nibbles[1::2], "big")
        level = (left << 4 | right).to_bytes(count, "big")
        area[(1 << depth) - 1 :: 2 << depth] = level
    return area


def page_root(have: bytes | bytearray) -> int:
    """The byte at a page's own root (position 255 of its area): a tuple for each quarter."""
    root = 0
    quarter = HAVE_SIZE // 4
    for at in range(0, HAVE_SIZE, quarter):
        part = have[at : at + quarter]
        ones = part.count(0xFF)
        root = root << 2 | (0b11 if ones == quarter else 0b01 if part.strip(b"\0") else 0b00)
    return root


class UpperIndex:
    """The positions above single pages, one for each page, kept up to date as pages change."""

    def __init__(self) -> None:
        self._roots: dict[int, int] = {}
        self._uppers: dict[int, int] = {}
        self._count = 0

    def get(self, page: int) -> int:
        """The byte at position 511 of a page's area."""
        return self._uppers.get(page, 0)

    def update(self, roots: Mapping[int, int], count: int) -> set[int]:
        """Take in what changed.

        Args:
            roots: Page number to the byte at its root (`page_root`), for changed and new pages.
            count: Number of pages there are now, holes included; never less than before.

        Returns:
            Pages whose upper byte is another one now.
        """
        offsets = set(roots)
        if self._count and count > self._count:
            # A position that did not exist counts as 0. Those that come to exist with older
            # pages below them all lie above the page that was the last one.
            offsets.add(self._count - 1)
        self._roots.update(roots)
        self._count = count
        changed: set[int] = set()
        depth = 1
        while (1 << (depth - 1)) - 1 < count:
            offsets = {offset >> 1 for offset in offsets}
            for offset in offsets:
                page = (offset << depth) + (1 << (depth - 1)) - 1
                if page < count and self._set(page, self._above(offset, depth)):
                    changed.add(page)
            depth += 1
        return changed

    def _above(self, offset: int, depth: int) -> int:
        """The byte of the node at a depth above page roots, from its two children."""
        if depth == 1:
            children = self._roots
            left, right = offset * 2, offset * 2 + 1
        else:
            children = self._uppers
            left = (offset * 2 << (depth - 1)) + (1 << (depth - 2)) - 1
            right = left + (1 << (depth - 1))
        return _TO_NIBBLE[children.get(left, 0)] << 4 | _TO_NIBBLE[children.get(right, 0)]

    def _set(self, page: int, value: int) -> bool:
        if self._uppers.get(page, 0) == value:
            return False
        self._uppers[page] = value
        return True


def old_index_areas(haves: Mapping[int, bytes], count: int) -> dict[int, bytes]:
    """The 256-byte areas of pages of 3328 bytes.

    They have room for half of the positions only: the tree over page p lies in pages 2p and 2p+1,
    and there is none over the upper half of the pages. What old programs write themselves depends
    on the order of events; this is the function for new pages, cut where positions end.

    Args:
        haves: Page number to its 1024 bytes of *have*, for the pages that exist.
        count: Number of pages, holes included.

    Returns:
        Page number to area, without those that are all zeros.
    """
    whole, odd = divmod(count, 2)
    areas: dict[int, bytearray] = {}
    for page, have in haves.items():
        if page < whole:
            areas[page] = page_index(have)
        elif page == whole and odd:
            # Positions end in the middle of this tree: what lies to the right counts as 0.
            half = HAVE_SIZE // 2
            areas[page] = page_index(bytes(have[:half]).ljust(HAVE_SIZE, b"\0"))
    uppers = UpperIndex()
    roots = {page: area[_ROOT] for page, area in areas.items()}
    for page in uppers.update(roots, whole):
        areas.setdefault(page, bytearray(INDEX_SIZE))[_ROOT + OLD_INDEX_SIZE] = uppers.get(page)
    return dict(_halves(areas.items(), count))


def _halves(areas: Iterable[tuple[int, bytearray]], count: int) -> Iterable[tuple[int, bytes]]:
    for page, area in areas:
        for half in range(2):
            piece = bytes(area[half * OLD_INDEX_SIZE : (half + 1) * OLD_INDEX_SIZE])
            if page * 2 + half < count and piece.strip(b"\0"):
                yield page * 2 + half, piece
