"""A real library behind a real API server, in the process of the test, on loopback."""

import asyncio
import json
import random
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from datctl.client import Client
from datd import config
from datd.catalogue import Catalogue
from datd.hosting.descriptors import Descriptors
from datd.hosting.keeping.room import Room
from datd.hosting.library import Library
from datd.hosting.own.roots import ImportRoots
from datd.hosting.own.secrets import Secrets
from datd.hosting.services import Services
from datd.hosting.stats import Traffic
from datd.hosting.tuning import Tuning
from datd.hosting.views import NetworkView
from datd.http.desk import Desk, open_desk
from datd.http.server import ApiServer
from datd.keys import Key
from datd.swarm.swarm import Swarm
from tests.helpers.vectors import vectors

TOKEN = "token-of-the-test"
# In which files are read and written.
THREADS = 2


@dataclass
class RunningApi:
    """A server with its library, and ways to reach both."""

    library: Library
    folder: Path
    port: int
    socket_path: Path
    desk: Desk

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> Client:
        return Client(self.url, token=TOKEN, env={})

    async def raw(self, request: bytes, *, unix: bool = False) -> "Answer":
        """Send bytes and read one answer."""
        if unix:
            reader, writer = await asyncio.open_unix_connection(str(self.socket_path))
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            return await read_answer(reader, request.startswith(b"HEAD"))
        finally:
            writer.close()

    async def ask(
        self,
        target: str,
        *headers: str,
        method: str = "GET",
        body: bytes = b"",
        token: str | None = TOKEN,
        host: str | None = "localhost",
        unix: bool = False,
    ) -> "Answer":
        """One request, exactly as written: nothing is normalised as a client library would."""
        lines = [f"{method} {target} HTTP/1.1", *headers]
        if host is not None:
            lines.append(f"Host: {host}")
        if token is not None:
            lines.append(f"Authorization: Bearer {token}")
        if body:
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join(lines).encode("utf-8", "surrogateescape")
        return await self.raw(head + b"\r\n\r\n" + body, unix=unix)

    async def post(self, target: str, document: Any, *headers: str) -> "Answer":
        body = json.dumps(document).encode()
        return await self.ask(
            target, "Content-Type: application/json", *headers, method="POST", body=body
        )

    async def host(self, vector: str, **settings: Any) -> "HostedVector":
        """Host an archive of the vectors, whose files are here already."""
        source = vectors("archives") / vector
        expected = json.loads((source / "expected.json").read_text())
        key = Key.parse(expected["metadata"]["key"])
        discovery = str(key.discovery_key)
        folder = self.folder / "archives" / discovery[:2] / discovery[2:]
        folder.mkdir(parents=True)
        for feed in ("metadata", "content"):
            for file in ("key", "tree", "signatures", "bitfield", "data"):
                found = source / "store" / feed / file
                shutil.copyfile(found, folder / f"{feed}.{file}")
        await self.library.add(key, **settings)
        return HostedVector(key, expected)


@dataclass
class HostedVector:
    """An archive that the reference made, hosted; `expected` is what the reference says of it."""

    key: Key
    expected: dict[str, Any]

    @property
    def path(self) -> str:
        return f"/api/v1/archives/{self.key.hex}"


@dataclass
class Answer:
    """What came back: status, headers in lower case, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def kind(self) -> str:
        """The stable end of a problem's type; checks that it is a whole problem."""
        assert self.headers["content-type"] == "application/problem+json", self
        document = self.json
        assert document["status"] == self.status
        assert document["title"]
        assert document["detail"].endswith((".", "!", "?")), document["detail"]
        return str(document["type"]).rsplit("/", 1)[1]


async def read_answer(reader: asyncio.StreamReader, bodiless: bool) -> Answer:
    async with asyncio.timeout(120):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(_header(line) for line in head[1:] if line)
        length = 0 if bodiless else int(headers.get("content-length", 0))
        return Answer(int(head[0].split(" ")[1]), headers, await reader.readexactly(length))


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()


@asynccontextmanager
async def running_api(
    folder: Path,
    *,
    networks: Sequence[str] = ("mdns", "dns", "dht"),
    network_views: Callable[[], list[NetworkView]] = list,
    settings: Mapping[str, Any] | None = None,
    **server: Any,
) -> AsyncIterator[RunningApi]:
    """A library without network, and its API on a free port and a Unix socket.

    Args:
        folder: Where everything lies.
        networks: Names of networks that archives may choose; nothing is behind them.
        network_views: How those are said to fare.
        settings: Attributes of the desk, such as `origins` or `wall_clock`.
        server: Further arguments of the server.
    """
    loop = asyncio.get_running_loop()
    catalogue = Catalogue(folder / "catalogue.sqlite3")
    records = await catalogue.open()
    pool, executor, peer_id = Descriptors(64), ThreadPoolExecutor(THREADS), secrets.token_bytes(32)
    chance = random.Random(1)
    async with asyncio.TaskGroup() as group:
        swarm = Swarm(
            transports=[],
            networks=[],
            serve=lambda connection: library.serve(connection),
            peer_id=peer_id,
            clock=loop.time,
            choose=chance.randrange,
        )
        library = Library(
            Services(
                folder=folder / "archives",
                pool=pool,
                executor=executor,
                catalogue=catalogue,
                swarm=swarm,
                spawn=group.create_task,
                clock=loop.time,
                wall_clock=time.time,
                choose=chance.randrange,
                traffic=Traffic(),
                room=Room(folder, clock=loop.time, keep_free=0),
                networks=list(networks),
                secrets=Secrets(folder / "keys"),
                roots=ImportRoots([folder.parent], data_folder=folder),
                history=folder / "index" / "history.sqlite3",
                network_views=network_views,
            ),
            peer_id=peer_id,
        )
        services = library.services
        tuning = Tuning(
            catalogue,
            config.configured(config.Config(api_token=None)),
            apply={
                "network.upload_limit": services.bandwidth.upload.set,
                "network.download_limit": services.bandwidth.download.set,
                "swarm.max_connections": lambda most: None,
                "storage.max_bytes": partial(setattr, services.room, "max_bytes"),
                "storage.max_archive_bytes": partial(setattr, services.room, "max_archive_bytes"),
                "storage.keep_free": partial(setattr, services.room, "keep_free"),
                "log.level": lambda level: None,
            },
            check=config.checked,
        )
        await tuning.open()
        desk = await open_desk(
            library,
            catalogue,
            folder / "audit.jsonl",
            tuning=tuning,
            spawn=group.create_task,
            **{"clock": loop.time, **(settings or {})},
        )
        api = ApiServer(library, token=TOKEN, desk=desk, **server)
        await swarm.start("127.0.0.1", 0)
        await library.start(records)
        port = await api.start("127.0.0.1", 0, folder / "api.sock")
        try:
            yield RunningApi(library, folder, port, folder / "api.sock", desk)
        finally:
            await api.close()
            await swarm.close()
            await library.close()
    await desk.close()
    await catalogue.close()
    executor.shutdown()
    pool.close()
