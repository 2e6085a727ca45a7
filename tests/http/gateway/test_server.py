"""The gateway's socket, and what curl and wget make of it."""

import asyncio
import contextlib
import hashlib
import random
import shutil

import pytest
from tests.helpers.gateway import serving
from tests.helpers.pieces import missing

from datd.errors import ConfigError
from datd.http.gateway.server import GatewayServer
from datd.settings import GatewaySettings

BODY = random.Random(7).randbytes(3_000_000)


async def run(folder, program, *arguments, status=0):
    """Run a program in a folder; gives what it said."""
    if shutil.which(program) is None:
        missing(f"{program} is not installed")
    process = await asyncio.create_subprocess_exec(
        program, *arguments, cwd=folder, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    text = said.decode("latin-1")
    assert process.returncode == status, text
    return text


@pytest.fixture
async def url(gateway):
    key = await gateway.make({"big.bin": BODY, "docs/a.txt": "A", "docs/b.txt": "B"})
    return f"http://localhost:{gateway.port}/{key.hex}"


async def test_curl_goes_on_where_a_download_broke_off(url, tmp_path):
    (tmp_path / "big.bin").write_bytes(BODY[:1_000_000])
    said = await run(tmp_path, "curl", "-sS", "-C", "-", "-O", "-w",
                     "%{http_code} %{size_download}", f"{url}/big.bin")  # fmt: skip
    assert said == "206 2000000"
    assert (tmp_path / "big.bin").read_bytes() == BODY
    # All of it is here: that is 416 and no harm. curl takes it for the end of a resumed download.
    said = await run(
        tmp_path, "curl", "-sS", "-C", "-", "-O", "-w", "%{http_code}", f"{url}/big.bin"
    )
    assert said == "416"
    assert (tmp_path / "big.bin").read_bytes() == BODY


async def test_curl_gets_several_ranges(url, tmp_path):
    await run(
        tmp_path,
        "curl",
        "-sS",
        "-D",
        "head",
        "-o",
        "got",
        "-r",
        "0-9,100-109,-10",
        f"{url}/big.bin",
    )
    head, got = (tmp_path / "head").read_text(), (tmp_path / "got").read_bytes()
    assert head.startswith("HTTP/1.1 206")
    assert "multipart/byteranges; boundary=" in head
    for part in (BODY[:10], BODY[100:110], BODY[-10:]):
        assert b"\r\n\r\n" + part + b"\r\n--" in got


async def test_curl_is_told_that_it_has_the_file(url, tmp_path):
    asked = ["curl", "-sS", "--etag-save", "tag", "--etag-compare", "tag", "-o", "got",
             "-w", "%{http_code} %{size_download}", f"{url}/docs/a.txt"]  # fmt: skip
    assert await run(tmp_path, *asked) == "200 1"
    assert await run(tmp_path, *asked) == "304 0"


async def test_curl_finds_the_origin_of_an_archive_by_itself(gateway, tmp_path):
    key = await gateway.make({"a.txt": "A"})
    assert await run(tmp_path, "curl", "-sS", f"{gateway.origin(key)}/a.txt") == "A"


async def test_wget_goes_on_where_a_download_broke_off(url, tmp_path):
    (tmp_path / "big.bin").write_bytes(BODY[:1_000_000])
    said = await run(tmp_path, "wget", "-c", f"{url}/big.bin")
    assert "206 Partial Content" in said
    assert (
        hashlib.sha256((tmp_path / "big.bin").read_bytes()).digest()
        == hashlib.sha256(BODY).digest()
    )
    assert "already fully retrieved" in await run(tmp_path, "wget", "-c", f"{url}/big.bin")


async def test_wget_follows_a_listing(url, tmp_path):
    fetch = [
        "wget",
        "-nv",
        "-r",
        "-np",
        "-nH",
        "--cut-dirs=1",
        "-N",
        "-R",
        "index.html*",
        "--reject-regex=[?]",
        f"{url}/docs/",
    ]
    await run(tmp_path, *fetch)
    assert (tmp_path / "docs/a.txt").read_text() == "A"
    assert (tmp_path / "docs/b.txt").read_text() == "B"


# ---- the socket


async def test_a_port_that_is_taken_is_named(gateway):
    taken = GatewaySettings(port=gateway.port)
    other = GatewayServer(gateway.library, taken, gateway.library.services.events)
    with pytest.raises(OSError, match=r"the gateway cannot listen.*choose another gateway.port"):
        await other.start()


async def test_a_public_address_has_to_be_meant(gateway):
    with pytest.raises(ConfigError, match=r"gateway\.allow_public"):
        async with serving(gateway.library, host="0.0.0.0"):
            pass
    async with serving(gateway.library, host="0.0.0.0", allow_public=True) as public:
        assert (await public.ask("/")).status == 200


async def test_an_end_sends_listeners_away(gateway):
    key = await gateway.make({"a.txt": "A"})
    async with serving(gateway.library) as other:
        reader, writer = await asyncio.open_connection("127.0.0.1", other.port)
        with contextlib.closing(writer):
            head = f"GET /.datd/events?from=1 HTTP/1.1\r\nHost: {other.host(key)}\r\n\r\n"
            writer.write(head.encode())
            await reader.readuntil(b"retry: 2000")
            gateway.library.services.events.end_reading()
            # It was told so by the end of the answer, not by a broken connection.
            assert await reader.readuntil(b"0\r\n\r\n")
