import asyncio
import contextlib
import os
import socket
import stat

import pytest
from tests.helpers.api import TOKEN, running_api
from tests.helpers.daemon import eventually

from datd.errors import ConfigError
from datd.http import server
from datd.http.server import ApiServer, is_loopback

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
        REQUEST.replace(b"/api/v1/", b"/" + b"x" * 20_000) + b"\r\n",
    ],
)
async def test_t43_what_is_no_request_is_a_problem_and_no_500(api, request_bytes):
    answer = await api.raw(request_bytes)
    assert (answer.status, answer.kind) == (400, "bad_request")
    assert TOKEN.encode() not in answer.body


@pytest.mark.parametrize(
    "headers",
    [b"X: " + b"y" * 20_000 + b"\r\n", b"X: y\r\n" * 500, b"X: %s\r\n" % (b"y" * 900) * 20],
)
async def test_l22_headers_above_the_limit_are_431(api, headers):
    answer = await api.raw(REQUEST + headers + b"\r\n")
    assert (answer.status, answer.kind) == (431, "headers")


async def test_l22_connections_above_the_limit_are_told_so(api, monkeypatch):
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 3)
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


@pytest.mark.parametrize("beginning", [b"", b"GET /", REQUEST])
async def test_t43_l22_a_header_that_does_not_come_is_408(api, monkeypatch, beginning):
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.1)
    answer = await api.raw(beginning)
    assert (answer.status, answer.kind) == (408, "timeout")


async def test_t43_a_header_that_drips_after_an_answer_is_408_too(api, monkeypatch):
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    with contextlib.closing(writer):
        writer.write(REQUEST + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"GET /api")
        rest = await asyncio.wait_for(reader.read(), 20)
    assert b"HTTP/1.1 408" in rest


async def test_t43_l22_a_body_that_does_not_come_is_408(api, monkeypatch):
    monkeypatch.setattr("datd.http.inputs.BODY_SECONDS", 0.1)
    request = REQUEST.replace(b"GET /api/v1/", b"POST /api/v1/archives")
    more = b"Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
    answer = await api.raw(request + more)
    assert (answer.status, answer.kind) == (408, "timeout")


async def test_a_connection_is_used_again(api):
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    with contextlib.closing(writer):
        for _ in range(3):
            writer.write(REQUEST + b"\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)


async def test_the_socket_is_for_its_group_only_and_goes_with_the_daemon(tmp_path):
    async with running_api(tmp_path) as api:
        mode = api.socket_path.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o660
        assert (await api.ask(f"{V1}/", token=None, unix=True)).status == 200
    assert not api.socket_path.exists()


async def test_the_socket_of_a_daemon_that_died_is_replaced(tmp_path):
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "api.sock"))
    left.close()
    async with running_api(tmp_path) as api:
        assert (await api.ask(f"{V1}/", unix=True)).status == 200


async def test_the_socket_of_a_living_daemon_is_left_alone(api):
    other = ApiServer(api.library, token="x")
    with pytest.raises(OSError, match="another daemon answers there"):
        await other.start("127.0.0.1", 0, api.socket_path)
    assert (await api.ask(f"{V1}/", unix=True)).status == 200


async def test_a_file_that_is_no_socket_is_left_alone(api, tmp_path):
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(OSError, match="no socket lies there"):
        await ApiServer(api.library, token="x").start("127.0.0.1", 0, tmp_path / "precious")
    assert (tmp_path / "precious").read_text() == "mine"


async def test_a_port_that_is_taken_is_named(api):
    other = ApiServer(api.library, token="x")
    with pytest.raises(OSError, match=rf"127\.0\.0\.1:{api.port}.*choose another api.port"):
        await other.start("127.0.0.1", api.port, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "example.org", "[::]"])
async def test_a_public_address_has_to_be_meant(api, host):
    with pytest.raises(ConfigError, match=r"api\.allow_public"):
        await ApiServer(api.library, token="x").start(host, 0, None)


async def test_a_public_address_that_is_meant_is_served(api):
    public = ApiServer(api.library, token=TOKEN)
    port = await public.start("0.0.0.0", 0, None, allow_public=True)
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
    finally:
        await public.close()


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
    assert asyncio.get_running_loop().time() - before < 10
    writer.close()


async def test_t42_nothing_that_was_sent_is_logged(api, caplog):
    caplog.set_level("DEBUG")
    canary = "canary-of-the-test"
    await api.ask(f"{V1}/archives/{'ab' * 32}?token={canary}", token=canary)
    await api.raw(
        b"GET / HTTP/1.1\r\nAuthorization: Bearer " + canary.encode() * 2000 + b"\r\n\r\n"
    )
    await api.raw(b"GET / HTTP/1.1\r\nAuthorization: " + canary.encode() + b"\0\r\n\r\n")
    assert canary not in caplog.text
    assert "ab" * 32 not in caplog.text


def test_the_mask_of_the_process_is_as_before():
    mask = os.umask(0o022)
    os.umask(mask)
    assert mask != 0o177
