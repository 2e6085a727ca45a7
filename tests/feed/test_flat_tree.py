import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.vectors import vectors

from datd.feed import flat_tree
from datd.types import NodeIndex

VECTORS = json.loads((vectors("feeds") / "flat-tree.json").read_text())
FUNCTIONS = {
    "depth": flat_tree.depth,
    "offset": flat_tree.offset,
    "parent": flat_tree.parent,
    "sibling": flat_tree.sibling,
    "uncle": flat_tree.uncle,
    "leftChild": flat_tree.left_child,
    "rightChild": flat_tree.right_child,
    "leftSpan": flat_tree.left_span,
    "rightSpan": flat_tree.right_span,
    "count": flat_tree.count,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_agrees_with_the_reference(name):
    column = VECTORS["columns"].index(name)
    for row in VECTORS["nodes"]:
        got = FUNCTIONS[name](NodeIndex(row[0]))
        assert (-1 if got is None else got) == row[column], row[0]


def test_a_depth_and_an_offset_give_the_node_back():
    for number, depth, offset, *_ in VECTORS["nodes"]:
        assert flat_tree.index(depth, offset) == number


def test_the_roots_of_each_length_agree_with_the_reference():
    for end, roots in VECTORS["fullRoots"]:
        assert flat_tree.full_roots(end) == roots


@pytest.mark.parametrize("end", [1, 7, -2])
def test_roots_of_half_a_block_are_refused(end):
    with pytest.raises(ValueError, match="twice a length"):
        flat_tree.full_roots(end)


@given(st.integers(0, 2**53))
def test_family_relations_hold_for_any_node(number):
    node = NodeIndex(number)
    assert flat_tree.sibling(flat_tree.sibling(node)) == node
    assert flat_tree.parent(flat_tree.sibling(node)) == flat_tree.parent(node)
    assert node in (
        flat_tree.left_child(flat_tree.parent(node)),
        flat_tree.right_child(flat_tree.parent(node)),
    )
    leaves = (flat_tree.right_span(node) - flat_tree.left_span(node)) // 2 + 1
    assert flat_tree.count(node) == 2 * leaves - 1


@given(st.integers(0, 2**40))
def test_roots_cover_all_blocks_once(length):
    next_leaf = 0
    for root in flat_tree.full_roots(2 * length):
        assert flat_tree.left_span(root) == next_leaf
        next_leaf = flat_tree.right_span(root) + 2
    assert next_leaf == 2 * length
