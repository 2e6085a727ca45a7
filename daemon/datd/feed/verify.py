"""Checks blocks and hashes from peers against the tree held here and the writer's signature.

Nothing is stored: what holds goes into the tree's `fresh` nodes and into `signatures`, for the feed
to write. What fails leaves no trace.

Source: feeds.md section 9, with its stricter rules for sizes, forks and surplus nodes.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from datd import crypto
from datd.crypto import leaf_hash, parent_hash
from datd.errors import ForkError, IntegrityError
from datd.feed import flat_tree
from datd.feed.merkle import MerkleTree, Proof, parent_of
from datd.types import Node, NodeIndex

# L-14. A feed of 2^53 blocks needs 53 siblings and as many roots.
MAX_PROOF_NODES = 128
# L-9. The reference keeps numbers in doubles.
MAX_SIZE = 2**53
# L-9. Longer feeds are not kept: the bitfield of 2^32 blocks alone takes 1.8 GB.
MAX_LENGTH = 2**32
# Hashes of leaves without a proven size, held in memory for one feed (about 10 MB). Only answers to
# our own hash requests bring them. Beyond, new ones are not kept: requests under way may count on
# the others, and their honest answers would not hold without them.
MAX_LOOSE = 2**16
# Good (root hash, signature) pairs that are remembered: every proof that reaches the roots brings
# one, peers are at a few lengths at most, and an Ed25519 check costs as much as hashing 40 nodes.
REMEMBERED_SIGNATURES = 64


class Verifier:
    """The receiving side of one feed's tree.

    Attributes:
        signatures: Signatures that came with accepted proofs, by the length they cover.
        loose: Hashes of leaves that are proven while their sizes are not (T-19), by node.
    """

    def __init__(self, tree: MerkleTree, public_key: bytes) -> None:
        """Serve one feed.

        Args:
            tree: Its nodes.
            public_key: 32 bytes that signatures are checked with; for a static feed its root hash.
        """
        self._tree = tree
        self._key = public_key
        self._good: set[tuple[bytes, bytes]] = set()
        self.signatures: dict[int, bytes] = {}
        self.loose: dict[int, bytes] = {}

    def check(self, block: int, value: bytes | None, proof: Proof) -> bool:
        """Accept a block, or with None for the value a hash answer, or raise.

        Args:
            block: Its index.
            value: Its bytes; None if only hashes came.
            proof: What came along. Surplus nodes are ignored once the block is proven.

        Returns:
            Whether it was accepted. If not, nodes of ours turned out to be damaged: ask again.

        Raises:
            IntegrityError: It does not hold. The peer is at fault.
            ForkError: It holds, but for a history other than the one held here.
        """
        nodes = proof.nodes
        if value is not None:
            leaf = Node(2 * block, leaf_hash(value), len(value))
            own = self._tree.get(leaf.index)
            # The usual case: the hash came along with an earlier neighbour.
            if own is not None and not nodes and own.hash == leaf.hash:
                return True
            if leaf.index in self.loose and self.loose[leaf.index] == leaf.hash:
                self._bind(leaf)
                if not nodes:
                    return True
        else:
            leaf = _leaf_of_hash_answer(block, nodes)
            nodes = nodes[1:]
        if len(nodes) > MAX_PROOF_NODES:
            raise IntegrityError(
                f"the proof of block {block} has {len(nodes)} nodes, "
                f"more than the {MAX_PROOF_NODES} that any feed needs",
                index=block,
            )
        return self._climb(block, leaf, nodes, proof.signature, is_hash=value is None)

    def _climb(
        self,
        block: int,
        leaf: Node,
        nodes: Sequence[Node],
        signature: bytes | None,
        *,
        is_hash: bool,
    ) -> bool:
        climb = _Climb(self._tree, block, leaf, nodes)
        try:
            climb.run(self, signature, is_hash=is_hash)
        except IntegrityError:
            # Before a peer is blamed, or a fork is cried: is it our own disk that lies?
            rotten = [index for index in climb.conflicts if self._tree.drop_rotten(index)]
            if not rotten:
                raise
            with suppress(IntegrityError):
                _Climb(self._tree, block, leaf, nodes).run(self, signature, is_hash=is_hash)
                return True
            return False
        return True

    def _bind(self, leaf: Node) -> None:
        """A value fixes the size of a loose leaf, and its sibling's with the parent's sum."""
        index = NodeIndex(leaf.index)
        fresh = self._tree.fresh
        sibling = flat_tree.sibling(index)
        above = self._tree.get(flat_tree.parent(index))
        if above is None or sibling not in self.loose or above.size < leaf.size:
            raise IntegrityError(
                f"block {index // 2} is larger than the node above it", index=index // 2
            )
        fresh[index] = leaf
        fresh[sibling] = Node(sibling, self.loose.pop(sibling), above.size - leaf.size)
        del self.loose[index]

    def loosen(self, leaf: Node, sibling: Node) -> None:
        """Keep two hashes whose sizes are only somebody's word."""
        if len(self.loose) + 2 > MAX_LOOSE:
            return
        self.loose[leaf.index] = leaf.hash
        self.loose[sibling.index] = sibling.hash

    def signature_holds(self, root_hash: bytes, signature: bytes | None) -> bool:
        """Whether the writer signed these roots, or the feed is static and has just these."""
        if signature is None:
            return root_hash == self._key
        pair = (root_hash, signature)
        if pair in self._good:
            return True
        if len(signature) != crypto.SIGNATURE_SIZE:
            return False
        if not crypto.verify(root_hash, signature, self._key):
            return False
        if len(self._good) >= REMEMBERED_SIGNATURES:
            self._good.clear()
        self._good.add(pair)
        return True


