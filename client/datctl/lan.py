"""Daemons of the local network that announce themselves by DNS-SD, as `_datd._tcp`.

The only importer of zeroconf in the client, and only when somebody wants to know.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from datctl.errors import DatdError

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

SERVICE = "_datd._tcp.local."
# How long one announced daemon may take to say where it is.
_RESOLVE_SECONDS = 3.0
# Whoever announces more daemons than anybody runs is not believed any further.
MAX_DAEMONS = 256


class Found(NamedTuple):
    """A daemon of the local network.

    Attributes:
        name: What it calls itself.
        api: Address to give to `--api`.
        version: Of its software; empty if it does not say.
        host: Its host's name.
    """

    name: str
    api: str
    version: str
    host: str


async def discover(seconds: float, interfaces: Sequence[str] = ()) -> list[Found]:
    """Who announces a daemon.

    Args:
        seconds: How long to listen.
        interfaces: Addresses of those to listen on; none: all.

    Returns:
        Daemons, by name.

    Raises:
        DatdError: Nothing can be heard: no interface does multicast.
    """
    from zeroconf import InterfaceChoice, ServiceStateChange
    from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

    names: set[str] = set()

    def heard(zeroconf: Any, service_type: str, name: str, state_change: Any) -> None:
        if state_change is ServiceStateChange.Removed:
            names.discard(name)
        elif len(names) < MAX_DAEMONS:
            names.add(name)

    try:
        zeroconf = AsyncZeroconf(interfaces=list(interfaces) or InterfaceChoice.All)
    except OSError as error:
        raise DatdError(f"the local network cannot be heard: {error.strerror}") from error
    try:
        browser = AsyncServiceBrowser(zeroconf.zeroconf, SERVICE, handlers=[heard])
        await asyncio.sleep(seconds)
        await browser.async_cancel()
        infos = [AsyncServiceInfo(SERVICE, name) for name in sorted(names)]
        asked = [_resolve(zeroconf, info) for info in infos]
        answered = await asyncio.gather(*asked)
    finally:
        await zeroconf.async_close()
    return [one for one in answered if one is not None]


async def _resolve(zeroconf: "AsyncZeroconf", info: "AsyncServiceInfo") -> Found | None:
    from zeroconf import IPVersion

    if not await info.async_request(zeroconf.zeroconf, _RESOLVE_SECONDS * 1000):
        return None
    told = _told(info.properties)
    addresses = info.parsed_addresses(IPVersion.V4Only) or [
        f"[{address}]" for address in info.parsed_addresses(IPVersion.V6Only)
    ]
    if not addresses or not info.port:
        return None
    scheme = "https" if told.get("tls") == "1" else "http"
    return Found(
        name=info.name.removesuffix(f".{SERVICE}"),
        api=f"{scheme}://{addresses[0]}:{info.port}",
        version=told.get("version", ""),
        host=(info.server or "").rstrip("."),
    )


def _told(properties: Mapping[bytes, bytes | None]) -> dict[str, str]:
    return {
        key.decode("ascii", "replace"): (value or b"").decode("utf-8", "replace")
        for key, value in properties.items()
    }
