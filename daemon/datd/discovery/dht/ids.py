"""Ids of nodes: how far apart two are, and which one belongs to an address. Pure.

Source: BEP 5 "Overview" (distance), BEP 42 (ids made of the outer address, so that nobody can
choose to sit beside a name).
"""

from datd.discovery.dht.contacts import ID_SIZE, crowded, packed

ID_BITS = ID_SIZE * 8
# BEP 42: the bits of an address that count, which is what makes many ids expensive.
_MASK = {4: bytes.fromhex("030f3fff"), 16: bytes.fromhex("0103070f1f3f7fff")}
_CASTAGNOLI = 0x82F63B78


def distance(one: bytes, other: bytes) -> int:
    """How far apart two ids (or an id and a name) are."""
    return int.from_bytes(one, "big") ^ int.from_bytes(other, "big")


def id_for(host: str | None, random: bytes) -> bytes:
    """An id for a node at an address.

    Args:
        host: Address as others see it, or None while unknown: then the id is only random.
        random: 20 random bytes.
    """
    prefix = _prefix(host, random[19]) if host is not None and not crowded(host) else None
    if prefix is None:
        return random
    # Of the third byte only the upper five bits are prescribed.
    return prefix[:2] + bytes([prefix[2] & 0xF8 | random[2] & 0x07]) + random[3:]


def fits(node_id: bytes, host: str) -> bool:
    """Whether an id belongs to an address; on inner networks every one does."""
    if crowded(host):
        return True
    prefix = _prefix(host, node_id[19])
    if prefix is None:
        return False
    return prefix[:2] == node_id[:2] and (prefix[2] ^ node_id[2]) & 0xF8 == 0


def id_in_bucket(own: bytes, index: int, random: int) -> bytes:
    """An id that shares exactly the first `index` bits with our own.

    Args:
        own: 20 bytes.
        index: 0 to 159.
        random: Below 2**160.
    """
    below = ID_BITS - 1 - index
    number = int.from_bytes(own, "big") >> below ^ 1
    return (number << below | random & ((1 << below) - 1)).to_bytes(ID_SIZE, "big")


def _prefix(host: str, random: int) -> bytes | None:
    data = packed(host)
    if data is None:
        return None
    masked = bytearray(one & mask for one, mask in zip(data, _MASK[len(data)], strict=False))
    masked[0] |= (random & 0x07) << 5
    return _crc32c(masked).to_bytes(4, "big")[:3]


def _crc32c(data: bytes | bytearray) -> int:
    # Eight bytes at most, once for each node that is met: no table needed.
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (_CASTAGNOLI if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
