"""Reading parts of files from web servers that hold archives. All that comes is hostile.

HTTP and HTTPS only, no cookies, no proxies of the environment, no compression; each address is
looked at right before it is dialled, also after a redirect (T-49).
"""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from datd.errors import WebError
from datd.hosting.web.layout import HTTP
from datd.naming.destinations import Network, public
from datd.naming.lookup import SystemLookup
from datd.naming.web import reason
from datd.transport.bandwidth import Limit
from datd.transport.bucket import Account

# L-27: how often one request may be sent elsewhere, and requests under way for one source.
MAX_REDIRECTS: Final = 3
MAX_REQUESTS: Final = 4
# Servers that ignore Range: what comes is read and cut, as long as it is not more than this.
MAX_WHOLE: Final = 16 * 2**20
CONNECT_SECONDS: Final = 10.0
# A server that drips: a megabyte, which is the most asked for at one go, takes a modem a minute.
# Whole files may take so long for each megabyte.
REQUEST_SECONDS: Final = 60.0
_PROGRESS: Final = 2**20
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_GONE: Final = frozenset({404, 410, 416})
_NO_HEAD: Final = frozenset({400, 405, 501})
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_FAILURES = (aiohttp.ClientError, OSError, ValueError)


class NotThere(WebError):
    """The server has no such file, or not that part of it."""


class Seen(NamedTuple):
    """What a server says of a file.

    Attributes:
        size: Its bytes.
        mark: Changes when the file does, if the server tells.
    """

    size: int
    mark: str


