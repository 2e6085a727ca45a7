"""NAT-PMP messages, as routers of 2005 to 2015 speak them. Pure.

Source: RFC 6886, section 3.
"""

import struct
from ipaddress import IPv4Address
from typing import NamedTuple

from datd.errors import GatewayError

# A router listens there for NAT-PMP and PCP alike.
PORT = 5351
# Values of the field `opcode`; an answer has 128 more.
ADDRESS, UDP, TCP = 0, 1, 2
_OPCODES = {"udp": UDP, "tcp": TCP}
_RESULTS = {
    1: "it does not speak NAT-PMP",
    2: "port mapping is switched off in it",
    3: "it has no address itself",
    4: "it has no room for another mapping",
    5: "it does not know the request",
}


class Mapping(NamedTuple):
    """A mapping that was granted; lifetime in seconds, 0 if it was removed."""

    internal: int
    external: int
    lifetime: int


def encode_address_request() -> bytes:
    """Ask for the public address."""
    return struct.pack(">BB", 0, ADDRESS)


def encode_map(protocol: str, internal: int, external: int, lifetime: int) -> bytes:
    """Ask for a mapping, or with lifetime 0 for its end.

    Args:
        protocol: "tcp" or "udp".
        internal: Port of this host.
        external: Port wanted outside; 0 when a mapping is to end (section 3.4).
        lifetime: Seconds.
    """
    return struct.pack(">BBHHHI", 0, _OPCODES[protocol], 0, internal, external, lifetime)


def decode_address(datagram: bytes) -> str | None:
    """The router's public address out of its answer; None if this answers something else.

    Raises:
        GatewayError: The router refuses.
    """
    if not _answers(datagram, ADDRESS) or len(datagram) < 12:
        return None
    return str(IPv4Address(datagram[8:12]))


def decode_map(datagram: bytes, protocol: str, internal: int) -> Mapping | None:
    """The mapping of a port out of an answer; None if this answers something else.

    Raises:
        GatewayError: The router refuses.
    """
    if not _answers(datagram, _OPCODES[protocol]) or len(datagram) < 16:
        return None
    mapping = Mapping(*struct.unpack_from(">HHI", datagram, 8))
    return mapping if mapping.internal == internal else None


def _answers(datagram: bytes, opcode: int) -> bool:
    if len(datagram) < 4:
        return False
    version, answered, result = struct.unpack_from(">BBH", datagram)
    if version != 0:
        # Section 3.5 and RFC 6887, appendix A: who speaks only PCP says so in its own version.
        raise GatewayError(_RESULTS[1])
    if result != 0 and answered in (opcode + 128, opcode, 128):
        raise GatewayError(_RESULTS.get(result, f"it refuses with code {result}"))
    return bool(answered == opcode + 128)
