"""Archives on a web server of the test's own, and libraries that fetch them from there."""

import os
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Network
from pathlib import Path

from aiohttp import web

from datd.hosting.web.client import WebClient
from datd.hosting.web.sources import WebSources
from tests.helpers.api import RunningApi
from tests.helpers.libraries import Node, Source, copy_feeds

LOOPBACK = IPv4Network("127.0.0.0/8")


class Site:
    """A folder behind HTTP, and what was asked for.

    Attributes:
        folder: What is served.
        url: Its address.
        ranges: Whether parts of files are given.
        asked: Method, path and Range of each request.
        sent: Bytes of files that went out.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.ranges = True
        self.asked: list[tuple[str, str, str | None]] = []
        self.sent = 0
        self.answer = self.file

    async def file(self, request: web.BaseRequest) -> web.StreamResponse:
        """One file as a plain server gives it."""
        path = self.folder / request.path.removeprefix("/")
        if not path.is_file():
            return web.Response(status=404)
        data, status, headers = path.read_bytes(), 200, {"ETag": f'"{path.stat().st_mtime_ns}"'}
        wanted = request.http_range
        if self.ranges and wanted.start is not None:
            if wanted.start >= len(data):
                return web.Response(status=416)
            stop = min(wanted.stop or len(data), len(data))
            headers["Content-Range"] = f"bytes {wanted.start}-{stop - 1}/{len(data)}"
            data, status = data[wanted.start : stop], 206
        self.sent += len(data) if request.method == "GET" else 0
        return web.Response(status=status, body=data, headers=headers)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append((request.method, request.path, request.headers.get("Range")))
        return await self.answer(request)

    def count(self) -> Counter[str]:
        """How often each path was asked for."""
        return Counter(path for _, path, _ in self.asked)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Site"]:
        """Listen until the end."""
        runner = web.ServerRunner(web.Server(self._answer))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        try:
            yield self
        finally:
            await runner.cleanup()


def put(made: Source, folder: Path, *, plain: bool = True, blocks: Sequence[int] | None = None):
    """Write an archive for a web server: its feeds in `.dat`, and its files where they belong."""
    copy_feeds(made, folder.parent / "feeds", blocks)
    name = str(made.key.discovery_key)
    feeds = folder.parent / "feeds" / name[:2] / name[2:]
    os.makedirs(folder / ".dat", exist_ok=True)
    for file in feeds.iterdir():
        shutil.copy(file, folder / ".dat" / file.name)
    if plain:
        (folder / ".dat" / "content.data").unlink(missing_ok=True)
        for path, data in made.files.items():
            place = folder / path.removeprefix("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)


def use_web(
    node: Node | RunningApi, *, interval: float = 300, allow: bool = True, **client
) -> WebSources:
    """Give a library a way to web sources."""
    services = node.library.services
    services.web = WebSources(
        WebClient(allow=(LOOPBACK,) if allow else (), **client),
        find=node.library.of_discovery_key,
        serve=node.library.serve,
        peer_id=b"x" * 32,
        spawn=services.spawn,
        clock=services.clock,
        choose=services.choose,
        interval=interval,
        limit=services.bandwidth.download,
    )
    return services.web
