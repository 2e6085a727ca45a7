"""A network in memory: hosts that dial, listen and discover each other without a socket.

It implements `Transport` and `DiscoveryNetwork` for real and passes their conformance suites. What
is sent arrives after a moment (`latency`), so that dials can cross.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

from datd.discovery.base import OnPeer
from datd.transport.base import HIGH_WATER, LOW_WATER, MAX_UNREAD, Stream
from datd.types import Address


class MemoryNetwork:
    """What joins the hosts.

    Attributes:
        latency: Seconds that bytes and answers take.
        silent: Addresses that do not answer a dial at all.
        back_off: Seconds until a connection that was cut off sends again, once it could: TCP waits
            the longer between two attempts, the longer they were in vain.
        dials: Every dial, as (from host, to address, time).
    """

    def __init__(self, latency: float = 0.01) -> None:
        self.latency = latency
        self.silent: set[Address] = set()
        self.dials: list[tuple[str, Address, float]] = []
        self.back_off = 20.0
        self.listeners: dict[tuple[str, Address], Callable[[Stream], None]] = {}
        self._cut: set[str] = set()
        self._held: list[MemoryStream] = []
        self.discoveries: list[MemoryDiscovery] = []
        self._ports = 40000

    def cut(self, host: str) -> None:
        """Pull a host's cable: nothing leaves it or arrives, and nobody is told."""
        self._cut.add(host)

    def mend(self, host: str) -> None:
        """Put the cable back. What was sent in between arrives, after a while."""
        self._cut.discard(host)
        held, self._held = self._held, []
        for stream in held:
            asyncio.get_running_loop().call_later(self.back_off, stream._go_on)

    def severed(self, one: str, other: str) -> bool:
        """Whether nothing gets from one host to another."""
        return one in self._cut or other in self._cut

    def host(self, address: str) -> tuple["MemoryTransport", "MemoryDiscovery"]:
        return MemoryTransport(self, address), MemoryDiscovery(self, address)

    def free_port(self) -> int:
        self._ports += 1
        return self._ports


class MemoryStream:
    """One end. `kind` may be anything, to play another transport."""

    def __init__(self, network: MemoryNetwork, remote: Address, kind: str, local: str = "") -> None:
        self.kind = kind
        self.remote = remote
        self._local = local
        self.other: MemoryStream
        self._network = network
        self._unread = bytearray()
        self._in_flight = 0
        self._ended = False
        self._closed = False
        self._broken = False
        self._waiters: list[asyncio.Future[None]] = []
        self._line: deque[Callable[[], None]] = deque()
        self._late = 0

    async def read(self) -> bytearray:
        while not self._unread:
            if self._broken and not self._closed:
                raise ConnectionResetError("connection reset")
            if self._ended or self._closed:
                return bytearray()
            await self._wait()
        data = self._unread[:MAX_UNREAD]
        del self._unread[:MAX_UNREAD]
        self.other._wake()
        return data

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        self._check()
        self._in_flight += len(data)
        self._later(self._deliver, bytes(data))
        if self._unsent > HIGH_WATER:
            while self._unsent > LOW_WATER:
                await self._wait()
                self._check()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._wake()
            self._later(self.other._end)

    def half_close(self) -> None:
        """End our side only, and read nothing: so does a kernel whose program is no more."""
        self._later(self.other._end)

    def abort(self) -> None:
        if not self._closed:
            self._closed = True
            self._wake()
            self._later(self.other._break)

    def _check(self) -> None:
        gone = self.other._closed and not self._network.severed(self._local, self.remote.host)
        if self._closed or self._broken or gone:
            raise ConnectionResetError("connection closed")

    @property
    def _unsent(self) -> int:
        return self._in_flight + max(0, len(self.other._unread) - MAX_UNREAD)

    def _deliver(self, data: bytes) -> None:
        self._in_flight -= len(data)
        if not self.other._closed:
            self.other._unread += data
        self.other._wake()
        self._wake()

    def _later(self, call: Callable[..., None], *arguments: object) -> None:
        # A queue, since timers of the same moment go off in any order.
        self._line.append(partial(call, *arguments))
        asyncio.get_running_loop().call_later(self._network.latency, self._arrive)

    def _arrive(self) -> None:
        if self._late or self._network.severed(self._local, self.remote.host):
            if not self._late:
                self._network._held.append(self)
            self._late += 1
            return
        self._line.popleft()()

    def _go_on(self) -> None:
        late, self._late = self._late, 0
        for _ in range(late):
            self._arrive()

    def _end(self) -> None:
        self._ended = True
        self._wake()

    def _break(self) -> None:
        self._broken = True
        self._wake()

    async def _wait(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class MemoryTransport:
    def __init__(self, network: MemoryNetwork, host: str, kind: str = "tcp") -> None:
        self.kind = kind
        self._network = network
        self._host = host
        self._listening: list[Address] = []

    async def listen(self, host: str, port: int, on_stream: Callable[[Stream], None]) -> int:
        address = Address(self._host, port or self._network.free_port())
        if (self.kind, address) in self._network.listeners:
            address = Address(self._host, self._network.free_port())
        self._network.listeners[self.kind, address] = on_stream
        self._listening.append(address)
        return address.port

    async def dial(self, address: Address) -> MemoryStream:
        network = self._network
        network.dials.append((self._host, address, asyncio.get_running_loop().time()))
        if address in network.silent:
            await asyncio.get_running_loop().create_future()
        wait = 1.0
        while network.severed(self._host, address.host):
            await asyncio.sleep(wait)  # as the first packet of a TCP connection is repeated
            wait *= 2
        await asyncio.sleep(network.latency)
        on_stream = network.listeners.get((self.kind, address))
        if on_stream is None:
            raise ConnectionRefusedError(111, "nobody listens there")
        near = MemoryStream(network, address, self.kind, self._host)
        caller = Address(self._host, network.free_port())
        far = MemoryStream(network, caller, self.kind, address.host)
        near.other, far.other = far, near
        on_stream(far)
        return near

    async def close(self) -> None:
        for address in self._listening:
            self._network.listeners.pop((self.kind, address), None)


class MemoryDiscovery:
    """Announcements reach every host of the network that joined the name, on lookup."""

    name = "memory"
    lookups_per_second = 100.0
    interval = 60.0

    def __init__(self, network: MemoryNetwork, host: str) -> None:
        self._network = network
        self._host = host
        self._names: dict[bytes, bool] = {}
        self._on_peer: OnPeer | None = None
        self._port = 0
        self.lookups: list[bytes] = []

    async def start(self, on_peer: OnPeer, port: int) -> None:
        self._on_peer = on_peer
        self._port = port
        self._network.discoveries.append(self)

    def join(self, discovery_key: bytes, announce: bool) -> None:
        self._names[discovery_key] = announce

    def leave(self, discovery_key: bytes) -> None:
        self._names.pop(discovery_key, None)

    def lookup(self, discovery_key: bytes) -> None:
        self.lookups.append(discovery_key)
        loop = asyncio.get_running_loop()
        for announcer in self._network.discoveries:
            for listener in self._network.discoveries:
                if announcer is not listener:
                    loop.call_later(self._network.latency, listener._hear, discovery_key, announcer)

    async def close(self) -> None:
        self._on_peer = None
        self._names.clear()

    def _hear(self, name: bytes, announcer: "MemoryDiscovery") -> None:
        if self._on_peer is not None and name in self._names and announcer._names.get(name):
            source = Address(announcer._host, 5353)
            self._on_peer(name, Address(announcer._host, announcer._port), source)
