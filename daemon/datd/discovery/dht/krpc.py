"""KRPC: the queries, answers and errors of the DHT. Pure.

Keys that are not known are ignored, as are known ones with nonsense in them, unless the message
means nothing without them.

Source: BEP 5, BEP 32 (`want`, `nodes6`), BEP 42 (`ip`), BEP 43 (`ro`); discovery.md section 6.
"""

from dataclasses import dataclass

from datd.discovery.dht import bencode
from datd.discovery.dht.bencode import Dictionary, Value
from datd.discovery.dht.contacts import (
    FAMILIES,
    ID_SIZE,
    IPV4,
    IPV6,
    Contact,
    decode_address,
    decode_nodes,
    encode_address,
    encode_nodes,
    family_of,
)
from datd.errors import ProtocolError
from datd.types import Address

# discovery.md section 14.
MAX_DATAGRAM = 1500
# It is ours to repeat in the answer; every program uses 1 to 8.
MAX_TRANSACTION = 16
# Theirs to be repeated by us; the reference has 20, some have more.
MAX_TOKEN = 64
_MAX_TEXT = 100

PING = b"ping"
FIND_NODE = b"find_node"
GET_PEERS = b"get_peers"
ANNOUNCE_PEER = b"announce_peer"
# Of BEP 44, which the reference speaks and this node does not.
PUT, GET = b"put", b"get"

PROTOCOL_ERROR = 203
METHOD_UNKNOWN = 204

_WANT = {b"n4": IPV4, b"n6": IPV6}
_NODES = {IPV4: b"nodes", IPV6: b"nodes6"}
_TARGET = {FIND_NODE: b"target", GET_PEERS: b"info_hash", ANNOUNCE_PEER: b"info_hash"}


