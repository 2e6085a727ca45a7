"""The hash tree of a feed that lies on a web server, as far as it was looked at. Pure.

Pages of the `tree` file are fetched as they are needed: whoever looks at a node of a page that is
not here is told which one to fetch, and looks again. Nothing in them is believed: they go into
proofs, which are checked like those of any peer.

Source: sleep.md sections 5 and 8, feeds.md sections 6 and 7.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from datd.errors import DatdError
from datd.feed import flat_tree
from datd.feed.merkle import MerkleTree
from datd.storage.sleep import HEADER_SIZE, TREE
from datd.types import Node, NodeIndex

_NODE: Final = TREE.entry_sizes[0]
# 2.5 KiB: nodes high in the tree lie far apart, so each costs a page, and the headers of HTTP cost
# a quarter of that.
PAGE_NODES: Final = 64
_SHIFT: Final = 6
# 2.5 MiB a feed while it is asked for: the paths of all blocks that are under way.
_MOST_PAGES: Final = 1024
# feeds.md: numbers stay below 2^53; a size beyond is no size.
_MOST_BYTES: Final = 2**53


class PageMissing(DatdError):
    """A page of the tree has to be fetched first."""

    def __init__(self, page: int) -> None:
        super().__init__(f"page {page} of the tree is not here")
        self.page = page


class RemoteTree:
    """Nodes of a tree on a server; a `NodeStore`."""

    def __init__(self) -> None:
        self.length = 0
        self._pages: OrderedDict[int, bytes] = OrderedDict()

    def begin(self, length: int) -> None:
        """The feed is said to have so many blocks: nodes of others do not exist.

        Pages are forgotten: what was blank in them may have been written since.
        """
        self.length = length
        self._pages.clear()

    def has(self, index: int) -> bool:
        """Whether the server has a node.

        Raises:
            PageMissing: That is not known yet.
        """
        return self.get(index) is not None

    def get(self, index: int) -> Node | None:
        """A node, or None.

        Raises:
            PageMissing: It is not known yet.
        """
        if flat_tree.right_span(NodeIndex(index)) >= 2 * self.length:
            return None
        page = self._pages.get(index >> _SHIFT)
        if page is None:
            raise PageMissing(index >> _SHIFT)
        start = (index & (PAGE_NODES - 1)) * _NODE
        entry = page[start : start + _NODE]
        if len(entry) != _NODE or not any(entry):
            return None
        size = int.from_bytes(entry[32:], "big")
        return Node(index, entry[:32], size) if size < _MOST_BYTES else None

    def put(self, first: int, stop: int, data: bytes) -> None:
        """Take pages `first` to `stop` that were fetched; what lies behind the data is blank."""
        size = PAGE_NODES * _NODE
        for number in range(first, stop):
            at = (number - first) * size
            self._pages[number] = data[at : at + size]
            self._pages.move_to_end(number)
        while len(self._pages) > _MOST_PAGES:
            self._pages.popitem(last=False)

    def missing(self, nodes: Iterable[int]) -> list[tuple[int, int]]:
        """Ranges of pages, `(first, stop)`, to be fetched before nodes can be looked at."""
        numbers = sorted(
            {
                index >> _SHIFT
                for index in nodes
                if flat_tree.right_span(NodeIndex(index)) < 2 * self.length
            }
            - self._pages.keys()
        )
        found: list[tuple[int, int]] = []
        for number in numbers:
            if found and number <= found[-1][1]:
                found[-1] = (found[-1][0], number + 1)
            else:
                found.append((number, number + 1))
        return found

    @staticmethod
    def page_range(first: int, stop: int) -> tuple[int, int]:
        """The bytes of the `tree` file that hold pages."""
        size = PAGE_NODES * _NODE
        return HEADER_SIZE + first * size, HEADER_SIZE + stop * size


def nodes_around(first: int, last: int, length: int) -> list[int]:
    """The nodes that proofs and offsets of the blocks `first` to `last` are made of.

    Args:
        first: The first block.
        last: The last one, with all in between.
        length: Blocks of the feed.
    """
    found = [*flat_tree.full_roots(2 * length), *range(2 * first, 2 * last + 1)]
    for block in {first, last}:
        node = flat_tree.leaf(block)
        while flat_tree.right_span(flat_tree.parent(node)) < 2 * length:
            # Its own ancestors are siblings to those of the blocks beside it.
            found += (node, flat_tree.sibling(node))
            node = flat_tree.parent(node)
    # Roots of the blocks before the first one, whose sizes tell where it starts: they are siblings
    # of its path, or roots.
    return found


def tree_of(nodes: RemoteTree, signature: bytes) -> MerkleTree:
    """A tree of the length that `nodes` has, which proves with that signature.

    Raises:
        PageMissing: Roots are not known yet.
        ValueError: There is no such length on the server.
    """
    length = nodes.length
    tree = MerkleTree(nodes, lambda asked: signature if asked == length else None)
    roots = tree.roots(length)
    if roots is None:
        raise ValueError(f"hashes of {length} blocks are not there")
    tree.grow(length, roots)
    return tree