def _leaf_of_hash_answer(block: int, nodes: Sequence[Node]) -> Node:
    # The reference does not compare the number and then marks a leaf as known that is not stored.
    if not nodes or nodes[0].index != 2 * block:
        raise IntegrityError(
            f"the hash answer for block {block} does not begin with node {2 * block}", index=block
        )
    _check_node(nodes[0], block)
    return nodes[0]


def _check_node(node: Node, block: int) -> None:
    if len(node.hash) != crypto.HASH_SIZE or not 0 <= node.size < MAX_SIZE:
        raise IntegrityError(
            f"node {node.index} in the proof of block {block} has a hash of {len(node.hash)} bytes "
            f"and size {node.size}",
            index=block,
        )


class _Climb:
    """One proof on its way from the leaf to a node known here, or to signed roots."""

    def __init__(self, tree: MerkleTree, block: int, leaf: Node, nodes: Sequence[Node]) -> None:
        self.tree = tree
        self.block = block
        self.top = leaf
        self.nodes = nodes
        self.used = 0
        self.found: list[Node] = []  # to be trusted when the climb succeeds
        self.loose: tuple[Node, Node] | None = None
        self.conflicts: list[int] = []  # nodes of ours that say otherwise

    def run(self, verifier: Verifier, signature: bytes | None, *, is_hash: bool) -> None:
        leaf = self.top
        if self._climb():
            if self.used < len(self.nodes):
                self._check_order()
            if self.conflicts:
                self._raise_fork_below()
            if not is_hash and not all(self.tree.has(one.index) for one in self.nodes[self.used :]):
                self._keep_surplus(leaf, verifier, signature)
        else:
            self._finish_at_roots(verifier, signature, is_hash=is_hash)
        if is_hash and self.loose is not None:
            verifier.loosen(*self.loose)
            self.found = self.found[2:]
        elif verifier.loose:
            verifier.loose.pop(leaf.index, None)
            verifier.loose.pop(leaf.index ^ 2, None)
        fresh = self.tree.fresh
        for node in self.found:
            fresh[node.index] = node

    def _climb(self) -> bool:
        """Go up as far as siblings are there; whether a known node confirmed the way."""
        get, nodes, found = self.tree.get, self.nodes, self.found
        top, used, count, step = self.top, 0, len(self.nodes), 2
        own = get(top.index)
        while own is None or own.hash != top.hash:
            if own is not None:
                self.conflicts.append(top.index)
            index = top.index ^ step
            if used < count and nodes[used].index == index:
                sibling = self._take(nodes[used])
                used += 1
                if step == 2 and found:
                    self.loose = (top, sibling)
            elif own is None and (held := get(index)) is not None:
                # Against a node that contradicts ours only the peer's own nodes may speak.
                sibling = held
            else:
                self.top, self.used = top, used
                return False
            if own is None:
                found.append(top)
            size = top.size + sibling.size
            if index > top.index:
                digest = parent_hash(top.hash, sibling.hash, size)
            else:
                digest = parent_hash(sibling.hash, top.hash, size)
            top = Node(top.index & ~step | step >> 1, digest, size)
            step <<= 1
            own = get(top.index)
        self.top, self.used = top, used
        return True

    def _take(self, node: Node) -> Node:
        """Use a node of the peer: ours instead if we hold the same."""
        own = self.tree.get(node.index)
        if own is None:
            _check_node(node, self.block)
            self.found.append(node)
            return node
        if own.hash == node.hash:
            return own
        _check_node(node, self.block)
        self.conflicts.append(node.index)
        return node

    def _keep_surplus(self, leaf: Node, verifier: Verifier, signature: bytes | None) -> None:
        """Learn what else came along, as far as it holds: the peer may count on all of it.

        While the answer was under way another peer, at another length, may have proven what lies
        below; a peer that knows we keep hashes (wire.md section 7) sends none of these again.
        """
        self.top, self.used, sure = leaf, 0, len(self.found)
        ends = [flat_tree.right_span(NodeIndex(one.index)) for one in (leaf, *self.nodes)]
        roots = flat_tree.full_roots(max(ends) + 2) if signature is not None else []
        with suppress(IntegrityError):
            while self.top.index not in roots and self._lift():
                if self.tree.has(self.top.index):
                    sure = len(self.found)
                    if self.used == len(self.nodes):
                        break
            else:
                self._finish_at_roots(verifier, signature, is_hash=False)
                sure = len(self.found)
        del self.found[sure:]

    def _lift(self) -> bool:
        """One step up, with a sibling of the peer's or of ours; whether there is one.

        Raises:
            IntegrityError: It says otherwise than what is held here.
        """
        top, left = self.top, self.nodes[self.used : self.used + 1]
        index = flat_tree.sibling(NodeIndex(top.index))
        sibling = self.tree.get(index)
        if left and left[0].index == index:
            sibling = self._take(left[0])
            self.used += 1
        if sibling is None:
            return False
        if not self.tree.has(top.index):
            self.found.append(top)
        self.top = parent_of(*sorted((top, sibling)))
        own = self.tree.get(self.top.index)
        if self.conflicts or (own is not None and own.hash != self.top.hash):
            raise IntegrityError(f"surplus nodes of block {self.block} contradict what is held")
        return True

    def _finish_at_roots(
        self, verifier: Verifier, signature: bytes | None, *, is_hash: bool
    ) -> None:
        length = self._length()
        roots = self._roots(length)
        if sum(root.size for root in roots) >= MAX_SIZE:
            raise IntegrityError(
                f"block {self.block} belongs to a feed too large", index=self.block
            )
        root_hash = crypto.root_hash(roots)
        if not verifier.signature_holds(root_hash, signature):
            self._raise_unsigned(length, root_hash, signature, verifier, is_hash=is_hash)
        self.tree.static |= signature is None
        if self.conflicts:
            raise _fork(self.block, length, root_hash, signature or b"")
        if signature is not None:
            verifier.signatures[length] = signature
        if length > self.tree.length:
            self.tree.grow(length, roots)

    def _length(self) -> int:
        last = self.nodes[-1].index if self.used < len(self.nodes) else self.top.index
        end = max(
            flat_tree.right_span(NodeIndex(self.top.index)),
            flat_tree.right_span(NodeIndex(last)),
        )
        if end >= 2 * MAX_LENGTH:
            raise IntegrityError(
                f"the proof of block {self.block} speaks of {end // 2 + 1} blocks, "
                f"at most {MAX_LENGTH} are kept",
                index=self.block,
            )
        return end // 2 + 1

    def _roots(self, length: int) -> list[Node]:
        """Roots of the proven length: the top of the climb, the peer's, or ours."""
        roots = []
        for index in flat_tree.full_roots(2 * length):
            if index == self.top.index:
                root: Node | None = self.top
                if self.tree.get(index) is None:
                    self.found.append(self.top)
            elif self.used < len(self.nodes) and self.nodes[self.used].index == index:
                root = self._take(self.nodes[self.used])
                self.used += 1
            else:
                root = self.tree.get(index)
            if root is None:
                raise IntegrityError(
                    f"the proof of block {self.block} lacks root {index}", index=self.block
                )
            roots.append(root)
        # Without the second half, roots of ours would vouch for a block that never reached them.
        if self.used != len(self.nodes) or self.top not in roots:
            raise IntegrityError(
                f"the proof of block {self.block} has nodes that belong nowhere", index=self.block
            )
        return roots

    def _check_order(self) -> None:
        """T-20: honest surplus is siblings going up, then roots going right."""
        block, highest, right = self.block, 0, -1
        for node in self.nodes:
            index = node.index
            bit = ~index & (index + 1)  # 2^depth
            if right < 0 and bit > highest and index // (2 * bit) == (block // bit) ^ 1:
                highest = bit
            elif index > right:
                right = index
            else:
                raise IntegrityError(
                    f"the nodes in the proof of block {block} are not in order", index=block
                )

    def _raise_unsigned(
        self,
        length: int,
        root_hash: bytes,
        signature: bytes | None,
        verifier: Verifier,
        *,
        is_hash: bool,
    ) -> NoReturn:
        if signature is None:
            raise IntegrityError(
                f"block {self.block} does not match its hash and no signature came with it",
                index=self.block,
            )
        # A wrong value and a wrong signature look alike from here. Only when the hashes are beyond
        # doubt is it the signature: an honest peer whose file was edited sends wrong values too.
        own = self.tree.roots(length)
        blame = is_hash or (own is not None and crypto.root_hash(own) == root_hash)
        raise IntegrityError(
            f"the signature with block {self.block} does not hold for length {length}",
            index=self.block,
            signature=blame,
        )

    def _raise_fork_below(self) -> NoReturn:
        """Two signed histories meet in our own tree: an old root contradicts the newer ones."""
        length = self.tree.signed_length(self.block)
        roots = self.tree.roots(length) or []
        evidence = self.tree.signature_of(length) if length else None
        raise _fork(self.block, length, crypto.root_hash(roots), evidence or b"")


def _fork(block: int, length: int, root_hash: bytes, evidence: bytes) -> ForkError:
    return ForkError(
        f"a valid signature for length {length} covers another history than the one held here",
        index=block,
        length=length,
        root_hash=root_hash,
        evidence=evidence,
    )
