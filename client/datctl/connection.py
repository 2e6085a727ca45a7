"""Requests to one daemon and what comes back, errors included. The only importer of aiohttp."""

import asyncio
import io
import json
import os
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
)
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from datctl.endpoint import Endpoint
from datctl.errors import (
    ApiError,
    DatdError,
    NoDaemon,
    TimedOut,
    TransferError,
    Unauthorized,
    UsageError,
    api_error,
)

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

PREFIX = "/api/v1"
# A daemon on this host or near it takes a connection at once, or is not there.
CONNECT_SECONDS = 10.0
# The daemon answers at once, but for what has to come from peers: requests say how long that takes.
ANSWER_SECONDS = 60.0
# By then people who look at a terminal wonder whether anything happens.
PATIENCE_SECONDS = 5.0
# The largest answers are pages of 1,000 entries with names of up to 64 KiB.
MAX_DOCUMENT = 128 * 2**20

_WHERE_TOKENS_ARE = (
    "give it as $DATD_TOKEN, "
    "or say with $DATD_DATA_DIR where the daemon of this host keeps its data"
)

# A request with this header is done once, however often it is sent.
REPEATABLE = "Idempotency-Key"
_CONFLICT = 409
_AGAIN_SECONDS = 1.0

_BYTES = (bytes, bytearray, memoryview)

M = TypeVar("M", bound=BaseModel)


