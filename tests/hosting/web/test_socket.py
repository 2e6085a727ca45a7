from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from tests.helpers.sites import LOOPBACK
from yarl import URL

from datd.errors import WebError
from datd.hosting.web.client import WebClient
from datd.hosting.web.socket import WebSocketStream, dial
from datd.types import Address

HERE = Address("127.0.0.1", 1)


@asynccontextmanager
async def called(answer):
    """The client's end of a WebSocket that a function answers."""

    async def handle(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await answer(socket)
        return socket

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = WebClient(allow=(LOOPBACK,))
    try:
        url = URL(f"ws://127.0.0.1:{runner.addresses[0][1]}/")
        async with dial(client, url, HERE) as stream:
            yield stream
    finally:
        await client.close()
        await runner.cleanup()


async def test_borders_of_messages_mean_nothing_and_the_end_is_seen():
    async def echo(socket):
        stream = WebSocketStream(socket, "ws", HERE)
        got = b""
        while len(got) < 200_000:
            got += await stream.read()
        await stream.write(got)
        await socket.close()

    async with called(echo) as stream:
        await stream.write(bytes(200_000))
        got = b""
        while data := await stream.read():
            got += data
        assert got == bytes(200_000)
        await stream.write(b"nobody takes this")


async def test_an_error_comes_as_text():
    async def refuse(socket):
        await socket.send_str("Could not find archive")
        await socket.close()

    async with called(refuse) as stream:
        with pytest.raises(OSError, match="Could not find archive"):
            await stream.read()


async def test_T_49_a_private_address_is_not_called():
    client = WebClient()
    try:
        with pytest.raises(WebError, match=r"web\.allow_networks"):
            async with dial(client, URL("ws://127.0.0.1:9/"), HERE):
                raise AssertionError("called")
    finally:
        await client.close()


async def test_L_27_a_call_is_not_sent_elsewhere():
    asked = []

    async def elsewhere(request):
        asked.append(request.path)
        return web.Response(status=302, headers={"Location": "/there"})

    runner = web.ServerRunner(web.Server(elsewhere))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = WebClient(allow=(LOOPBACK,))
    try:
        url = URL(f"ws://127.0.0.1:{runner.addresses[0][1]}/here")
        with pytest.raises(WebError, match="sends elsewhere"):
            async with dial(client, url, HERE):
                raise AssertionError("called")
    finally:
        await client.close()
        await runner.cleanup()
    assert asked == ["/here"]
