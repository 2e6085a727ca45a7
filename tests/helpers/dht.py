"""Many DHT nodes on one wire under a fake clock, and nodes that say what a test tells them to."""

import asyncio
import heapq
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from datd.discovery.base import OnPeer
from datd.discovery.dht import krpc
from datd.discovery.dht.krpc import Answer, Message, Query
from datd.discovery.dht.network import DhtDiscovery
from datd.discovery.dht.node import DhtNode, PeerFound, RoundOver
from datd.discovery.dht.service import ServiceLimits
from datd.discovery.public import PublicAddress
from datd.types import Address
from datd.udp.socket import UdpSocket
from tests.helpers.pieces import missing
from tests.helpers.reference import HERE, Program, Where
from tests.lab import install

_LATENCY = (0.02, 0.1)


def inner(number: int) -> Address:
    """Addresses of one inner network: any number of nodes may live there."""
    return Address(f"10.1.{number // 250}.{number % 250 + 1}", 6881)


def outer(number: int) -> Address:
    """Addresses of as many owners: 1.0.0.1, 2.0.0.1 … 99.0.0.1, 1.1.0.1 …"""
    return Address(f"{number % 99 + 1}.{number // 99}.0.1", 6881)


_OURS = inner(0)


class DhtWorld:
    """Machines and the datagrams between them.

    Attributes:
        now: The time; `run` moves it on.
        nodes: The machines by address.
        dead: Addresses whose machine hears and says nothing.
        found: What machines found, by address.
        over: The rounds that ended.
        sent: Datagrams by sender.
        on_wire: Called with each datagram: sender, receiver, bytes.
        actors: Programs of a test at addresses: they get each datagram and its sender.
    """

    def __init__(self, seed: int = 1, *, loss: float = 0.0) -> None:
        self.random = random.Random(seed)
        self.loss = loss
        self.now = 1000.0
        self.nodes: dict[Address, DhtNode] = {}
        self.dead: set[Address] = set()
        self.found: dict[Address, list[PeerFound]] = {}
        self.over: dict[Address, list[RoundOver]] = {}
        self.sent: dict[Address, int] = {}
        self.on_wire: Callable[[Address, Address, bytes], None] | None = None
        self.actors: dict[Address, Callable[[bytes, Address], None]] = {}
        self._queue: list[tuple[float, int, Address, bytes | None, Address | None]] = []
        self._timers: dict[Address, float] = {}
        self._number = 0

    def node(
        self,
        address: Address,
        *,
        node_id: bytes | None = None,
        families: tuple[int, ...] = (4,),
        limits: ServiceLimits | None = None,
    ) -> DhtNode:
        node = DhtNode(
            node_id=node_id or self.random.randbytes(20),
            secret=self.random.randbytes(32),
            choose=self.random.randrange,
            families=families,
            limits=limits,
        )
        self.nodes[address] = node
        self.found[address], self.over[address], self.sent[address] = [], [], 0
        self.turn(address)
        return node

    def network(self, count: int, address_of: Callable[[int], Address] = inner) -> list[Address]:
        """So many nodes that know the first, and with it each other."""
        addresses = [address_of(number) for number in range(count)]
        for number, address in enumerate(addresses):
            node = self.node(address)
            node.bootstrap(addresses[:1] if number else [])
            self.turn(address)
            self.run(0.2)
        self.run(30)
        return addresses

    def turn(self, address: Address) -> None:
        """After something was asked of a machine."""
        node = self.nodes[address]
        for datagram, to in node.datagrams_to_send(self.now):
            self.sent[address] += 1
            self.send(datagram, address, to)
        for event in node.events_received():
            if isinstance(event, PeerFound):
                self.found[address].append(event)
            else:
                self.over[address].append(event)
        when = max(node.next_timer(), self.now)
        if when < self._timers.get(address, float("inf")):
            self._timers[address] = when
            self._put(when, address, None, None)

    def send(self, datagram: bytes, sender: Address, to: Address) -> None:
        if self.on_wire is not None:
            self.on_wire(sender, to, datagram)
        if self.random.random() >= self.loss:
            self._put(self.now + self.random.uniform(*_LATENCY), to, datagram, sender)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while self._queue and self._queue[0][0] <= until:
            when, _, to, datagram, sender = heapq.heappop(self._queue)
            self.now = max(self.now, when)
            if to in self.dead:
                continue
            if to in self.actors and datagram is not None and sender is not None:
                self.actors[to](datagram, sender)
            node = self.nodes.get(to)
            if node is None:
                continue
            if datagram is not None and sender is not None:
                node.receive_datagram(datagram, sender, self.now)
            elif self._timers.get(to) == when:
                del self._timers[to]
                node.handle_timer(self.now)
            else:
                continue
            self.turn(to)
        self.now = until

    def run_until(self, happened: Callable[[], bool], *, limit: float = 3600.0) -> None:
        end = self.now + limit
        while not happened():
            assert self.now < end, f"did not happen within {limit:g} s"
            self.run(0.5)

    def _put(self, when: float, to: Address, data: bytes | None, sender: Address | None) -> None:
        self._number += 1
        heapq.heappush(self._queue, (when, self._number, to, data, sender))


