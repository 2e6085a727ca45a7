"""How a feed of our own grows: leaves join the roots, equal neighbours become their parent.

Source: feeds.md sections 4 and 5; sleep.md section 10 for the order of writes.
"""

from collections.abc import Sequence

from datd import crypto
from datd.crypto import leaf_hash
from datd.errors import StorageError
from datd.feed.merkle import MerkleTree, parent_of
from datd.feed.store import FeedStore
from datd.types import Node

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


def append(tree: MerkleTree, store: FeedStore, blocks: Sequence[bytes], secret: bytes) -> None:
    """Add blocks under one signature, unflushed.

    Args:
        tree: Grows when all is written.
        store: Takes data, nodes and the signature; then the bits are set.
        blocks: At least one.
        secret: The feed's 64-byte secret key.

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
    start, length = tree.length, tree.length + len(blocks)
    nodes = {
        node.index: node
        for index, block in enumerate(blocks, start)
        for node in push(roots, Node(2 * index, leaf_hash(block), len(block)))
    }
    data = b"".join(blocks)
    signature = crypto.sign(crypto.root_hash(roots), secret)
    try:
        store.write([(tree.byte_length, data)] if data else [], nodes.values(), {length: signature})
    except StorageError:
        store.roll_back(start, tree.byte_length, nodes.values())
        raise
    store.mark(nodes)
    store.bitfield.set_range(start, length)
    tree.grow(length, roots)
