"""PCP messages: what came after NAT-PMP, at the same port of the router. Pure.

Source: RFC 6887, sections 7 and 11. Only the opcode MAP, without options.
"""

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from datd.errors import GatewayError

VERSION = 2
MAP = 1
NONCE_SIZE = 12
_RESPONSE = 0x80
# IANA protocol numbers.
_PROTOCOLS = {"tcp": 6, "udp": 17}
_NO_ADDRESS = IPv6Address("::ffff:0.0.0.0").packed
_SIZE = 60
_RESULTS = {
    1: "it does not speak this version of PCP",
    2: "it does not allow this host to map ports",
    3: "it could not read the request",
    4: "it does not know the request",
    5: "it does not know an option",
    6: "it could not read an option",
    7: "its own network is down",
    8: "it has no room for another mapping",
    9: "it does not know the protocol",
    10: "this host has as many mappings as it may have",
    11: "it cannot give that address or port",
    12: "there is another NAT between this host and it",
    13: "it cannot keep the peers out that were named",
}


class Mapping(NamedTuple):
    """A mapping that was granted; lifetime in seconds, 0 if it was removed."""

    host: str
    external: int
    lifetime: int


def encode_map(
    own: str, nonce: bytes, protocol: str, internal: int, external: int, lifetime: int
) -> bytes:
    """Ask for a mapping, or with lifetime 0 for its end.

    Args:
        own: This host's address as the router sees it.
        nonce: 12 random bytes, the same in every request about one mapping.
        protocol: "tcp" or "udp".
        internal: Port of this host.
        external: Port wanted outside, or 0.
        lifetime: Seconds.
    """
    header = struct.pack(">BBHI", VERSION, MAP, 0, lifetime) + _in_16(own)
    body = struct.pack(">B3xHH", _PROTOCOLS[protocol], internal, external)
    return header + nonce + body + _NO_ADDRESS


def decode_map(datagram: bytes, nonce: bytes, protocol: str, internal: int) -> Mapping | None:
    """The mapping of a port out of an answer; None if this answers something else.

    Raises:
        GatewayError: The router refuses, or speaks NAT-PMP only.
    """
    if len(datagram) < 4:
        return None
    version, opcode, _, result = struct.unpack_from(">BBBB", datagram)
    if version != VERSION:
        raise GatewayError(_RESULTS[1])
    if opcode != MAP | _RESPONSE:
        return None
    if result == 1:  # section 9: such an answer may be only a header
        raise GatewayError(_RESULTS[1])
    if len(datagram) < _SIZE or datagram[24:36] != nonce:
        return None  # section 11.4: somebody else's, or guessed
    number, answered, external = struct.unpack_from(">B3xHH", datagram, 36)
    if (number, answered) != (_PROTOCOLS[protocol], internal):
        return None
    if result != 0:
        raise GatewayError(_RESULTS.get(result, f"it refuses with code {result}"))
    (lifetime,) = struct.unpack_from(">I", datagram, 4)
    return Mapping(_from_16(datagram[44:60]), external, lifetime)


def _in_16(host: str) -> bytes:
    """An address in 16 bytes, IPv4 mapped into IPv6 (section 5)."""
    if ":" in host:
        return IPv6Address(host).packed
    return b"\0" * 10 + b"\xff\xff" + IPv4Address(host).packed


def _from_16(packed: bytes) -> str:
    address = IPv6Address(packed)
    return str(address.ipv4_mapped or address)
