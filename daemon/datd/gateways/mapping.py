"""Having a port of the router passed on to this host, as long as the daemon runs. Off by default.

Asked are PCP, NAT-PMP and UPnP, in this order; the one that works is kept. One task does it all.
"""

import asyncio
import logging
from collections.abc import Callable
from ipaddress import AddressValueError, IPv4Address

from datd.errors import GatewayError, PortTaken
from datd.gateways import nat_pmp, pcp
from datd.gateways.datagrams import NatPmp, Pcp
from datd.gateways.grants import Grant, Way
from datd.gateways.route import Gateway, default_gateway, inner
from datd.types import Address

_log = logging.getLogger(__name__)

# RFC 6886, 3.3 recommends two hours. A router that was restarted has forgotten us for half of it.
LEASE_SECONDS = 3600
# Routers that grant less than this would be asked all the time.
MIN_RENEWAL = 60.0
# A router that does not want now may want later: after a minute, and then ever more rarely.
FIRST_RETRY = 60.0
LAST_RETRY = 3600.0
# How often it is looked at whether this host has moved to another network.
LOOK_SECONDS = 60.0
# Everything that was announced is withdrawn within a second.
CLOSE_SECONDS = 1.0
# All ways together, with four silent tries each, take 15 s.
ROUND_SECONDS = 60.0
PROTOCOLS = ("tcp", "udp")
# Where searches for UPnP go.
SSDP = Address("239.255.255.250", 1900)
# Ports tried outside when the one that we listen at is taken.
_TRIES = 3

Learn = Callable[[str | None, int | None], None]


