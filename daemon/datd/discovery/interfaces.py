"""The IPv4 interfaces of this host, as multicast needs them."""

from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

import ifaddr


class Interface(NamedTuple):
    """One address of an interface.

    Attributes:
        address: Dotted IPv4.
        network: The subnet it is on.
        first: Whether it is the first of its interface: the one that joins multicast groups.
        link: The system's number for the interface; another one if it went and came again.
    """

    address: str
    network: IPv4Network
    first: bool
    link: int = 0

    @property
    def loopback(self) -> bool:
        """Whether it leads nowhere but to this host."""
        return IPv4Address(self.address).is_loopback


def interfaces() -> list[Interface]:
    """Every IPv4 address of this host. Takes some microseconds; asks the kernel each time.

    Raises:
        OSError: As the system says.
    """
    found: list[Interface] = []
    for adapter in ifaddr.get_adapters():
        addresses = [ip for ip in adapter.ips if isinstance(ip.ip, str)]
        for number, ip in enumerate(addresses):
            network = IPv4Network(f"{ip.ip}/{ip.network_prefix}", strict=False)
            found.append(Interface(str(ip.ip), network, number == 0, adapter.index or 0))
    return found


def own_hosts() -> frozenset[str]:
    """Every address of this host, of IPv4 and IPv6; none if the system does not say."""
    try:
        adapters = list(ifaddr.get_adapters())
    except OSError:
        return frozenset()
    return frozenset(
        str(ip.ip if isinstance(ip.ip, str) else ip.ip[0])
        for adapter in adapters
        for ip in adapter.ips
    )


def own_addresses() -> frozenset[str]:
    """Every IPv4 address of this host.

    Raises:
        OSError: As the system says.
    """
    return frozenset(one.address for one in interfaces())