class Answer:
    """An answer whose head is here; it is read within the `async with` of its request.

    Attributes:
        status: HTTP status, below 300.
        headers: By name, in any case.
        content_type: Media type.
    """

    def __init__(
        self, connection: "Connection", response: "aiohttp.ClientResponse", silence: float
    ) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.content_type = response.content_type
        self._connection = connection
        self._response = response
        self._silence = silence

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The body as it comes.

        Raises:
            TimedOut: Nothing came for too long.
            TransferError: It ended early.
        """
        # Errors are told here, not where the request ends: the reader may look for them, and
        # those of his own work, perhaps of another connection, are not ours.
        with self._connection.told(self._silence):
            async for piece in self._response.content.iter_any():
                yield piece

    async def whole(self) -> bytes:
        """The whole body.

        Raises:
            DatdError: It is larger than any document.
        """
        body = bytearray()
        async for piece in self.pieces():
            body += piece
            if len(body) > MAX_DOCUMENT:
                raise DatdError(f"the daemon answers with more than {MAX_DOCUMENT} bytes")
        return bytes(body)


class Connection:
    """An HTTP session with a daemon."""

    def __init__(self, endpoint: Endpoint, on_silence: Callable[[str], None] | None = None) -> None:
        """Connect to nobody yet.

        Args:
            endpoint: Where the daemon is.
            on_silence: Is told, once, what is being waited for when it takes long, for people.
        """
        self._endpoint = endpoint
        self._on_silence = on_silence
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        """Prepare to send; nothing is sent yet.

        Raises:
            RuntimeError: It is open already.
        """
        if self._session is not None:
            raise RuntimeError("the client is open already: one `async with` at a time")
        self._loop = asyncio.get_running_loop()
        self._session = self._new_session()

    def _new_session(self) -> "aiohttp.ClientSession":
        import aiohttp  # a third of a second, which `datctl --help` should not cost

        path = self._endpoint.socket_path
        # Several names for one daemon are tried in turn; a proxy of the environment is not used.
        connector = aiohttp.UnixConnector(path) if path else aiohttp.TCPConnector()
        # Ranges and sizes are those of the file: no proxy is to compress it.
        headers = {"User-Agent": "datctl", "Accept-Encoding": "identity"}
        if self._endpoint.token:
            headers["Authorization"] = f"Bearer {self._endpoint.token}"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        return aiohttp.ClientSession(
            connector=connector, headers=headers, timeout=timeout, auto_decompress=False
        )

    async def close(self) -> None:
        """End all requests."""
        # Taken away first: whoever is cancelled while it closes can open it again.
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: BaseModel | None = None,
        content: bytes | AsyncIterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        silence: float = ANSWER_SECONDS,
        prefix: str = PREFIX,
    ) -> AsyncIterator[Answer]:
        """One request; the body of the answer is read by the caller.

        A connection that was kept may be one that the daemon is just closing, as it does when it
        stops. A request that may be sent twice is then sent once more, over a new connection: those
        whose method says so, and those with an `Idempotency-Key`. Of others nobody can know whether
        the daemon has read them. If it is still at the first one then, that is waited for.

        Args:
            method: HTTP method.
            path: Below the prefix of the API, percent-encoded.
            query: Parameters; None values are left out.
            body: Sent as JSON.
            content: Sent as it is, in place of a `body`.
            headers: Further headers.
            silence: Seconds without a byte from the daemon after which to give up; they begin when
                everything is sent.
            prefix: Of the path, for what lies beside the API.

        Raises:
            NoDaemon: Nobody answers.
            ApiError: The daemon answers with an error.
            TimedOut: It said nothing for too long.
            TransferError: The answer ended early.
            RuntimeError: The client is not open, or was opened in another event loop.
        """
        import aiohttp
        from yarl import URL

        if self._session is None:
            raise RuntimeError("use the client inside `async with Client() as dat:`")
        if self._loop is not asyncio.get_running_loop():
            raise RuntimeError(
                "the client was opened in another event loop: open one in each, or use datctl.sync"
            )
        url = URL(f"{self._endpoint.base_url}{prefix}{path}", encoded=True)
        sent = dict(headers or {})
        data: bytes | bytearray | memoryview | _Content | None = None
        if isinstance(content, _BYTES):
            data = content
        elif content is not None:
            data = _Content(content)
        if body is not None:
            data = _json(body)
            sent["Content-Type"] = "application/json"
        url = url.update_query(_parameters(query or {}))
        async with AsyncExitStack() as stack:
            try:
                with self.told(silence), self._impatient(query or {}, data, silence):
                    ask = partial(_ask, method, url, sent, data, silence)
                    try:
                        response = await ask(self._session)
                    except aiohttp.ClientConnectorError:
                        raise  # there was no connection at all
                    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                        if REPEATABLE not in sent or isinstance(data, _Content):
                            raise
                        # Not with the same connections: others of them may be closing, too.
                        session = await stack.enter_async_context(self._new_session())
                        response = await _answer_of_the_first(partial(ask, session), silence)
            except DatdError:
                if isinstance(data, _Content) and data.error is not None:
                    raise data.error from None
                raise
            await stack.enter_async_context(response)
            answer = Answer(self, response, silence)
            if response.status >= 300:
                raise await self._error(answer)
            yield answer

    @contextmanager
    def _impatient(self, query: Mapping[str, Any], data: object, silence: float) -> Iterator[None]:
        """Tell whoever wants to know it if no answer begins for long, for the time of a `with`."""
        if self._on_silence is None or isinstance(data, _Content):  # that has its own progress
            yield
            return
        wait = query.get("wait")
        text = f"waiting for {self._endpoint.shown}: nothing came for {PATIENCE_SECONDS:g} s; "
        if wait:
            text += f"it may have to ask peers, for {wait:g} s at most"
        else:
            text += f"after {silence:g} s it is given up (datctl doctor looks what is amiss)"

        def tell() -> None:
            on_silence, self._on_silence = self._on_silence, None
            if on_silence is not None:
                on_silence(text)

        timer = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, tell)
        try:
            yield
        finally:
            timer.cancel()

    @contextmanager
    def told(self, silence: float) -> Iterator[None]:
        """Errors of the HTTP library as ours, for the time of a `with`."""
        import aiohttp

        try:
            yield
        except aiohttp.ClientConnectorError as error:
            raise self._nobody(error.os_error) from error
        except aiohttp.ConnectionTimeoutError as error:
            raise self._nobody(TimeoutError(f"not within {CONNECT_SECONDS:.0f} s")) from error
        except aiohttp.ServerTimeoutError as error:
            raise TimedOut(
                f"{self._endpoint.shown} said nothing for {silence:.0f} s: it is stuck, or far too "
                "busy; datctl doctor and the daemon's log tell more"
            ) from error
        except (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError) as error:
            raise TransferError(
                f"the connection to {self._endpoint.shown} ended before the answer did"
            ) from error
        except aiohttp.ClientError as error:
            raise NoDaemon(f"what answers at {self._endpoint.shown} is no datd: {error}") from error

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: BaseModel | None = None,
        content: bytes | AsyncIterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        silence: float = ANSWER_SECONDS,
        prefix: str = PREFIX,
    ) -> tuple[int, bytes]:
        """One request; the status and the whole body of the answer."""
        async with self.request(
            method, path, query=query, body=body, content=content, headers=headers, silence=silence,
            prefix=prefix,
        ) as answer:  # fmt: skip
            return answer.status, await answer.whole()

    async def get(
        self,
        path: str,
        model: type[M],
        query: Mapping[str, Any] | None = None,
        *,
        silence: float = ANSWER_SECONDS,
    ) -> M:
        """A document."""
        return parse(model, (await self.call("GET", path, query=query, silence=silence))[1])

    async def _error(self, answer: Answer) -> ApiError:
        try:
            document = json.loads(await answer.whole())
        except (ValueError, RecursionError):
            document = None
        error = api_error(answer.status, document)
        if isinstance(error, Unauthorized) and not self._endpoint.token:
            # What the daemon says of it is for people who write HTTP by hand.
            hint = self._endpoint.hint or _WHERE_TOKENS_ARE
            return Unauthorized(error.status, error.kind, f"no token: {hint}")
        return error

    def _nobody(self, error: OSError) -> NoDaemon:
        # What asyncio says of it repeats the address.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        return NoDaemon(
            f"no daemon answers at {self._endpoint.shown} ({reason}): start datd, or name another "
            "one with --api or $DATD_API"
        )


async def _ask(
    method: str,
    url: "URL",
    headers: Mapping[str, str],
    data: "bytes | bytearray | memoryview | _Content | None",
    silence: float,
    session: "aiohttp.ClientSession",
) -> "aiohttp.ClientResponse":
    import aiohttp

    return await session.request(
        method,
        url,
        data=io.BytesIO(data) if isinstance(data, _BYTES) else data,
        headers=headers,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=silence),
        allow_redirects=False,
    )


async def _answer_of_the_first(
    ask: "Callable[[], Awaitable[aiohttp.ClientResponse]]", silence: float
) -> "aiohttp.ClientResponse":
    """Send a request again; while the daemon is still at what was sent first, wait for that.

    Otherwise whoever gives up here, and asks anew, would have it done twice.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + silence
    while True:
        response = await ask()
        # What is refused for good is not to be asked for again later.
        under_way = response.status == _CONFLICT and "Retry-After" in response.headers
        if not under_way or loop.time() >= deadline:
            return response
        response.close()
        await asyncio.sleep(_AGAIN_SECONDS)


