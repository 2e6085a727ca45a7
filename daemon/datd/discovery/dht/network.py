"""The network `dht`: the Mainline DHT node behind the interface of all discovery networks.

The machine is `node.DhtNode`; here are only its socket, its timers and its memory over restarts.

Source: discovery.md sections 6 and 7.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict

from datd.discovery.base import NAME_SIZE, OnPeer
from datd.discovery.dht import state as node_state
from datd.discovery.dht.bootstrap import entry_of, resolve
from datd.discovery.dht.contacts import ID_SIZE, IPV4, IPV6
from datd.discovery.dht.ids import id_for
from datd.discovery.dht.krpc import is_query
from datd.discovery.dht.node import DhtNode, PeerFound
from datd.discovery.dht.service import ServiceLimits
from datd.discovery.dht.telling import Found, Telling
from datd.discovery.public import PublicAddress
from datd.types import Address
from datd.udp.demultiplex import Kind
from datd.udp.socket import UdpSocket

_log = logging.getLogger(__name__)

# Ten thousand names within the interval.
LOOKUPS_PER_SECOND = 12.0
# With what the schedule adds at random, every name is announced again within 15 minutes, which is
# the reference's longest (discovery.md section 7).
INTERVAL = 840.0
# What is lost when the host dies; good nodes stay good for longer.
SAVE_INTERVAL = 300.0
# The bootstrap nodes are asked again, ever less often, until so many nodes are known.
ENOUGH_NODES = 8
FIRST_RETRY = 2.0
LAST_RETRY = 300.0
_SECRET_SIZE = 32


class DhtDiscovery:
    """It has no task: the socket's reader and timers of the event loop do the work."""

    name = "dht"
    lookups_per_second = LOOKUPS_PER_SECOND
    interval = INTERVAL

    def __init__(
        self,
        udp: UdpSocket,
        *,
        bootstrap: Sequence[str],
        public: PublicAddress,
        clock: Callable[[], float],
        choose: Callable[[int], int],
        state: bytes | None,
        save: Callable[[bytes], None],
        implied_port: bool = False,
        limits: ServiceLimits | None = None,
    ) -> None:
        """Nothing happens before `start`.

        Args:
            udp: The shared socket.
            bootstrap: Nodes that lead into the DHT, as `host:port`.
            public: Where others see this host.
            clock: Monotonic seconds.
            choose: A random number below its argument.
            state: What `save` got earlier.
            save: Keeps what a node wants to know after a restart; called every few minutes and at
                the end.
            implied_port: Whether uTP listens on the shared socket: then nodes may take the port
                that they see, as long as the public one is not known.
            limits: How much is done for others.

        Raises:
            ConfigError: A bootstrap node is no `host:port`.
        """
        self._udp = udp
        self._entries = [entry_of(text) for text in bootstrap]
        self._public = public
        self._clock = clock
        self._choose = choose
        self._remembered = node_state.decode(state)
        self._save_state = save
        self._implied_port = implied_port
        self._limits = limits
        self._names: dict[bytes, tuple[bytes, bool]] = {}
        self._node: DhtNode | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._soon: asyncio.Handle | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._living = 0
        self._telling = Telling()
        self._saving: asyncio.TimerHandle | None = None

    @property
    def statistics(self) -> dict[str, int]:
        """Nodes known, names waiting, peers kept for others, and what the machine counted."""
        node = self._node
        if node is None:
            return {}
        nodes = node.nodes
        return {
            "nodes": nodes.get(IPV4, 0),
            "nodes6": nodes.get(IPV6, 0),
            "waiting": node.waiting,
            "peers": node.peers,
            **asdict(node.statistics),
        }

    async def start(self, on_peer: OnPeer, port: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_peer = on_peer
        self._port = port
        if not self._udp.port:
            try:
                await self._udp.listen("::", port)
            except OSError as error:
                _log.warning("the DHT has no UDP socket: %s", error)
                return
        self._node = DhtNode(
            node_id=self._node_id(),
            secret=secrets.token_bytes(_SECRET_SIZE),
            choose=self._choose,
            families=(IPV4, IPV6) if self._udp.ipv6 else (IPV4,),
            limits=self._limits,
        )
        self._udp.route(Kind.DHT, self._receive, self._turn)
        self._public.watch(self._public_changed)
        self._saving = self._loop.call_later(SAVE_INTERVAL, self._save)
        if not self._entries and not (self._remembered and self._remembered.contacts):
            # Whoever asks us may still lead us in; until then there is nobody to send anything to.
            _log.debug("the DHT has no bootstrap nodes and knows none from earlier: it is silent")
            return
        if self._remembered is not None and len(self._remembered.contacts) >= ENOUGH_NODES:
            # They will do; those who lead in are asked only if it turns out that they do not.
            self._retry = self._loop.call_later(FIRST_RETRY, self._find_nodes, FIRST_RETRY)
            self._found_entries([])
        else:
            self._find_nodes(FIRST_RETRY)

    def join(self, discovery_key: bytes, announce: bool) -> None:
        self._names[discovery_key[:NAME_SIZE]] = discovery_key, announce

    def leave(self, discovery_key: bytes) -> None:
        name = discovery_key[:NAME_SIZE]
        # Nothing can be withdrawn: nodes forget an announcement after a while.
        if self._names.pop(name, None) is not None and self._node is not None:
            self._node.forget(name)
            self._telling.forget(name)

    def lookup(self, discovery_key: bytes) -> None:
        name = discovery_key[:NAME_SIZE]
        if name not in self._names or self._node is None:
            return
        if self._names[name][1]:
            implied = self._implied_port and self._public.port is None
            self._node.announce(name, self._public.announced(self._port), implied=implied)
        else:
            self._node.lookup(name)
        # Many names may be asked for in a row: one turn for all of them.
        if self._soon is None:
            self._soon = self._loop.call_soon(self._turn)

    async def close(self) -> None:
        if self._node is not None:
            self._save()
        for handle in (self._timer, self._soon, self._retry, self._saving):
            if handle is not None:
                handle.cancel()
        self._node = None
        self._names.clear()

    # ---- the machine

    def _receive(self, datagrams: Sequence[bytes], source: Address) -> None:
        if self._node is not None:
            now = self._clock()
            for datagram in datagrams:
                self._node.receive_datagram(datagram, source, now)

    def _turn(self) -> None:
        """Send what the machine wants sent, tell what it found, set the timer."""
        self._soon = None
        node = self._node
        if node is None:
            return
        now = self._clock()
        for datagram, address in node.datagrams_to_send(now):
            self._udp.send(datagram, address, awaited=is_query(datagram))
        for event in node.events_received():
            joined = self._names.get(event.name)
            if isinstance(event, PeerFound) and joined is not None:
                self._telling.add(Found(joined[0], event.peer, event.told_by), now)
        for found in self._telling.due(now):
            self._on_peer(found.discovery_key, found.peer, found.told_by)
        if node is self._node:  # hearing of a peer may have ended everything
            self._set_timer(min(node.next_timer(), self._telling.next_time()), now)

    def _set_timer(self, when: float, now: float) -> None:
        # One that goes off too early does no harm; most turns leave it as it is.
        if self._timer is not None and self._timer_at <= when:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._loop.call_later(max(0.0, when - now), self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        if self._node is not None:
            self._node.handle_timer(self._clock())
            self._turn()
            self._watch_nodes()

    # ---- nodes

    def _node_id(self) -> bytes:
        """The id of earlier, unless it is known by now that it is not the right one."""
        if self._remembered is not None:
            return self._remembered.node_id
        return id_for(self._public.host, secrets.token_bytes(ID_SIZE))

    def _find_nodes(self, delay: float) -> None:
        """Ask the bootstrap nodes, unless enough others are known; and look again later."""
        if self._node is None:
            return
        self._retry = self._loop.call_later(delay, self._find_nodes, min(2 * delay, LAST_RETRY))
        if self._node.living < ENOUGH_NODES:
            resolve(self._entries, self._found_entries)

    def _watch_nodes(self) -> None:
        """Ask the bootstrap nodes at once when the others went; only timeouts make them go.

        A private network may never have enough: there it counts that none is left.
        """
        if self._node is None or self._retry is None:
            return
        before, self._living = self._living, self._node.living
        if self._living < before and (self._living < ENOUGH_NODES <= before or not self._living):
            self._retry.cancel()
            self._find_nodes(FIRST_RETRY)

    def _found_entries(self, entries: list[Address]) -> None:
        if self._node is None:
            return
        remembered = self._remembered.contacts if self._remembered is not None else ()
        self._node.bootstrap(entries, remembered)
        self._turn()

    def _public_changed(self) -> None:
        if self._node is not None and self._public.host is not None:
            self._node.seen_from_outside(self._public.host, self._clock())

    def _save(self) -> None:
        if self._node is None:
            return
        self._saving = self._loop.call_later(SAVE_INTERVAL, self._save)
        good = self._node.good_nodes(self._clock())
        # An outage must not cost the nodes of better days.
        if good or self._remembered is None:
            self._save_state(node_state.encode(self._node.id, good))
        elif self._node.id != self._remembered.node_id:
            self._save_state(node_state.encode(self._node.id, self._remembered.contacts))
