"""Arithmetic on the in-order numbers of tree nodes. No hashes, no storage.

Leaves are even and parents lie between their children: block i is leaf 2i, and the parent of the
leaves 0 and 2 is node 1. A node's *depth* is its distance from the leaves, its *offset* the place
among the nodes of that depth.

Source: feeds.md section 3, measured from flat-tree 1.13.
"""

from datd.types import NodeIndex


def leaf(block: int) -> NodeIndex:
    """The node of a block."""
    return NodeIndex(2 * block)


def index(depth: int, offset: int) -> NodeIndex:
    """The node at a depth and offset."""
    return NodeIndex(((2 * offset + 1) << depth) - 1)


def depth(node: NodeIndex) -> int:
    """Levels between a node and the leaves: its trailing one bits."""
    return (~node & (node + 1)).bit_length() - 1


def offset(node: NodeIndex) -> int:
    """Place among the nodes of the same depth, counted from the left."""
    return node >> (depth(node) + 1)


def parent(node: NodeIndex) -> NodeIndex:
    """The node above."""
    bit = ~node & (node + 1)
    return NodeIndex(node & ~(bit << 1) | bit)


def sibling(node: NodeIndex) -> NodeIndex:
    """The other child of the same parent."""
    return NodeIndex(node ^ ((~node & (node + 1)) << 1))


def uncle(node: NodeIndex) -> NodeIndex:
    """The sibling of the parent."""
    return sibling(parent(node))


def left_child(node: NodeIndex) -> NodeIndex | None:
    """The child with the smaller number; None for a leaf."""
    level = depth(node)
    return NodeIndex(node - (1 << (level - 1))) if level else None


def right_child(node: NodeIndex) -> NodeIndex | None:
    """The child with the larger number; None for a leaf."""
    level = depth(node)
    return NodeIndex(node + (1 << (level - 1))) if level else None


def left_span(node: NodeIndex) -> NodeIndex:
    """The leftmost leaf below a node, or itself."""
    return NodeIndex(node & (node + 1))


def right_span(node: NodeIndex) -> NodeIndex:
    """The rightmost leaf below a node, or itself."""
    return NodeIndex((node | (node + 1)) - 1 if node & 1 else node)


def count(node: NodeIndex) -> int:
    """Nodes below, and itself."""
    return ((~node & (node + 1)) << 1) - 1


def full_roots(end: int) -> list[NodeIndex]:
    """The roots of a feed: one complete subtree for each 1 bit of its length, left to right.

    Args:
        end: Twice the length in blocks, which is the number of the leaf after the last.

    Raises:
        ValueError: It is odd or negative.
    """
    if end & 1 or end < 0:
        raise ValueError(f"{end} is not twice a length")
    roots = []
    start = 0
    rest = end >> 1
    while rest:
        width = 1 << (rest.bit_length() - 1)
        roots.append(NodeIndex(2 * start + width - 1))
        start += width
        rest -= width
    return roots
