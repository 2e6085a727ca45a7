"""Whose is a datagram? uTP, the DHT and DNS share one socket. Pure.

Source: discovery.md section 9.
"""

from collections.abc import Container
from enum import Enum


class Kind(Enum):
    """Who reads a datagram."""

    UTP = "utp"
    DHT = "dht"
    DNS = "dns"

    # The one of Enum is written in Python and would run for every datagram.
    __hash__ = object.__hash__


_UTP_HEADER = 20
_UTP_TYPES = 5
_UTP_EXTENSIONS = 3
_DNS_HEADER = 12
_LENGTHS = frozenset(bytes([byte]) for byte in b"0123456789:") | {b""}
_EVERYBODY = frozenset(Kind)


def kind_of(datagram: bytes, spoken: Container[Kind] = _EVERYBODY) -> Kind | None:
    """Tell by the first bytes, in the order in which libutp and the original look; None: nobody's.

    Args:
        datagram: All of it.
        spoken: What this socket is used for. A DNS message may by its id look like one of the
            others; where those are not spoken, as in a discovery server, it is read as DNS.
    """
    if not datagram:
        return None
    first = datagram[0]
    if (
        first & 0x0F == 1
        and first >> 4 < _UTP_TYPES
        and len(datagram) >= _UTP_HEADER
        and datagram[1] < _UTP_EXTENSIONS
        and Kind.UTP in spoken
    ):
        return Kind.UTP
    # Every message of the DHT begins with "d" and the length of a key, such as "d1:" or "d10:". The
    # id of a DNS message may begin with "d" too, but its third byte holds flags.
    if first == 0x64 and Kind.DHT in spoken and datagram[2:3] in _LENGTHS:
        return Kind.DHT
    return Kind.DNS if len(datagram) >= _DNS_HEADER and Kind.DNS in spoken else None
