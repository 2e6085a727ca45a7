"""The DNS messages by which dat programs find one another: bytes to values and back.

Pure. The grammar of DNS itself is zeroconf's; this file knows what dat puts into it, and how much
of a message from a stranger is looked at.

Source: discovery.md sections 3 and 5, measured from dns-discovery 6.2.3.
"""

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address

from zeroconf import (  # type: ignore[attr-defined]  # public, but not in its __all__
    DNSAddress,
    DNSIncoming,
    DNSOutgoing,
    DNSQuestion,
    DNSService,
    DNSText,
)

from datd.discovery.base import NAME_SIZE
from datd.types import Address

TYPE_A = 1
TYPE_TXT = 16
TYPE_SRV = 33
_IN = 1
_TTL = 0  # dat programs cache nothing
_QUERY_FLAGS = 0x0000
_ANSWER_FLAGS = 0x8400  # response, authoritative

# T-31: an Ethernet frame's worth. Nothing that dat programs send is near it, and zeroconf's work on
# a message (compression pointers included) is bounded by its size.
MAX_DATAGRAM = 1500
MAX_QUESTIONS = 16
MAX_RECORDS = 64
_PEER_SIZE = 6
# In a `peers=` record and as target of an SRV this address means "whoever sent it".
SENDER = "0.0.0.0"


@dataclass(frozen=True, slots=True)
class Question:
    """Somebody asks for a name. `name` is its 20 bytes, `type` a DNS type number."""

    name: bytes
    type: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of a name.

    Attributes:
        name: 20 bytes.
        peers: Where peers listen; the host 0.0.0.0 stands for the sender of the message.
        token: Base64 text by which the answering side knows its own words again, or empty.
    """

    name: bytes
    peers: tuple[Address, ...]
    token: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """What a datagram says about names of one domain; other questions and records are left out."""

    questions: list[Question] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)


def decode(datagram: bytes, domain: str) -> Message | None:
    """Read a datagram of anybody.

    Args:
        datagram: As received; above 1,500 bytes it is not looked at.
        domain: Such as `dat.local`.

    Returns:
        What it says about names of that domain, or None if it is no DNS message.
    """
    if len(datagram) > MAX_DATAGRAM:
        return None
    incoming = DNSIncoming(datagram, now=1.0)  # with a time given, it does not look at a clock
    if not incoming.valid:
        return None
    if incoming.is_query():
        return Message(questions=list(_questions(incoming, domain)))
    return Message(answers=list(_answers(incoming, domain)))


def encode_question(name: bytes, domain: str) -> bytes:
    """The multicast question for the peers of a name; byte for byte what dns-discovery asks."""
    out = DNSOutgoing(_QUERY_FLAGS)
    out.add_question(DNSQuestion(_full_name(name, domain), TYPE_TXT, _IN))
    return out.packets()[0]


def encode_answer(question: Question, domain: str, *, host: str, port: int, token: str) -> bytes:
    """The multicast answer of a host that has the name asked for.

    Args:
        question: Of type TXT, SRV or A; it is repeated in the answer.
        domain: Such as `dat.local`.
        host: Dotted address of this host, for questions of type A.
        port: TCP port it listens on.
        token: See `Answer`; at most 249 characters.
    """
    name = _full_name(question.name, domain)
    out = DNSOutgoing(_ANSWER_FLAGS)
    out.add_question(DNSQuestion(name, question.type, _IN))
    record: DNSText | DNSService | DNSAddress
    if question.type == TYPE_SRV:
        record = DNSService(name, TYPE_SRV, _IN, _TTL, 0, 0, port, SENDER, created=1.0)
    elif question.type == TYPE_A:
        record = DNSAddress(name, TYPE_A, _IN, _TTL, IPv4Address(host).packed, created=1.0)
    else:
        peers = base64.b64encode(IPv4Address(SENDER).packed + port.to_bytes(2, "big")).decode()
        text = b"".join(_string(f"token={token}") + _string(f"peers={peers}"))
        record = DNSText(name, TYPE_TXT, _IN, _TTL, text, created=1.0)
    out.add_answer_at_time(record, 0)
    return out.packets()[0]


def _string(text: str) -> list[bytes]:
    raw = text.encode()
    return [bytes((len(raw),)), raw]


def _full_name(name: bytes, domain: str) -> str:
    return f"{name.hex()}.{domain}."


def _short_name(name: str, domain: str) -> bytes | None:
    first, _, rest = name.lower().partition(".")
    if rest.rstrip(".") != domain or len(first) != 2 * NAME_SIZE:
        return None
    try:
        short = bytes.fromhex(first)
    except ValueError:
        return None
    return short if len(short) == NAME_SIZE else None  # fromhex() passes over spaces


def _questions(incoming: DNSIncoming, domain: str) -> Iterator[Question]:
    for question in incoming.questions[:MAX_QUESTIONS]:
        name = _short_name(question.name, domain)
        if name is not None and question.class_ == _IN:
            yield Question(name, question.type)


def _answers(incoming: DNSIncoming, domain: str) -> Iterator[Answer]:
    for record in incoming.answers()[:MAX_RECORDS]:
        name = _short_name(record.name, domain)
        if name is None or record.class_ != _IN:
            continue
        if isinstance(record, DNSText):
            yield _text_answer(name, record.text)
        elif isinstance(record, DNSService):
            host = _dotted(record.server.rstrip("."))
            if host is not None:
                yield Answer(name, (Address(host, record.port),))


def _text_answer(name: bytes, text: bytes) -> Answer:
    values: dict[bytes, bytes] = {}
    position = 0
    while position < len(text):
        end = position + 1 + text[position]
        key, _, value = text[position + 1 : end].partition(b"=")
        values.setdefault(key, value)
        position = end
    token = values.get(b"token", b"").decode("ascii", "replace")
    return Answer(name, tuple(_peers(values.get(b"peers", b""))), token)


def _peers(text: bytes) -> Iterator[Address]:
    try:
        packed = base64.b64decode(text, validate=True)
    except binascii.Error:
        return
    for start in range(0, len(packed) - _PEER_SIZE + 1, _PEER_SIZE):
        record = packed[start : start + _PEER_SIZE]
        yield Address(str(IPv4Address(record[:4])), int.from_bytes(record[4:], "big"))


def _dotted(text: str) -> str | None:
    try:
        return str(IPv4Address(text))
    except AddressValueError:
        return None
