import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.feed_vectors import (
    contents,
    load,
    node,
    ranges,
)
from tests.helpers.feeds import feed_of
from tests.helpers.small_feeds import (
    known_nodes,
    new_feed,
    present,
    reader_of,
    receive,
    send,
)

from datd import crypto
from datd.errors import BlockMissing, ForkError, IntegrityError
from datd.feed import verify
from datd.feed.feed import Feed
from datd.feed.merkle import Proof
from datd.keys import Key
from datd.storage.memory import memory_feed_storage
from datd.types import Node


@pytest.mark.parametrize("exchange", load("exchanges")["exchanges"], ids=lambda x: x["title"])
def test_an_exchange_of_the_reference_step_by_step(exchange):
    key = Key(bytes.fromhex(exchange["key"]))
    feed = Feed.open(memory_feed_storage(), key)
    for step in exchange["steps"]:
        # In two steps the sender ignored the digest, says their note.
        if not {"more", "same,"} & set(step.get("note", "").split()):
            assert feed.digest(step["index"]) == step["digest"]
        with pytest.raises(IntegrityError) if "error" in step else contextlib.nullcontext():
            receive(feed, step)
        assert (feed.length, feed.byte_length) == (step["length"], step["byteLength"])
        assert present(feed) == ranges(step["have"])
        assert known_nodes(feed) == set(step["tree"])
    final = exchange["final"]
    assert [length - 1 for length in range(1, 400) if feed._store.signature_of(length)] == final[
        "signaturesAt"
    ]
    for row in final["nodes"]:
        want, got = node(row), feed._tree.get(row[0])
        assert got == want if got is not None else feed._intake.verifier.loose[row[0]] == want.hash


@pytest.mark.parametrize("case", load("hostile")["cases"], ids=lambda case: case["title"])
def test_t22_what_the_reference_wrongly_accepts_is_refused(case):
    feed = Feed.open(memory_feed_storage(), Key(bytes.fromhex(case["key"])))
    *before, last = case["messages"]
    for message in before:
        receive(feed, message)
    length, nodes, files = feed.length, known_nodes(feed), contents(feed._storage)
    with pytest.raises(IntegrityError) as caught:
        receive(feed, last)
    assert (feed.length, known_nodes(feed), contents(feed._storage)) == (length, nodes, files)
    if before:
        assert isinstance(caught.value, ForkError)
        assert caught.value.evidence.hex() == last["signature"]
        assert caught.value.length == 5
        assert crypto.verify(caught.value.root_hash, caught.value.evidence, feed.key.raw)


def test_t22_a_fork_that_only_meets_below_a_newer_root_is_noticed():
    ours, theirs = new_feed([b"a", b"b", b"c"]), new_feed([b"A", b"b", b"c"])
    theirs.append([b"d", b"e", b"f", b"g", b"h"])
    reader = reader_of(ours)
    send(ours, reader, 2)  # knows root 1 of the first history
    reader.put(7, *theirs.serve(7))  # and root 7 of the second, not linked to it
    with pytest.raises(ForkError) as caught:
        reader.put(0, *theirs.serve(0))
    assert caught.value.evidence
    assert not reader.has(0)


def poisoned(proof, first, second):
    """The two lowest sizes of a hash answer changed so that their sum stays."""
    one, two, *rest = proof.nodes
    assert first + second == one.size + two.size
    return Proof([one._replace(size=first), two._replace(size=second), *rest], proof.signature)


def test_t19_lied_sizes_in_a_hash_answer_are_never_used():
    blocks = [bytes([index]) * 100 for index in range(8)]
    holder = new_feed(blocks)
    reader = reader_of(holder)
    reader.put_hashes(2, poisoned(holder.proof(2, hash_only=True), 1, 199))
    assert reader.length == 8
    with pytest.raises(BlockMissing):
        reader.block_size(2)
    with pytest.raises(BlockMissing):
        reader.proof(2, hash_only=True)
    # An honest peer then finishes the feed, whatever the order.
    send(holder, reader, 3, 2, 7, 0, 1, 5, 4, 6)
    assert [reader.get(block) for block in range(8)] == blocks
    reader.close()
    assert contents(reader._storage)["data"] == b"".join(blocks)
    assert contents(reader._storage)["tree"] == contents(holder._storage)["tree"]


