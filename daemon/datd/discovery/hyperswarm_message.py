"""The multicast messages of dat 14 and other hyperswarm programs: bytes to values and back.

Pure. Their multicast shares group and port with `dat.local` and differs in names and records; their
DHT is not spoken here.

Source: discovery.md section 13, measured from @hyperswarm/discovery 1.11.5.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

from zeroconf import DNSIncoming, DNSService, DNSText  # type: ignore[attr-defined]  # public there

from datd.discovery.base import NAME_SIZE
from datd.types import Address

DOMAIN = "hyperswarm.local"
# In an SRV this target means "whoever sent it".
SENDER = "0.0.0.0"
# T-31: an Ethernet frame's worth, and more names than any program asks for at once.
MAX_DATAGRAM = 1500
MAX_QUESTIONS = 16
MAX_RECORDS = 64

_TYPE_A = 1
_TYPE_TXT = 16
_TYPE_SRV = 33
_IN = 1
_QUESTION_HEADER = bytes.fromhex("000000000001000000000000")
_ANSWER_HEADER = bytes.fromhex("000084000000000300000000")
_LABELS = b"\x0ahyperswarm\x05local\0"
_ID_KEY = b"id="
ID_SIZE = 32


@dataclass(frozen=True, slots=True)
class Answer:
    """Somebody has a name.

    Attributes:
        name: 20 bytes.
        peer: Where it listens; the host 0.0.0.0 stands for the sender of the message.
        id: 32 bytes by which the answering side knows its own words again; empty if it sent none.
    """

    name: bytes
    peer: Address
    id: bytes = b""


@dataclass(frozen=True, slots=True)
class Message:
    """What a datagram says about hyperswarm's names. Questions are names of 20 bytes."""

    questions: tuple[bytes, ...] = ()
    answers: tuple[Answer, ...] = ()


def identity(secret: bytes, name: bytes) -> bytes:
    """The id that one process gives its answers for one name; nobody can tell two names' apart.

    The reference draws a random one for each name; made of a secret it needs no memory.
    """
    return hashlib.blake2b(name, key=secret[:64], digest_size=ID_SIZE).digest()


def decode(datagram: bytes) -> Message | None:
    """Read a datagram of anybody.

    Args:
        datagram: As received; above 1,500 bytes it is not looked at.

    Returns:
        What it says about names of `hyperswarm.local`, or None if it says nothing about them.
    """
    # Compression splits no label: what is about hyperswarm contains the word. All else on the
    # group, which is most of it, is passed over before it is taken apart.
    if len(datagram) > MAX_DATAGRAM or b"hyperswarm" not in datagram.lower():
        return None
    incoming = DNSIncoming(datagram, now=1.0)  # with a time given, it does not look at a clock
    if not incoming.valid:
        return None
    if incoming.is_query():
        return Message(questions=tuple(_questions(incoming)))
    return Message(answers=tuple(_answers(incoming)))


def encode_question(name: bytes) -> bytes:
    """The multicast question for the peers of a name, as dat 14 asks it."""
    return _QUESTION_HEADER + _full_name(name) + _numbers(_TYPE_SRV, _IN)


def encode_answer(name: bytes, *, port: int, id: bytes, asker: str) -> bytes:
    """The answer of a host that has a name, as dat 14 gives it.

    Args:
        name: 20 bytes.
        port: TCP port it listens on.
        id: See `identity`.
        asker: Dotted address of the host that asked.
    """
    target = b"".join(b"\x01" + label.encode() for label in SENDER.split(".")) + b"\0"
    referrer = b"\x08referrer" + _LABELS
    return (
        _ANSWER_HEADER
        + _record(_full_name(name), _TYPE_SRV, _numbers(0, 0, port) + target)
        + _record(_full_name(name), _TYPE_TXT, bytes((len(_ID_KEY + id),)) + _ID_KEY + id)
        + _record(referrer, _TYPE_A, IPv4Address(asker).packed)
    )


def _record(name: bytes, kind: int, data: bytes) -> bytes:
    return name + _numbers(kind, _IN, 0, 0, len(data)) + data


def _numbers(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(2, "big") for number in numbers)


def _full_name(name: bytes) -> bytes:
    return bytes((2 * NAME_SIZE,)) + name.hex().encode() + _LABELS


def _short_name(name: str) -> bytes | None:
    first, _, rest = name.lower().partition(".")
    if rest.rstrip(".") != DOMAIN or len(first) != 2 * NAME_SIZE:
        return None
    try:
        short = bytes.fromhex(first)
    except ValueError:
        return None
    return short if len(short) == NAME_SIZE else None  # fromhex() passes over spaces


def _questions(incoming: DNSIncoming) -> Iterator[bytes]:
    for question in incoming.questions[:MAX_QUESTIONS]:
        name = _short_name(question.name)
        if name is not None and question.class_ == _IN and question.type == _TYPE_SRV:
            yield name


def _answers(incoming: DNSIncoming) -> Iterator[Answer]:
    ids: dict[bytes, bytes] = {}
    peers: list[tuple[bytes, Address]] = []
    for record in incoming.answers()[:MAX_RECORDS]:
        name = _short_name(record.name)
        if name is None or record.class_ != _IN:
            continue
        if isinstance(record, DNSService):
            host = _dotted(record.server.rstrip("."))
            if host is not None:
                peers.append((name, Address(host, record.port)))
        elif isinstance(record, DNSText):
            length = record.text[0] if record.text else 0
            string = record.text[1 : 1 + length]
            if string.startswith(_ID_KEY):
                ids.setdefault(name, string.removeprefix(_ID_KEY))
    for name, peer in peers:
        yield Answer(name, peer, ids.get(name, b""))


def _dotted(text: str) -> str | None:
    try:
        return str(IPv4Address(text))
    except AddressValueError:
        return None
