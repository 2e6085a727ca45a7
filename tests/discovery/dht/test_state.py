import pytest
from hypothesis import given
from hypothesis import strategies as st

from datd.discovery.dht import bencode, state
from datd.discovery.dht.contacts import Contact
from datd.discovery.dht.state import MAX_NODES, NodeState
from datd.types import Address

ID = b"i" * 20
CONTACTS = (
    Contact(b"a" * 20, Address("10.0.0.1", 6881)),
    Contact(b"b" * 20, Address("8.8.8.8", 1)),
    Contact(b"c" * 20, Address("2001:4860::1", 2)),
)


def test_what_is_written_is_read_again():
    assert state.decode(state.encode(ID, CONTACTS)) == NodeState(ID, CONTACTS)
    assert state.decode(state.encode(ID, [])) == NodeState(ID, ())


def test_a_state_has_an_end():
    many = [Contact(ID, Address("10.0.0.1", 1 + at)) for at in range(5000)]
    written = state.encode(ID, many)
    read = state.decode(written)
    assert read is not None
    assert len(read.contacts) == MAX_NODES


@pytest.mark.parametrize(
    "data",
    [
        *(None, b"", b"x", b"le", b"d" * 200_000),
        bencode.encode({b"version": 2, b"id": ID}),
        bencode.encode({b"version": 1}),
        bencode.encode({b"version": 1, b"id": b"short"}),
        bencode.encode({b"version": 1, b"id": [1]}),
    ],
)
def test_what_is_no_state_is_left_aside(data):
    assert state.decode(data) is None


def test_nodes_that_cannot_be_are_left_aside():
    nowhere = [
        Contact(ID, Address(host, port)) for host, port in (("224.0.0.1", 1), ("8.8.8.8", 0))
    ]
    assert state.decode(state.encode(ID, nowhere)) == NodeState(ID, ())
    odd = bencode.encode({b"version": 1, b"id": ID, b"nodes": 7, b"nodes6": b"cut"})
    assert state.decode(odd) == NodeState(ID, ())


@given(st.binary(max_size=20), st.integers(0, 100), st.integers(0, 8))
def test_t31_a_damaged_state_does_no_harm(data, at, left_out):
    whole = state.encode(ID, CONTACTS)
    read = state.decode(whole[:at] + data + whole[at + left_out :])
    assert read is None or len(read.node_id) == 20
