"""Mappings by UPnP, through async-upnp-client (the extra `upnp`).

Everybody on the network may answer a search. Only the router itself is believed: answers from
other hosts are thrown away, and no address but its own is ever fetched.

Source: UPnP Device Architecture 1.1, section 1.3; WANIPConnection:1 and :2.
"""

import asyncio
import re
import socket
from typing import Any

import aiohttp
from async_upnp_client.client import UpnpRequester, UpnpService
from async_upnp_client.client_factory import UpnpFactory
from async_upnp_client.const import HttpRequest, HttpResponse
from async_upnp_client.exceptions import UpnpActionError, UpnpError
from yarl import URL

from datd.errors import GatewayError, PortTaken
from datd.gateways.grants import Grant
from datd.types import Address

SEARCH_SECONDS = 3.0
# Small routers are slow; still each page of theirs comes within this.
PAGE_SECONDS = 5.0
# The longest description seen has 40 KiB.
MAX_PAGE = 256 * 1024
_DEVICES = tuple(f"urn:schemas-upnp-org:device:InternetGatewayDevice:{n}" for n in (2, 1))
_SERVICES = tuple(
    f"urn:schemas-upnp-org:service:{name}"
    for name in ("WANIPConnection:2", "WANIPConnection:1", "WANPPPConnection:1")
)
_LOCATION = re.compile(rb"^location:[ \t]*([!-~]{1,512})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_CONFLICT = 718
_ONLY_PERMANENT = 725
_DESCRIPTION = "datd"


class Upnp:
    """Mappings by UPnP. The router is searched for at the first need."""

    name = "UPnP"

    def __init__(self, gateway: str, own: str, search: Address) -> None:
        """Nothing is asked yet.

        Args:
            gateway: The router's address.
            own: This host's address as the router sees it.
            search: Where searches go.
        """
        self._gateway = gateway
        self._own = own
        self._search = search
        self._service: UpnpService | None = None

    async def add(self, protocol: str, internal: int, external: int, seconds: int) -> Grant:
        wanted = {
            "NewRemoteHost": "",
            "NewExternalPort": external,
            "NewProtocol": protocol.upper(),
            "NewInternalPort": internal,
            "NewInternalClient": self._own,
            "NewEnabled": True,
            "NewPortMappingDescription": _DESCRIPTION,
        }
        # First, since nobody would remove a mapping behind which this fails.
        outside = await self._call("GetExternalIPAddress")
        try:
            await self._call("AddPortMapping", **wanted, NewLeaseDuration=seconds)
        except _OnlyPermanent:
            seconds = 0
            await self._call("AddPortMapping", **wanted, NewLeaseDuration=0)
        return Grant(str(outside.get("NewExternalIPAddress") or ""), external, seconds)

    async def remove(self, protocol: str, internal: int, external: int) -> None:
        await self._call(
            "DeletePortMapping",
            NewRemoteHost="",
            NewExternalPort=external,
            NewProtocol=protocol.upper(),
        )

    async def _call(self, action: str, **arguments: Any) -> Any:
        try:
            if self._service is None:
                self._service = await self._find()
            return await self._service.async_call_action(action, **arguments)
        except GatewayError:
            raise
        except UpnpActionError as error:
            raise _refusal(error.error_code) from error
        except Exception as error:
            # Pages of routers are as broken as they like; the library reads them without a promise
            # of what it raises. Next time the router is searched for again.
            self._service = None
            kind = str(error) if isinstance(error, UpnpError) else type(error).__name__
            raise GatewayError(f"its answers make no sense ({kind[:200]})") from error

    async def _find(self) -> UpnpService:
        location = await _search(self._gateway, self._own, self._search)
        # Strict readers refuse most routers.
        factory = UpnpFactory(_Requester(self._gateway), non_strict=True)
        device = await factory.async_create_device(location)
        for kind in _SERVICES:
            service = device.find_service(kind)
            if service is not None:
                return service
        raise GatewayError("it has no connection to map ports of")


class _OnlyPermanent(GatewayError):
    """The router knows no mappings that end by themselves."""


def _refusal(code: int | None) -> GatewayError:
    if code == _CONFLICT:
        return PortTaken("another host has that port already")
    if code == _ONLY_PERMANENT:
        return _OnlyPermanent("it knows only permanent mappings")
    return GatewayError(f"it refuses with code {code}")


def location_of(datagram: bytes, gateway: str) -> str | None:
    """Where an answer says that the router describes itself, if that is at the router."""
    found = _LOCATION.search(datagram)
    if found is None or not datagram.startswith(b"HTTP/1.1 200"):
        return None
    text = found[1].decode("ascii")
    return text if _at(text, gateway) else None


def _at(link: str, gateway: str) -> bool:
    try:
        url = URL(link)
    except ValueError:
        return False
    return url.scheme == "http" and url.raw_host == gateway and url.user is None


def encode_search(device: str, target: Address) -> bytes:
    """The question for a kind of device."""
    lines = (
        "M-SEARCH * HTTP/1.1",
        f"HOST: {target}",
        'MAN: "ssdp:discover"',
        "MX: 1",
        f"ST: {device}",
    )
    return "\r\n".join((*lines, "", "")).encode("ascii")


async def _search(gateway: str, own: str, target: Address) -> str:
    loop = asyncio.get_running_loop()
    found: asyncio.Future[str] = loop.create_future()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 2)
        sock.bind((own, 0))
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Searcher(found, gateway), sock=sock
        )
    except OSError as error:
        sock.close()
        raise GatewayError(f"it cannot be searched for: {error.strerror or error}") from error
    try:
        for device in _DEVICES:
            transport.sendto(encode_search(device, target), (target.host, target.port))
        await asyncio.wait([found], timeout=SEARCH_SECONDS)
        if not found.done():
            raise GatewayError("it does not answer")
        return found.result()
    finally:
        found.cancel()
        transport.close()


class _Searcher(asyncio.DatagramProtocol):
    """Hears the router among all who answer."""

    def __init__(self, found: "asyncio.Future[str]", gateway: str) -> None:
        self._found = found
        self._gateway = gateway

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if addr[0] != self._gateway or self._found.done():
            return
        location = location_of(data, self._gateway)
        if location is not None:
            self._found.set_result(location)


class _Requester(UpnpRequester):
    """Fetches pages for the library: from the router only, no redirects, of bounded size."""

    def __init__(self, gateway: str) -> None:
        self._gateway = gateway

    async def async_http_request(self, http_request: HttpRequest) -> HttpResponse:
        if not _at(http_request.url, self._gateway):
            raise GatewayError("it points to another host")
        timeout = aiohttp.ClientTimeout(total=PAGE_SECONDS)
        async with (
            aiohttp.ClientSession(
                timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
            ) as session,
            session.request(
                http_request.method,
                http_request.url,
                headers={**http_request.headers, "Accept-Encoding": "identity"},
                data=http_request.body,
                allow_redirects=False,
            ) as response,
        ):
            page = bytearray()
            async for piece in response.content.iter_any():
                page += piece
                if len(page) > MAX_PAGE:
                    raise GatewayError("its pages are too long")
            return HttpResponse(
                response.status, dict(response.headers), page.decode("utf-8", "replace")
            )
