"""Tells the local network of an API that it may use: DNS-SD (RFC 6763), as `_datd._tcp`.

Apart from the discovery of peers, which speaks multicast DNS of its own: both share port 5353, each
hears all packets of the group, and neither answers for names of the other.
"""

import ipaddress
import logging
import socket
from collections.abc import Iterable

from zeroconf import Error
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from datd import __version__

log = logging.getLogger(__name__)

SERVICE = "_datd._tcp.local."


class Announcement:
    """The API as the local network sees it, for the time between `start` and `close`."""

    def __init__(self, hosts: Iterable[str], port: int) -> None:
        """Nothing is said yet.

        Args:
            hosts: Numeric addresses at which other hosts reach the API.
            port: Its TCP port.
        """
        self._hosts = list(hosts)
        self._port = port
        self._zeroconf: AsyncZeroconf | None = None

    async def start(self) -> None:
        """Announce it. Where that cannot be, the daemon says so, and runs all the same."""
        host = socket.gethostname().split(".")[0] or "datd"
        info = AsyncServiceInfo(
            SERVICE,
            f"{host}.{SERVICE}",
            server=f"{host}.local.",
            port=self._port,
            addresses=[ipaddress.ip_address(one).packed for one in self._hosts],
            properties={"v": "1", "path": "/api/v1", "tls": "0", "version": __version__},
        )
        try:
            self._zeroconf = AsyncZeroconf()
            await self._zeroconf.async_register_service(info, allow_name_change=True)
        except (OSError, Error, ValueError) as error:
            log.warning("the API is not announced on the local network: %s", error)
            await self.close()
        else:
            log.info("the API is announced on the local network as %s", info.name)

    async def close(self) -> None:
        """Say goodbye."""
        if self._zeroconf is not None:
            closing, self._zeroconf = self._zeroconf, None
            await closing.async_unregister_all_services()
            await closing.async_close()


def announced_hosts(host: str, own: Iterable[str]) -> list[str]:
    """Addresses at which other hosts reach what listens on `host`; none if they cannot.

    Args:
        host: As in the setting `api.host`.
        own: All addresses of this host.
    """
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return []
    if address.is_loopback:
        return []
    if not address.is_unspecified:
        return [str(address)]
    outward = [ipaddress.ip_address(one.partition("%")[0]) for one in own]
    # Without its interface a link-local address of IPv6 leads nowhere.
    return sorted(
        str(one)
        for one in outward
        if not one.is_loopback
        and one.version == address.version
        and not (one.version == 6 and one.is_link_local)
    )
