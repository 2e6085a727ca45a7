"""The ten messages of the protocol and the extension frame, one class each, and their codec.

Decoding is strict: wire types as declared, lengths within the frame, hashes of 32 and signatures
of 64 bytes, numbers below 2^53. Encoding writes the fields that the reference writes.

Protobuf does the parsing. A decoder of Data written by hand in Python was measured to save one
microsecond a message, which is no reason for a second parser of strangers' bytes.

Source: wire.md sections 1 and 3.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from google.protobuf.message import Message as Parsed

from datd import varint
from datd.crypto import HASH_SIZE, NONCE_SIZE, SIGNATURE_SIZE
from datd.errors import ProtocolError
from datd.types import Node
from datd.wire import schema_pb2 as schema
from datd.wire.parsing import MAX_FIELDS, check_unknown, cut_out, parse
from datd.wire.parsing import MalformedMessage as MalformedMessage

FEED = 0
HANDSHAKE = 1
INFO = 2
HAVE = 3
UNHAVE = 4
WANT = 5
UNWANT = 6
REQUEST = 7
CANCEL = 8
DATA = 9
EXTENSION = 15

# L-5: a header has two bytes at most, which leaves eight bits for the channel.
MAX_CHANNELS = 256

# L-2. The reference closes the connection above; its importer cuts blocks of 64 KiB.
MAX_FRAME = 8 * 2**20

# L-2 [the reference takes 8 MiB]: an id and the names of extensions.
MAX_HANDSHAKE = 64 * 2**10

# L-14: a feed of 2^53 blocks needs 53 siblings and as many roots.
MAX_NODES = 128

# L-7. Beaker lists two extensions, the longest name in use has 12 bytes.
MAX_EXTENSIONS = 128
MAX_EXTENSION_NAME = 128

# discovery-swarm takes whatever id its user sets; by default it has 32 bytes.
MAX_PEER_ID = 64

_NUMBER_BITS = 53
_END_OF_NUMBERS = 1 << _NUMBER_BITS


@dataclass(slots=True)
class Feed:
    """Opens a channel. The first one of a direction carries that direction's nonce of 24 bytes."""

    discovery_key: bytes
    nonce: bytes | None = None


@dataclass(slots=True)
class Handshake:
    """Sent once a side, on its first channel. `id` names the peer for the life of its process."""

    id: bytes = b""
    live: bool = False
    user_data: bytes | None = None
    extensions: Sequence[str] = ()
    ack: bool = False


@dataclass(slots=True)
class Info:
    """Whether the sender still wants to upload and download. Absent fields count as false."""

    uploading: bool = False
    downloading: bool = False


@dataclass(slots=True)
class Have:
    """Blocks the sender holds: a range, or those whose bit is set in `bitfield` (run-length coded).

    An empty bitfield says "nothing in this range", none (None) says "all of it".
    """

    start: int
    length: int = 1
    bitfield: bytes | None = None
    ack: bool = False


@dataclass(slots=True)
class Unhave:
    """Blocks the sender no longer holds."""

    start: int
    length: int = 1


@dataclass(slots=True)
class Want:
    """Asks to be told about blocks of a range, now and from now on. Length 0: without end."""

    start: int
    length: int = 0


@dataclass(slots=True)
class Unwant:
    """Takes a Want back."""

    start: int
    length: int = 0


@dataclass(slots=True)
class Request:
    """Asks for a block, or with `hash` only for its proof; `bytes` seeks; `nodes` is the digest."""

    index: int
    bytes: int = 0
    hash: bool = False
    nodes: int = 0


@dataclass(slots=True)
class Cancel:
    """Takes a Request back."""

    index: int
    bytes: int = 0
    hash: bool = False


@dataclass(slots=True)
class Data:
    """A block with its proof. `value` None is a hash answer, b"" an empty block."""

    index: int
    value: bytes | None = None
    nodes: Sequence[Node] = field(default=())
    signature: bytes | None = None


@dataclass(slots=True)
class Extension:
    """A message outside the protocol; `id` is an index into the names that its sender listed."""

    id: int
    payload: bytes


Message = (
    Feed | Handshake | Info | Have | Unhave | Want | Unwant | Request | Cancel | Data | Extension
)

_Range = Unhave | Want | Unwant
_Flat = Info | _Range | Request | Cancel


