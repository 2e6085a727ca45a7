"""The address that a request comes from, also behind a proxy of ours."""

import ipaddress
from collections.abc import Sequence

from aiohttp import web

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Senders:
    """Tells addresses of clients; believes `X-Forwarded-For` of known proxies only."""

    def __init__(self, proxies: Sequence[Network] = ()) -> None:
        """Know the proxies, of the setting `api.proxies`."""
        self._proxies = proxies

    def address(self, request: web.Request) -> str:
        """Where a request comes from; empty for a Unix socket."""
        address = request.remote or ""
        if not self._is_proxy(address):
            return address
        # Each proxy adds whom it heard it from: the last one that is no proxy of ours is true,
        # whatever stands before it was sent by somebody else.
        named = ",".join(request.headers.getall("X-Forwarded-For", []))
        for one in reversed([part.strip() for part in named.split(",")]):
            if not _is_address(one):
                break
            address = one
            if not self._is_proxy(one):
                break
        return address

    def _is_proxy(self, address: str) -> bool:
        if not self._proxies or not _is_address(address):
            return False
        parsed = ipaddress.ip_address(address)
        return any(parsed in network for network in self._proxies)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
