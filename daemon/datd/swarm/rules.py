"""Whom the operator allows and blocks: networks, for dials and for calls alike. Pure.

Source: discovery.md section 10. The whitelist of the original does not look at callers; ours does.
"""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network

from datd.swarm.addresses import parse

Network = IPv4Network | IPv6Network


class AddressRules:
    """An allow list and a block list. With an empty allow list everybody is allowed.

    A look-up takes as long as there are different prefix lengths, however many networks there are.
    """

    def __init__(self, *, allow: Iterable[Network] = (), block: Iterable[Network] = ()) -> None:
        """Values; to change the rules, make new ones.

        Args:
            allow: If there are any, only hosts in one of these are dialled or listened to.
            block: Hosts in one of these never are, allowed or not.
        """
        self._allow = _Prefixes(allow)
        self._block = _Prefixes(block)

    def refusal(self, host: str) -> str | None:
        """Why a host is kept apart from, or None if it is not."""
        if not (self._allow or self._block):
            return None
        ip = parse(host)
        if ip is None:
            return f"{host!r} is not a numeric address"
        if (blocking := self._block.holding(ip.version, int(ip), ip.max_prefixlen)) is not None:
            return f"{host} is blocked by the network {blocking}"
        if self._allow and self._allow.holding(ip.version, int(ip), ip.max_prefixlen) is None:
            return f"{host} is in none of the networks that are allowed"
        return None


class _Prefixes:
    def __init__(self, networks: Iterable[Network]) -> None:
        self._by_length: dict[tuple[int, int], dict[int, Network]] = {}
        for network in networks:
            sort = (network.version, network.prefixlen)
            self._by_length.setdefault(sort, {})[int(network.network_address)] = network

    def __bool__(self) -> bool:
        return bool(self._by_length)

    def holding(self, version: int, number: int, bits: int) -> Network | None:
        for (one, length), networks in self._by_length.items():
            if one == version:
                free = bits - length
                found = networks.get(number >> free << free)
                if found is not None:
                    return found
        return None