def encode(channel: int, message: Message) -> bytes:
    """Make the whole frame of a message: length, header and body.

    Args:
        channel: Our own number of the feed, 0 to 255.
        message: What to say.

    Raises:
        ValueError: The channel or a number is out of range, or the frame is above 8 MiB.
    """
    if not 0 <= channel < MAX_CHANNELS:
        raise ValueError(f"channel {channel}: a connection has channels 0 to {MAX_CHANNELS - 1}")
    kind, body_of = _ENCODERS[type(message)]
    body = body_of(message)
    header = channel << 4 | kind
    if header < 0x80 and len(body) < 0x7F:
        return bytes((len(body) + 1, header)) + body
    head = varint.encode(header)
    length = len(head) + len(body)
    if length > MAX_FRAME:
        raise ValueError(f"a frame of {length} bytes: a peer takes at most {MAX_FRAME}")
    return varint.encode(length) + head + body


def decode(kind: int, body: bytes | memoryview) -> Message:
    """Read the body of a frame.

    Args:
        kind: The message's type, low four bits of the header.
        body: What follows the header.

    Raises:
        MalformedMessage: The type is unknown, or the body is no such message.
        ProtocolError: It is one, but beyond a limit.
    """
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise MalformedMessage(f"message type {kind} is unknown")
    return decoder(body)


def _decode_feed(body: bytes | memoryview) -> Feed:
    parsed = parse(schema.Feed, body)
    nonce = parsed.nonce if parsed.HasField("nonce") else None
    if len(parsed.discoveryKey) != HASH_SIZE or (nonce is not None and len(nonce) != NONCE_SIZE):
        raise MalformedMessage("Feed needs a discovery key of 32 bytes and a nonce of 24")
    return Feed(parsed.discoveryKey, nonce)


def _decode_handshake(body: bytes | memoryview) -> Handshake:
    parsed = parse(schema.Handshake, body, limit=MAX_HANDSHAKE)
    if len(parsed.extensions) > MAX_EXTENSIONS:
        raise ProtocolError(
            f"{len(parsed.extensions)} extensions: a peer may list {MAX_EXTENSIONS}"
        )
    names = tuple(parsed.extensions)
    for name in names:
        # proto2 strings that are no UTF-8 come as bytes, whatever the stubs say.
        if not isinstance(name, str):
            raise MalformedMessage("the name of an extension is no UTF-8")
        if len(name.encode()) > MAX_EXTENSION_NAME:
            raise ProtocolError(f"an extension's name takes over {MAX_EXTENSION_NAME} bytes")
    if len(parsed.id) > MAX_PEER_ID:
        raise MalformedMessage(f"a peer id of {len(parsed.id)} bytes: at most {MAX_PEER_ID}")
    user_data = parsed.userData if parsed.HasField("userData") else None
    return Handshake(parsed.id, parsed.live, user_data, names, parsed.ack)


def _decode_have(body: bytes | memoryview) -> Have:
    cut = None
    if len(body) > MAX_FIELDS:
        cut, body = cut_out(body, 0x1A)
    parsed = parse(schema.Have, body)
    bitfield = parsed.bitfield if parsed.HasField("bitfield") else None
    if cut is not None:
        if bitfield is not None:
            raise MalformedMessage("Have with two bitfields")
        bitfield = cut
    start, length = parsed.start, parsed.length
    _check_range(start, length)
    return Have(start, length, bitfield, parsed.ack)


def _check_range(start: int, length: int) -> None:
    if (start | length) >> _NUMBER_BITS or start + length > _END_OF_NUMBERS:
        raise MalformedMessage(f"{length} blocks from {start}: numbers end at 2^{_NUMBER_BITS}")


def _numbers(message: type[_Flat], body: bytes | memoryview) -> list[Any]:
    parsed = parse(_SCHEMAS[message], body)
    numbers = [getattr(parsed, name) for name in message.__slots__]
    if max(numbers) >= _END_OF_NUMBERS:
        raise MalformedMessage(
            f"{message.__name__} with {max(numbers)}: numbers end at 2^{_NUMBER_BITS}"
        )
    return numbers


def _decode_flat(message: type[_Flat], body: bytes | memoryview) -> Message:
    return message(*_numbers(message, body))


def _decode_range(message: type[_Range], body: bytes | memoryview) -> Message:
    found = message(*_numbers(message, body))
    _check_range(found.start, found.length)
    return found


def _decode_data(body: bytes | memoryview) -> Data:
    cut = None
    if len(body) > MAX_FIELDS:
        cut, body = cut_out(body, 0x12)
    parsed = parse(schema.Data, body)
    index = parsed.index
    if index >> _NUMBER_BITS:
        raise MalformedMessage(f"Data for block {index}: numbers end at 2^{_NUMBER_BITS}")
    value = parsed.value if parsed.HasField("value") else None
    if cut is not None:
        if value is not None:
            raise MalformedMessage(f"Data for block {index} has two values")
        value = cut
    signature = parsed.signature if parsed.HasField("signature") else None
    if signature is not None and len(signature) != SIGNATURE_SIZE:
        raise MalformedMessage(f"a signature of {len(signature)} bytes: it has {SIGNATURE_SIZE}")
    nodes = _decode_nodes(parsed.nodes) if parsed.nodes else ()
    if value is None and not nodes:
        # The reference's process dies of it.
        raise MalformedMessage(f"Data for block {index} has neither value nor nodes")
    return Data(index, value, nodes, signature)


