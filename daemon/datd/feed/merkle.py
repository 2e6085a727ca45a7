"""The hash tree of a feed as its holder sees it: lengths, offsets, digests and proofs.

Checking what others send is in `verify`; reading and writing nodes is the node store's work.
The set of known nodes is closed upwards: with both children the parent is known.

Source: feeds.md sections 6 to 8, measured from hypercore 6.26 and 7.7.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from typing import NamedTuple, Protocol

from datd.crypto import parent_hash, root_hash
from datd.feed import flat_tree
from datd.types import Node, NodeIndex

# How far a holder looks for another signed length when the nearest one has no signature. The
# reference's importer leaves gaps of up to 16, its appender can sign once for any number of blocks.
SIGNATURE_SEARCH = 1 << 16


class NodeStore(Protocol):
    """Where a tree's verified nodes lie."""

    def has(self, index: int) -> bool:
        """Whether a node is known; memory only."""

    def get(self, index: int) -> Node | None:
        """A known node, or None."""


class Proof(NamedTuple):
    """What goes along with a block to prove it.

    Attributes:
        nodes: Siblings on the way up, then the other roots; for a hash answer the leaf comes first.
        signature: 64 bytes over the roots, or None when the way ends at a node the reader has.
    """

    nodes: Sequence[Node]
    signature: bytes | None = None


def parent_of(left: Node, right: Node) -> Node:
    """The node above two siblings, `left` having the smaller number."""
    size = left.size + right.size
    index = (left.index + right.index) >> 1
    return Node(index, parent_hash(left.hash, right.hash, size), size)


