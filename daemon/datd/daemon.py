"""The composition root: builds all parts, runs and stops them. Only this file knows them all."""

import asyncio
import contextlib
import logging
import os
import random
import resource
import secrets
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from datd import __version__, config, sdnotify
from datd.announcing import Announcement, announced_hosts
from datd.catalogue import Catalogue
from datd.config import Config
from datd.discovery.interfaces import own_hosts
from datd.errors import StorageError
from datd.hosting.copies.borrowing import Shelf
from datd.hosting.copies.known_blocks import KnownBlocks
from datd.hosting.descriptors import MAX_OPEN_FILES, Descriptors
from datd.hosting.folders.folder import DataFolder
from datd.hosting.folders.rebuilding import open_catalogue
from datd.hosting.keeping.room import Room
from datd.hosting.library import Library
from datd.hosting.own.roots import ImportRoots
from datd.hosting.own.secrets import Secrets
from datd.hosting.services import Services
from datd.hosting.stats import Traffic
from datd.hosting.tuning import Tuning
from datd.hosting.web.client import WebClient
from datd.hosting.web.sources import WebSources
from datd.http.desk import open_desk
from datd.http.gateway.server import GatewayServer
from datd.http.server import ApiServer
from datd.naming.resolver import Names
from datd.networking import Networking
from datd.shortage import Shortage
from datd.swarm.roster import Connection

log = logging.getLogger(__name__)

# L-21: below this a few connections and one archive would use up all descriptors.
MIN_DESCRIPTORS = 128
# Lanes mostly wait for the disk, or hash outside the interpreter's lock: two more than cores.
LANE_THREADS = min(8, (os.cpu_count() or 1) + 2)
# Goal of C-18: SIGTERM ends the process within this time, everything flushed.
STOP_SECONDS = 10.0
# What was not asked to end by then is cancelled, and has this long for it.
GIVE_UP_SECONDS = 1.0


