"""Where a request that somebody else caused may go: public addresses, and no others. Pure.

Names and redirects come from strangers. Whoever makes this host send a request could otherwise
speak through it to its own services and to its inner network (T-49).

Source: reliability.md T-49; the IANA special-purpose address registries. Documentation networks
count as public, as everywhere here: test networks use them.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network

_CLOSED: tuple[Network, ...] = (
    IPv4Network("0.0.0.0/8"),  # this host
    IPv4Network("10.0.0.0/8"),
    IPv4Network("100.64.0.0/10"),  # behind a provider's NAT
    IPv4Network("127.0.0.0/8"),
    IPv4Network("169.254.0.0/16"),  # link-local, where clouds keep their secrets
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.0.0.0/24"),  # protocol assignments
    IPv4Network("192.168.0.0/16"),
    IPv4Network("198.18.0.0/15"),  # benchmarks of inner networks
    IPv4Network("224.0.0.0/4"),  # multicast
    IPv4Network("240.0.0.0/4"),  # reserved, and the broadcast address
    IPv6Network("::/96"),  # this host, and IPv4 in an old disguise
    IPv6Network("::ffff:0:0:0/96"),  # IPv4 behind a translator of old (RFC 2765)
    IPv6Network("64:ff9b:1::/48"),  # a local translator to IPv4
    IPv6Network("100::/64"),  # thrown away
    IPv6Network("2001::/32"),  # Teredo: IPv4 in another disguise
    IPv6Network("fc00::/7"),
    IPv6Network("fe80::/10"),
    IPv6Network("fec0::/10"),  # site-local, of old
    IPv6Network("ff00::/8"),
)
_TRANSLATED = IPv6Network("64:ff9b::/96")


def public(host: str, allow: Iterable[Network] = ()) -> bool:
    """Whether an address may be asked.

    Args:
        host: A numeric address; anything else may not.
        allow: Networks that may be asked all the same (a setting).
    """
    try:
        given = ip_address(host)
    except ValueError:
        return False
    if isinstance(given, IPv6Address) and given.scope_id is not None:
        return False
    spellings = {given, _within(given)}
    if any(_in(ip, allow) for ip in spellings):
        return True
    return not any(_in(ip, _CLOSED) for ip in spellings)


def _within(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address leads to, or the address itself."""
    if isinstance(ip, IPv4Address):
        return ip
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip.sixtofour is not None:
        return ip.sixtofour
    if ip in _TRANSLATED:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip


def _in(ip: IPv4Address | IPv6Address, networks: Iterable[Network]) -> bool:
    return any(ip.version == network.version and ip in network for network in networks)
