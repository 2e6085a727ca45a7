import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_secretbox

from datd import crypto
from datd.crypto import Keystream
from datd.types import Node
from tests.helpers.feed_vectors import load, node

VECTORS = load("crypto")
KEYS = VECTORS["keys"]


@pytest.mark.parametrize("row", KEYS, ids=lambda row: row["publicKey"][:8])
def test_key_pairs_and_discovery_keys_are_those_of_the_reference(row):
    pair = crypto.key_pair(bytes.fromhex(row["seed"]))
    assert (pair.public.hex(), pair.secret.hex()) == (row["publicKey"], row["secretKey"])
    assert crypto.discovery_key(pair.public).hex() == row["discoveryKey"]


@pytest.mark.parametrize("row", KEYS, ids=lambda row: row["publicKey"][:8])
def test_the_content_pair_follows_from_the_metadata_secret(row):
    pair = crypto.content_key_pair(bytes.fromhex(row["secretKey"]))
    assert pair.public.hex() == row["contentPublicKey"]
    assert pair.secret.hex() == row["contentSecretKey"]
    assert crypto.discovery_key(pair.public).hex() == row["contentDiscoveryKey"]


@pytest.mark.parametrize("row", KEYS, ids=lambda row: row["publicKey"][:8])
def test_signatures_are_the_same_bytes_and_hold(row):
    message, signature = bytes.fromhex(row["message"]), bytes.fromhex(row["signature"])
    assert crypto.sign(message, bytes.fromhex(row["secretKey"])) == signature
    public = bytes.fromhex(row["publicKey"])
    assert crypto.verify(message, signature, public)
    assert not crypto.verify(message + b"x", signature, public)
    assert not crypto.verify(message, signature[:-1] + bytes([signature[-1] ^ 1]), public)


@pytest.mark.parametrize("signature", [b"", bytes(10), bytes(63), bytes(64), bytes(65)])
def test_a_signature_of_any_length_is_answered_with_no(signature):
    assert not crypto.verify(b"message", signature, bytes.fromhex(KEYS[0]["publicKey"]))


def test_leaf_hashes_are_those_of_the_reference():
    for row in VECTORS["leaves"]:
        assert crypto.leaf_hash(bytes.fromhex(row["data"])).hex() == row["hash"]


def test_parent_hashes_are_those_of_the_reference():
    for row in VECTORS["parents"]:
        left, right = (node(row[side]) for side in ("left", "right"))
        assert (
            crypto.parent_hash(left.hash, right.hash, left.size + right.size).hex() == (row["hash"])
        )


def test_root_hashes_are_those_of_the_reference():
    for row in VECTORS["trees"]:
        assert crypto.root_hash(node(root) for root in row["roots"]).hex() == row["hash"]
    assert crypto.root_hash([]) != crypto.root_hash([Node(0, bytes(32), 0)])


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=6))
def test_the_key_stream_does_not_care_where_the_bytes_are_cut(data, cuts):
    key, nonce = bytes(range(32)), bytes(range(100, 124))
    stream, out = Keystream(key, nonce), bytearray()
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, end in itertools.pairwise(edges):
        out += stream.xor(data[start:end])
    assert Keystream(key, nonce).xor(out) == data


@given(st.binary(min_size=1, max_size=400))
def test_the_key_stream_is_the_xsalsa20_of_libsodium(data):
    key, nonce = bytes(range(32)), bytes(range(100, 124))
    # A secret box is that stream, the first 32 bytes of which make the tag of 16 bytes in front.
    box = crypto_secretbox(data, nonce, key)
    assert Keystream(key, nonce).xor(bytes(32) + data)[32:] == box[16:]


@pytest.mark.parametrize(("key", "nonce"), [(31, 24), (32, 23), (0, 0)])
def test_a_key_stream_needs_a_whole_key_and_nonce(key, nonce):
    with pytest.raises(ValueError, match="bytes"):
        Keystream(bytes(key), bytes(nonce))
