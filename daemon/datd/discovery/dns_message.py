"""The DNS messages by which dat programs find one another: bytes to values and back.

Pure. `decode` reads messages of all kinds, multicast or not. Written are

- for multicast: `encode_question`, `encode_answer`;
- for clients of discovery servers: `encode_probe`, `encode_lookup`, `encode_announce`,
  `encode_unannounce`, and `encode_acknowledgement` as the answer to a push;
- for servers: `encode_reply` with `text_record`, `service_record`, `address_record`, and
  `encode_push`.

Ids of queries come from `next_id`. The grammar of DNS itself is zeroconf's where it can be: it
reads, and writes for multicast; it cannot leave a name uncompressed, so unicast is written here.
This file knows what dat puts into messages, and how much of one from a stranger is looked at.

Source: discovery.md sections 3, 5, 9 and 14, measured from dns-discovery 6.2.3.
"""

import struct
from collections.abc import Iterator, Sequence
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
from datd.discovery.dns_names import encode_name, first_question
from datd.discovery.dns_text import Text, decode_text, encode_text
from datd.types import Address

TYPE_A = 1
TYPE_TXT = 16
TYPE_SRV = 33
_IN = 1
_TTL = 0  # dat programs cache nothing
_QUERY_FLAGS = 0x0000
_ANSWER_FLAGS = 0x8400  # response, authoritative
_UNICAST_QUERY_FLAGS = 0x0100  # recursion desired
_UNICAST_ANSWER_FLAGS = 0x8000  # response
# Where the first question begins; records of an answer give their name as a pointer to it.
_FIRST_NAME = b"\xc0\x0c"

# T-31: an Ethernet frame's worth. Nothing that dat programs send is near it, and zeroconf's work on
# a message (compression pointers included) is bounded by its size.
MAX_DATAGRAM = 1500
MAX_QUESTIONS = 16
MAX_RECORDS = 64
_MAX_ID = 65534  # the reference stops there, too
# In a `peers=` record and as target of an SRV this address means "whoever sent it".
SENDER = "0.0.0.0"
# In place of a name: the question is about the domain itself, which is how servers are probed.
PROBE = b""


