"""Where the router is, and which address of this host it sees."""

import socket
import sys
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import NamedTuple

# Addresses that need a router to be reached from outside: RFC 1918 and RFC 6598.
_INNER = tuple(
    IPv4Network(text) for text in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16")
)
_ROUTES = Path("/proc/net/route")
# A host with ten thousand routes is a router itself.
_MAX_BYTES = 256 * 1024
_UP_AND_GATEWAY = 0x0003


class Gateway(NamedTuple):
    """A router and this host, as they see each other: IPv4 addresses."""

    host: str
    own: str


def inner(host: str) -> bool:
    """Whether an IPv4 address can only be reached from inside a network."""
    return any(IPv4Address(host) in network for network in _INNER)


def default_gateway() -> Gateway | None:
    """The router that leads to the internet; None if there is none, or none is needed."""
    try:
        with _ROUTES.open("rb") as file:
            host = parse_routes(file.read(_MAX_BYTES).decode("ascii", "replace"))
        own = own_address(host) if host is not None else None
    except OSError:
        return None  # no such file: another system; or no way to the router, just now
    if host is None or own is None or not inner(own) or not inner(host):
        return None
    return Gateway(host, own)


def own_address(host: str) -> str:
    """Which of this host's addresses it uses towards another one. No packet is sent.

    Raises:
        OSError: There is no way to it.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))
        return str(probe.getsockname()[0])


def parse_routes(text: str) -> str | None:
    """The default gateway with the lowest metric, out of the text of `/proc/net/route`."""
    found: list[tuple[int, str]] = []
    for line in text.splitlines()[1:]:
        columns = line.split()
        try:
            destination, gateway, flags = (int(column, 16) for column in columns[1:4])
            metric, mask = int(columns[6]), int(columns[7], 16)
        except (ValueError, IndexError):
            continue
        if destination == mask == 0 and flags & _UP_AND_GATEWAY == _UP_AND_GATEWAY:
            # The kernel prints the four bytes as one number of this machine.
            packed = (gateway & 0xFFFFFFFF).to_bytes(4, sys.byteorder)
            found.append((metric, str(IPv4Address(packed))))
    return min(found)[1] if found else None
