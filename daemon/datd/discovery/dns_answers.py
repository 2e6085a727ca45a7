"""What the answers and pushes of discovery servers say, as far as a client believes it.

Pure. Servers are strangers too: they may give anything for a token, an address or a peer.

Source: discovery.md section 3.1.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

from datd.discovery.dns_message import SENDER, TYPE_SRV, TYPE_TXT, Message, Record
from datd.types import Address

# A token of the reference has 44 characters; it is repeated in each query, so it has to fit.
MAX_TOKEN = 128
_TOKEN = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class PeerFound:
    """A server named a peer of a joined key."""

    discovery_key: bytes
    address: Address
    told_by: Address


def token_in(records: Iterable[Record]) -> str:
    """The first token that can be sent back, or nothing."""
    for record in records:
        token = record.text.token
        if record.type == TYPE_TXT and len(token) <= MAX_TOKEN and _TOKEN.fullmatch(token):
            return token
    return ""


def seen_in(records: Iterable[Record]) -> Address | None:
    """Where the server sees us, if it says so."""
    for record in records:
        host = dotted(record.text.host)
        if host is not None and record.text.port:
            return Address(host, record.text.port)
    return None


def peers_in(record: Record, source: Address) -> Iterator[Address]:
    """The peers that a record names; "the sender" is replaced by its address."""
    for host, port in (record.peer,) if record.peer is not None else record.text.peers:
        yield Address(source.host if host == SENDER else host, port)


def pushed(message: Message) -> list[Record]:
    """The peers that a query tells of; none if it is no push.

    Who asks us for something gets no answer: we are no server (discovery.md section 3.2).
    """
    if message.response or message.head:
        return []
    return [record for record in message.records if record.type == TYPE_SRV]


def dotted(text: str) -> str | None:
    """An IPv4 address in its one spelling, or None if it is none."""
    try:
        return str(IPv4Address(text))
    except AddressValueError:
        return None