class Stranger:
    """A program at an address of a world that talks to one node."""

    def __init__(self, world: DhtWorld, address: Address) -> None:
        self.world = world
        self.address = address
        self.id = world.random.randbytes(20)
        self.heard: list[Message] = []
        self.sizes: list[int] = []
        self.answer: Callable[[Query, Address], Message | None] = lambda query, source: None
        world.actors[address] = self._hear

    def say(self, message: Message | bytes, to: Address) -> None:
        data = message if isinstance(message, bytes) else krpc.encode(message)
        self.world.send(data, self.address, to)

    def _hear(self, datagram: bytes, source: Address) -> None:
        message = krpc.decode(datagram)
        self.heard.append(message)
        self.sizes.append(len(datagram))
        if isinstance(message, Query):
            answer = self.answer(message, source)
            if answer is not None:
                self.say(answer, source)


def friend(world: DhtWorld, address: Address, **said: object) -> Stranger:
    """A node that answers every query, with more if the test says so."""
    stranger = Stranger(world, address)

    def answer(query: Query, source: Address) -> Message:
        fields: dict[str, object] = {"token": b"tok"} if query.method == krpc.GET_PEERS else {}
        fields.update(said if query.method != krpc.ANNOUNCE_PEER else {})
        return Answer(query.transaction, stranger.id, **fields)  # type: ignore[arg-type]

    stranger.answer = answer
    return stranger


def joined(world: DhtWorld, *entries: Stranger, address: Address = _OURS) -> DhtNode:
    node = world.node(address)
    node.bootstrap([entry.address for entry in entries])
    world.turn(address)
    world.run(5)
    return node


def asked(stranger: Stranger, method: bytes) -> list[Query]:
    return [one for one in stranger.heard if isinstance(one, Query) and one.method == method]


class Rounds:
    """A `DhtDiscovery` with what the swarm's schedule does: each joined name again and again."""

    name = "dht"
    lookups_per_second = DhtDiscovery.lookups_per_second
    interval = 0.1

    def __init__(self, network: DhtDiscovery) -> None:
        self.network = network
        self._names: set[bytes] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def start(self, on_peer: OnPeer, port: int) -> None:
        await self.network.start(on_peer, port)
        self._again()

    def join(self, discovery_key: bytes, announce: bool) -> None:
        self.network.join(discovery_key, announce)

    def leave(self, discovery_key: bytes) -> None:
        self._names.discard(discovery_key)
        self.network.leave(discovery_key)

    def lookup(self, discovery_key: bytes) -> None:
        self._names.add(discovery_key)
        self.network.lookup(discovery_key)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self.network.close()

    def _again(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self.interval, self._again)
        for name in self._names:
            self.network.lookup(name)


async def dht_on(
    udp: UdpSocket,
    *bootstrap: int | str,
    host: str = "127.0.0.1",
    state: bytes | None = None,
    saved: list[bytes] | None = None,
    public: PublicAddress | None = None,
    implied_port: bool = False,
    limits: ServiceLimits | None = None,
) -> DhtDiscovery:
    """A network over a socket that is bound here; a bootstrap node may be a port of this host."""
    await udp.listen(host, 0)
    loop = asyncio.get_running_loop()
    return DhtDiscovery(
        udp,
        bootstrap=[f"{host}:{one}" if isinstance(one, int) else one for one in bootstrap],
        public=public or PublicAddress(),
        clock=loop.time,
        choose=random.randrange,
        state=state,
        save=(saved if saved is not None else []).append,
        implied_port=implied_port,
        limits=limits,
    )


class Libtorrent:
    """Runs nodes of libtorrent; they end with the `with`."""

    def __init__(self) -> None:
        self._programs: list[Program] = []

    def __enter__(self) -> "Libtorrent":
        found = install.Reference.load()
        if found is None:
            missing("the original programs are not here: ./dev reference brings them")
        if found.libtorrent_missing is not None:
            if "no wheel" in found.libtorrent_missing:
                pytest.skip(found.libtorrent_missing)
            missing(f"libtorrent is not here: {found.libtorrent_missing}")
        return self

    def __exit__(self, *exception: object) -> None:
        for program in reversed(self._programs):
            program.stop()

    def start(self, *arguments: object, where: Where = HERE) -> Program:
        words = [sys.executable, "-m", "tests.lab.libtorrent_dht"]
        process = subprocess.Popen(
            where.words([*words, "--host", where.address, *map(str, arguments)]),
            cwd=Path(install.__file__).parents[2],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._programs.append(Program(process, f"libtorrent {arguments[0] if arguments else ''}"))
        return self._programs[-1]
