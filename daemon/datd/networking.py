"""The network wing put together: the socket, the transports over it, and the discovery networks.

With `daemon.py` the only file that names concrete classes.
"""

import asyncio
import logging
import random
import secrets
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from datd.config import Config
from datd.discovery.base import DiscoveryNetwork
from datd.discovery.dht.network import DhtDiscovery
from datd.discovery.dns import DnsDiscovery
from datd.discovery.interfaces import own_hosts
from datd.discovery.mdns import MulticastDns
from datd.discovery.public import PublicAddress
from datd.errors import StorageError
from datd.gateways.mapping import PortMapping
from datd.hosting.views import NetworkPart, NetworkView
from datd.shortage import Shortage
from datd.storage.disk import replace_file
from datd.swarm.limits import SwarmLimits
from datd.swarm.rules import AddressRules
from datd.swarm.swarm import Serve, Swarm
from datd.transport.base import Transport
from datd.transport.tcp import TcpTransport
from datd.transport.utp.transport import UtpTransport
from datd.udp.demultiplex import Kind
from datd.udp.socket import UdpSocket

log = logging.getLogger(__name__)

# More than the DHT's node ever writes there.
_MAX_DHT_STATE = 1024 * 1024


class Networking:
    """Everything between the hall and the wire, as the settings want it.

    Attributes:
        swarm: What the hall sees of all this.
        names: Of the discovery networks; archives choose among them.
    """

    def __init__(
        self,
        settings: Config,
        *,
        serve: Serve,
        peer_id: bytes,
        dht_state: Path,
        shortage: Shortage | None = None,
    ) -> None:
        """Nothing happens before `start`.

        Args:
            settings: Of the daemon.
            serve: Talks over one connection until its end.
            peer_id: 32 bytes that name this process.
            dht_state: The file in which the DHT node keeps its id and good nodes.
            shortage: Is told when there is no descriptor for who calls.
        """
        self._settings = settings
        self._shortage = shortage
        self._clock = asyncio.get_running_loop().time
        self._choose = random.SystemRandom().randrange
        self._writer = ThreadPoolExecutor(1, "dht-state")
        self._dht_state = dht_state
        self._public = PublicAddress()
        self._udp = UdpSocket()
        self._mapping: asyncio.Task[None] | None = None
        self._mapping_works = False
        self._dns: DnsDiscovery | None = None
        self._dht: DhtDiscovery | None = None
        self._utp: UtpTransport | None = None
        chosen = settings.discovery.networks
        self.names: list[str] = [name for name in ("mdns", "dns", "dht") if name in chosen]
        self._limits = SwarmLimits(
            connections=settings.swarm.max_connections,
            allow_networks=tuple(settings.swarm.allow_networks),
        )
        self.swarm = Swarm(
            transports=list(self._transports()),
            networks=list(self._discovery()),
            serve=serve,
            peer_id=peer_id,
            clock=self._clock,
            choose=self._choose,
            limits=self._limits,
            rules=address_rules(settings),
            udp=self._udp,
            own_hosts=own_hosts,
        )

    def _transports(self) -> Iterator[Transport]:
        if self._settings.swarm.tcp:
            yield TcpTransport(self._shortage)
        if self._settings.swarm.utp:
            self._utp = UtpTransport(self._udp, clock=self._clock, choose=self._choose)
            yield self._utp

    def _discovery(self) -> Iterator[DiscoveryNetwork]:
        wanted = self._settings.discovery
        if "mdns" in wanted.networks:
            yield MulticastDns(
                secret=secrets.token_bytes(32), clock=self._clock, domain=wanted.domain
            )
        if "dns" in wanted.networks:
            self._dns = DnsDiscovery(
                self._udp,
                servers=wanted.dns_servers,
                public=self._public,
                clock=self._clock,
                choose=self._choose,
                domain=wanted.domain,
            )
            yield self._dns
        # Without a first node, whoever asks us would lead us into the DHT that it is part of, and
        # tell the world what is here. That is for the user to want.
        if "dht" in wanted.networks and wanted.dht_bootstrap:
            self._dht = DhtDiscovery(
                self._udp,
                bootstrap=wanted.dht_bootstrap,
                public=self._public,
                clock=self._clock,
                choose=self._choose,
                state=_read(self._dht_state),
                save=self._save_dht,
                implied_port=self._settings.swarm.utp,
            )
            yield self._dht

    # ---- life

    async def start(self, spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]) -> int:
        """Listen and begin to discover.

        Args:
            spawn: Runs a coroutine in a task group of the daemon.

        Returns:
            The number of the TCP and UDP port that was taken.

        Raises:
            StorageError: The host cannot be listened on; the text names the setting.
        """
        wanted = self._settings.swarm
        self._public.watch(self._seen_from_outside)
        try:
            port = await self.swarm.start(wanted.host, wanted.port)
        except OSError as error:
            reason = f"{wanted.host} ({error.strerror or error})"
            raise StorageError(f"cannot listen for peers on {reason}: see swarm.host") from error
        if wanted.port not in (0, port):
            log.warning("port %d is taken: peers reach us at %d", wanted.port, port)
        if wanted.port_mapping:
            mapping = PortMapping(port=port, learn=self._mapped, choose=self._choose)
            self._mapping = spawn(mapping.run())
        return port

    async def close(self) -> None:
        """Withdraw, end all connections, close the socket."""
        if self._mapping is not None:
            self._mapping.cancel()
            await asyncio.wait([self._mapping])
        await self.swarm.close()
        # Not in the event loop: a disk may hang, and whoever asks us to end is to be heard.
        await asyncio.to_thread(self._writer.shutdown)

    def reload(self, settings: Config) -> None:
        """Take over what can change while connections live: whom to keep apart from."""
        self.swarm.obey(address_rules(settings))

    def limit_connections(self, most: int) -> None:
        """Have at most so many connections from now on; nobody is thrown out for that."""
        self._limits.connections = most

    def _seen_from_outside(self) -> None:
        self.swarm.public_address(self._public.host, self._public.port)

    def _mapped(self, host: str | None, port: int | None) -> None:
        self._mapping_works = port is not None
        self._public.mapped(host, port)

    def _save_dht(self, state: bytes) -> None:
        self._writer.submit(_write, self._dht_state, state)

    # ---- to be shown

    def views(self) -> list[NetworkView]:
        """How networks, transports and the router fare."""
        return list(self._views())

    def _views(self) -> Iterator[NetworkView]:
        for name in self.names:
            if name == "dns" and self._dns is not None:
                yield _dns_view(self._dns)
            elif name == "dht":
                yield _dht_view(self._dht)
            else:
                yield NetworkView(name, "discovery", working=True)
        if self._settings.swarm.tcp:
            yield NetworkView("tcp", "transport", working=True)
        if self._utp is not None:
            counts = self._udp.counts.by_kind[Kind.UTP]
            yield NetworkView(
                "utp",
                "transport",
                working=True,
                numbers={
                    "connections": self._utp.connections,
                    "packets received": counts.datagrams_in,
                    "packets sent": counts.datagrams_out,
                    "refused": self._utp.refused,
                },
            )
        where = self._public.host
        if where is not None and self._public.port is not None:
            where += f":{self._public.port}"
        if self._settings.swarm.port_mapping:
            mapped = self._mapping_works
            yield NetworkView(
                "port mapping",
                "gateway",
                working=mapped,
                remark=f"others reach us at {where}" if mapped else "no router passes the port on",
            )
        elif where is not None:
            yield NetworkView("public address", "gateway", remark=where)


