"""A real gateway over a real library, on loopback, and archives for it to show."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datd.hosting.archive import HostedArchive
from datd.hosting.library import Library
from datd.http.gateway.origins import label_of
from datd.http.gateway.server import GatewayServer
from datd.keys import Key
from datd.settings import GatewaySettings
from tests.helpers.api import Answer, read_answer
from tests.helpers.libraries import node
from tests.helpers.network import MemoryNetwork


@dataclass
class RunningGateway:
    """A gateway and its library."""

    library: Library
    port: int

    def origin(self, key: Key, version: int | None = None) -> str:
        """The origin of an archive, for a browser."""
        return f"http://{self.host(key, version)}"

    def host(self, key: Key, version: int | None = None) -> str:
        """The Host header of that origin."""
        return f"{label_of(key, version)}.localhost:{self.port}"

    async def ask(
        self, target: str, *headers: str, host: str | None = None, method: str = "GET"
    ) -> Answer:
        """One request, exactly as written."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host or f'localhost:{self.port}'}"]
        return await self.raw("\r\n".join([*lines, *headers]).encode() + b"\r\n\r\n")

    async def raw(self, request: bytes) -> Answer:
        """Send bytes and read one answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            return await read_answer(reader, request.startswith(b"HEAD"))
        finally:
            writer.close()

    async def make(self, files: Mapping[str, bytes | str], **settings: Any) -> Key:
        """A new archive of our own; each file is a version."""
        archive = await self.library.create(**settings)
        for path, content in files.items():
            await self.put(archive.key, path, content)
        return archive.key

    async def put(self, key: Key, path: str, content: bytes | str) -> int:
        """Write a file of an archive of ours; gives the version."""
        body = content.encode() if isinstance(content, str) else content

        async def pieces() -> AsyncIterator[bytes]:
            yield body

        put = await self.library.publisher.put(self.archive(key), f"/{path}", pieces())
        return put.version

    def archive(self, key: Key) -> HostedArchive:
        """The archive with a key."""
        return self.library.find(key.hex)


def manifest(**fields: str) -> str:
    """A `/dat.json`."""
    return json.dumps({"title": "A site", **fields})


@asynccontextmanager
async def running_gateway(folder: Path, **settings: Any) -> AsyncIterator[RunningGateway]:
    """A library without peers, and its gateway on a free port."""
    async with (
        node(MemoryNetwork(), folder) as alone,
        serving(alone.library, **settings) as gateway,
    ):
        yield gateway


@asynccontextmanager
async def serving(library: Library, **settings: Any) -> AsyncIterator[RunningGateway]:
    """A gateway over a library."""
    chosen = GatewaySettings(**{"port": 0, **settings})
    server = GatewayServer(library, chosen, library.services.events)
    port = await server.start()
    try:
        yield RunningGateway(library, port)
    finally:
        await server.close()
