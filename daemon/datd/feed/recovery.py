"""Finds out what a feed still holds after a crash or damage.

Never a new key, never fewer blocks than a signature proves.

What the bits on disk say is believed, since they are written last; nodes without a bit must be
proven by hashes up to signed roots, blocks without a bit by their leaf. A folder from somebody else
is opened without that belief.

Source: sleep.md section 10, "Recovery procedure".
"""

from collections.abc import Iterator
from typing import NamedTuple

from bitarray import bitarray
from bitarray.util import zeros

from datd import crypto
from datd.errors import StorageError
from datd.feed import flat_tree
from datd.feed.appending import MAX_BLOCK_SIZE, push
from datd.feed.bitfield import MAX_BLOCKS, Bitfield
from datd.feed.identity import Identity
from datd.feed.merkle import MerkleTree, parent_of
from datd.feed.store import FeedStore
from datd.types import Node, NodeIndex


class Recovered(NamedTuple):
    """What came of it.

    Attributes:
        length: Blocks of the feed now.
        claimed: Blocks it should have had by its bitfield.
        changed: Whether anything on disk was not as it should be.
    """

    length: int
    claimed: int
    changed: bool


def sound_tree(store: FeedStore, key: bytes) -> MerkleTree | None:
    """The quick check at open: roots readable and signed, files as long as the bits say.

    Args:
        store: The open files.
        key: 32 bytes, the feed's key.

    Returns:
        The tree with its length, or None if the feed needs recovery.
    """
    if store.damaged:
        return None
    tree = MerkleTree(store, store.signature_of)
    length = tree.measure()
    roots = tree.roots(length)
    if roots is None or store.tree.count() > 2 * length or store.signatures.count() > length:
        return None
    if length == 0:
        return tree
    signature = store.signature_of(length)
    root_hash = crypto.root_hash(roots)
    tree.static = root_hash == key
    if not tree.static and (signature is None or not crypto.verify(root_hash, signature, key)):
        return None
    tree.grow(length, roots)
    last = store.bitfield.nodes(roots[-1].index, 2 * length).find(1, right=True)
    if roots[-1].index + last >= store.tree.count() or not _blocks_are_covered(store, tree):
        return None
    return tree


def _blocks_are_covered(store: FeedStore, tree: MerkleTree) -> bool:
    """Whether each block here has its hash, and the last one its bytes."""
    have = store.bitfield.have(0, tree.length)
    last = have.find(1, right=True)
    if last < 0:
        return True
    # A page may have been torn between its two halves.
    if (have & ~store.bitfield.nodes(0, 2 * tree.length)[::2]).any():
        return False
    leaf, offset = tree.get(2 * last), tree.block_offset(last)
    if leaf is None or offset is None:
        return False
    return leaf.size == 0 or offset + leaf.size <= store.data.size()


def recover(
    store: FeedStore, identity: Identity, *, trust_bits: bool = True
) -> tuple[MerkleTree, Recovered]:
    """Bring files and bits into agreement.

    Args:
        store: The open files; repaired where the disk takes it, else in memory.
        identity: The key that signatures must hold for. With its secret, what was appended and not
            signed on disk is kept and signed again, to the same bytes.
        trust_bits: Believe the bitfield where nothing speaks against it.

    Returns:
        The tree with its length, and what was found.

    Raises:
        StorageError: Signatures are here and none holds for this key, or a file cannot be read.
    """
    return _Recovery(store, identity, trust_bits=trust_bits).run()


