import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Coroutine
from typing import Any

import pytest
from aiohttp import web
from tests.helpers.api import TOKEN, read_answer, running_api
from tests.helpers.daemon import eventually
from tests.helpers.gateway import running_gateway

from datd.http import listener
from datd.http.listener import (
    IDLE_SECONDS,
    MAX_CONNECTIONS_OF_ONE,
    Listener,
    is_loopback,
    network_of,
)
from datd.http.server import ApiServer

V1 = "/api/v1"
REQUEST = f"GET {V1}/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n".encode()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\r\n\r\nblah\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 300 + b"\r\n\r\n",
        REQUEST + b"Content-Length: x\r\n\r\n",
        REQUEST + b"Transfer-Encoding: gzip, nonsense\r\n\r\n",
        REQUEST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        REQUEST.replace(b"1.1", b"9.9") + b"\r\n",
        REQUEST.replace(b"/ HTTP", b"/\xff HTTP") + b"\r\n",
        REQUEST + b"X: \x00\r\n\r\n",
    ],
)
async def test_t43_what_is_no_request_is_a_problem_and_no_500(api, request_bytes):
    answer = await api.raw(request_bytes)
    assert (answer.status, answer.kind) == (400, "bad_request")
    assert TOKEN.encode() not in answer.body


async def test_l22_an_address_that_is_too_long_is_said_to_be(api):
    answer = await api.raw(REQUEST.replace(b"/api/v1/", b"/" + b"x" * 20_000) + b"\r\n")
    assert (answer.status, answer.kind) == (414, "uri_too_long")


@pytest.mark.parametrize(
    "headers",
    [b"X: " + b"y" * 20_000 + b"\r\n", b"X: y\r\n" * 500, b"X: %s\r\n" % (b"y" * 900) * 20],
)
async def test_l22_headers_above_the_limit_are_431(api, headers):
    answer = await api.raw(REQUEST + headers + b"\r\n")
    assert (answer.status, answer.kind) == (431, "headers")


async def test_l22_connections_above_the_limit_are_told_so(api, monkeypatch):
    monkeypatch.setattr(listener, "MAX_CONNECTIONS", 3)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(3):
            _, writer = await asyncio.open_connection("127.0.0.1", api.port)
            stack.callback(writer.close)
            writer.write(REQUEST + b"\r\n")
        turned = await api.ask(f"{V1}/")
        assert (turned.status, turned.kind) == (503, "busy")

    async def served():
        return (await api.ask(f"{V1}/")).status == 200

    await eventually(served, what="a free connection")


def in_uvloop(story: Coroutine[Any, Any, None]) -> None:
    """Run as the daemon does where uvloop is installed; other tests run on asyncio's own loop."""
    factory = pytest.importorskip("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(story)


def test_l22_connections_above_the_limit_are_told_so_by_the_daemons_loop_too(tmp_path, monkeypatch):
    monkeypatch.setattr(listener, "MAX_CONNECTIONS", 1)

    async def story() -> None:
        async with running_api(tmp_path) as api:
            _, writer = await asyncio.open_connection("127.0.0.1", api.port)
            writer.write(REQUEST + b"\r\n")
            turned = await api.ask(f"{V1}/")
            assert (turned.status, turned.kind) == (503, "busy")
            writer.close()

    in_uvloop(story())


def test_a_body_that_comes_right_behind_its_header_is_not_timed_as_one(tmp_path, monkeypatch):
    # One turn of the loop reads both, before the handler has begun.
    size = 3_000_000

    async def story() -> None:
        async with running_api(tmp_path) as api:
            made = (await api.post(f"{V1}/archives", {"new": {}})).json
            head = (
                f"PUT {V1}/archives/{made['key']}/files/large HTTP/1.1\r\nHost: localhost\r\n"
                f"Authorization: Bearer {TOKEN}\r\nContent-Type: application/octet-stream\r\n"
                f"Content-Length: {size}\r\n\r\n"
            )
            reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
            writer.write(REQUEST + b"\r\n")
            await read_answer(reader, False)
            # From here on no header is timed, or it would be too late on a busy machine.
            monkeypatch.setattr(listener, "HEADER_SECONDS", 0.5)
            writer.write(head.encode() + b"x" * (size - 1))
            await asyncio.sleep(1.5)
            writer.write(b"x")
            answer = await reader.readline()
            writer.transport.abort()
            assert answer.split()[1] == b"201"

    in_uvloop(story())


async def test_l22_who_reads_nothing_of_an_answer_keeps_no_connection(monkeypatch):
    monkeypatch.setattr(listener, "STALLED_SECONDS", 1)

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=bytes(24 * 2**20))  # more than all buffers on the way hold

    app = web.Application()
    app.router.add_get("/", large)
    opened = Listener(app, "the API", "api")
    port = await opened.open("127.0.0.1", 0)
    ask = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.closing(writer):
        writer.write(ask)
        assert b" 200 " in await reader.readline()
        monkeypatch.setattr(listener, "MAX_CONNECTIONS", 1)

        async def served() -> bool:
            other_reader, other = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.closing(other), contextlib.suppress(ConnectionError):
                other.write(ask)
                return b" 200 " in await other_reader.readline()
            return False

        await eventually(served, what="a free connection")
    await opened.close()


