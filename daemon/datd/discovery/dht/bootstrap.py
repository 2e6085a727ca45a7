"""The nodes that lead into a DHT, as the user names them, and their addresses.

Names are looked up one after the other, beside the event loop.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from datd import errand
from datd.discovery.dht.contacts import packed
from datd.errors import ConfigError
from datd.types import Address

_log = logging.getLogger(__name__)

DEFAULT_PORT = 6881
# A name may stand for several nodes; nobody has more.
_MAX_ADDRESSES = 8


class Entry(NamedTuple):
    """One node as the user named it: a name or a numeric address, and a port."""

    host: str
    port: int


def entry_of(text: str) -> Entry:
    """Read `host`, `host:port`, `[address]:port` or an IPv6 address.

    Raises:
        ConfigError: It is none of these.
    """
    host, port = text.strip(), str(DEFAULT_PORT)
    if host.startswith("["):
        host, closed, rest = host[1:].partition("]")
        port = rest.removeprefix(":") if rest else port if closed else ""
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 9 else 0
    if not host or not 0 < number < 65536 or any(sign in host for sign in "/[] "):
        raise ConfigError(f"DHT bootstrap node {text!r}: expected host:port")
    return Entry(host, number)


def resolve(
    entries: Sequence[Entry],
    found: Callable[[list[Address]], None],
    look_up: Callable[[str], list[str]] | None = None,
) -> None:
    """Find the addresses of nodes.

    Args:
        entries: What the user named.
        found: Called once, from the running event loop, with what was found, in the end.
        look_up: Gives the numeric addresses of a name, or raises OSError; the system's by default.
    """
    loop = asyncio.get_running_loop()
    numeric = [Address(*one) for one in entries if packed(one.host) is not None]
    names = [one for one in entries if packed(one.host) is None]
    if not names:
        loop.call_soon(found, numeric)
        return

    def done(addresses: list[Address] | Exception) -> None:
        if isinstance(addresses, OSError):  # no thread could be had
            _log.info("DHT bootstrap nodes: %s", addresses)
            addresses = []
        if isinstance(addresses, Exception):
            raise addresses
        found(numeric + addresses)

    errand.start(
        partial(_look_up_all, names, look_up or _system_look_up), done, name="DHT bootstrap"
    )


def _look_up_all(names: Sequence[Entry], look_up: Callable[[str], list[str]]) -> list[Address]:
    addresses: list[Address] = []
    for host, port in names:
        try:
            addresses += [Address(one, port) for one in look_up(host)[:_MAX_ADDRESSES]]
        except (OSError, UnicodeError) as error:
            _log.info("DHT bootstrap node %s: %s", host, error)
    return addresses


def _system_look_up(host: str) -> list[str]:
    answers = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))