def _decode_nodes(parsed: Sequence[schema.Data.Node]) -> tuple[Node, ...]:
    if len(parsed) > MAX_NODES:
        raise ProtocolError(f"a proof of {len(parsed)} nodes: at most {MAX_NODES} are needed")
    nodes = []
    for node in parsed:
        index, digest, size = node.index, node.hash, node.size
        if len(digest) != HASH_SIZE or (index | size) >> _NUMBER_BITS:
            raise MalformedMessage(
                f"node {index} of size {size} has a hash of {len(digest)} bytes: "
                f"hashes have {HASH_SIZE}, numbers end at 2^{_NUMBER_BITS}"
            )
        check_unknown(node)
        nodes.append(Node(index, digest, size))
    return tuple(nodes)


def _decode_extension(body: bytes | memoryview) -> Extension:
    try:
        found = varint.decode(body)
    except ValueError as error:
        raise MalformedMessage(f"an extension's number: {error}") from None
    if found is None:
        raise MalformedMessage("an extension's number is cut short")
    number, start = found
    return Extension(number, bytes(body[start:]))


def _encode_feed(message: Feed) -> bytes:
    return schema.Feed(discoveryKey=message.discovery_key, nonce=message.nonce).SerializeToString()


def _encode_handshake(message: Handshake) -> bytes:
    # `live` and `ack` are written even when false: peers lose a message with an empty body.
    return schema.Handshake(
        id=message.id or None,
        live=message.live,
        userData=message.user_data,
        extensions=message.extensions,
        ack=message.ack,
    ).SerializeToString()


def _encode_have(message: Have) -> bytes:
    parsed = schema.Have(start=message.start)
    # The reference leaves the length away for one block that it merely has.
    if message.length != 1 or message.ack or message.bitfield is not None:
        parsed.length = message.length
    if message.bitfield is not None:
        parsed.bitfield = message.bitfield
    if message.ack:
        parsed.ack = True
    return parsed.SerializeToString()


def _encode_flat(message: _Flat) -> bytes:
    # Every field is written, zeros included, as the reference does.
    parsed = _SCHEMAS[type(message)]()
    for name in message.__slots__:
        setattr(parsed, name, getattr(message, name))
    return parsed.SerializeToString()


def _encode_data(message: Data) -> bytes:
    # Assigning is faster than keyword arguments, and this runs for every block we serve.
    parsed = schema.Data()
    parsed.index = message.index
    if message.value is not None:
        parsed.value = message.value
    if message.nodes:
        add = parsed.nodes.add
        for index, digest, size in message.nodes:
            node = add()
            node.index = index
            node.hash = digest
            node.size = size
    if message.signature is not None:
        parsed.signature = message.signature
    return parsed.SerializeToString()


def _encode_extension(message: Extension) -> bytes:
    return varint.encode(message.id) + message.payload


# Messages that are nothing but numbers, under the same names in dataclass and schema.
_SCHEMAS: dict[type, type[Parsed]] = {
    Info: schema.Info,
    Unhave: schema.Unhave,
    Want: schema.Want,
    Unwant: schema.Unwant,
    Request: schema.Request,
    Cancel: schema.Cancel,
}

_DECODERS: dict[int, Callable[[bytes | memoryview], Message]] = {
    FEED: _decode_feed,
    HANDSHAKE: _decode_handshake,
    INFO: partial(_decode_flat, Info),
    HAVE: _decode_have,
    UNHAVE: partial(_decode_range, Unhave),
    WANT: partial(_decode_range, Want),
    UNWANT: partial(_decode_range, Unwant),
    REQUEST: partial(_decode_flat, Request),
    CANCEL: partial(_decode_flat, Cancel),
    DATA: _decode_data,
    EXTENSION: _decode_extension,
}

# Each encoder takes its own class only; one dictionary cannot say so to the type checker.
_ENCODERS: dict[type, tuple[int, Callable[[Any], bytes]]] = {
    Feed: (FEED, _encode_feed),
    Handshake: (HANDSHAKE, _encode_handshake),
    Info: (INFO, _encode_flat),
    Have: (HAVE, _encode_have),
    Unhave: (UNHAVE, _encode_flat),
    Want: (WANT, _encode_flat),
    Unwant: (UNWANT, _encode_flat),
    Request: (REQUEST, _encode_flat),
    Cancel: (CANCEL, _encode_flat),
    Data: (DATA, _encode_data),
    Extension: (EXTENSION, _encode_extension),
}