def test_t19_the_hashes_of_a_poisoned_answer_still_save_the_next_ones():
    holder = new_feed([b"one", b"three", b"x"])
    reader = reader_of(holder)
    reader.put_hashes(0, poisoned(holder.proof(0, hash_only=True), 7, 1))
    assert reader.digest(0) == reader.digest(1) == 1
    with pytest.raises(IntegrityError):
        reader.put(1, b"there", Proof([]))
    reader.put(1, b"three", Proof([]))
    assert reader.block_size(0) == 3
    reader.put(0, b"one", Proof([]))
    assert reader.get(0) + reader.get(1) == b"onethree"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda nodes: nodes[::-1],
        lambda nodes: [*nodes, nodes[0]],
        lambda nodes: [nodes[0], *nodes],
        lambda nodes: [*nodes, *(Node(2 * i, bytes(32), 1) for i in range(1000, 1200))],
        lambda nodes: nodes[1:],
        lambda nodes: [nodes[0]._replace(hash=nodes[0].hash[:31]), *nodes[1:]],
        lambda nodes: [nodes[0]._replace(size=2**53), *nodes[1:]],
        lambda nodes: [*nodes[:-1], nodes[-1]._replace(index=2**52)],
    ],
    ids=["reversed", "double-last", "double-first", "l14-many", "short", "hash", "size", "far"],
)
def test_t20_spoilt_nodes_are_refused(spoil):
    holder = new_feed([bytes([index]) for index in range(13)])
    value, proof = holder.serve(5)
    reader = reader_of(holder)
    with pytest.raises(IntegrityError):
        reader.put(5, value, Proof(spoil(list(proof.nodes)), proof.signature))
    assert reader.length == 0
    assert all(not data for data in contents(reader._storage).values())


def test_t20_surplus_nodes_must_be_in_order_too():
    holder = new_feed([bytes([index]) for index in range(13)])
    reader = reader_of(holder)
    send(holder, reader, 5)
    value, proof = holder.serve(4)
    with pytest.raises(IntegrityError):
        reader.put(4, value, Proof(proof.nodes[::-1], proof.signature))
    reader.put(4, value, proof)
    assert reader.get(4) == b"\x04"


def test_t21_roots_held_here_do_not_vouch_for_a_block_that_never_reached_them():
    holder = new_feed([bytes([index]) for index in range(11)])
    reader = reader_of(holder)
    send(holder, reader, 8)
    proof = holder.proof(4)
    assert [found.index for found in proof.nodes] == [10, 13, 3, 17, 20]
    cut = [found for found in proof.nodes if found.index != 3]
    with pytest.raises(IntegrityError):
        reader.put(4, b"forged", Proof(cut, proof.signature))
    assert present(reader) == {8}


def test_t21_a_signature_that_fails_over_known_roots_is_told_from_a_bad_block():
    holder = new_feed([b"a", b"b", b"c"])
    reader = reader_of(holder)
    proof = holder.proof(1, hash_only=True)
    with pytest.raises(IntegrityError) as caught:
        reader.put_hashes(1, proof._replace(signature=bytes(64)))
    assert caught.value.signature
    with pytest.raises(IntegrityError):
        reader.put(1, b"b", holder.proof(1)._replace(signature=bytes(63)))


@settings(max_examples=150)
@given(st.data())
def test_one_changed_field_in_a_valid_answer_changes_nothing_here(data):
    holder = new_feed([bytes([index]) * (index % 5) for index in range(11)])
    reader = reader_of(holder)
    send(holder, reader, *data.draw(st.lists(st.integers(0, 10), max_size=3)))
    block = data.draw(st.integers(0, 10))
    value, proof = holder.serve(block)
    nodes = list(proof.nodes)
    which = data.draw(st.integers(0, len(nodes) - 1))
    field = data.draw(st.sampled_from(["index", "hash", "size", "value", "drop"]))
    if field == "drop":
        del nodes[which]
    elif field == "value":
        value += b"\0"
    elif field == "hash":
        nodes[which] = nodes[which]._replace(hash=data.draw(st.binary(min_size=32, max_size=32)))
    else:
        nodes[which] = nodes[which]._replace(**{field: data.draw(st.integers(0, 2**53))})
    with contextlib.suppress(IntegrityError):
        reader.put(block, value, Proof(nodes, proof.signature))
    for index in present(reader):
        assert reader.get(index) == holder.get(index)
    for index in known_nodes(reader):
        assert reader._tree.get(index) == holder._tree.get(index)


def test_t19_hashes_that_others_count_on_stay_when_there_is_no_room_for_more(monkeypatch):
    monkeypatch.setattr(verify, "MAX_LOOSE", 4)
    source = feed_of([b"%d" % n * 20 for n in range(16)])
    reader = Feed.open(memory_feed_storage(), source.key)
    for block in (0, 2, 4, 6):
        reader.put_hashes(block, source.proof(block, digest=reader.digest(block), hash_only=True))
    known = [n for n in range(16) if reader.leaf_hash(n) is not None]
    assert known == [0, 1, 2, 3]
    # Asked for with the digest of 1, these come without any hash.
    assert [reader.digest(n) for n in known] == [1, 1, 1, 1]
    for block in range(16):
        assert reader.put(block, *source.serve(block, reader.digest(block)))
