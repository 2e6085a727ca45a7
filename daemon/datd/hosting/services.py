"""What all hosted archives of one daemon share, handed to each of them."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datd.catalogue import Catalogue
from datd.hosting.copies.borrowing import Shelf
from datd.hosting.descriptors import Descriptors
from datd.hosting.keeping.room import Room
from datd.hosting.own.roots import ImportRoots
from datd.hosting.own.secrets import Secrets
from datd.hosting.stats import Traffic
from datd.hosting.telling.events import Events
from datd.hosting.views import NetworkView
from datd.hosting.web.sources import WebSources
from datd.naming.destinations import Network
from datd.records import Record
from datd.swarm.swarm import Swarm
from datd.transport.bandwidth import Bandwidth


@dataclass(slots=True)
class Services:
    """Handles of the daemon's parts.

    Attributes:
        folder: Where archives lie: `folder/<2 hex>/<62 hex>` of the discovery key.
        spawn: Runs a coroutine in a task group that the daemon owns.
        clock: Seconds of the loop's monotonic clock.
        wall_clock: Seconds since 1970, only for showing to people.
        choose: A random number below its argument.
        traffic: Bytes of blocks over all archives.
        room: Says whether more may be stored.
        networks: Names of the discovery networks in use; archives choose among them.
        port: TCP and UDP port for peers, once it is known.
        wanted_port: The one that the settings ask for; 0: any.
        roots: Folders of this host that may be published.
        secrets: Secret keys of our own archives.
        owner_keys: Where the `dat` command keeps secret keys; None: they are not used.
        history: File of the index of changes by path; made once it is needed.
        shelf: Where blocks that are known by hash are looked for; None: everything is fetched.
        allowance: Why an archive that holds so many bytes may not take more on behalf of those who
            want it kept; None if it may.
        web: Sources on web servers; None: there are none.
        network_views: How discovery networks, transports and port mapping fare, to be shown.
        webhook_networks: Networks where webhooks may lead although they are not public.
        bandwidth: How much peers and web sources may take of the network.
        events: Is told what happens.
    """

    folder: Path
    pool: Descriptors
    executor: Executor
    catalogue: Catalogue
    swarm: Swarm
    spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
    clock: Callable[[], float]
    wall_clock: Callable[[], float]
    choose: Callable[[int], int]
    traffic: Traffic
    room: Room
    networks: list[str]
    secrets: Secrets
    roots: ImportRoots
    history: Path
    owner_keys: Path | None = None
    shelf: Shelf | None = None
    web: WebSources | None = None
    port: int = 0
    wanted_port: int = 0
    allowance: Callable[[Record, int], str | None] = lambda record, held: None
    network_views: Callable[[], list[NetworkView]] = list
    webhook_networks: Sequence[Network] = ()
    bandwidth: Bandwidth = field(default_factory=Bandwidth)
    events: Events = field(init=False)

    def __post_init__(self) -> None:
        self.events = Events(
            self.catalogue, spawn=self.spawn, clock=self.clock, wall_clock=self.wall_clock
        )
