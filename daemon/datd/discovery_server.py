"""The command `datd discovery-server`: sockets, clock and log around the machine in `dns_server`.

It keeps nothing on disk: whoever is to be found repeats that every minute.
"""

import argparse
import asyncio
import contextlib
import errno
import logging
import random
import re
import secrets
import socket
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import partial
from ipaddress import AddressValueError, IPv4Address

from datd import service
from datd.discovery.dns_message import MAX_DATAGRAM
from datd.discovery.dns_pushes import Outgoing
from datd.discovery.dns_server import PEER_SECONDS, DiscoveryServer
from datd.discovery.dns_store import MAX_RECORDS, MAX_RECORDS_OF_A_HOST
from datd.errors import ConfigError
from datd.types import Address

log = logging.getLogger(__name__)

# The original programs ask here first, and at 53 where nothing answers.
PORT = 5300
# Datagrams taken from one socket before other work gets its turn.
_BATCH = 64
_BUFFER = 2**20
_MAX_TTL = 86_400.0
_MAX_COUNT = 10_000_000
_DOMAIN = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+")
_MAX_DOMAIN = 63
# How often the store is tidied, and after how many of these turns the log is told how things are.
_TURN = 60.0
_TURNS_TOLD = 15

_ABOUT = """
Be a discovery server: the place where Dat programs (the original `dat` too) tell which archives
they have, learn who else has them, and learn their own address as seen from outside. Archives do
not pass through it, and it never learns their links.
"""

_EXAMPLES = """
examples:
  datd discovery-server                          on port 5300 of all addresses
  datd discovery-server --port 5300 --port 53    also where only DNS gets through
  datd discovery-server --host 203.0.113.5       on a host with several addresses: the public one

Programs use it when told so:
  datd --dns-server dat.example.org
  dat share --dns.server=dat.example.org --dns.domain=dat.local

Hosts behind NATs learn their port, and punch holes, with two servers at different addresses.
SIGUSR1 has it tell its numbers on the log. Only IPv4 is spoken, as all such programs do.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.description = _ABOUT.strip()
    parser.epilog = _EXAMPLES
    parser.add_argument(
        "--host",
        action="append",
        metavar="ADDRESS",
        help="address to listen on (all); may be given again",
    )
    parser.add_argument(
        "--port", action="append", type=int, help=f"UDP port ({PORT}); may be given again"
    )
    parser.add_argument(
        "--ttl",
        type=float,
        default=PEER_SECONDS,
        metavar="SECONDS",
        help=f"how long a peer is known unless it repeats itself ({PEER_SECONDS:g})",
    )
    parser.add_argument(
        "--names",
        type=int,
        default=MAX_RECORDS_OF_A_HOST,
        metavar="N",
        help=f"how many archives one host can announce ({MAX_RECORDS_OF_A_HOST}); raise it for "
        "mirrors of thousands that you know",
    )
    parser.add_argument(
        "--peers",
        type=int,
        default=MAX_RECORDS,
        metavar="N",
        help=f"how many peers are known in all ({MAX_RECORDS}; a thousand take 0.7 MB)",
    )
    parser.add_argument(
        "--domain",
        default="dat.local",
        metavar="A.B",
        help="last two labels of the names (dat.local; other programs need the same)",
    )


async def run(given: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigError: An argument is wrong, or asks for what this user may not do.
        OSError: A port is taken.
    """
    hosts = [_checked_host(host) for host in given.host or ["0.0.0.0"]]
    ports = [_checked_port(port) for port in given.port or [PORT]]
    loop = asyncio.get_running_loop()
    chance = random.Random(secrets.randbits(64))
    machine = DiscoveryServer(
        secret=lambda: secrets.token_bytes(32),
        choose=chance.randrange,
        now=loop.time(),
        domain=_checked_domain(given.domain),
        lifetime=_checked_ttl(given.ttl),
        capacity=_checked_count("peers", given.peers),
        host_capacity=_checked_count("names", given.names),
    )
    with contextlib.closing(Doors(machine)) as doors:
        for host in dict.fromkeys(hosts):
            for port in dict.fromkeys(ports):
                doors.open(host, port)
        await service.serve(
            f"discovery server for {given.domain}",
            doors.addresses,
            clock=partial(_keep_tidy, machine),
            tell=partial(_tell, machine),
        )


