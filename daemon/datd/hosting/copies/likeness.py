"""Where a feed is like another one that is held here: found by whole subtrees of hashes.

A node above many blocks that equals the other feed's says that all of them are the same. So a copy
with few changes needs some hashes a change, and not one for each pair of blocks. Both must have the
blocks at a distance that is a multiple of the subtree's width, since the trees would differ else:
copies and new versions that kept the sizes of their files do, others are compared block by block.

Decides only what to compare and what to ask for; feeds are read in their lanes, by the caller.

Source: feeds.md sections 4 and 7: hash answers bring the siblings of all nodes on the way up.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from datd.feed.feed import Feed
from datd.feed.runs import runs as neighbours
from datd.hosting.copies.known_blocks import Place

# Blocks below one node at most: as many as are worked on at a time.
_WIDEST: Final = 2**15


class Run(NamedTuple):
    """Blocks that may be those of another feed.

    Attributes:
        start: The first one.
        stop: Behind the last one.
        archive: Discovery key of the other archive.
        shift: How much higher the numbers of the same blocks are there.
    """

    start: int
    stop: int
    archive: bytes
    shift: int

    @property
    def width(self) -> int:
        """Blocks of the largest subtrees that both trees have: a power of two."""
        return min(_WIDEST, self.shift & -self.shift or _WIDEST)


class Piece(NamedTuple):
    """Blocks below one node: `width` of them, a power of two, `block` being a multiple of it."""

    block: int
    width: int


class Compared(NamedTuple):
    """A piece, and what it hashes to in this feed."""

    piece: Piece
    hash: bytes


def runs(blocks: Sequence[int], places: Mapping[int, Place]) -> list[Run]:
    """What other feeds some blocks may be found in.

    Args:
        blocks: In order.
        places: Where some of them were found. The others belong to the nearest of these.
    """
    hits = sorted(places.items())
    ends = [(one[0] + other[0]) // 2 + 1 for one, other in pairwise(hits)]
    found: list[Run] = []
    at = 0
    for start, stop in neighbours(blocks):
        while start < stop and hits:
            while at < len(ends) and ends[at] <= start:
                at += 1
            end = min(stop, ends[at]) if at < len(ends) else stop
            index, place = hits[at]
            run = Run(start, end, place.archive, place.block - index)
            if found and found[-1].stop == start and found[-1][2:] == run[2:]:
                run = run._replace(start=found.pop().start)
            found.append(run)
            start = end
    return found


class Comparison:
    """One run on its way down both trees."""

    def __init__(self, run: Run) -> None:
        """Begin with the largest pieces of a run."""
        self._pieces = _cover(run)
        self._asked: set[int] = set()

    def look(self, feed: Feed) -> tuple[list[Compared], list[int]]:
        """Go on as far as hashes are proven here; in the lane of this feed.

        Returns:
            What to compare, for `told`, and blocks whose hashes are to be asked for, which brings
            the hashes of all that is beside their way up. If both are empty, all is said.
        """
        compare: list[Compared] = []
        unknown: list[Piece] = []
        asked: list[int] = []
        beside: set[Piece] = set()
        for piece in self._pieces:
            digest = feed.subtree_hash(piece.block, piece.width)
            if digest is not None:
                compare.append(Compared(piece, digest))
            elif piece in beside:
                unknown.append(piece)  # comes along with its sibling
            elif piece.block not in self._asked:  # else nobody gave it: leave it to be fetched
                unknown.append(piece)
                asked.append(piece.block)
                beside.add(Piece(piece.block ^ piece.width, piece.width))
        self._pieces = unknown
        self._asked.update(asked)
        return compare, asked

    def told(self, compared: Sequence[Compared], equal: Sequence[bool]) -> list[Piece]:
        """Take in what a comparison said: what differs goes on with its halves.

        Returns:
            Those that are the same.
        """
        for ((block, count), _), same in zip(compared, equal, strict=True):
            if not same and count > 1:
                half = count // 2
                self._pieces += (Piece(block, half), Piece(block + half, half))
        return [one.piece for one, same in zip(compared, equal, strict=True) if same]


def equal(feed: Feed, compared: Sequence[Compared], shift: int) -> list[bool]:
    """Which pieces another feed has as well, so much higher; in the lane of that feed."""
    return [
        block + shift >= 0 and feed.subtree_hash(block + shift, count) == digest
        for (block, count), digest in compared
    ]


def _cover(run: Run) -> list[Piece]:
    """The fewest pieces that make up a run."""
    found: list[Piece] = []
    block = run.start
    while block < run.stop:
        count = min(run.width, block & -block or run.width)
        while block + count > run.stop:
            count //= 2
        found.append(Piece(block, count))
        block += count
    return found
