import asyncio

import pytest

from datctl.client import Client
from datctl.errors import DatdError, NoDaemon, NotFound, TransferError, UsageError


async def answering(answer):
    """A server that reads a request and answers with given bytes, then closes."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def http(status, body, kind="application/json", length=None):
    size = len(body) if length is None else length
    head = f"HTTP/1.1 {status} x\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", NoDaemon),
        (b"", TransferError),
        (http(200, b"{}"), DatdError),
        (http(200, b"<html>"), DatdError),
        (http(200, b'{"name":', length=500), TransferError),
        (http(302, b""), DatdError),
        (http(404, b"<html>nginx</html>", "text/html"), NotFound),
        (http(502, b"\xff\xfe"), DatdError),
        (http(500, b"[" * 100_000), DatdError),
    ],
)
async def test_whatever_answers_there_the_error_is_ours(answer, error):
    server, api = await answering(answer)
    async with server, Client(api, env={}) as dat:
        with pytest.raises(error):
            await dat.info()


async def test_a_client_must_be_opened_before_it_is_used():
    with pytest.raises(RuntimeError, match="async with"):
        await Client(env={}).info()


async def test_a_name_that_is_no_unicode_is_wrong_usage(dat):
    with pytest.raises(UsageError, match="UTF-8"):
        await dat.create(name="\udcff")
