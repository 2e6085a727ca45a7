"""Asking servers of the web that strangers name: public addresses only, and little of it.

No cookies, no proxies of the environment, no compression, no connection kept (T-49).
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from datd.errors import WebError
from datd.naming.destinations import Network, public
from datd.naming.lookup import SystemLookup

# L-27: requests under way, and how often one may be sent elsewhere.
MAX_REQUESTS = 4
MAX_REDIRECTS = 3
CONNECT_SECONDS = 2.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# ValueError: an address in a redirect that is none.
_FAILURES = (aiohttp.ClientError, OSError, ValueError)


class Page(NamedTuple):
    """An answer.

    Attributes:
        status: A number of HTTP.
        body: The whole body, or the beginning of it where that was asked for.
        headers: Found by names in any case.
    """

    status: int
    body: bytes
    headers: Mapping[str, str]


class Web:
    """The one way out for requests to hosts that somebody else named."""

    def __init__(
        self,
        *,
        allow: Sequence[Network] = (),
        ssl_context: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
        port: int = 443,
        plain: bool = False,
        requests: int = MAX_REQUESTS,
        setting: str = "naming.allow_networks",
    ) -> None:
        """Nothing is opened before the first request.

        Args:
            allow: Networks that may be asked although they are not public.
            ssl_context: Whom to trust; None: whom this system trusts.
            resolver: Turns names into addresses; None: as this system does.
            port: Where links without a port lead.
            plain: Whether http:// will do.
            requests: How many are under way at most.
            setting: Names the networks that are allowed; told where one is not.
        """
        self._allow = tuple(allow)
        self._ssl = ssl_context
        self._resolver = resolver or SystemLookup()
        self._port = port
        self._session: aiohttp.ClientSession | None = None
        self._turns = asyncio.Semaphore(requests)
        self._schemes = frozenset({"https", "http"} if plain else {"https"})
        self._setting = setting

    async def get(
        self,
        url: URL,
        *,
        seconds: float,
        limit: int,
        redirects: int = MAX_REDIRECTS,
        headers: Mapping[str, str] | None = None,
        whole: bool = True,
    ) -> Page:
        """Ask for a page.

        Args:
            url: What to ask for.
            seconds: For everything: connections, redirects, the whole body.
            limit: Bytes of body.
            redirects: How many are followed; the page after that is an error.
            headers: What to send beside the usual ones.
            whole: Whether a longer body is an error; if not, its beginning is the answer.

        Raises:
            WebError: There is no such page within these limits, or its host may not be asked.
        """
        try:
            async with self._turns, asyncio.timeout(seconds):
                for _ in range(redirects + 1):
                    answer = await self._once(url, limit, headers or {}, whole)
                    if isinstance(answer, Page):
                        return answer
                    url = answer
        except TimeoutError:
            raise WebError(f"{url.host} did not answer in time") from None
        except _FAILURES as error:
            raise WebError(f"{url.host} cannot be asked: {reason(error)}") from error
        raise WebError(f"{url.host} only sends elsewhere")

    async def post(
        self, url: URL, body: bytes, headers: Mapping[str, str], *, seconds: float
    ) -> Page:
        """Send something. Nothing of the answer's body is read, and no redirect is followed.

        Args:
            url: Where to.
            body: What.
            headers: What to send beside the usual ones.
            seconds: For everything, once it is this request's turn.

        Raises:
            WebError: Nobody answered in time, or the host may not be asked.
        """
        try:
            async with self._turns, asyncio.timeout(seconds):
                url = self._checked(url)
                async with self._client().post(
                    url, data=body, headers=headers, allow_redirects=False
                ) as response:
                    return Page(response.status, b"", response.headers)
        except TimeoutError:
            raise WebError(f"{url.host} did not answer in time") from None
        except _FAILURES as error:
            raise WebError(f"{url.host} cannot be asked: {reason(error)}") from error

    async def close(self) -> None:
        """End; requests under way fail."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _once(
        self, url: URL, limit: int, headers: Mapping[str, str], whole: bool
    ) -> Page | URL:
        """One request: the page, or where to go instead."""
        url = self._checked(url)
        async with self._client().get(url, headers=headers, allow_redirects=False) as response:
            target = response.headers.get("Location")
            if response.status in _REDIRECTS and target is not None:
                return url.join(URL(target)).with_fragment(None)
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise WebError(f"{url.host} sends what it was not asked for: compressed bytes")
            body = bytearray()
            async for piece in response.content.iter_any():
                body += piece
                if len(body) > limit:
                    if whole:
                        raise WebError(f"{url.host} sends more than {limit} bytes")
                    break
            return Page(response.status, bytes(body[:limit]), response.headers)

    def _checked(self, url: URL) -> URL:
        if url.scheme not in self._schemes or not url.host:
            raise WebError(f"{url.host or 'the link'} is not asked: only https:// links are")
        if url.user is not None or url.password is not None:
            raise WebError(f"{url.host} is not asked: its link holds a user name")
        if url.explicit_port is None and self._port != 443:
            return url.with_port(self._port)
        return url

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    ssl=self._ssl or True,
                    resolver=self._resolver,
                    force_close=True,
                    use_dns_cache=False,
                    socket_factory=self._socket,
                ),
                # The deadline of `get` holds for everything; this one, for each connection.
                timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept-Encoding": "identity", "User-Agent": "datd"},
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    def _socket(self, info: tuple[Any, ...]) -> socket.socket:
        """The socket for one address: the last place before it is dialled, for names and digits.

        Whatever the name server says next time, it is this address that was looked at.
        """
        family, kind, protocol, _, address = info
        if not public(address[0], self._allow):
            raise OSError(f"{address[0]} is no public address, see {self._setting}")
        return socket.socket(family, kind, protocol)


def reason(error: Exception) -> str:
    """Why a request failed, for people; also for web sources, which are asked elsewhere."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return "its certificate does not hold"
    if isinstance(error, aiohttp.ClientConnectorError):
        return _said(error.os_error)
    return str(error) or type(error).__name__


def _said(error: OSError) -> str:
    """What the system says of it; the event loop puts a sentence of its own in its place."""
    number = error.errno
    if number is not None and number > 0 and not isinstance(error, socket.gaierror):
        return os.strerror(number)
    return error.strerror or str(error)
