"""All that decides who may do what, and where it is written down: handed over in one piece."""

import os
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from datd.books.accounts import Accounts
from datd.books.audit import AuditLog
from datd.books.pins import Pins
from datd.books.tokens import Tokens
from datd.catalogue import Catalogue
from datd.hosting.library import Library
from datd.hosting.pinning import Pinning
from datd.hosting.tuning import Tuning
from datd.http.credentials import peer_user
from datd.http.operation import Scope
from datd.http.senders import Network


@dataclass(frozen=True, slots=True)
class Desk:
    """Books and settings of the API.

    Attributes:
        tokens: Who may use the API beside the holder of `api.token`.
        accounts: Who may pin.
        pinning: What they pin.
        audit: What was done, by whom.
        tuning: The daemon's own settings.
        origins: Pages of other sites that may use the API (setting `api.cors_origins`).
        proxies: Whose `X-Forwarded-For` is believed (setting `api.proxies`).
        socket_scope: What other users may over the Unix socket (setting `api.socket_scope`).
        registration: Whether anybody may make an account (setting `pinning.registration`).
        max_bytes: What an account may keep unless it is told otherwise.
        max_pins: How many archives.
        title: What the pinning service calls itself.
        wall_clock: Seconds since 1970.
        clock: Seconds, monotonic.
        peer: Which user of this host is at the other end of a Unix socket.
        own_user: Which one we are.
    """

    tokens: Tokens
    accounts: Accounts
    pinning: Pinning
    audit: AuditLog
    tuning: Tuning
    origins: Sequence[str] = ()
    proxies: Sequence[Network] = ()
    socket_scope: Scope = "admin"
    registration: bool = False
    max_bytes: int = 10 * 10**9
    max_pins: int = 100
    title: str = "datd"
    wall_clock: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic
    peer: Callable[[web.Request], int | None] = peer_user
    own_user: int = os.geteuid()

    async def close(self) -> None:
        """Write down what is not yet; the catalogue is closed by its owner, afterwards."""
        await self.audit.close()


async def open_desk(
    library: Library,
    catalogue: Catalogue,
    audit: Path,
    *,
    tuning: Tuning,
    spawn: Callable[[Coroutine[Any, Any, None]], object],
    wall_clock: Callable[[], float] = time.time,
    clock: Callable[[], float] = time.monotonic,
    **settings: Any,
) -> Desk:
    """Open all books; from then on accounts are held to their quotas.

    Args:
        library: What is hosted.
        catalogue: Where tokens, accounts and pins are kept; open.
        audit: File of the audit log.
        tuning: The daemon's own settings.
        spawn: Runs what nobody waits for.
        wall_clock: Seconds since 1970.
        clock: Seconds, monotonic.
        settings: Further attributes of the desk.

    Raises:
        StorageError: The catalogue cannot be read.
    """
    tokens = Tokens(catalogue, clock=wall_clock, spawn=spawn)
    accounts = Accounts(catalogue, clock=wall_clock)
    pins = Pins(catalogue, clock=wall_clock)
    log = AuditLog(audit)
    for book in (tokens, accounts, pins, log):
        await book.open()
    pinning = Pinning(library, accounts, pins, clock=clock)
    library.services.allowance = pinning.refusal
    return Desk(
        tokens, accounts, pinning, log, tuning, wall_clock=wall_clock, clock=clock, **settings
    )
