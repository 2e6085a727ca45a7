"""What all hosted archives of one daemon share, handed to each of them."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datd.catalogue import Catalogue
from datd.hosting.dedup import Shelf
from datd.hosting.descriptors import Descriptors
from datd.hosting.room import Room
from datd.hosting.roots import ImportRoots
from datd.hosting.secrets import Secrets
from datd.hosting.stats import Traffic
from datd.hosting.views import NetworkView
from datd.swarm.swarm import Swarm


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
        roots: Folders of this host that may be published.
        secrets: Secret keys of our own archives.
        owner_keys: Where the `dat` command keeps secret keys; None: they are not used.
        history: File of the index of changes by path; made once it is needed.
        shelf: Where blocks that are known by hash are looked for; None: everything is fetched.
        network_views: How discovery networks, transports and port mapping fare, to be shown.
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
    port: int = 0
    network_views: Callable[[], list[NetworkView]] = list