@dataclass(frozen=True, slots=True)
class Question:
    """Somebody asks for a name. `name` is its 20 bytes (or `PROBE`), `type` a DNS type number."""

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
class Record:
    """A record of any section.

    Attributes:
        name: 20 bytes, or `PROBE`.
        type: TXT, SRV or A; others are left out.
        text: The values of a TXT record.
        peer: Of an SRV record; the host 0.0.0.0 stands for the sender. An A record has port 0.
    """

    name: bytes
    type: int
    text: Text = field(default_factory=Text)
    peer: Address | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What a datagram says about names of one domain; other questions and records are left out.

    Attributes:
        id: By which unicast answers are matched.
        response: Whether it is an answer rather than a query.
        questions: About names of the domain.
        records: Of all sections, in the order in which they stand there.
        head: The bytes of the first question, whatever it is about; empty if nothing is asked.
        first: The first question, or None if it is about something else.
    """

    id: int = 0
    response: bool = False
    questions: list[Question] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    head: bytes = b""
    first: Question | None = None

    @property
    def answers(self) -> list[Answer]:
        """What an answer tells of peers of names. Queries tell nothing, whatever is in them."""
        if not self.response:
            return []
        return [
            Answer(
                record.name, (record.peer,) if record.peer else record.text.peers, record.text.token
            )
            for record in self.records
            if record.name != PROBE and record.type != TYPE_A
        ]


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
    head = first_question(datagram)
    if head is None:
        return None
    incoming = DNSIncoming(datagram, now=1.0)  # with a time given, it does not look at a clock
    if not incoming.valid:
        return None
    questions = [_question(question, domain) for question in incoming.questions[:MAX_QUESTIONS]]
    return Message(
        id=incoming.id,
        response=incoming.is_response(),
        questions=[question for question in questions if question is not None],
        records=list(_records(incoming, domain)),
        head=head,
        first=questions[0] if questions else None,
    )


# ---- multicast


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
        # The reference writes an empty token as well.
        own = encode_text(Text(peers=(Address(SENDER, port),)))
        text = _string(f"token={token}") + own
        record = DNSText(name, TYPE_TXT, _IN, _TTL, text, created=1.0)
    out.add_answer_at_time(record, 0)
    return out.packets()[0]


# ---- queries to servers


def next_id(previous: int) -> int:
    """The id after `previous`, for a query; start with any number.

    Never 0, and none of the 15 whose datagrams look like uTP where a socket is shared (discovery.md
    section 9). Those that begin with a `d`, as the DHT's do, are told apart by what follows.
    """
    following = previous % _MAX_ID + 1
    if following & 0x0FFC == 0x0100 and following >> 12 < 5 and following & 3 < 3:
        following += 3 - (following & 3)
    return following


def encode_probe(id: int, domain: str) -> bytes:
    """Ask a server for a token, and for the address that it sees."""
    return _header(id, _UNICAST_QUERY_FLAGS, questions=1) + _asked(encode_name(domain), TYPE_TXT)


def encode_lookup(id: int, name: bytes, domain: str, *, token: str) -> bytes:
    """Ask a server for the peers of a name, and to be told of new ones."""
    return _query(id, name, domain, Text(subscribe=True, token=token))


def encode_announce(id: int, name: bytes, domain: str, *, token: str, port: int) -> bytes:
    """The same, and say that this host has the name.

    Args:
        id: See `next_id`.
        name: 20 bytes.
        domain: Such as `dat.local`.
        token: Newest one of that server.
        port: Where others reach this host; 0: the port from which this query seems to come.
    """
    return _query(id, name, domain, Text(subscribe=True, token=token, announce=port))


def encode_unannounce(id: int, name: bytes, domain: str, *, token: str, port: int) -> bytes:
    """Take an announcement back, and the subscription with it."""
    return _query(id, name, domain, Text(token=token, unannounce=port))


def encode_acknowledgement(id: int) -> bytes:
    """Say that a push has arrived."""
    return _header(id, _UNICAST_ANSWER_FLAGS)


# ---- what servers say


def encode_push(id: int, name: bytes, domain: str, peer: Address) -> bytes:
    """Tell a subscriber of a new peer. It is a query: the subscriber acknowledges it."""
    full = encode_name(_full_name(name, domain))
    header = _header(id, _UNICAST_QUERY_FLAGS, additionals=1)
    return header + _record(full, TYPE_SRV, _service(peer))


def encode_reply(id: int, head: bytes, records: Sequence[bytes] = ()) -> bytes:
    """Answer a query.

    Args:
        id: That of the query.
        head: First question of it (see `Message`), which is repeated.
        records: Made by the functions below, for the name of that question.
    """
    flags = _UNICAST_ANSWER_FLAGS
    header = _header(id, flags, questions=1 if head else 0, answers=len(records))
    return header + head + b"".join(records)


def text_record(text: Text) -> bytes:
    """A TXT record for `encode_reply`."""
    return _record(_FIRST_NAME, TYPE_TXT, encode_text(text))


def service_record(peer: Address) -> bytes:
    """An SRV record for `encode_reply`."""
    return _record(_FIRST_NAME, TYPE_SRV, _service(peer))


def address_record(host: str) -> bytes:
    """An A record for `encode_reply`, of a dotted address."""
    return _record(_FIRST_NAME, TYPE_A, IPv4Address(host).packed)


# ---- parts


def _header(
    id: int, flags: int, *, questions: int = 0, answers: int = 0, additionals: int = 0
) -> bytes:
    return struct.pack(">6H", id, flags, questions, answers, 0, additionals)


def _asked(name: bytes, kind: int) -> bytes:
    return name + struct.pack(">HH", kind, _IN)


def _record(name: bytes, kind: int, data: bytes) -> bytes:
    return name + struct.pack(">HHIH", kind, _IN, _TTL, len(data)) + data


def _service(peer: Address) -> bytes:
    return struct.pack(">HHH", 0, 0, peer.port) + encode_name(peer.host)


def _query(id: int, name: bytes, domain: str, text: Text) -> bytes:
    full = encode_name(_full_name(name, domain))
    header = _header(id, _UNICAST_QUERY_FLAGS, questions=1, additionals=1)
    return header + _asked(full, TYPE_TXT) + _record(full, TYPE_TXT, encode_text(text))


def _string(text: str) -> bytes:
    raw = text.encode()
    return bytes((len(raw),)) + raw


def _full_name(name: bytes, domain: str) -> str:
    return f"{name.hex()}.{domain}."


def _short_name(name: str, domain: str) -> bytes | None:
    name = name.lower().rstrip(".")
    if name == domain:
        return PROBE
    first, _, rest = name.partition(".")
    if rest != domain or len(first) != 2 * NAME_SIZE:
        return None
    try:
        short = bytes.fromhex(first)
    except ValueError:
        return None
    return short if len(short) == NAME_SIZE else None  # fromhex() passes over spaces


def _question(question: DNSQuestion, domain: str) -> Question | None:
    name = _short_name(question.name, domain)
    return None if name is None or question.class_ != _IN else Question(name, question.type)


def _records(incoming: DNSIncoming, domain: str) -> Iterator[Record]:
    for record in incoming.answers()[:MAX_RECORDS]:
        name = _short_name(record.name, domain)
        if name is None or record.class_ != _IN:
            continue
        if isinstance(record, DNSText):
            yield Record(name, TYPE_TXT, text=decode_text(record.text))
        elif isinstance(record, DNSService):
            host = _dotted(record.server.rstrip("."))
            if host is not None:
                yield Record(name, TYPE_SRV, peer=Address(host, record.port))
        elif isinstance(record, DNSAddress) and record.type == TYPE_A:
            yield Record(name, TYPE_A, peer=Address(str(IPv4Address(record.address)), 0))


def _dotted(text: str) -> str | None:
    try:
        return str(IPv4Address(text))
    except AddressValueError:
        return None
