import asyncio
import hashlib
import io
import re

import pytest
from tests.helpers.api import running_api
from tests.helpers.ports import free_port

from datctl import files
from datctl.client import Client
from datctl.errors import ApiError, NoDaemon, NoPeers, NotFound, UsageError

LINK = "dat://" + "a" * 64


async def test_every_file_is_read_as_listed(api, dat):
    hosted = await api.host("archival-nested")
    entries = [entry async for entry in dat.walk(hosted.key.hex)]
    assert len(entries) == hosted.expected["version"] or entries
    for entry in entries:
        if entry.kind == "file":
            data = await dat.read(hosted.key.hex, entry.path)
            assert len(data) == entry.size
            head = await dat.head(hosted.key.hex, entry.path)
            assert head is not None
            assert head.size == entry.size
        else:
            assert await dat.head(hosted.key.hex, entry.path) is None


async def test_parts_of_a_file(api, dat):
    hosted = await api.host("archival-big")
    key, path = hosted.key.hex, "/big.log"
    whole = await dat.read(key, path)
    digest = next(row[4] for row in hosted.expected["history"] if row[2] == path)
    assert hashlib.sha256(whole).hexdigest() == digest
    assert await dat.read(key, path, start=100, stop=200_000) == whole[100:200_000]
    assert await dat.read(key, path, start=3_000_000) == whole[3_000_000:]
    assert await dat.read(key, path, start=-10) == whole[-10:]
    assert await dat.read(key, path, stop=1) == whole[:1]
    with pytest.raises(UsageError):
        await dat.read(key, path, start=5, stop=5)
    with pytest.raises(UsageError, match="from the end"):
        await dat.read(key, path, start=-5, stop=-1)
    with pytest.raises(ApiError) as behind:
        await dat.read(key, path, start=10_000_000)
    assert behind.value.kind == "bad_range"


async def test_a_file_that_seeks(api, dat):
    hosted = await api.host("archival-big")
    whole = await dat.read(hosted.key.hex, "/big.log")
    async with dat.open(hosted.key.hex, "/big.log") as file:
        file.seek(-100, io.SEEK_END)
        assert await file.read() == whole[-100:]
        file.seek(1_000_000)
        assert await file.read(500_000) == whole[1_000_000:1_500_000]
    with pytest.raises(UsageError):
        async with dat.open(hosted.key.hex, "/"):
            pass


async def test_an_open_file_is_never_a_mixture(api, dat):
    made = await dat.create()
    await dat.put(made.key, "/a.csv", b"old\n" * 100_000)
    async with dat.open(made.key, "/a.csv") as file:
        assert file.etag
        assert await file.readline() == b"old\n"
        await dat.put(made.key, "/a.csv", b"new\n" * 100_000)
        with pytest.raises(ApiError) as changed:
            await file.read()
        assert changed.value.kind == "precondition"
    # Of a version by its number, it goes on.
    async with dat.open(made.key, "/a.csv", version=1) as file:
        assert [line async for line in file] == [b"old\n"] * 100_000
    with pytest.raises(ValueError, match="closed"):
        await file.read()


async def test_what_is_not_there_is_not_found(api, dat):
    hosted = await api.host("archival-nested")
    key = hosted.key.hex
    for call in (
        lambda: dat.read(key, "/nothing"),
        lambda: dat.head(key, "/nothing"),
        lambda: dat.list(key, "/nothing"),
        lambda: dat.list(key, "/a.txt"),
        lambda: dat.read(key, "/a.txt", version=9999),
    ):
        with pytest.raises(NotFound) as error:
            await call()
        assert error.value.detail.endswith(".")


async def test_what_nobody_has_runs_out_of_time(dat):
    await dat.add(LINK)
    with pytest.raises(NoPeers):
        await dat.read(LINK, "/a", wait=0.05)
    with pytest.raises(NoPeers):
        await dat.list(LINK, wait=0.05)


