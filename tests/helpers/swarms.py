"""Swarms that live on a network in memory, and talk a little, in virtual time."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from datd.errors import ProtocolError, UnknownArchive
from datd.swarm.limits import SwarmLimits
from datd.swarm.peer import PeerView
from datd.swarm.roster import Connection
from datd.swarm.rules import AddressRules
from datd.swarm.swarm import Swarm
from datd.transport.base import Stream
from datd.types import Address
from tests.helpers.network import MemoryNetwork, MemoryTransport
from tests.helpers.virtual_time import in_virtual_time

NAME, OTHER = b"n" * 32, b"o" * 32
PORT = 3282


class House:
    """A swarm on a host, and a talk that is short: who dials says the archive and an id, who was
    called says its id, and both stay until one leaves.

    Attributes:
        talks: The connections that shook hands and live, with the id of the other side.
        ends: What each talk ended with.
        heard_at: When something arrived last, by archive.
        pace: Seconds between two words of a talk; peers that are silent for 7.5 s are doubted.
        after: Called after the handshake; what it raises ends the talk.
    """

    def __init__(
        self,
        network: MemoryNetwork,
        host: str,
        peer_id: bytes,
        *,
        limits: SwarmLimits | None = None,
        archives: tuple[bytes, ...] = (NAME, OTHER),
        kinds: tuple[str, ...] = ("tcp",),
        discovers: bool = True,
        rules: AddressRules | None = None,
    ) -> None:
        _, self.discovery = network.host(host)
        self.address = Address(host, PORT)
        self.peer_id = peer_id
        self.archives = archives
        self.talks: dict[Connection, bytes] = {}
        self.heard_at: dict[bytes, float] = {}
        self.ends: list[BaseException | None] = []
        self.pace = 3.0
        self.after: Callable[[Connection], None] = lambda connection: None
        self.swarm = Swarm(
            transports=[MemoryTransport(network, host, kind) for kind in kinds],
            networks=[self.discovery] if discovers else [],
            serve=self._serve,
            peer_id=peer_id,
            clock=asyncio.get_running_loop().time,
            choose=random.Random(peer_id).randrange,
            limits=limits,
            rules=rules,
            own_hosts=lambda: frozenset([host]),
        )

    async def _serve(self, connection: Connection) -> None:
        try:
            await self._talk(connection)
        except BaseException as error:
            self.ends.append(error)
            raise
        else:
            self.ends.append(None)
        finally:
            self.talks.pop(connection, None)

    async def _talk(self, connection: Connection) -> None:
        stream = connection.stream
        try:
            async with asyncio.timeout(5):
                remote_id = await self._greet(connection)
        except TimeoutError:
            raise ProtocolError("no handshake within 5 s") from None
        if remote_id is None:
            return
        connection.handshaken(remote_id)
        self.talks[connection] = remote_id
        self.after(connection)
        await self._stay(connection, stream)

    async def _greet(self, connection: Connection) -> bytes | None:
        """Give the other one's id, or None if it ends without a word."""
        stream = connection.stream
        if connection.discovery_key is not None:
            await stream.write(connection.discovery_key + self.peer_id)
            return bytes(await stream.read()) or None
        said = bytes(await stream.read())
        name, remote_id = said[:32], said[32:]
        if name not in self.archives:
            raise UnknownArchive("not hosted")
        connection.identify(name)
        await stream.write(self.peer_id)
        return remote_id

    async def _stay(self, connection: Connection, stream: Stream) -> None:
        """Say something every few seconds, as peers do, until the other one ends or is silent."""
        clock = asyncio.get_running_loop().time
        heard_at, say_at = clock(), clock() + self.pace
        if connection.discovery_key is not None:
            self.heard_at[connection.discovery_key] = heard_at
        while True:
            try:
                async with asyncio.timeout_at(say_at):
                    if not await stream.read():
                        return
                heard_at = clock()
                if connection.discovery_key is not None:
                    self.heard_at[connection.discovery_key] = heard_at
            except TimeoutError:
                if clock() >= heard_at + 20:
                    raise ProtocolError("silent for 20 s") from None
                # Not "if it is time": a timer goes off a rounding error before its time.
                await stream.write(b".")
                say_at = clock() + self.pace

    def view(self, name: bytes = NAME) -> PeerView:
        (view,) = self.swarm.peers(name)
        return view

    def mates(self) -> list[bytes]:
        return list(self.talks.values())


class World(MemoryNetwork):
    """The network, and a way to live on it."""

    def __init__(self) -> None:
        super().__init__()
        self.houses: list[House] = []

    async def house(self, number: int, *names: bytes, **options: object) -> House:
        host = f"10.0.0.{number}"
        made = House(self, host, bytes([number]) * 32, **options)  # type: ignore[arg-type]
        await made.swarm.start("0.0.0.0", PORT)
        self.houses.append(made)
        for name in names:
            made.swarm.join(name)
        return made


def story(write: Callable[[World], Awaitable[None]]) -> Callable[[], None]:
    """Make a test out of a story on a world of its own."""

    async def tell() -> None:
        world = World()
        await write(world)
        for house in world.houses:
            await house.swarm.close()
        own = asyncio.current_task()
        assert [task for task in asyncio.all_tasks() if task is not own] == []

    def test() -> None:
        in_virtual_time(tell())

    test.__name__ = write.__name__
    return test