class Daemon:
    """One daemon over one data folder."""

    def __init__(self, settings: Config) -> None:
        self._settings = settings
        self._stop = asyncio.Event()
        self._networking: Networking | None = None
        self._tuning: Tuning | None = None
        self._manager = sdnotify.Manager()

    async def run(self, *, on_reload: Callable[[], Config | None]) -> None:
        """Start, serve until SIGTERM or SIGINT, and stop.

        Args:
            on_reload: Called at SIGHUP; gives the settings as they are now, if they make sense.

        Raises:
            StorageError: The data folder or its catalogue cannot be used.
            OSError: An address cannot be listened on.
        """
        with DataFolder(config.data_folder(self._settings)) as folder:
            self._handle_signals(on_reload)
            async with (
                asyncio.TaskGroup() as group,
                self._parts(folder, group) as library,
            ):
                clocks = [
                    group.create_task(library.keep_tidy()),
                    group.create_task(self._manager.keep_told()),
                ]
                self._manager.tell("READY=1")
                await self._stop.wait()
                self._manager.end()
                log.info("stopping")
                for clock in clocks:
                    clock.cancel()

    @asynccontextmanager
    async def _parts(self, folder: DataFolder, group: asyncio.TaskGroup) -> AsyncIterator[Library]:
        settings = self._settings
        loop = asyncio.get_running_loop()
        shortage = Shortage(time.monotonic)
        pool = Descriptors(_descriptor_limit(), shortage)
        executor = ThreadPoolExecutor(LANE_THREADS, "lane")
        own_keys = Secrets(folder.keys)
        catalogue, records, told = await open_catalogue(folder, own_keys, time.time())
        for line in told:
            log.warning("%s", line)
        peer_id = secrets.token_bytes(32)
        chance = random.Random()
        under_way: set[asyncio.Task[None]] = set()

        def spawn(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
            task = group.create_task(work)
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            return task

        async def serve(connection: Connection) -> None:
            await library.serve(connection)

        networking = self._networking = Networking(
            settings,
            serve=serve,
            peer_id=peer_id,
            dht_state=folder.path / "dht-nodes",
            shortage=shortage,
        )
        names = await _names(settings, catalogue, chance.randrange)
        services = Services(
            folder=folder.archives,
            pool=pool,
            executor=executor,
            catalogue=catalogue,
            swarm=networking.swarm,
            spawn=spawn,
            clock=loop.time,
            wall_clock=time.time,
            choose=chance.randrange,
            traffic=Traffic(),
            room=Room(
                folder.path,
                clock=loop.time,
                max_bytes=settings.storage.max_bytes,
                max_archive_bytes=settings.storage.max_archive_bytes,
                keep_free=settings.storage.keep_free,
            ),
            networks=networking.names,
            secrets=own_keys,
            roots=ImportRoots(
                config.import_roots(settings),
                data_folder=folder.path,
                owner_keys=config.owner_keys(settings),
            ),
            history=folder.history,
            owner_keys=config.owner_keys(settings),
            network_views=networking.views,
            webhook_networks=tuple(settings.webhooks.allow_networks),
        )
        tuning = self._tuning = _tuning(settings, services, networking)
        await tuning.open()
        library = Library(services, peer_id=peer_id)
        known = KnownBlocks(folder.known_blocks)
        if settings.storage.dedup:
            await known.open()
            saved = services.traffic.saved
            services.shelf = Shelf(known, library.of_discovery_key, spawn, saved)
        services.web = WebSources(
            WebClient(allow=tuple(settings.web.allow_networks)),
            find=library.of_discovery_key,
            serve=library.serve,
            peer_id=peer_id,
            spawn=spawn,
            clock=loop.time,
            choose=chance.randrange,
            interval=settings.web.poll_seconds,
            limit=services.bandwidth.download,
        )
        token = settings.api_token.get_secret_value() if settings.api_token else folder.token()
        announcement, announcing = None, None
        desk = await open_desk(
            library,
            catalogue,
            folder.audit,
            tuning=tuning,
            spawn=spawn,
            origins=settings.api.cors_origins,
            proxies=settings.api.proxies,
            socket_scope=settings.api.socket_scope,
            registration=settings.pinning.registration,
            max_bytes=settings.pinning.max_bytes,
            max_pins=settings.pinning.max_pins,
            title=settings.pinning.title,
        )
        api = ApiServer(
            library,
            token=token,
            desk=desk,
            hosts=settings.api.hosts,
            names=names,
            metrics_archives=settings.api.metrics_archives,
            shortage=shortage,
        )
        gateway = GatewayServer(library, settings.gateway, services.events, shortage)
        try:
            services.wanted_port = settings.swarm.port
            services.port = await networking.start(spawn)
            await library.start(records)
            api_port = await api.start(
                settings.api.host,
                settings.api.port,
                config.socket_path(settings),
                allow_public=settings.api.allow_public,
            )
            services.events.tell("daemon.started", version=__version__)
            self._greet(folder, services.port, api_port, await _open(gateway, settings))
            announcement = _announcement(settings, api_port)
            if announcement is not None:
                # It takes a second to ask whether the name is taken, which nobody waits for.
                announcing = spawn(announcement.start())
            yield library
        finally:
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    if announcing is not None and announcement is not None:
                        announcing.cancel()
                        await asyncio.wait([announcing])
                        await _end(announcement.close)
                    services.events.tell("daemon.stopping")
                    services.events.end_reading()
                    # At a time: each waits some seconds for readers who take nothing.
                    await asyncio.gather(_end(api.close), _end(gateway.close))
                    await _end(services.web.close, networking.close, library.close)
            except TimeoutError:
                # Whatever is not on the disk yet is marked so, and looked over at the next start.
                log.error("not everything ended within %g s", STOP_SECONDS)
                await _give_up(under_way)
            await _end(names.close, known.close, desk.close, catalogue.close)
            # Not in the event loop: while a disk hangs, a second signal has to be heard.
            await asyncio.to_thread(executor.shutdown)
            pool.close()

    def _handle_signals(self, on_reload: Callable[[], Config | None]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload, on_reload)

    def _asked_to_stop(self, number: int) -> None:
        if self._stop.is_set():
            # C-18: the second signal means now. What is on disk is consistent at any moment.
            log.warning("asked to stop again: ending at once")
            os._exit(1)
        log.debug("signal %d", number)
        self._stop.set()

    def _reload(self, on_reload: Callable[[], Config | None]) -> None:
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._manager.tell(f"RELOADING=1\nMONOTONIC_USEC={microseconds}")
        try:
            fresh = on_reload()
            if fresh is not None and self._networking is not None:
                self._networking.reload(fresh)
            if fresh is not None and self._tuning is not None:
                self._tuning.reconfigure(config.configured(fresh))
        finally:
            # In any case: whoever asked for it waits for this word.
            self._manager.tell("READY=1")

    def _greet(
        self, folder: DataFolder, port: int, api_port: int, gateway_port: int | None
    ) -> None:
        log.info("datd %s keeps its data in %s", __version__, folder.path)
        swarm = self._settings.swarm
        transports = {"TCP": swarm.tcp, "UDP": swarm.utp}
        log.info("peers: %s port %d", " and ".join(k for k, v in transports.items() if v), port)
        host, socket = self._settings.api.host, config.socket_path(self._settings)
        api = f"http://[{host}]:{api_port}" if ":" in host else f"http://{host}:{api_port}"
        log.info("API: %s%s", api, f" and {socket}" if socket else "")
        if gateway_port is not None:
            log.info("gateway: http://localhost:%d/KEY", gateway_port)
        log.info("next: datctl add LINK, datctl list, datctl --help")


async def _end(*closings: Callable[[], Awaitable[None]]) -> None:
    """End parts, one after the other; the fault of one keeps no other from being flushed."""
    for close in closings:
        try:
            await close()
        except Exception:
            log.exception("something did not end well")


async def _give_up(under_way: set[asyncio.Task[None]]) -> None:
    """Cancel what nobody came to end: the process would wait for it."""
    for task in under_way:
        task.cancel()
    if under_way:
        await asyncio.wait(under_way, timeout=GIVE_UP_SECONDS)


def _tuning(settings: Config, services: Services, networking: Networking) -> Tuning:
    """The settings, and how those hold that can be changed while the daemon runs."""
    bandwidth, room = services.bandwidth, services.room
    apply: dict[str, Callable[[Any], object]] = {
        "network.upload_limit": bandwidth.upload.set,
        "network.download_limit": bandwidth.download.set,
        "swarm.max_connections": networking.limit_connections,
        "storage.max_bytes": partial(setattr, room, "max_bytes"),
        "storage.max_archive_bytes": partial(setattr, room, "max_archive_bytes"),
        "storage.keep_free": partial(setattr, room, "keep_free"),
        "log.level": lambda level: logging.getLogger().setLevel(level.upper()),
    }
    bandwidth.upload.set(settings.network.upload_limit)
    bandwidth.download.set(settings.network.download_limit)
    return Tuning(
        services.catalogue, config.configured(settings), apply=apply, check=config.checked
    )


async def _names(settings: Config, catalogue: Catalogue, choose: Callable[[int], int]) -> Names:
    return Names(
        known=await catalogue.names(),
        save=catalogue.save_name,
        wall_clock=time.time,
        choose=choose,
        resolvers=settings.naming.resolvers,
        allow=tuple(settings.naming.allow_networks),
    )


async def _open(gateway: GatewayServer, settings: Config) -> int | None:
    """The gateway's port; None if it is off, or its address cannot be used."""
    if not settings.gateway.enabled:
        return None
    try:
        return await gateway.start()
    except OSError as error:
        # Archives are kept alive without it, too.
        log.error("%s; going on without it", error.strerror or error)
        return None


def _announcement(settings: Config, port: int) -> Announcement | None:
    """What tells the local network of the API, if others may reach it."""
    hosts = announced_hosts(settings.api.host, own_hosts()) if settings.api.announce else []
    return Announcement(hosts, port) if hosts else None


def _descriptor_limit() -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else max(soft, 65536)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
        soft = max(soft, wanted)
    if soft < MIN_DESCRIPTORS:
        raise StorageError(
            f"only {soft} open files are allowed, datd needs {MIN_DESCRIPTORS}: raise ulimit -n"
        )
    return min(MAX_OPEN_FILES, soft // 4)