class Doors:
    """The sockets of a server, and the one timer that its machine needs."""

    def __init__(self, machine: DiscoveryServer) -> None:
        self._machine = machine
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._timer: asyncio.TimerHandle | None = None

    @property
    def addresses(self) -> list[Address]:
        """Where it listens."""
        return [Address(*one.getsockname()) for one in self._sockets]

    def open(self, host: str, port: int) -> None:
        """Listen on one more port.

        Raises:
            ConfigError: The system does not allow it, or has no such address.
            OSError: The port is taken.
        """
        fresh = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            fresh.setblocking(False)
            fresh.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            fresh.bind((host, port))
        except OSError as error:
            fresh.close()
            raise _explained(error, Address(host, port)) from error
        door = len(self._sockets)
        self._sockets.append(fresh)
        self._loop.add_reader(fresh, self._readable, fresh, door)

    def close(self) -> None:
        """Nothing is heard or said any more."""
        if self._timer is not None:
            self._timer.cancel()
        for one in self._sockets:
            self._loop.remove_reader(one)
            one.close()
        self._sockets.clear()

    def _readable(self, door_socket: socket.socket, door: int) -> None:
        now = self._loop.time()
        for datagram, source in _received(door_socket):
            self._send(self._machine.receive(datagram, source, now, door))
        self._set_timer()

    def _on_timer(self) -> None:
        self._timer = None
        self._send(self._machine.handle_timer(self._loop.time()))
        self._set_timer()

    def _set_timer(self) -> None:
        due = self._machine.next_timer()
        if self._timer is not None:
            if self._timer.when() == due:
                return
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer = self._loop.call_at(due, self._on_timer)

    def _send(self, datagrams: Iterable[Outgoing]) -> None:
        for datagram, address, door in datagrams:
            # What the system refuses is lost like any other datagram; askers ask again.
            with contextlib.suppress(OSError):
                self._sockets[door].sendto(datagram, address)


def _received(door_socket: socket.socket) -> Iterator[tuple[bytes, Address]]:
    for _ in range(_BATCH):
        try:
            # One byte more than is read: a longer datagram is cut, and must not look whole.
            datagram, (host, port) = door_socket.recvfrom(MAX_DATAGRAM + 1)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            log.debug("receiving: %s", error)
            continue
        yield datagram, Address(host, port)


async def _keep_tidy(machine: DiscoveryServer) -> None:
    told = machine.counts.queries
    while True:
        for _ in range(_TURNS_TOLD):
            await asyncio.sleep(_TURN)
            machine.expire(asyncio.get_running_loop().time())
        if machine.counts.queries != told:
            told = machine.counts.queries
            _tell(machine)


def _tell(machine: DiscoveryServer) -> None:
    machine.expire(asyncio.get_running_loop().time())
    log.info(
        "%d peers of %d names, %d subscriptions; %s; pushes %s; evicted %d",
        len(machine.peers),
        machine.peers.names,
        len(machine.subscribers),
        _listed(asdict(machine.counts)),
        _listed(asdict(machine.pushes.counts)),
        machine.peers.evicted + machine.subscribers.evicted,
    )


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _explained(error: OSError, address: Address) -> Exception:
    if error.errno in (errno.EACCES, errno.EPERM):
        return ConfigError(
            f"UDP port {address.port} is for privileged programs: start this as a service "
            "(systemd/datd-discovery.service), with CAP_NET_BIND_SERVICE, or leave that port out"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return ConfigError(f"--host {address.host}: this machine has no such address")
    if error.errno == errno.EADDRINUSE:
        return OSError(
            error.errno,
            f"UDP {address} is taken: end the other program (ss -ulpn shows it; at port 53 it is "
            "often a resolver of this machine) or give the public address as --host",
        )
    return OSError(error.errno, f"cannot listen on UDP {address}: {error.strerror or error}")


def _checked_host(host: str) -> str:
    try:
        return str(IPv4Address(host))
    except AddressValueError:
        raise ConfigError(f"--host {host}: not an IPv4 address such as 203.0.113.5") from None


def _checked_port(port: int) -> int:
    if not 0 <= port <= 65535:
        raise ConfigError(f"--port {port}: not between 0 (any free one) and 65535")
    return port


def _checked_domain(domain: str) -> str:
    if len(domain) > _MAX_DOMAIN or not _DOMAIN.fullmatch(domain):
        raise ConfigError(f"--domain {domain}: not two labels such as dat.local, in small letters")
    return domain


def _checked_count(name: str, count: int) -> int:
    if not 1 <= count <= _MAX_COUNT:
        raise ConfigError(f"--{name} {count}: not between 1 and {_MAX_COUNT}")
    return count


def _checked_ttl(seconds: float) -> float:
    if not 1 <= seconds <= _MAX_TTL:
        raise ConfigError(f"--ttl {seconds:g}: not between 1 and {_MAX_TTL:g} seconds")
    return seconds
