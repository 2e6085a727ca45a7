"""What a node remembers over a restart: its id and the nodes that were good. Pure.

A dictionary in bencode. What is read back may be of another version, cut, or somebody's making.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from datd.discovery.dht import bencode
from datd.discovery.dht.bencode import Dictionary
from datd.discovery.dht.contacts import (
    FAMILIES,
    ID_SIZE,
    Contact,
    decode_nodes,
    encode_nodes,
    family_of,
    possible,
)
from datd.errors import ProtocolError

_VERSION = 1
# Of each family. A full table has about so many; a few dozen that still live are enough.
MAX_NODES = 200
_MAX_SIZE = 65536
_KEYS = {4: b"nodes", 6: b"nodes6"}


@dataclass(frozen=True, slots=True)
class NodeState:
    """What is remembered.

    Attributes:
        node_id: 20 bytes.
        contacts: Nodes of both families.
    """

    node_id: bytes
    contacts: tuple[Contact, ...]


def encode(node_id: bytes, contacts: Iterable[Contact]) -> bytes:
    """Write down an id and nodes."""
    kept = list(contacts)
    state: Dictionary = {b"version": _VERSION, b"id": node_id}
    for family, key in _KEYS.items():
        of_family = [one for one in kept if family_of(one.address) == family]
        state[key] = encode_nodes(of_family[:MAX_NODES])
    return bencode.encode(state)


def decode(data: bytes | None) -> NodeState | None:
    """Read it back; None if there is nothing to be read."""
    if not data or len(data) > _MAX_SIZE:
        return None
    try:
        state = bencode.decode(data)
    except ProtocolError:
        return None
    if not isinstance(state, dict) or state.get(b"version") != _VERSION:
        return None
    node_id = state.get(b"id")
    if not isinstance(node_id, bytes) or len(node_id) != ID_SIZE:
        return None
    contacts: list[Contact] = []
    for family in FAMILIES:
        nodes = state.get(_KEYS[family])
        if isinstance(nodes, bytes):
            contacts += decode_nodes(nodes, family)[:MAX_NODES]
    return NodeState(node_id, tuple(one for one in contacts if possible(one.address)))
