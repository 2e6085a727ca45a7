"""Which addresses may be dialled, depending on who named them. Pure.

Strangers name addresses in discovery answers; dialling whatever they name would turn this daemon
into a tool against its own host and inner network (T-32).

Source: discovery.md section 14; the lists follow the IANA special-purpose registries, except that
documentation networks count as public: test networks use them.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from datd.types import Address

_Ip = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network

_NOBODY: tuple[_Network, ...] = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("224.0.0.0/4"),  # multicast
    IPv4Network("240.0.0.0/4"),  # reserved, and the broadcast address
    IPv6Network("::/128"),
    IPv6Network("ff00::/8"),
)
_PRIVATE: tuple[_Network, ...] = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("100.64.0.0/10"),  # behind a provider's NAT
    IPv4Network("169.254.0.0/16"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv6Network("fc00::/7"),
    IPv6Network("fe80::/10"),
)


def impossible(address: Address) -> str | None:
    """Why nobody can listen at an address, or None."""
    ip = parse(address.host)
    if ip is None:
        return f"{address.host!r} is not a numeric address"
    if not 0 < address.port < 65536:
        return f"port {address.port} cannot be dialled: expected 1 to 65535"
    if _within(ip, _NOBODY):
        return f"{address.host} is nobody's address"
    return None


def dialable(address: Address, told_by: Address, allow: Iterable[_Network] = ()) -> bool:
    """Whether an address that discovery named may be dialled.

    Args:
        address: Where the peer is said to listen.
        told_by: The host that said so.
        allow: Private networks that may be dialled, or may name private addresses, all the same.
    """
    ip = parse(address.host)
    if ip is None or impossible(address) is not None or ip.is_loopback:
        return False
    if not _within(ip, _PRIVATE):
        return True
    source = parse(told_by.host)
    if source is None:
        return False
    allowed = tuple(allow)
    near = source.is_loopback or _within(source, _PRIVATE) or _within(source, allowed)
    return near or _within(ip, allowed)


def loopback(host: str) -> bool:
    """Whether a host is this one."""
    ip = parse(host)
    return ip is not None and ip.is_loopback


def plain(host: str) -> str:
    """A host's one spelling, whatever link it is on."""
    ip = parse(host)
    return str(ip).partition("%")[0] if ip is not None else host


def neighbourhood(host: str) -> str:
    """What counts as one host: out there, who has one IPv6 address has a whole /64 of them."""
    ip = parse(host)
    if ip is None:
        return host
    if isinstance(ip, IPv6Address) and not _within(ip, _PRIVATE):
        return f"{int(ip) >> 64:x}/64"
    return str(ip)


def parse(host: str) -> _Ip | None:
    """The number behind a host's text, the IPv4 one if it has one; None for anything else."""
    try:
        ip = ip_address(host)
    except ValueError:
        return None
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        return ip.ipv4_mapped  # the other spelling must not go round the rules
    return ip


def _within(ip: _Ip, networks: Iterable[_Network]) -> bool:
    return any(ip.version == network.version and ip in network for network in networks)
