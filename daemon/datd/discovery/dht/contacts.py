"""Where nodes and peers are: compact addresses, and which of them make sense. Pure.

Not the swarm's rules: whether a peer is dialled is decided there. Here it is only decided which
nodes are spoken to and told to others.

Source: BEP 5 "Contact encoding", BEP 32, discovery.md section 14, T-32.
"""

import functools
from ipaddress import IPv6Address
from typing import NamedTuple

from datd.types import Address

ID_SIZE = 20
IPV4, IPV6 = 4, 6
FAMILIES = (IPV4, IPV6)
# Bytes of a compact node, by family, and the family of a compact address.
NODE_SIZE = {IPV4: ID_SIZE + 6, IPV6: ID_SIZE + 18}
_FAMILY_OF_SIZE = {6: IPV4, 18: IPV6}
# Hosts whose bytes are remembered: each is looked at several times while it is of interest.
_REMEMBERED = 4096


class Contact(NamedTuple):
    """A node of the DHT.

    Attributes:
        id: 20 bytes.
        address: Where it listens.
    """

    id: bytes
    address: Address


@functools.lru_cache(_REMEMBERED)
def packed(host: str) -> bytes | None:
    """The 4 or 16 bytes of a numeric address; None for anything else, link-local zones included."""
    if ":" in host:
        try:
            return IPv6Address(host).packed if "%" not in host else None
        except ValueError:
            return None
    parts = host.split(".")
    if len(parts) != 4 or not all(part.isdecimal() and len(part) <= 3 for part in parts):
        return None
    numbers = [int(part) for part in parts]
    return bytes(numbers) if max(numbers) < 256 else None


def host_of(data: bytes) -> str:
    """The text of 4 or 16 bytes."""
    if len(data) == 4:
        return ".".join(map(str, data))
    return str(IPv6Address(data))


def family_of(address: Address) -> int:
    """4 or 6."""
    return IPV6 if ":" in address.host else IPV4


def encode_address(address: Address) -> bytes:
    """6 or 18 bytes; none for a host that is not numeric."""
    host = packed(address.host)
    return b"" if host is None else host + address.port.to_bytes(2, "big")


def decode_address(data: bytes) -> Address | None:
    """Read a compact address; None if it has another size."""
    if len(data) not in _FAMILY_OF_SIZE:
        return None
    return Address(host_of(data[:-2]), int.from_bytes(data[-2:], "big"))


def encode_nodes(contacts: list[Contact]) -> bytes:
    """Compact nodes of one family."""
    return b"".join(contact.id + encode_address(contact.address) for contact in contacts)


def decode_nodes(data: bytes, family: int) -> list[Contact]:
    """Read compact nodes of one family; bytes of an incomplete one at the end are ignored."""
    size = NODE_SIZE[family]
    found: list[Contact] = []
    for at in range(0, len(data) - size + 1, size):
        host = host_of(data[at + ID_SIZE : at + size - 2])
        port = int.from_bytes(data[at + size - 2 : at + size], "big")
        found.append(Contact(data[at : at + ID_SIZE], Address(host, port)))
    return found


def possible(address: Address) -> bool:
    """Whether a node can be there at all: one host, not a group, not nobody, and a port."""
    host = packed(address.host)
    if host is None or not 0 < address.port < 65536:
        return False
    if len(host) == 4:
        return 0 < host[0] < 224
    # An IPv4 address in the clothes of IPv6 would go round every rule about IPv4.
    return host[0] != 0xFF and any(host) and host[:12] != b"\0" * 10 + b"\xff\xff"


@functools.lru_cache(_REMEMBERED)
def local(host: str) -> bool:
    """Whether an address is of this host or of an inner network."""
    data = packed(host)
    if data is None:
        return False
    if len(data) == 16:
        return (
            data[0] & 0xFE == 0xFC
            or (data[0] == 0xFE and data[1] & 0xC0 == 0x80)
            or data == b"\0" * 15 + b"\1"
        )
    first, second = data[0], data[1]
    return (
        first in (10, 127)
        or (first == 100 and 64 <= second < 128)
        or (first == 169 and second == 254)
        or (first == 172 and 16 <= second < 32)
        or (first == 192 and second == 168)
    )


@functools.lru_cache(_REMEMBERED)
def crowded(host: str) -> bool:
    """Whether many nodes at one address, or with any id, are normal: inner and test networks."""
    data = packed(host)
    if data is None:
        return False
    if len(data) == 16:
        return local(host) or data[:4] == b"\x20\x01\x0d\xb8"
    documentation = data[:3] in (b"\xc0\0\2", b"\xc6\x33\x64", b"\xcb\0\x71")
    return local(host) or documentation


def network_of(host: str) -> bytes:
    """What one owner usually has: a /24, or a /48 of IPv6."""
    data = packed(host)
    return b"" if data is None else data[: 3 if len(data) == 4 else 6]


def acceptable(address: Address, told_by: Address) -> bool:
    """Whether a node that another one named is spoken to.

    T-32: an outer node has no business naming hosts of our inner network.
    """
    return possible(address) and (not local(address.host) or local(told_by.host))