async def test_what_nobody_has_is_waited_for_once():
    """An answer to HEAD has no reason in it; who asks for that must not wait as long again."""
    asked = []

    async def serve(reader, writer):
        asked.append((await reader.readuntil(b"\r\n\r\n")).split(b" HTTP")[0].decode())
        writer.write(b"HTTP/1.1 504 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    api = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, Client(api, token="x", env={}) as dat:
        with pytest.raises(NoPeers):
            await dat.head("n", "/a", wait=30)
    assert asked == [
        "HEAD /api/v1/archives/n/files/a?wait=30", "GET /api/v1/archives/n/files/a?wait=0"
    ]  # fmt: skip


async def test_a_list_of_more_than_a_page(tmp_path):
    async with running_api(tmp_path) as api, api.client() as dat:
        hosted = await api.host("archival-wide")
        key = hosted.key.hex
        pages, cursor = [], None
        while True:
            page = await dat.list(key, "/", recursive=True, limit=50, cursor=cursor)
            pages.append(page)
            cursor = page.next_cursor
            if cursor is None:
                break
        assert len(pages) > 2
        found = [entry.path for page in pages for entry in page.entries]
        assert found == [entry.path async for entry in dat.walk(key)]
        assert len(set(found)) == len(found)


async def test_a_version_is_a_number_a_name_or_a_time(api, dat):
    made = await dat.create(name="mine")
    await dat.put("mine", "/a", b"one")
    await dat.put("mine", "/a", b"two!")
    await dat.change("mine", version_tags={"v1": 1})
    assert await dat.read("mine", "/a") == b"two!"
    assert await dat.read("mine", "/a", version=1) == b"one"
    assert await dat.read("mine", "/a", version="v1") == b"one"
    assert await dat.read(f"{made.link}+v1", "/a") == b"one"
    then = (await dat.history("mine", limit=1)).changes[0].mtime
    assert await dat.read("mine", "/a", version=then) == b"one"
    assert [e.size async for e in dat.walk("mine", version="v1")] == [3]
    with pytest.raises(NotFound):
        await dat.read("mine", "/a", version="v2")


class Restarting:
    """A daemon with one file, which breaks off in the middle of an answer and is back later."""

    def __init__(self, data):
        self.data = data
        self.asked = []
        self.breaks = 2
        # One that the system would give to somebody else while the daemon is away is none.
        self.port = free_port()
        self._server: asyncio.Server

    async def start(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    def stop(self):
        self._server.close()

    async def _serve(self, reader, writer):
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        found = re.search(r"bytes=(\d+)-(\d+)", request)
        body = self.data
        if found:
            assert 'If-Match: "x"' in request
            self.asked.append((int(found[1]), int(found[2]) + 1))
            body = body[self.asked[-1][0] : self.asked[-1][1]]
        head = "206 x" if found else "200 x"
        writer.write(
            f'HTTP/1.1 {head}\r\nETag: "x"\r\nConnection: close\r\n'
            f"Content-Length: {len(body)}\r\n\r\n".encode()
        )
        breaks = found is not None and self.breaks > 0
        if breaks:
            self.breaks -= 1
            body = body[:1000]
            self.stop()
        writer.write(body if found else b"")
        await writer.drain()
        writer.close()
        if breaks:
            await asyncio.sleep(0.2)  # what a restart takes
            await self.start()


async def test_an_open_file_waits_for_a_daemon_that_restarts():
    daemon = Restarting(bytes(range(256)) * 1000)
    await daemon.start()
    api = f"http://127.0.0.1:{daemon.port}"
    async with Client(api, token="x", env={}) as dat, dat.open("n", "/a") as file:
        assert await file.read() == daemon.data
    size = len(daemon.data)
    assert daemon.asked == [(0, size), (1000, size), (2000, size)], "what is here comes once"
    daemon.stop()


async def test_an_open_file_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr(files, "RETRY_PAUSES", (0.01, 0.01))
    daemon = Restarting(b"x" * 100)
    daemon.breaks = 0
    await daemon.start()
    api = f"http://127.0.0.1:{daemon.port}"
    async with Client(api, token="x", env={}) as dat, dat.open("n", "/a") as file:
        daemon.stop()
        with pytest.raises(NoDaemon):
            await file.read()
