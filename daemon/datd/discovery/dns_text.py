"""What dat programs write into TXT records: tokens, ports, lists of peers.

Pure. Strings of `key=value`, each behind a byte with its length. Nothing here knows of names or
messages; those are in `dns_message`.

Source: discovery.md sections 3 and 4, measured from dns-discovery 6.2.3.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from datd.types import Address

_PEER_SIZE = 6
# What one string with its length byte holds beside `peers=`. The reference writes more and lets the
# byte wrap around, so that nobody can read it.
MAX_PEERS = 31
_MAX_STRING = 255
_PORT = re.compile(rb"\d{1,5}")
_MAX_PORT = 65535
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*={0,2}")


@dataclass(frozen=True, slots=True)
class Text:
    """The values of one TXT record; what is missing, or makes no sense, has its default.

    Attributes:
        subscribe: The asker wants to be told of new peers.
        token: Base64 text: proof that the asker receives at its address, or that for the next time.
        announce: Port to be stored; 0 is the one that the server sees.
        unannounce: Port to be removed; 0 as above.
        host: Dotted address of the asker, as the server sees it.
        port: Port of the asker, as the server sees it.
        peers: Where peers listen; the host 0.0.0.0 stands for the sender of the message.
    """

    subscribe: bool = False
    token: str = ""
    announce: int | None = None
    unannounce: int | None = None
    host: str = ""
    port: int | None = None
    peers: tuple[Address, ...] = ()


def encode_text(text: Text) -> bytes:
    """The data of a TXT record, keys in the order of the reference.

    Args:
        text: Values; a token of at most 249 characters, at most 31 peers.

    Raises:
        ValueError: A value does not fit into its string.
    """
    strings = []
    if text.subscribe:
        strings.append(b"subscribe=true")
    for key in ("token", "announce", "unannounce", "host", "port"):
        value = getattr(text, key)
        if value not in (None, ""):
            strings.append(f"{key}={value}".encode())
    if text.peers:
        strings.append(b"peers=" + base64.b64encode(_packed(text.peers)))
    if any(len(string) > _MAX_STRING for string in strings):
        raise ValueError("a string of a TXT record has at most 255 bytes")
    return b"".join(bytes((len(string),)) + string for string in strings)


def decode_text(data: bytes) -> Text:
    """Read what somebody wrote; of a key that comes twice the first counts."""
    values: dict[bytes, bytes] = {}
    for string in _strings(data):
        key, _, value = string.partition(b"=")
        values.setdefault(key.lower(), value)
    return Text(
        subscribe=b"subscribe" in values,
        token=values.get(b"token", b"").decode("ascii", "replace"),
        announce=_port(values.get(b"announce")),
        unannounce=_port(values.get(b"unannounce")),
        host=values.get(b"host", b"").decode("ascii", "replace"),
        port=_port(values.get(b"port")),
        peers=tuple(_peers(values.get(b"peers", b""))),
    )


def _strings(data: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(data):
        start = position + 1
        position = start + data[position]
        if data[start : start + 6].lower() == b"peers=" and _wrapped(data, start, position):
            position = len(data)
        yield data[start:position]


def _wrapped(data: bytes, start: int, end: int) -> bool:
    """Whether a `peers=` string goes on behind its end.

    Above 31 peers the reference's length byte wraps around: the string is 256 bytes longer, or 512.
    A further string cannot look like that: it has its own `=` between letters.
    """
    beyond = len(data) - end
    return beyond > 0 and beyond % 256 == 0 and _BASE64.fullmatch(data, start + 6) is not None


def _port(text: bytes | None) -> int | None:
    if text is None or not _PORT.fullmatch(text) or int(text) > _MAX_PORT:
        return None
    return int(text)


def _packed(peers: Iterable[Address]) -> bytes:
    return b"".join(IPv4Address(host).packed + port.to_bytes(2, "big") for host, port in peers)


def _peers(text: bytes) -> Iterator[Address]:
    try:
        packed = base64.b64decode(text, validate=True)
    except binascii.Error:
        return
    for start in range(0, len(packed) - _PEER_SIZE + 1, _PEER_SIZE):
        host = ".".join(map(str, packed[start : start + 4]))
        yield Address(host, int.from_bytes(packed[start + 4 : start + _PEER_SIZE], "big"))