class PortMapping:
    """One port, TCP and UDP, from the router to this host."""

    def __init__(
        self,
        *,
        port: int,
        learn: Learn,
        choose: Callable[[int], int],
        find_gateway: Callable[[], Gateway | None] = default_gateway,
        gateway_port: int = nat_pmp.PORT,
        search: Address | None = SSDP,
    ) -> None:
        """Nothing happens before `run`.

        Args:
            port: Where this host listens, for TCP and UDP alike.
            learn: Told the public address and port, and (None, None) when they are gone.
            choose: Gives a random number from 0 to below its argument.
            find_gateway: Tells the router, if there is one.
            gateway_port: Where it listens for PCP and NAT-PMP.
            search: Where searches for UPnP go; None: UPnP is not tried.
        """
        self._port = port
        self._learn = learn
        self._choose = choose
        self._find_gateway = find_gateway
        self._gateway_port = gateway_port
        self._search = search
        self._gateway: Gateway | None = None
        self._way: Way | None = None
        self._granted: dict[str, Grant] = {}
        self._told: tuple[str, int] | None = None
        self._said = ""

    async def run(self) -> None:
        """Map and renew until cancelled; then end the mappings, within a second."""
        retry = FIRST_RETRY
        try:
            while True:
                self._gateway = self._find_gateway()
                renewal = await self._round()
                moved = await self._wait(retry if renewal is None else renewal)
                again = not moved and renewal is None
                retry = min(2 * retry, LAST_RETRY) if again else FIRST_RETRY
        finally:
            self._tell(None)
            await self._remove()

    async def _wait(self, seconds: float) -> bool:
        """Wait, a tenth more or less by chance; True at once if this host has another router."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds * (0.9 + self._choose(201) / 1000)
        while (left := until - loop.time()) > 0:
            await asyncio.sleep(min(left, LOOK_SECONDS))
            if self._find_gateway() != self._gateway:
                # The old router is out of reach: nothing can be removed there.
                self._way = None
                self._granted.clear()
                self._tell(None)
                return True
        return False

    async def _round(self) -> float | None:
        """Map or renew; when to do it again, or None if nobody would."""
        if self._gateway is None:
            self._say("no router to map a port at: none is known, or this host is not behind one")
            return None
        reasons: list[str] = []
        ways = [self._way] if self._way is not None else self._ways(self._gateway, reasons)
        for way in ways:
            try:
                async with asyncio.timeout(ROUND_SECONDS):
                    return await self._map(way)
            except (GatewayError, TimeoutError) as error:
                reasons.append(f"{way.name}: {str(error) or 'it takes too long'}")
            # One of two ports is no use.
            await self._remove()
        self._tell(None)
        self._say(f"the router {self._gateway.host} maps no port ({'; '.join(reasons)})")
        return None

    def _ways(self, gateway: Gateway, reasons: list[str]) -> list[Way]:
        at = Address(gateway.host, self._gateway_port)
        nonce = bytes(self._choose(256) for _ in range(pcp.NONCE_SIZE))
        ways: list[Way] = [Pcp(at, gateway.own, nonce), NatPmp(at)]
        if self._search is None:
            return ways
        try:
            # Only here: the library is an extra, and most who start datd do not want it.
            from datd.gateways.upnp import Upnp
        except ModuleNotFoundError:
            reasons.append("UPnP: install datd[upnp] to try it")
            return ways
        return [*ways, Upnp(gateway.host, gateway.own, self._search)]

    async def _map(self, way: Way) -> float:
        for protocol in PROTOCOLS:
            # Announcements name one port, so both should be the same outside.
            before = self._granted.get(protocol) or self._granted.get("tcp")
            wanted = before.port if before is not None else self._port
            self._granted[protocol] = await self._add(way, protocol, wanted)
            self._way = way  # from now on there is something to remove
        tcp, udp = (self._granted[protocol] for protocol in PROTOCOLS)
        if tcp.port != udp.port:
            _log.info("the router passes on TCP port %d and UDP port %d", tcp.port, udp.port)
        self._tell(tcp, way.name)
        leases = [grant.seconds for grant in (tcp, udp) if grant.seconds > 0]
        return max(MIN_RENEWAL, min([LEASE_SECONDS, *leases]) / 2)

    async def _add(self, way: Way, protocol: str, wanted: int) -> Grant:
        for _ in range(_TRIES):
            try:
                grant = await way.add(protocol, self._port, wanted, LEASE_SECONDS)
            except PortTaken:
                wanted = 1024 + self._choose(65536 - 1024)
            else:
                if grant.port == 0:
                    raise GatewayError("it passes on port 0")
                return grant
        raise GatewayError("other hosts have all ports that were tried")

    async def _remove(self) -> None:
        way, granted = self._way, dict(self._granted)
        self._way = None
        self._granted.clear()
        if way is None:
            return
        try:
            async with asyncio.timeout(CLOSE_SECONDS), asyncio.TaskGroup() as group:
                for protocol, grant in granted.items():
                    group.create_task(_end(way, protocol, self._port, grant.port))
        except TimeoutError:
            _log.info("the router did not say that it passes nothing on any more")

    def _tell(self, grant: Grant | None, name: str = "") -> None:
        """Tell where others reach us, if that has changed."""
        now = (grant.host, grant.port) if grant is not None and _public(grant.host) else None
        if grant is not None and now is None:
            self._say(
                f"the router passes on a port but has no public address itself "
                f"({grant.host or 'none'}): peers outside cannot use it"
            )
        if now == self._told:
            return
        self._told = now
        if now is None:
            self._learn(None, None)
        else:
            self._say(f"the router passes on port {now[1]} of {now[0]} to us ({name})")
            self._learn(*now)

    def _say(self, what: str) -> None:
        # One line for each change, however often it is tried.
        if what != self._said:
            self._said = what
            _log.info("%s", what)


async def _end(way: Way, protocol: str, internal: int, external: int) -> None:
    try:
        await way.remove(protocol, internal, external)
    except GatewayError as error:
        _log.debug("the router does not end a mapping: %s", error)


def _public(host: str) -> bool:
    try:
        address = IPv4Address(host)
    except AddressValueError:
        return False
    special = address.is_loopback or address.is_unspecified or address.is_multicast
    return not (special or address.is_link_local or inner(host))
