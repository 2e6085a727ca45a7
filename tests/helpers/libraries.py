"""Whole libraries on a network in memory, with real files, and archives for them to host."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from datd import crypto
from datd.catalogue import Catalogue
from datd.feed.feed import Feed
from datd.hosting.archive import HostedArchive
from datd.hosting.copies.borrowing import Shelf
from datd.hosting.copies.known_blocks import KnownBlocks
from datd.hosting.descriptors import Descriptors
from datd.hosting.keeping.room import Room
from datd.hosting.library import Library
from datd.hosting.live_feed import LiveFeed
from datd.hosting.open_archive import OpenArchive
from datd.hosting.own.roots import ImportRoots
from datd.hosting.own.secrets import Secrets
from datd.hosting.services import Services
from datd.hosting.stats import Traffic
from datd.keys import Key
from datd.storage import layout
from datd.swarm.limits import SwarmLimits
from datd.swarm.swarm import Swarm
from datd.types import Address
from tests.helpers.feeds import PAIR, ArchiveWriter
from tests.helpers.network import MemoryNetwork
from tests.helpers.virtual_time import VirtualTimeLoop

T = TypeVar("T")
PORT = 3282


class Inline(Executor):
    """Carries calls out at once, so that no time passes while a thread works."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class StoryLoop(VirtualTimeLoop):
    """Virtual time in which files and the catalogue are used without threads."""

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        return asyncio.wrap_future(Inline().submit(func, *args), loop=self)


def story(told: Coroutine[Any, Any, T]) -> T:
    """Run a story in which an hour passes in no time; hangs end after a simulated day."""
    with asyncio.Runner(loop_factory=StoryLoop) as runner:
        return runner.run(_bounded(told))


async def _bounded(told: Coroutine[Any, Any, T]) -> T:
    async with asyncio.timeout(86400):
        return await told