class _Recovery:
    """One run; also the node store of what lies in the tree file, proven or not."""

    def __init__(self, store: FeedStore, identity: Identity, *, trust_bits: bool) -> None:
        self.store = store
        self.key = identity.key.raw
        self.secret = identity.secret
        self.data_size = store.data.size()
        self.made: dict[int, Node] = {}
        self.signatures: dict[int, bytes] = {}
        self.tree = MerkleTree(self, store.signature_of)
        self.claimed = MerkleTree(store, store.signature_of).measure()
        count = min(store.tree.count(), 2 * MAX_BLOCKS)
        self.present = zeros(count + 4 - count % 4, endian="big")
        for index, _ in store.tree.scan():
            if index < count:
                self.present[index] = 1
        bits = store.bitfield.nodes(0, len(self.present))
        self.trusted = self.present & bits if trust_bits else zeros(len(bits), endian="big")
        self.trust_bits = trust_bits

    def has(self, index: int) -> bool:
        return index < len(self.present) and self.present[index] == 1

    def get(self, index: int) -> Node | None:
        if not self.has(index):
            return None
        return self.made.get(index) or self.store.stored_node(index)

    def run(self) -> tuple[MerkleTree, Recovered]:
        self._make_parents()
        length = self._find_length()
        roots = self.tree.roots(length) or []
        self.tree.grow(length, roots)
        for root in roots:
            self.trusted[root.index] = 1
        # Nodes of what lies beyond are of no use, whatever their bits say.
        self.trusted[2 * length :] = 0
        self._trust_by_hash(length)
        self._trust_older_roots(length)
        self._make_leaves()
        have = self._find_blocks(length)
        if self.secret is not None and self.trust_bits:
            self._keep_unsigned(have)
        changed = self._repair(have)
        tree = MerkleTree(self.store, self.store.signature_of)
        tree.static = self.tree.static
        tree.grow(self.tree.length, self.tree.roots() or [])
        return tree, Recovered(tree.length, self.claimed, changed)

    # Nodes

    def _make_parents(self) -> None:
        """Compute lost parents whose children are both here, from the leaves up."""
        size = len(self.present)
        level = 1
        while (first := (1 << level) - 1) < size:
            step, half = 2 << level, 1 << (level - 1)
            left = self.present[first - half :: step]
            right = self.present[first + half :: step]
            own = self.present[first::step]
            shortest = min(len(left), len(right), len(own))
            lost = left[:shortest] & right[:shortest] & ~own[:shortest]
            for place in lost.search(1):
                self._make_parent(first + place * step, half)
            level += 1

    def _make_parent(self, index: int, half: int) -> None:
        left, right = self.get(index - half), self.get(index + half)
        assert left is not None
        assert right is not None
        self.made[index] = parent_of(left, right)
        self.present[index] = 1
        self.trusted[index] = self.trusted[left.index] & self.trusted[right.index]

    def _trust_by_hash(self, length: int) -> None:
        """Trust nodes without a bit that hash to a trusted parent, from the roots down."""
        doubtful = self.present[: 2 * length] & ~self.trusted[: 2 * length]
        for level in reversed(range(length.bit_length())):
            first, step = (1 << level) - 1, 2 << level
            for place in doubtful[first::step].search(1):
                index = first + place * step
                if not self.trusted[index]:
                    self._trust_pair(NodeIndex(index))

    def _trust_pair(self, index: NodeIndex) -> None:
        above, sibling = flat_tree.parent(index), flat_tree.sibling(index)
        if above >= len(self.trusted) or not self.trusted[above]:
            return
        parent, left, right = self.get(above), *map(self.get, sorted((index, sibling)))
        if parent is None or left is None or right is None:
            return
        if parent_of(left, right) == parent:
            self.trusted[index] = self.trusted[sibling] = 1

    def _trust_older_roots(self, length: int) -> None:
        """Trust what hangs below roots of older lengths that newer proofs did not pass."""
        doubtful = self.present[: 2 * length] & ~self.trusted[: 2 * length]
        if not doubtful.any():
            return
        for older in range(length - 1, 0, -1):
            if not any(doubtful[root] for root in flat_tree.full_roots(2 * older)):
                continue
            roots, signature = self.tree.roots(older), self.store.signature_of(older)
            if roots is None or signature is None:
                continue
            if crypto.verify(crypto.root_hash(roots), signature, self.key):
                for root in roots:
                    self.trusted[root.index] = 1
        self._trust_by_hash(length)

    def _make_leaves(self) -> None:
        """A lost leaf follows from its data, when parent and sibling are here to check it."""
        left, above, right = self.trusted[0::4], self.trusted[1::4], self.trusted[2::4]
        for place in (above & (left ^ right)).search(1):
            lost = NodeIndex(4 * place + (2 if left[place] else 0))
            self._make_leaf(lost)

    def _make_leaf(self, index: NodeIndex) -> None:
        parent, sibling = self.get(flat_tree.parent(index)), self.get(flat_tree.sibling(index))
        offset = self.tree.block_offset(index // 2)
        if parent is None or sibling is None or offset is None or sibling.size > parent.size:
            return
        value = self._read(offset, parent.size - sibling.size)
        leaf = Node(index, crypto.leaf_hash(value), len(value))
        left, right = sorted((leaf, sibling))
        if parent_of(left, right) == parent:
            self.made[index] = leaf
            self.present[index] = self.trusted[index] = 1

    # Length

    def _find_length(self) -> int:
        """The longest length that a signature proves, or that we may sign again."""
        failed = False
        for length in self._signed_lengths():
            roots = self.tree.roots(length)
            signature = self.store.signature_of(length)
            if roots is None or signature is None:
                continue
            if self._is_signed(roots, signature):
                return length
            failed = True
        whole = self.tree.measure()
        if whole and crypto.root_hash(self.tree.roots(whole) or ()) == self.key:
            self.tree.static = True
            return whole
        if failed and self.claimed:
            raise StorageError(
                f"no signature in {self.store.signatures.name} holds for the key of this feed: "
                "restore the files `key` and `signatures` from a backup"
            )
        # Signatures that are gone altogether can be made again by who has the secret key.
        if self.secret is not None and self.trust_bits and self.tree.roots(self.claimed):
            return self.claimed
        return 0

    def _is_signed(self, roots: list[Node], signature: bytes) -> bool:
        """Whether the signature holds, for the roots as they are or as their children have them."""
        if crypto.verify(crypto.root_hash(roots), signature, self.key):
            return True
        again = [self._from_children(root) for root in roots]
        if again == roots or not crypto.verify(crypto.root_hash(again), signature, self.key):
            return False
        self.made.update((root.index, root) for root in again)
        return True

    def _from_children(self, node: Node) -> Node:
        left = flat_tree.left_child(NodeIndex(node.index))
        if left is None:
            return node
        first, second = self.get(left), self.get(flat_tree.sibling(left))
        return node if first is None or second is None else parent_of(first, second)

    def _signed_lengths(self) -> Iterator[int]:
        highest = self.store.signatures.highest()
        yield from range(0 if highest is None else highest + 1, 0, -1)

    # Blocks

    def _find_blocks(self, length: int) -> bitarray:
        """The have bits: what is recorded and nothing speaks against, and what proves itself."""
        leaves = self.trusted[0 : 2 * length : 2]
        # A copy that holds only the beginning knows no node towards the end.
        leaves.extend(zeros(length - len(leaves), endian="big"))
        have = self.store.bitfield.have(0, length) & leaves
        if not self.trust_bits:
            have.setall(0)
        self._drop_beyond_the_end(have)
        for block in (leaves & ~have).search(1):
            have[block] = self._holds(block)
        return have

    def _drop_beyond_the_end(self, have: bitarray) -> None:
        block = have.find(1, right=True)
        while block >= 0:
            leaf, offset = self.get(2 * block), self.tree.block_offset(block)
            if leaf is not None and offset is not None and offset + leaf.size <= self.data_size:
                return
            have[block] = 0
            block = have.find(1, 0, block, right=True)

    def _holds(self, block: int) -> bool:
        leaf, offset = self.get(2 * block), self.tree.block_offset(block)
        if leaf is None or offset is None:
            return False
        return crypto.leaf_hash(self._read(offset, leaf.size)) == leaf.hash

    def _read(self, offset: int, size: int) -> bytes:
        # A size from a damaged entry must not become an allocation.
        if size > MAX_BLOCK_SIZE or offset + size > self.data_size:
            return b""
        return self.store.data.read(offset, size)

    def _keep_unsigned(self, have: bitarray) -> None:
        """Keep what an append left beyond the signed length, as far as it is whole; sign again."""
        assert self.secret is not None
        roots = self.tree.roots(self.tree.length) or []
        length, offset = self.tree.length, self.tree.byte_length
        while (leaf := self.get(2 * length)) is not None:
            if crypto.leaf_hash(self._read(offset, leaf.size)) != leaf.hash:
                break
            offset += leaf.size
            length += 1
            have.append(1)
            for node in push(roots, leaf):
                self.made[node.index] = node
                self._note(node.index)
        if length and (length > self.tree.length or self.store.signature_of(length) is None):
            self.tree.grow(length, roots)
            self.signatures[length] = crypto.sign(crypto.root_hash(roots), self.secret)

    def _note(self, index: int) -> None:
        short = index + 4 - len(self.present)
        if short > 0:
            self.present.extend(zeros(short, endian="big"))
            self.trusted.extend(zeros(short, endian="big"))
        self.present[index] = self.trusted[index] = 1

    # Result

    def _repair(self, have: bitarray) -> bool:
        """Write what differs; whether anything did."""
        bits = self.store.bitfield
        old_nodes, old_have = bits.nodes(), bits.have()
        nodes = {index: node for index, node in self.made.items() if self.trusted[index]}
        fresh: Bitfield | None = None
        if self.store.bits_lost or _loses(old_nodes, self.trusted) or _loses(old_have, have):
            fresh = bits = Bitfield(self.store.bitfield_file, page_size=bits.page_size)
        bits.set_nodes(self.trusted.search(1))
        for start, end in _runs(have):
            bits.set_range(start, end)
        if not (nodes or self.signatures or fresh or bits.dirty or self.store.damaged):
            return False
        # Bits that speak of more of our own than is left are the warning not to append (D-3).
        keep = self.secret is not None and self.claimed > self.tree.length
        self.store.repair(nodes, self.signatures, fresh, hold_bits=keep)
        return True


def _loses(old: bitarray, new: bitarray) -> bool:
    """Whether a bit that is set in the old field is not in the new one."""
    common = min(len(old), len(new))
    return (old[:common] & ~new[:common]).any() or old[common:].any()


def _runs(bits: bitarray) -> Iterator[tuple[int, int]]:
    start = bits.find(1)
    while start >= 0:
        end = bits.find(0, start)
        if end < 0:
            end = len(bits)
        yield start, end
        start = bits.find(1, end)