@pytest.mark.parametrize("beginning", [b"", b"GET /", REQUEST])
async def test_t43_l22_a_header_that_does_not_come_is_408(api, monkeypatch, beginning):
    monkeypatch.setattr(listener, "HEADER_SECONDS", 0.1)
    answer = await api.raw(beginning)
    assert (answer.status, answer.kind) == (408, "timeout")


async def test_t43_a_header_that_drips_after_an_answer_is_408_too(api, monkeypatch):
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    with contextlib.closing(writer):
        writer.write(REQUEST + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        # Not before: the first header is whole, however late it comes.
        monkeypatch.setattr(listener, "HEADER_SECONDS", 0.2)
        writer.write(b"GET /api")
        rest = await asyncio.wait_for(reader.read(), 20)
    assert b"HTTP/1.1 408" in rest


async def test_t43_l22_a_body_that_does_not_come_is_408(api, monkeypatch):
    monkeypatch.setattr("datd.http.inputs.BODY_SECONDS", 0.1)
    request = REQUEST.replace(b"GET /api/v1/", b"POST /api/v1/archives")
    more = b"Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
    answer = await api.raw(request + more)
    assert (answer.status, answer.kind) == (408, "timeout")


async def test_the_socket_of_a_living_daemon_is_left_alone(api):
    other = ApiServer(api.library, token="x", desk=api.desk)
    with pytest.raises(OSError, match="another daemon answers there"):
        await other.start("127.0.0.1", 0, api.socket_path)
    assert (await api.ask(f"{V1}/", unix=True)).status == 200


async def test_a_file_that_is_no_socket_is_left_alone(api, tmp_path):
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(OSError, match="no socket lies there"):
        await ApiServer(api.library, token="x", desk=api.desk).start(
            "127.0.0.1", 0, tmp_path / "precious"
        )
    assert (tmp_path / "precious").read_text() == "mine"


def test_what_only_this_host_can_reach():
    assert all(
        is_loopback(host) for host in ("localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]")
    )
    assert not any(is_loopback(host) for host in ("", "0.0.0.0", "::", "10.0.0.1", "localhost.x"))


async def test_an_end_does_not_wait_for_idle_connections(tmp_path):
    async with running_api(tmp_path) as api:
        _, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(REQUEST + b"\r\n")
        before = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - before < IDLE_SECONDS
    writer.close()


def test_the_mask_of_the_process_is_as_before():
    mask = os.umask(0o022)
    os.umask(mask)
    assert mask != 0o177


@pytest.mark.parametrize(
    ("address", "who"),
    [
        ("127.0.0.1", ""),
        ("127.8.9.1", ""),
        ("::1", ""),
        ("::ffff:127.0.0.1", ""),
        ("", ""),
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:0db8:0000:0000"),
        ("fe80::1%eth0", "fe80:0000:0000:0000"),
    ],
)
def test_who_an_address_is(address, who):
    assert network_of(address) == who


def own_address():
    """An address of this host on some network; asking the system for a way there sends nothing."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this host has no network but itself")
        return probe.getsockname()[0]


async def test_l22_no_one_host_shuts_the_others_out_with_open_connections(tmp_path):
    address = own_address()
    async with (
        running_gateway(tmp_path, host="0.0.0.0", allow_public=True) as gateway,
        contextlib.AsyncExitStack() as stack,
    ):

        async def answer(host):
            reader, writer = await asyncio.open_connection(host, gateway.port)
            stack.callback(writer.close)
            writer.write(f"GET / HTTP/1.1\r\nHost: localhost:{gateway.port}\r\n\r\n".encode())
            return await read_answer(reader, False)

        for _ in range(MAX_CONNECTIONS_OF_ONE):
            assert (await answer(address)).status == 200
        assert (await answer(address)).kind == "busy"
        for _ in range(MAX_CONNECTIONS_OF_ONE + 1):
            assert (await answer("127.0.0.1")).status == 200
        await stack.pop_all().aclose()

        async def served():
            return (await answer(address)).status == 200

        await eventually(served, what="room for another connection")


async def test_a_name_of_both_families_is_listened_on_where_there_is_one_only(monkeypatch):
    """`localhost` on a host without IPv6."""
    made = socket.socket

    def without_ipv6(family: int = socket.AF_INET, *rest: Any, **more: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        return made(family, *rest, **more)

    async def both(*_: Any, **__: Any) -> list[Any]:
        kind = (socket.SOCK_STREAM, 6, "")
        return [
            (socket.AF_INET6, *kind, ("::1", 0, 0, 0)),
            (socket.AF_INET, *kind, ("127.0.0.1", 0)),
        ]

    app = web.Application()
    with monkeypatch.context() as patched:
        patched.setattr(asyncio.get_running_loop(), "getaddrinfo", both, raising=False)
        patched.setattr(socket, "socket", without_ipv6)
        opened = Listener(app, "the API", "api")
        port = await opened.open("localhost", 0)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    await writer.wait_closed()
    await opened.close()