class MerkleTree:
    """Nodes of one feed, and what follows from them.

    Attributes:
        length: Blocks below the roots.
        byte_length: Bytes below the roots.
        static: Whether the key is the root hash of these blocks, instead of signing them.
        fresh: Nodes verified or made here and not written yet; they count as known.
    """

    def __init__(self, nodes: NodeStore, signature_of: Callable[[int], bytes | None]) -> None:
        """Start empty; see `measure`.

        Args:
            nodes: What is stored.
            signature_of: Gives the signature stored for a length, or None.
        """
        self._nodes = nodes
        self.signature_of = signature_of
        self.fresh: dict[int, Node] = {}
        self.length = 0
        self.byte_length = 0
        self.static = False
        # Bit rot: nodes that contradict the others. They count as unknown until they come anew.
        self._rotten: set[int] = set()
        self._roots: tuple[int, list[NodeIndex]] = (0, [])

    # What is known

    def has(self, index: int) -> bool:
        """Whether a node is known here."""
        return index in self.fresh or (index not in self._rotten and self._nodes.has(index))

    def get(self, index: int) -> Node | None:
        """A node, or None."""
        node = self.fresh.get(index)
        if node is not None:
            return node
        if index in self._rotten:
            return None
        node = self._nodes.get(index)
        if node is None and self._nodes.has(index):
            self._rotten.add(index)
        return node

    def settle(self) -> None:
        """The fresh nodes are stored now."""
        self._rotten.difference_update(self.fresh)
        self.fresh.clear()

    def drop_rotten(self, index: int) -> bool:
        """Forget a node if on its way up to our roots some pair does not hash to its parent.

        Which of such three nodes is the damaged one cannot be told: all come anew with a proof.

        Returns:
            Whether it was so.
        """
        node = NodeIndex(index)
        while (sibling := self.get(flat_tree.sibling(node))) is not None:
            own, above = self.get(node), self.get(flat_tree.parent(node))
            if own is None or above is None:
                return False
            if parent_of(*sorted((own, sibling))) != above:
                self._rotten |= {node, sibling.index, above.index}
                return True
            node = NodeIndex(above.index)
        return False

    def damaged_above(self, block: int) -> bool:
        """Whether hashes that a proof of a block may build on turned out to be damaged here."""
        leaf, tops = flat_tree.leaf(block), flat_tree.full_roots(2 * self.length)
        above = ((node, flat_tree.parent(NodeIndex(node))) for node in self._rotten)
        return any(
            node in tops or flat_tree.left_span(top) <= leaf <= flat_tree.right_span(top)
            for node, top in above
        )

    def measure(self) -> int:
        """The length that the known nodes speak of: from the highest of nodes 0, 1, 3, 7 and so on.

        Nothing is changed; see `grow`.
        """
        # There may be holes below (a root can stand alone), so all are tried, up to 2^32 blocks.
        spine = [(1 << level) - 1 for level in range(33)]
        top = next((node for node in reversed(spine) if self.has(node)), None)
        return 0 if top is None else self.extent(NodeIndex(top))

    def roots(self, length: int | None = None) -> list[Node] | None:
        """The roots of a length, left to right; None when one is unknown."""
        found = []
        for index in self._root_indexes(self.length if length is None else length):
            node = self.get(index)
            if node is None:
                return None
            found.append(node)
        return found

    def grow(self, length: int, roots: Sequence[Node]) -> None:
        """Take a verified length with its roots."""
        self.length = length
        self.byte_length = sum(root.size for root in roots)

    def _root_indexes(self, length: int) -> list[NodeIndex]:
        # The newest length is asked for all the time.
        if self._roots[0] != length:
            self._roots = (length, flat_tree.full_roots(2 * length))
        return self._roots[1]

    def extent(self, node: NodeIndex) -> int:
        """Length of the prefix of the feed that a node (and what is known around it) belongs to."""
        if self.length and node in self._root_indexes(self.length):
            return self.length
        above = flat_tree.parent(node)
        while self.has(above) and self.has(flat_tree.sibling(node)):
            node, above = above, flat_tree.parent(above)
        end = flat_tree.right_span(node) + 2
        for level in range(flat_tree.depth(node) - 1, -1, -1):
            if self.has(end + (1 << level) - 1):
                end += 2 << level
        return end // 2

    # Bytes and blocks

    def block_offset(self, block: int) -> int | None:
        """Byte at which a block starts, or None when a size before it is unknown."""
        total = 0
        for index in flat_tree.full_roots(2 * block):
            node = self.get(index)
            if node is None:
                return None
            total += node.size
        return total

    def seek(self, byte: int) -> tuple[NodeIndex, int] | None:
        """Find the lowest known node that holds a byte.

        A leaf is the exact answer. Another node says that the answer lies below it.

        Returns:
            The node and the byte's offset from its start; None outside the feed.
        """
        rest = byte
        for root in self.roots() or ():
            if rest < root.size:
                return self._descend(root, rest)
            rest -= root.size
        return None

    def _descend(self, node: Node, rest: int) -> tuple[NodeIndex, int]:
        # Strictly smaller at each step, so empty blocks are passed over as in the reference.
        while (left := flat_tree.left_child(NodeIndex(node.index))) is not None:
            right = flat_tree.sibling(left)
            first, second = self.get(left), self.get(right)
            if first is not None:
                left_size = first.size
            elif second is not None:
                left_size = node.size - second.size
            else:
                break
            if rest < left_size:
                if first is None:
                    return left, rest
                node = first
            else:
                rest -= left_size
                if second is None:
                    return right, rest
                node = second
        return NodeIndex(node.index), rest

    # Asking

    def digests(self, blocks: Iterable[int], also: Container[int] = ()) -> list[int]:
        """The `nodes` numbers of requests: which nodes on the way up are here already.

        Args:
            blocks: The blocks to ask for. What lies above several of them is looked up once.
            also: Further nodes that count as known.

        Source: feeds.md section 8.
        """
        seen: dict[int, int] = {}
        codes = [self._code(2 * block, 2, also, seen) for block in blocks]
        return [1 if code and not code & (code + 1) else code for code in codes]

    def _code(self, node: int, step: int, also: Container[int], seen: dict[int, int]) -> int:
        """The digest from a node on up; `step` is twice the distance to its parent."""
        code = seen.get(node)
        if code is None:
            sibling = node ^ step
            above = node & ~step | step >> 1
            if node in also or self.has(node):
                code = 0b11
            elif above < step and sibling + (step >> 1) - 1 >= 2 * self.length:
                code = 0  # on the left edge, and nothing beside it
            else:
                # Bit 0 stays where it is: whether the last of the others is a node above.
                higher = self._code(above, step << 1, also, seen)
                code = (higher >> 1 << 2) | (higher & 1)
                if sibling in also or self.has(sibling):
                    code |= 0b10
            seen[node] = code
        return code

    # Answering

    def proof(
        self,
        block: int,
        *,
        digest: int = 0,
        hash_only: bool = False,
        remote: set[int] | None = None,
        keeps: bool = False,
    ) -> Proof | None:
        """Prove a block to somebody who knows what `digest` says.

        Args:
            block: The block; its leaf must be known.
            digest: The `nodes` number of the request.
            hash_only: The leaf is sent instead of the value.
            remote: Nodes the other side is known to have; what the digest tells is added to it.
            keeps: Whether the other side takes answers in order and keeps every hash: then what
                this proof gives it is added to `remote`, too.

        Returns:
            The proof, or None when the nodes or the signature for one are not here.

        Source: feeds.md section 7. Where the reference gives up because the newest length it knows
        has no signature, another signed length is tried.
        """
        leaf = self.get(2 * block)
        if leaf is None:
            return None
        nodes = [leaf] if hash_only else []
        if digest == 1:
            return Proof(nodes)
        if digest & 1 and remote is None:
            short = self._proof_up_to_ancestor(block, digest)
            if short is not None:
                return Proof(nodes + short)
        theirs = set() if remote is None else remote
        if digest and not (keeps and leaf.index in theirs):  # else nothing is to be sent along
            self._read_digest(2 * block, digest, theirs)
        node, step = 2 * block, 2
        climbed: list[int] = []
        proof: Proof | None = None
        while node not in theirs:
            climbed.append(node)
            index = node ^ step
            sibling = self.get(index)
            if sibling is None:
                proof = self._signed_proof(NodeIndex(node), nodes, theirs)
                if proof is None:
                    return self._proof_of_other_length(block, nodes)
                break
            if index not in theirs:
                nodes.append(sibling)
            node = node & ~step | step >> 1
            step <<= 1
        proof = proof or Proof(nodes)
        if keeps:
            theirs.update(climbed, [known.index for known in proof.nodes])
        return proof

    def _proof_up_to_ancestor(self, block: int, digest: int) -> list[Node] | None:
        """The siblings that a digest lacks below the ancestor it names; None if one is not here.

        The usual request of somebody who reads in order, answered without a set of nodes.
        """
        get, nodes = self.get, []
        node, step = 2 * block, 2
        digest >>= 1
        while digest > 1:
            if not digest & 1:
                sibling = get(node ^ step)
                if sibling is None:
                    return None
                nodes.append(sibling)
            node = node & ~step | step >> 1
            step <<= 1
            digest >>= 1
        return nodes if self.has(node) else None

    def _signed_proof(self, top: NodeIndex, nodes: list[Node], theirs: set[int]) -> Proof | None:
        """Finish a proof that went up to a root of what is known: other roots and signature."""
        length = self.extent(top)
        signature = self.signature_of(length)
        roots = self.roots(length)
        if roots is None or (signature is None and not self.static):
            return None
        others = [root for root in roots if root.index != top and root.index not in theirs]
        return Proof(nodes + others, signature)

    def _proof_of_other_length(self, block: int, nodes: list[Node]) -> Proof | None:
        length = self.signed_length(block)
        roots = self.roots(length) if length else None
        if roots is None:
            return None
        node = flat_tree.leaf(block)
        whole = [found for found in nodes if found.index == node]
        tops = {root.index for root in roots}
        while node not in tops:
            sibling = self.get(flat_tree.sibling(node))
            if sibling is None:
                return None
            whole.append(sibling)
            node = flat_tree.parent(node)
        whole += [root for root in roots if root.index != node]
        return Proof(whole, self.signature_of(length))

    def signed_roots(self) -> tuple[int, bytes, bytes] | None:
        """Length, root hash and signature of all that is held; None if it is not signed."""
        roots, signature = self.roots(), self.signature_of(self.length)
        if not self.length or roots is None or signature is None:
            return None
        return self.length, root_hash(roots), signature

    def signed_length(self, block: int) -> int:
        """The shortest signed length above a block with all roots known; 0 if there is none."""
        for length in range(block + 1, min(self.length, block + SIGNATURE_SEARCH) + 1):
            if self.signature_of(length) is not None and self.roots(length) is not None:
                return length
        return 0

    def _read_digest(self, node: int, digest: int, theirs: set[int]) -> None:
        has_ancestor = digest & 1
        digest >>= 1
        step = 2
        while digest:
            if digest == 1 and has_ancestor:
                self._add(NodeIndex(node), theirs)
                # Who has an ancestor has the roots to the left of it.
                left = NodeIndex(min(node, node ^ step))
                for root in flat_tree.full_roots(flat_tree.right_span(left) + 2):
                    self._add(root, theirs)
                return
            if digest & 1 and node ^ step not in theirs:
                self._add(NodeIndex(node ^ step), theirs)
            node = node & ~step | step >> 1
            step <<= 1
            digest >>= 1

    def _add(self, node: NodeIndex, theirs: set[int]) -> None:
        # Closed upwards: two children stand for their parent, which is therefore theirs as well.
        while node not in theirs and self.has(node):
            theirs.add(node)
            if flat_tree.sibling(node) not in theirs:
                return
            node = flat_tree.parent(node)
