import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.feed_vectors import blocks_of, load, node

from datd import crypto
from datd.feed import flat_tree
from datd.feed.appending import push
from datd.feed.merkle import MerkleTree
from datd.types import Node

FEEDS = ["feed-text", "feed-mixed", "feed-1000"]


class NodeTable:
    """A node store in a dictionary."""

    def __init__(self, nodes):
        self.nodes = {found.index: found for found in nodes}

    def has(self, index):
        return index in self.nodes

    def get(self, index):
        return self.nodes.get(index)


def any_node(index):
    return Node(index, hashlib.blake2b(str(index).encode(), digest_size=32).digest(), 1)


def tree_of(indexes):
    """A tree of which only these nodes are known; every length is signed by its number."""
    tree = MerkleTree(
        NodeTable(map(any_node, indexes)), lambda length: b"%064d" % length if length else None
    )
    length = tree.measure()
    tree.grow(length, tree.roots(length) or [])
    return tree


def nodes_of_length(length):
    return [
        index
        for index in range(2 * length)
        if flat_tree.right_span(index) < 2 * length  # type: ignore[arg-type]
    ]


def signed(proof):
    return int(proof.signature) if proof.signature else 0


@pytest.mark.parametrize("name", FEEDS)
def test_appending_makes_the_nodes_and_roots_of_the_reference(name):
    roots: list[Node] = []
    made = {}
    feed = load(name)
    for index, block in enumerate(blocks_of(name)):
        want = feed["lengths"][index]
        assert [root.index for root in roots] == want["roots"]
        assert crypto.root_hash(roots).hex() == want["rootHash"]
        assert sum(root.size for root in roots) == want["byteLength"]
        for new in push(roots, Node(2 * index, crypto.leaf_hash(block), len(block))):
            made[new.index] = new
    assert [made[index] for index in sorted(made)] == [node(row) for row in feed["nodes"]]


def test_proofs_for_every_block_and_digest_are_those_of_the_reference():
    for length, blocks in enumerate(load("proofs")["proofs"], 1):
        tree = tree_of(nodes_of_length(length))
        assert tree.length == length
        for block, rows in enumerate(blocks):
            for is_hash, digest, indexes, signature_of in rows:
                proof = tree.proof(block, digest=digest, hash_only=bool(is_hash))
                assert proof is not None
                assert [found.index for found in proof.nodes] == indexes, (length, block, digest)
                assert signed(proof) == signature_of


def test_a_sender_that_remembers_digests_sends_what_the_reference_sends():
    for sequence in load("proofs")["sequences"]:
        tree = tree_of(nodes_of_length(sequence["length"]))
        remote: set[int] = set()
        for block, is_hash, digest, indexes, signature_of in sequence["steps"]:
            proof = tree.proof(block, digest=digest, hash_only=bool(is_hash), remote=remote)
            assert proof is not None
            assert [found.index for found in proof.nodes] == indexes
            assert signed(proof) == signature_of


def test_partial_holders_know_length_digests_and_proofs():
    for state in load("partial-trees")["states"]:
        tree = tree_of(state["tree"])
        assert tree.length == state["length"]
        assert [root.index for root in tree.roots() or []] == state["roots"]
        blocks = range(len(state["digests"]))
        assert tree.digests(blocks) == state["digests"]
        assert [digest for block in blocks for digest in tree.digests([block])] == state["digests"]
        for block, want in enumerate(state["proofs"]):
            proof = tree.proof(block)
            if want is None:
                assert proof is None
            else:
                assert proof is not None
                assert [[found.index for found in proof.nodes], signed(proof)] == want


def test_a_missing_signature_is_replaced_by_that_of_another_signed_length():
    nodes = NodeTable(map(any_node, nodes_of_length(6)))
    tree = MerkleTree(nodes, lambda length: b"5" * 64 if length == 5 else None)
    tree.grow(6, tree.roots(6) or [])
    proof = tree.proof(1, hash_only=True)
    assert proof is not None
    assert [found.index for found in proof.nodes] == [2, 0, 5, 8]
    assert proof.signature == b"5" * 64
    # Block 5 is not below length 5, and nothing later is signed.
    assert tree.proof(5) is None


@pytest.mark.parametrize("seek", load("seek")["seeks"], ids=lambda seek: seek["feed"])
def test_bytes_are_found_in_the_blocks_of_the_reference(seek):
    tree = MerkleTree(NodeTable(node(row) for row in load(seek["feed"])["nodes"]), lambda _: None)
    tree.grow(length := tree.measure(), tree.roots(length) or [])
    assert [tree.block_offset(block) for block in range(length)] == seek["blockStart"]
    for byte, block, rest in seek["rows"]:
        if 0 < byte < tree.byte_length:
            assert tree.seek(byte) == (2 * block, rest)


@given(st.sets(st.integers(0, 40)), st.integers(0, 40), st.integers(0, 2**60))
def test_any_digest_from_a_peer_gives_a_proof_or_none(known, block, digest):
    tree = tree_of(known)
    proof = tree.proof(block, digest=digest)
    if proof is not None:
        assert tree.has(2 * block)
        assert {found.index for found in proof.nodes} <= known


@given(st.integers(1, 200), st.data())
def test_a_digest_describes_exactly_what_the_asker_lacks(length, data):
    block = data.draw(st.integers(0, length - 1))
    holder = tree_of(nodes_of_length(length))
    asker_knows = set(data.draw(st.sets(st.sampled_from(nodes_of_length(length)))))
    asker = tree_of(asker_knows)
    proof = holder.proof(block, digest=asker.digests([block])[0])
    assert proof is not None
    # With what came and what it has, the asker can climb to a node it has or to the roots.
    known = asker_knows | {found.index for found in proof.nodes}
    top = flat_tree.leaf(block)
    tops = flat_tree.full_roots(2 * length)
    while top not in asker_knows and top not in tops:
        assert flat_tree.sibling(top) in known
        top = flat_tree.parent(top)