class _Content:
    """Bytes of the caller on their way: sent once, and what goes wrong with them is the caller's.

    Attributes:
        error: What their source has raised.
    """

    def __init__(self, source: AsyncIterable[bytes]) -> None:
        if not hasattr(source, "__aiter__"):
            raise TypeError(
                f"content is bytes, or an asynchronous iterable of bytes, not {type(source)!r}"
            )
        self.error: Exception | None = None
        self._source = source
        self._begun = False

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        if self._begun:
            # What is left of it would be taken for the whole.
            raise ConnectionError("content that comes piece by piece cannot be sent again")
        self._begun = True
        try:
            async for piece in self._source:
                if not isinstance(piece, _BYTES):
                    raise TypeError(f"content consists of bytes, not of {type(piece)!r}")
                yield piece
        except Exception as error:
            self.error = error
            raise


def parse(model: type[M], document: bytes) -> M:
    """A document as its model.

    Raises:
        DatdError: It is another one: not datd, or of another version.
    """
    try:
        return model.model_validate_json(document)
    except ValidationError as error:
        raise DatdError(
            f"the answer is no {model.__name__} that this datctl understands; "
            "is the daemon of another version?"
        ) from error


def _json(body: BaseModel) -> bytes:
    try:
        # What is of a wrong type is the daemon's to refuse, in words.
        return body.model_dump_json(exclude_unset=True, by_alias=True, warnings=False).encode()
    except ValueError as error:  # half of a surrogate pair, from a name in another encoding
        raise UsageError("a name or text is no valid Unicode: write it in UTF-8") from error


def _parameters(query: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    for name, value in query.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                found.append((name, str(one).lower() if isinstance(one, bool) else str(one)))
    return found