class WebClient:
    """The one way out for all web sources."""

    def __init__(
        self,
        *,
        allow: Sequence[Network] = (),
        ssl_context: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        """Nothing is opened before the first request.

        Args:
            allow: Networks that may be asked although they are not public.
            ssl_context: Whom to trust; None: whom this system trusts.
            resolver: Turns names into addresses; None: as this system does.
        """
        self._allow = tuple(allow)
        self._ssl = ssl_context
        self._resolver = resolver or SystemLookup()
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """What requests are made with; its connections keep to the rules."""
        if self._session is None:
            # Where one may be sent elsewhere, that is looked at here; a WebSocket may not.
            no_redirects = aiohttp.TraceConfig()
            no_redirects.on_request_redirect.append(_refuse_redirect)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    ssl=self._ssl or True,
                    resolver=self._resolver,
                    use_dns_cache=False,
                    socket_factory=self._socket,
                    limit=0,
                ),
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=CONNECT_SECONDS, sock_read=REQUEST_SECONDS / 2
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept-Encoding": "identity", "User-Agent": "datd"},
                auto_decompress=False,
                trust_env=False,
                trace_configs=[no_redirects],
            )
        return self._session

    async def close(self) -> None:
        """End; requests under way fail."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _socket(self, info: tuple[Any, ...]) -> socket.socket:
        """The socket for one address: the last place before it is dialled."""
        family, kind, protocol, _, address = info
        if not public(address[0], self._allow):
            raise OSError(
                f"{address[0]} is no public address; the setting web.allow_networks names private "
                "networks that may be asked"
            )
        return socket.socket(family, kind, protocol)


class WebHost:
    """One web source: at most four requests at once, and a small file kept whole.

    Attributes:
        received: Bytes of bodies so far.
        account: Owes those that were not paid yet.
    """

    def __init__(
        self, client: WebClient, *, seconds: float = REQUEST_SECONDS, limit: Limit | None = None
    ) -> None:
        """Ask for nothing yet.

        Args:
            client: The way out.
            seconds: For one request, and for each megabyte of a body.
            limit: Counts the bytes of bodies. They are not held up here, where it would look as
                if the server were slow: who asks for blocks waits, and asks for few at a time.
        """
        self.received = 0
        self.account = Account(lambda: None)
        self._limit = limit or Limit()
        self._client = client
        self._seconds = seconds
        self._turns = asyncio.Semaphore(MAX_REQUESTS)
        self._whole: tuple[URL, bytes] | None = None
        self._whole_turn = asyncio.Lock()

    async def read(self, url: URL, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` of a file; fewer where it ends earlier.

        Raises:
            NotThere: The file, or all of that part, is not there.
            WebError: The server cannot be asked, or answers something else.
        """
        async with self._turns:
            # One that ignores Range has sent all of the file for another part of it.
            if self._whole is not None and self._whole[0] == url:
                return self._whole[1][start:stop]
            wanted = {"Range": f"bytes={start}-{stop - 1}"}
            async with self._asked("GET", url, wanted) as (answer, timer):
                if answer.status == 200:
                    return await self._cut(url, answer, timer, start, stop)
                if answer.status != 206:
                    raise _refusal(answer)
                found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
                if found is None or int(found[1]) != start or int(found[2]) >= stop:
                    raise WebError(f"{url.host} gives another part than it was asked for")
                return await self._body(answer, timer, int(found[2]) + 1 - start)

    async def look(self, url: URL) -> Seen:
        """How large a file is, and whether it is the one of last time.

        Raises:
            NotThere: It is not there.
            WebError: The server cannot be asked, or does not tell.
        """
        async with self._turns:
            async with self._asked("HEAD", url, {}) as (answer, _):
                length = answer.headers.get("Content-Length", "")
                if answer.status == 200 and _is_number(length):
                    return _seen(answer, int(length))
                if answer.status not in _NO_HEAD and answer.status != 200:
                    raise _refusal(answer)
            async with self._asked("GET", url, {"Range": "bytes=0-0"}) as (answer, timer):
                found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
                if answer.status == 206 and found is not None and found[3] != "*":
                    return _seen(answer, int(found[3]))
                if answer.status == 200:
                    data = await self._body(answer, timer, MAX_WHOLE)
                    return _seen(answer, len(data))
                raise _refusal(answer)

    def close(self) -> None:
        """Nothing is asked any more."""
        self._limit.close(self.account)

    def forget(self) -> None:
        """Files may have changed: keep none."""
        self._whole = None

    async def _cut(
        self,
        url: URL,
        answer: aiohttp.ClientResponse,
        timer: asyncio.Timeout,
        start: int,
        stop: int,
    ) -> bytes:
        length = answer.headers.get("Content-Length", "")
        if _is_number(length) and int(length) > MAX_WHOLE:
            raise WebError(
                f"{url.host} ignores Range and sends whole files; {url.name} is too large for that"
            )
        # One at a time, and only the last one: each may fill 16 MiB.
        async with self._whole_turn:
            if self._whole is None or self._whole[0] != url:
                self._whole = None
                self._whole = (url, await self._body(answer, timer, MAX_WHOLE))
            data = self._whole[1]
        if start >= len(data):
            raise NotThere(f"{url.name} ends before byte {start}")
        return data[start:stop]

    async def _body(
        self, answer: aiohttp.ClientResponse, timer: asyncio.Timeout, limit: int
    ) -> bytes:
        if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise WebError(f"{answer.url.host} sends what it was not asked for: compressed bytes")
        body = bytearray()
        async for piece in answer.content.iter_any():
            if len(body) // _PROGRESS < (len(body) + len(piece)) // _PROGRESS:
                timer.reschedule(asyncio.get_running_loop().time() + self._seconds)
            body += piece
            self.received += len(piece)
            self._limit.owe(self.account, len(piece))
            if len(body) > limit:
                raise WebError(f"{answer.url.host} sends more than {limit} bytes")
        return bytes(body)

    @asynccontextmanager
    async def _asked(
        self, method: str, url: URL, headers: dict[str, str]
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, asyncio.Timeout]]:
        asked = url
        try:
            async with asyncio.timeout(self._seconds) as timer:
                for _ in range(MAX_REDIRECTS + 1):
                    async with self._client.session.request(
                        method, url, headers=headers, allow_redirects=False
                    ) as answer:
                        target = answer.headers.get("Location")
                        if answer.status not in _REDIRECTS or target is None:
                            yield answer, timer
                            return
                    url = _elsewhere(url, target)
        except TimeoutError:
            raise WebError(f"{asked.host} did not answer in time") from None
        except _FAILURES as error:
            raise WebError(f"{url.host} cannot be asked: {reason(error)}") from error
        raise WebError(f"{asked.host} only sends elsewhere")


async def _refuse_redirect(
    session: aiohttp.ClientSession,
    context: object,
    params: aiohttp.TraceRequestRedirectParams,
) -> None:
    raise WebError(f"{params.url.host} sends elsewhere: give the address where it ends")


def _elsewhere(url: URL, target: str) -> URL:
    found = url.join(URL(target)).with_fragment(None)
    if found.scheme != url.scheme or found.scheme not in HTTP:
        raise WebError(f"{url.host} sends to {found.scheme or 'nowhere'}: that is not followed")
    if found.user is not None or found.password is not None:
        raise WebError(f"{url.host} sends to an address with a user name")
    return found


def _refusal(answer: aiohttp.ClientResponse) -> WebError:
    if answer.status in _GONE:
        return NotThere(f"{answer.url.host} has no {answer.url.path}")
    return WebError(f"{answer.url.host} answers with status {answer.status}")


def _seen(answer: aiohttp.ClientResponse, size: int) -> Seen:
    mark = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    return Seen(size, mark[:256])


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18