def address_rules(settings: Config) -> AddressRules:
    """Whom the settings allow and block."""
    return AddressRules(allow=settings.swarm.allow, block=settings.swarm.block)


def _dns_view(dns: DnsDiscovery) -> NetworkView:
    servers = dns.servers
    return NetworkView(
        "dns",
        "discovery",
        working=any(server.answering for server in servers) if servers else None,
        remark="" if servers else "no server: see discovery.dns_servers",
        numbers={
            "queries": sum(server.queries for server in servers),
            "answers": sum(server.answers for server in servers),
            "refused": sum(server.refused for server in servers),
        },
        parts=[NetworkPart(server.name, server.answering, server.trouble) for server in servers],
    )


def _dht_view(dht: DhtDiscovery | None) -> NetworkView:
    if dht is None:
        return NetworkView("dht", "discovery", remark="no first node: see discovery.dht_bootstrap")
    numbers = dht.statistics
    found = numbers.get("nodes", 0) + numbers.get("nodes6", 0) > 0
    return NetworkView("dht", "discovery", working=found, numbers=numbers)


def _read(file: Path) -> bytes | None:
    try:
        with file.open("rb") as opened:
            return opened.read(_MAX_DHT_STATE)
    except OSError:
        return None  # a new node; the next save tells if something is wrong with the folder


def _write(file: Path, data: bytes) -> None:
    try:
        replace_file(file, data, mode=0o600)
    except StorageError as error:
        log.warning("the DHT's nodes are not kept: %s", error)
