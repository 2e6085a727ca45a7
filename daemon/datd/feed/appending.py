"""How a feed of our own grows: leaves join the roots, equal neighbours become their parent.

Source: feeds.md sections 4 and 5; sleep.md section 10 for the order of writes.
"""

from collections.abc import Iterable, Mapping, Sequence

from datd import crypto
from datd.crypto import leaf_hash, parent_hash
from datd.errors import StorageError
from datd.feed import flat_tree
from datd.feed.bitfield import Bitfield
from datd.feed.merkle import MerkleTree, parent_of
from datd.feed.store import FeedStore
from datd.types import Node, NodeIndex

# L-14. A frame of the wire has at most 8 MiB, and up to 128 nodes of some 50 bytes in it.
MAX_BLOCK_SIZE = 2**23 - 2**14


def push(roots: list[Node], leaf: Node) -> list[Node]:
    """Append a leaf to the roots of a feed, in place.

    Returns:
        The nodes made: the leaf, then each parent that is complete now.
    """
    made = [leaf]
    block, top = leaf.index >> 1, leaf
    # As in binary counting: each trailing 1 of the old length is a root of that size to join with.
    while block & 1:
        top = parent_of(roots.pop(), top)
        made.append(top)
        block >>= 1
    roots.append(top)
    return made


def append(
    tree: MerkleTree,
    store: FeedStore,
    blocks: Sequence[bytes],
    secret: bytes,
    hashes: Sequence[bytes] | None = None,
) -> int:
    """Add blocks under one signature, unflushed.

    Args:
        tree: Grows when all is written.
        store: Takes data and nodes, and notes the signature; then the bits are set.
        blocks: At least one.
        secret: The feed's 64-byte secret key.
        hashes: The blocks' leaf hashes, if they were worked out before.

    Returns:
        Bytes of the blocks.

    Raises:
        ValueError: A block is larger than can travel.
        StorageError: The disk refused; tree and bits are as before (D-12), the files too as far as
            the disk lets us.
    """
    if any(len(block) > MAX_BLOCK_SIZE for block in blocks):
        raise ValueError(f"a block has more than {MAX_BLOCK_SIZE} bytes")
    roots = tree.roots()
    if roots is None:
        raise StorageError(f"{store.tree.name} has lost a root of this feed")
    start, length, before = tree.length, tree.length + len(blocks), tree.byte_length
    entries = _grow(roots, start, blocks, hashes or map(leaf_hash, blocks))
    signature = crypto.sign(crypto.root_hash(roots), secret)
    tree_end = sum(root.size for root in roots)
    try:
        store.append(before, blocks, entries, length, signature)
    except StorageError:
        store.roll_back(start, before, entries)
        raise
    _mark_nodes(store.bitfield, start, roots, entries)
    store.mark({root.index: root for root in roots})  # the next append begins with them
    store.bitfield.set_range(start, length)
    tree.grow(length, roots)
    return tree_end - before


def _grow(
    roots: list[Node], start: int, blocks: Sequence[bytes], hashes: Iterable[bytes]
) -> dict[int, bytes]:
    """Append leaves to the roots, in place.

    Returns:
        What the tree file holds of each node made: its hash and its size.
    """
    # The same as `push` for each block, but for thousands of small ones: a third of the time went
    # into nodes that nobody looks at again.
    stack = [(root.hash, root.size) for root in roots]
    entries: dict[int, bytes] = {}
    for block, (data, digest) in enumerate(zip(blocks, hashes, strict=True), start):
        size, index, step = len(data), 2 * block, 1
        entries[index] = digest + size.to_bytes(8, "big")
        while block & step:
            left, left_size = stack.pop()
            size += left_size
            digest = parent_hash(left, digest, size)
            index -= step
            entries[index] = digest + size.to_bytes(8, "big")
            step <<= 1
        stack.append((digest, size))
    indexes = flat_tree.full_roots(2 * (start + len(blocks)))
    roots[:] = [Node(index, *root) for index, root in zip(indexes, stack, strict=True)]
    return entries


def _mark_nodes(
    bitfield: Bitfield, start: int, roots: Sequence[Node], entries: Mapping[int, bytes]
) -> None:
    """Count all nodes as known that appending made; `start` is the length before."""
    at = 2 * start
    bitfield.set_nodes(index for index in entries if index < at)
    for root in roots:
        # All nodes below a root are known, the one behind it is not complete yet.
        end = flat_tree.right_span(NodeIndex(root.index)) + 1
        if at < end:
            bitfield.set_node_range(at, end)
            at = end + 1
