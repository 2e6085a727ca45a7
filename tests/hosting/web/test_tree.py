import pytest

from datd.feed import flat_tree
from datd.hosting.web.tree import PAGE_NODES, PageMissing, RemoteTree, nodes_around, tree_of

NODE = 40


def entry(number: int) -> bytes:
    return bytes([number % 250 + 1]) * 32 + (1).to_bytes(8, "big")


def loaded(length: int) -> RemoteTree:
    nodes = RemoteTree()
    nodes.begin(length)
    count = 2 * length
    nodes.put(0, -(-count // PAGE_NODES), b"".join(entry(n) for n in range(count)))
    return nodes


def test_what_is_not_here_names_the_page_to_fetch():
    nodes = RemoteTree()
    nodes.begin(1000)
    with pytest.raises(PageMissing) as missing:
        nodes.get(130)
    assert missing.value.page == 130 // PAGE_NODES
    assert nodes.missing([0, 2, 64, 300]) == [(0, 2), (4, 5)]


def test_nodes_of_a_longer_feed_do_not_exist():
    nodes = loaded(8)
    nodes.length = 4
    assert nodes.get(6) is not None
    assert nodes.get(8) is None
    assert not nodes.has(7)


def test_blank_and_huge_nodes_are_none():
    nodes = RemoteTree()
    nodes.begin(4)
    nodes.put(0, 1, bytes(NODE) + b"\1" * 32 + b"\xff" * 8)
    assert [nodes.get(n) for n in (0, 1, 2)] == [None, None, None]


@pytest.mark.parametrize("length", [1, 2, 5, 100, 1000])
def test_what_was_fetched_suffices_for_proofs_and_offsets(length):
    nodes = loaded(length)
    tree = tree_of(nodes, b"s" * 64)
    first, last = length // 3, length // 2
    asked: set[int] = set(nodes_around(first, last, length))
    for block in range(first, last + 1):
        proof = tree.proof(block)
        assert proof is not None
        assert {node.index for node in proof.nodes} <= asked
        assert proof.signature == b"s" * 64
    assert set(flat_tree.full_roots(2 * first)) <= asked


def test_a_length_without_roots_is_refused():
    nodes = RemoteTree()
    nodes.begin(4)
    nodes.put(0, 1, b"")
    with pytest.raises(ValueError, match="4 blocks"):
        tree_of(nodes, b"s" * 64)