@dataclass(frozen=True, slots=True)
class Query:
    """A question. What it does not say is None: whoever answers decides whether it is missed.

    Attributes:
        transaction: Repeated in the answer.
        method: One of the constants above, or anything.
        sender: Id of the asking node.
        target: 20 bytes: the id or the name that is asked about.
        port: Where the announced peer listens.
        implied_port: It listens at the port this query came from, whatever `port` says.
        token: As got in an answer.
        want: Families (4, 6) of the nodes wished for; empty if not said.
        read_only: The asker answers no queries itself.
    """

    transaction: bytes
    method: bytes
    sender: bytes | None = None
    target: bytes | None = None
    port: int | None = None
    implied_port: bool = False
    token: bytes | None = None
    want: frozenset[int] = frozenset()
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What was asked for.

    Attributes:
        transaction: As in the query.
        sender: Id of the answering node.
        contacts: Nodes of either family.
        families: Of which nodes are told (4, 6), even if none are known.
        values: Peers, in compact form.
        token: To be shown when announcing.
        asker: Where the query came from, as the answering node saw it.
    """

    transaction: bytes
    sender: bytes
    contacts: tuple[Contact, ...] = ()
    families: frozenset[int] = frozenset()
    values: tuple[bytes, ...] = ()
    token: bytes | None = None
    asker: Address | None = None


@dataclass(frozen=True, slots=True)
class Error:
    """Why there is no answer.

    Attributes:
        transaction: As in the query; empty if it could not be read.
        code: Such as 203.
        text: For people.
    """

    transaction: bytes
    code: int
    text: str


Message = Query | Answer | Error


def is_query(datagram: bytes) -> bool:
    """Whether a datagram looks like a query; every query does, and few others."""
    return b"1:y1:q" in datagram


def decode(datagram: bytes) -> Message:
    """Read a message.

    Raises:
        ProtocolError: It is none.
    """
    if len(datagram) > MAX_DATAGRAM:
        raise ProtocolError(f"a message of {len(datagram)} bytes")
    message = bencode.decode(datagram)
    if not isinstance(message, dict):
        raise ProtocolError("a message that is no dictionary")
    transaction = message.get(b"t")
    if not isinstance(transaction, bytes) or len(transaction) > MAX_TRANSACTION:
        raise ProtocolError("a message without a transaction id")
    match message.get(b"y"):
        case b"q":
            return _query(message, transaction)
        case b"r":
            return _answer(message, transaction)
        case b"e":
            return _error(message, transaction)
    raise ProtocolError("a message that is no query, answer or error")


def encode(message: Message) -> bytes:
    """Write a message; a query of ours is byte for byte what the reference would send."""
    if isinstance(message, Query):
        return _encode_query(message)
    if isinstance(message, Answer):
        return _encode_answer(message)
    text = message.text.encode()
    return bencode.encode({b"t": message.transaction, b"y": b"e", b"e": [message.code, text]})


def _encode_query(query: Query) -> bytes:
    arguments: Dictionary = {b"id": query.sender or b""}
    if query.target is not None:
        arguments[_TARGET[query.method]] = query.target
    if query.token is not None:
        arguments[b"token"] = query.token
        arguments[b"port"] = query.port or 0
        arguments[b"implied_port"] = int(query.implied_port)
    if query.want:
        arguments[b"want"] = [key for key, family in _WANT.items() if family in query.want]
    message: Dictionary = {
        b"t": query.transaction,
        b"y": b"q",
        b"q": query.method,
        b"a": arguments,
    }
    if query.read_only:
        message[b"ro"] = 1
    return bencode.encode(message)


def _encode_answer(answer: Answer) -> bytes:
    said: Dictionary = {b"id": answer.sender}
    for family in FAMILIES:
        of_family = [one for one in answer.contacts if family_of(one.address) == family]
        if of_family or family in answer.families:
            said[_NODES[family]] = encode_nodes(of_family)
    if answer.values:
        said[b"values"] = [*answer.values]
    if answer.token is not None:
        said[b"token"] = answer.token
    message: Dictionary = {b"t": answer.transaction, b"y": b"r", b"r": said}
    if answer.asker is not None:
        message[b"ip"] = encode_address(answer.asker)
    return bencode.encode(message)


def _query(message: Dictionary, transaction: bytes) -> Query:
    method, said = message.get(b"q"), message.get(b"a")
    if not isinstance(method, bytes):
        raise ProtocolError("a query for nothing")
    if not isinstance(said, dict):
        said = {}
    port = said.get(b"port")
    token = said.get(b"token")
    wanted = said.get(b"want")
    return Query(
        transaction,
        method,
        sender=_id(said.get(b"id")),
        target=_id(said.get(_TARGET.get(method, b"target"))),
        port=port if isinstance(port, int) and 0 < port < 65536 else None,
        implied_port=said.get(b"implied_port") not in (None, 0),
        token=token if isinstance(token, bytes) else None,
        want=frozenset(
            _WANT[one]
            for one in (wanted if isinstance(wanted, list) else ())
            if isinstance(one, bytes) and one in _WANT
        ),
        read_only=message.get(b"ro") == 1,
    )


def _answer(message: Dictionary, transaction: bytes) -> Answer:
    said = message.get(b"r")
    sender = _id(said.get(b"id")) if isinstance(said, dict) else None
    if not isinstance(said, dict) or sender is None:
        raise ProtocolError("an answer of nobody")
    values, token, asker = said.get(b"values"), said.get(b"token"), message.get(b"ip")
    return Answer(
        transaction,
        sender,
        contacts=tuple(
            contact
            for family in FAMILIES
            for contact in decode_nodes(_bytes(said.get(_NODES[family])), family)
        ),
        families=frozenset(family for family in FAMILIES if _NODES[family] in said),
        values=tuple(
            value
            for value in (values if isinstance(values, list) else ())
            if isinstance(value, bytes) and len(value) in (6, 18)
        ),
        token=token if isinstance(token, bytes) and len(token) <= MAX_TOKEN else None,
        asker=decode_address(_bytes(asker)),
    )


def _error(message: Dictionary, transaction: bytes) -> Error:
    match message.get(b"e"):
        case [int(code), bytes(text), *_]:
            return Error(transaction, code, text[:_MAX_TEXT].decode(errors="replace"))
    return Error(transaction, 0, "")


def _id(value: Value | None) -> bytes | None:
    return value if isinstance(value, bytes) and len(value) == ID_SIZE else None


def _bytes(value: Value | None) -> bytes:
    return value if isinstance(value, bytes) else b""