async def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something that is to come.

    Raises:
        TimeoutError: It did not.
    """
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - it may be anything, an event of nobody's
            await asyncio.sleep(0.01)


@dataclass
class Node:
    """One daemon without its API."""

    host: str
    folder: Path
    network: MemoryNetwork
    services: Services
    library: Library
    catalogue: Catalogue

    @property
    def address(self) -> Address:
        return Address(self.host, PORT)

    @property
    def pool(self) -> Descriptors:
        return self.services.pool

    async def add(self, key: Key, *sources: "Node", **settings: Any) -> HostedArchive:
        """Host an archive, with other nodes as its peers."""
        peers = [source.address for source in sources]
        archive, _ = await self.library.add(key, peers=peers, **settings)
        return archive

    async def seeding(self, key: Key, *sources: "Node", **settings: Any) -> HostedArchive:
        """The same, and wait until all of it is here."""
        archive = await self.add(key, *sources, **settings)
        if not sources:
            async with archive.opened():
                pass
        await until(lambda: archive.state == "seeding")
        return archive


@asynccontextmanager
async def node(
    network: MemoryNetwork,
    folder: Path,
    host: str = "10.0.0.1",
    *,
    limits: SwarmLimits | None = None,
    discovers: bool = False,
    pool: Descriptors | None = None,
    executor: Executor | None = None,
    dedup: bool = False,
    **room: Any,
) -> AsyncIterator[Node]:
    """A library that runs, over a folder that may hold what an earlier one left.

    What lanes do is done at once, unless there is an executor for them.
    """
    os.makedirs(folder, exist_ok=True)
    loop = asyncio.get_running_loop()
    transport, discovery = network.host(host)
    catalogue = Catalogue(folder / "catalogue.sqlite3")
    records = await catalogue.open()
    chance = random.Random(host)
    peer_id = crypto.discovery_key(host.encode().ljust(32))
    async with asyncio.TaskGroup() as group:
        swarm = Swarm(
            transports=[transport],
            networks=[discovery] if discovers else [],
            serve=lambda connection: library.serve(connection),
            peer_id=peer_id,
            clock=loop.time,
            choose=chance.randrange,
            limits=limits,
        )
        services = Services(
            folder=folder / "archives",
            pool=pool if pool is not None else Descriptors(),
            executor=executor or Inline(),
            catalogue=catalogue,
            swarm=swarm,
            spawn=group.create_task,
            clock=loop.time,
            wall_clock=lambda: 1.7e9 + loop.time(),
            choose=chance.randrange,
            traffic=Traffic(),
            room=Room(folder, clock=loop.time, **({"keep_free": 0} | room)),
            networks=[discovery.name] if discovers else [],
            secrets=Secrets(folder / "keys"),
            roots=ImportRoots([folder.parent], data_folder=folder),
            history=folder / "index" / "history.sqlite3",
        )
        library = Library(services, peer_id=peer_id)
        known = KnownBlocks(folder / "index" / "blocks.sqlite3")
        if dedup:
            await known.open()
            saved = services.traffic.saved
            services.shelf = Shelf(known, library.of_discovery_key, group.create_task, saved)
        services.port = await swarm.start(host, PORT)
        await library.start(records)
        try:
            yield Node(host, folder, network, services, library, catalogue)
        finally:
            await swarm.close()
            await library.close()
    await known.close()
    await catalogue.close()
    services.pool.close()


@dataclass
class Source:
    """An archive whose author is somewhere else: both feeds whole, in memory.

    Attributes:
        files: Content of each file, by path.
    """

    metadata: Feed
    content: Feed
    files: dict[str, bytes]

    @property
    def key(self) -> Key:
        return self.metadata.key

    @property
    def feeds(self) -> list[Feed]:
        return [self.metadata, self.content]

    def plant(self, node: Node, *, blocks: Sequence[int] | None = None) -> None:
        """Put its files where a node will find them, whole or with some content blocks only."""
        copy_feeds(self, node.folder / "archives", blocks)

    def folder(self, node: Node) -> Path:
        """Where a node keeps it."""
        name = str(self.key.discovery_key)
        return node.folder / "archives" / name[:2] / name[2:]


def source(files: dict[str, Sequence[bytes]] | None = None, pair: crypto.KeyPair = PAIR) -> Source:
    """An archive of files given as their blocks."""
    files = files or {
        f"file-{n}.txt": [b"%d:%d " % (n, b) * 40 for b in range(8)] for n in range(4)
    }
    writer = ArchiveWriter(pair=pair)
    for seq, (name, blocks) in enumerate(files.items(), 1):
        writer.file(name, blocks, rows=[list(range(1, seq + 1)), [seq]])
    whole = {f"/{name}": b"".join(blocks) for name, blocks in files.items()}
    return replace(source_of(writer), files=whole)


def copy_feeds(made: Source, archives: Path, blocks: Sequence[int] | None = None) -> None:
    """Write an archive out in our layout, as a mirror that fetched it."""
    name = str(made.key.discovery_key)
    pool = Descriptors()
    files = layout.flat(archives / name[:2] / name[2:], pool)
    for feed, storage in ((made.metadata, files.metadata), (made.content, files.content)):
        copy = Feed.open(storage, feed.key)
        wanted = range(feed.length) if blocks is None or feed is made.metadata else blocks
        for block in wanted:
            copy.put(block, *feed.serve(block, copy.digest(block)))
        copy.close()
    pool.close()


def state(archive: HostedArchive) -> str:
    """The one word for it."""
    return archive.state


def opened(archive: HostedArchive) -> OpenArchive:
    """Its feeds, which are open at the moment."""
    assert archive._opened is not None
    return archive._opened


def content_of(archive: HostedArchive) -> LiveFeed:
    """Its content feed, which is open at the moment."""
    content = opened(archive).content
    assert content is not None
    return content


def source_of(writer: ArchiveWriter) -> Source:
    """What was written so far as an archive."""
    archive = writer.archive()
    assert archive.content is not None
    return Source(archive.metadata, archive.content, {})


async def read(
    archive: HostedArchive, path: str, version: int | None = None, wait: float = 30
) -> bytes:
    """All bytes of a file."""
    stat = await archive.stat(path, version, wait=wait)
    pieces = [piece async for piece in archive.read(stat, 0, stat.size, wait=wait)]
    return b"".join(pieces)
