"""Finding peers through discovery servers, over the UDP socket that uTP and the DHT use too.

The socket's side of `dns_client`: it hands datagrams in and out, keeps one timer, and has the names
of servers looked up. What is asked when is decided there.

Source: discovery.md section 3.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Sequence
from functools import partial

from datd import errand
from datd.discovery.base import OnPeer
from datd.discovery.dns_answers import PeerFound
from datd.discovery.dns_client import DnsClient, Resolve
from datd.discovery.dns_servers import QUERIES_PER_SECOND, ServerName, ServerView
from datd.discovery.interfaces import own_addresses
from datd.discovery.public import PublicAddress, Seen
from datd.types import Address
from datd.udp.demultiplex import Kind
from datd.udp.socket import UdpSocket

_log = logging.getLogger(__name__)

# How often this host's addresses are looked at: after a change of network all is told anew.
ADDRESS_INTERVAL = 10.0
# What a leaving daemon gives its servers to confirm that (see `DiscoveryNetwork.close`).
CLOSE_PATIENCE = 1.0


class DnsDiscovery:
    """The network `dns`: announces at servers, asks them, and hears of new peers from them.

    It has no task: the reader of the socket and one timer of the event loop do the work. Only the
    names of servers are looked up beside the loop.
    """

    name = "dns"
    lookups_per_second = QUERIES_PER_SECOND
    interval = 60.0

    def __init__(
        self,
        udp: UdpSocket,
        *,
        servers: Sequence[str],
        public: PublicAddress,
        clock: Callable[[], float],
        choose: Callable[[int], int],
        domain: str = "dat.local",
        find_hosts: Callable[[str], list[str]] | None = None,
        find_addresses: Callable[[], frozenset[str]] = own_addresses,
    ) -> None:
        """Nothing happens before `start`.

        Args:
            udp: Socket to speak through; somebody binds it before `start`.
            servers: At most 16, as `host`, `host:port` or `host:port,port`.
            public: Is told where the servers see us, and tells which port to announce.
            clock: Monotonic seconds, running like those of the event loop.
            choose: Gives a random number from 0 to below its argument.
            domain: Last labels of the names.
            find_hosts: Gives the IPv4 addresses of a server's name; may take its time, and runs in
                a thread.
            find_addresses: Tells this host's addresses.

        Raises:
            ValueError: A server cannot be read, or there are too many.
        """
        names = [ServerName.parse(text) for text in servers]
        self._client = DnsClient(names, domain=domain.lower(), choose=choose)
        self._udp = udp
        self._public = public
        self._clock = clock
        self._find_hosts = find_hosts or _find_hosts
        self._find_addresses = find_addresses
        self._on_peer: OnPeer | None = None
        self._local_port = 0
        self._timer: asyncio.TimerHandle | None = None
        self._checking: asyncio.TimerHandle | None = None
        self._progress = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._troubles: dict[str, str] = {}

    @property
    def servers(self) -> list[ServerView]:
        """How it stands with each server, in the order of the configuration."""
        return self._client.servers

    # ---- the network

    async def start(self, on_peer: OnPeer, port: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_peer = on_peer
        self._local_port = port
        if not self._client.servers:
            return
        self._udp.route(Kind.DNS, self._receive, self._flush)
        self._public.watch(self._port_changed)
        self._client.start(self._public.announced(port), self._clock())
        self._check(self._loop)

    def join(self, discovery_key: bytes, announce: bool) -> None:
        self._client.join(discovery_key, announce, self._clock())
        self._flush()

    def leave(self, discovery_key: bytes) -> None:
        self._client.leave(discovery_key, self._clock())
        self._flush()

    def lookup(self, discovery_key: bytes) -> None:
        self._client.lookup(discovery_key, self._clock())
        self._flush()

    async def close(self) -> None:
        if self._on_peer is None:
            return
        self._on_peer = None
        if self._checking is not None:
            self._checking.cancel()
        self._client.withdraw_all(self._clock())
        self._flush()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_PATIENCE):
                while not self._client.withdrawn:
                    self._progress.clear()
                    await self._progress.wait()
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    # ---- the client's doors

    def _receive(self, datagrams: Sequence[bytes], source: Address) -> None:
        if not self._closed:
            now = self._clock()
            for datagram in datagrams:
                self._client.receive(datagram, source, now)

    def _timer_due(self) -> None:
        self._timer = None
        self._client.handle_timer(self._clock())
        self._flush()

    def _port_changed(self) -> None:
        if self._on_peer is not None:
            self._client.announce_port(self._public.announced(self._local_port), self._clock())
            self._flush()

    def _flush(self) -> None:
        """Do what the client wants done."""
        if self._loop is None or self._closed:
            return
        for event in self._client.events():
            match event:
                case PeerFound(discovery_key, address, told_by):
                    if self._on_peer is not None:
                        self._on_peer(discovery_key, address, told_by)
                case Seen(host, port):
                    self._public.learn(host, port)
                case Resolve(server, host):
                    self._look_up(server, host)
        for datagram, address in self._client.datagrams_to_send():
            self._udp.send(datagram, address, awaited=True)
        self._progress.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._client.next_timer()
        if deadline is not None:
            delay = max(0.0, deadline - self._clock())
            self._timer = self._loop.call_later(delay, self._timer_due)

    # ---- this host

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at this host's addresses, and say what changed about the servers."""
        self._checking = loop.call_later(ADDRESS_INTERVAL, self._check, loop)
        try:
            addresses = self._find_addresses()
        except OSError as error:
            _log.debug("the addresses of this host cannot be listed: %s", error)
        else:
            self._client.own_hosts(addresses, self._clock())
        self._flush()
        for server in self._client.servers:
            before = self._troubles.get(server.name, "")
            if server.trouble != before:
                self._troubles[server.name] = server.trouble
                if server.trouble:
                    _log.warning("discovery server %s: %s", server.name, server.trouble)
                else:
                    _log.info("discovery server %s answers again", server.name)

    def _look_up(self, server: int, host: str) -> None:
        done = partial(self._looked_up, server, host)
        errand.start(partial(self._find_hosts, host), done, name=f"looking up {host}")

    def _looked_up(self, server: int, host: str, found: list[str] | Exception) -> None:
        if isinstance(found, OSError | UnicodeError):
            _log.debug("the discovery server %s cannot be looked up: %s", host, found)
            found = []
        if isinstance(found, Exception):
            raise found
        if not self._closed:
            self._client.resolved(server, found, self._clock())
            self._flush()


def _find_hosts(host: str) -> list[str]:
    found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_DGRAM)
    return list(dict.fromkeys(str(name[0]) for *_, name in found))
