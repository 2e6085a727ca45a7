"""A WebSocket as a stream: binary messages whose borders mean nothing.

Source: transports.md section 7. Compression is off: what goes over it is encrypted.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from aiohttp import web
from yarl import URL

from datd.errors import WebError
from datd.hosting.web.client import CONNECT_SECONDS, WebClient
from datd.naming.web import reason
from datd.transport.base import MAX_UNREAD
from datd.types import Address

# wire.md: no message of ours is larger, so no part of one need be.
MAX_MESSAGE: Final = 8 * 2**20
# What goes into one message of ours: proxies in between hold whole messages.
_PIECE: Final = 64 * 1024
# Whoever does not answer the end of a conversation is cut off.
CLOSE_SECONDS: Final = 5.0

Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


class WebSocketStream:
    """Either end of a WebSocket; a `Stream`.

    Attributes:
        closed: Set once our side wants the conversation over; whoever made it ends it then.
    """

    def __init__(self, socket: Socket, kind: str, remote: Address) -> None:
        self.closed = asyncio.Event()
        self._socket = socket
        self._kind = kind
        self._remote = remote
        self._unread = memoryview(b"")
        self._ended = False

    @property
    def kind(self) -> str:
        return self._kind

    @property
    def remote(self) -> Address:
        return self._remote

    async def read(self) -> bytes | bytearray:
        while not self._unread:
            if self._ended or self.closed.is_set():
                return b""
            message = await self._socket.receive()
            if message.type is aiohttp.WSMsgType.BINARY:
                self._unread = memoryview(message.data)
            elif message.type is aiohttp.WSMsgType.TEXT:
                raise OSError(f"the other side says: {message.data[:200]!r}")
            elif message.type is aiohttp.WSMsgType.ERROR:
                self._ended = True
                raise OSError("the WebSocket broke")
            else:
                self._ended = True
        data, self._unread = self._unread[:MAX_UNREAD], self._unread[MAX_UNREAD:]
        return bytes(data)

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.closed.is_set():
            raise ConnectionResetError("the WebSocket is closed")
        view = memoryview(data)
        for at in range(0, len(view), _PIECE):
            if self._ended:
                return  # nobody takes it any more
            try:
                await self._socket.send_bytes(bytes(view[at : at + _PIECE]))
            except (aiohttp.ClientError, RuntimeError) as error:
                raise ConnectionResetError("the WebSocket is closed") from error

    def close(self) -> None:
        self.closed.set()

    def abort(self) -> None:
        self._unread = memoryview(b"")
        self.closed.set()


@asynccontextmanager
async def dial(client: WebClient, url: URL, remote: Address) -> AsyncIterator[WebSocketStream]:
    """Call somebody who takes conversations at a `ws://` or `wss://` address.

    Raises:
        WebError: Nobody answers there, or no WebSocket.
    """
    try:
        async with asyncio.timeout(CONNECT_SECONDS * 2):
            socket = await client.session.ws_connect(url, compress=0, max_msg_size=MAX_MESSAGE)
    except TimeoutError:
        raise WebError(f"{url.host} did not answer in time") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise WebError(f"{url.host} takes no WebSocket: {reason(error)}") from error
    stream = WebSocketStream(socket, url.scheme, remote)
    try:
        yield stream
    finally:
        stream.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await socket.close()
        except TimeoutError:
            pass
