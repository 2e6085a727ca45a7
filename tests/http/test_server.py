import asyncio
import contextlib
import socket
import stat

import pytest
from tests.helpers.api import TOKEN, running_api

from datd.errors import ConfigError
from datd.http.server import ApiServer

V1 = "/api/v1"
REQUEST = f"GET {V1}/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n".encode()


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


async def test_a_port_that_is_taken_is_named(api):
    other = ApiServer(api.library, token="x", desk=api.desk)
    with pytest.raises(OSError, match=rf"127\.0\.0\.1:{api.port}.*choose another api.port"):
        await other.start("127.0.0.1", api.port, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "example.org", "[::]"])
async def test_a_public_address_has_to_be_meant(api, host):
    with pytest.raises(ConfigError, match=r"api\.allow_public"):
        await ApiServer(api.library, token="x", desk=api.desk).start(host, 0, None)


async def test_a_public_address_that_is_meant_is_served(api):
    public = ApiServer(api.library, token=TOKEN, desk=api.desk)
    port = await public.start("0.0.0.0", 0, None, allow_public=True)
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
    finally:
        await public.close()


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
