"""A peer made of a session and feeds in memory: honest unless a test says otherwise."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress

from bitarray import bitarray

from datd.errors import BlockMissing
from datd.feed import rle
from datd.feed.feed import Feed
from datd.transport.base import Stream
from datd.wire import messages
from datd.wire.messages import Data, Have, Message, Request, Want
from datd.wire.session import MessageReceived, Session
from tests.helpers.libraries import Node
from tests.helpers.network import MemoryStream


class RawPeer:
    """One connection.

    Attributes:
        heard: What the other side said, as (feed, message); the feed by its place in `feeds`.
        ended: Whether the other side has closed the connection.
        received: Bytes that came.
        claims: Blocks of each feed it says it has; None: what it has.
        answer: What it sends when asked for a block; nothing for None.
    """

    def __init__(self, stream: Stream, feeds: Sequence[Feed], name: str = "raw") -> None:
        self.feeds = feeds
        self.heard: list[tuple[int, Message]] = []
        self.ended = False
        self.received = 0
        self.claims: list[Iterable[int]] | None = None
        self.answer: Callable[[int, Request], Data | None] = self.honest
        self.reading = asyncio.Event()
        self.reading.set()
        self._stream = stream
        self._keys = [feed.key for feed in feeds]
        self._session = Session(
            nonce=os.urandom(24),
            peer_id=name.encode().ljust(32),
            now=asyncio.get_running_loop().time(),
        )
        self._channels: list[int] = []

    async def greet(self) -> None:
        """Open all feeds and shake hands."""
        self._channels = [self._session.open(key) for key in self._keys]
        await self.flush()

    async def say(self, feed: int, *said: Message) -> None:
        """Send messages about a feed."""
        for message in said:
            self._session.send_encoded(messages.encode(self._channels[feed], message))
        await self.flush()

    def half_close(self) -> None:
        """End our side of the stream, and go on reading."""
        assert isinstance(self._stream, MemoryStream)
        self._stream.half_close()

    async def flush(self) -> None:
        """Send what is queued."""
        data = self._session.data_to_send()
        if data:
            await self._stream.write(data)

    def honest(self, feed: int, request: Request) -> Data | None:
        """The block with its proof, if it is here."""
        try:
            value, proof = self.feeds[feed].serve(request.index, request.nodes)
        except BlockMissing:
            return None
        return Data(request.index, value, proof.nodes, proof.signature)

    def asked(self, feed: int) -> list[int]:
        """Blocks that were requested."""
        return [m.index for at, m in self.heard if at == feed and isinstance(m, Request)]

    def got(self, feed: int) -> dict[int, Data]:
        """Blocks that came."""
        return {m.index: m for at, m in self.heard if at == feed and isinstance(m, Data)}

    async def append(self, feed: int, blocks: Sequence[bytes]) -> None:
        """Write on, and tell."""
        first = self.feeds[feed].append(blocks)
        await self.say(feed, Have(first, len(blocks)))

    async def run(self) -> None:
        """Answer until the end."""
        while True:
            await self.reading.wait()
            try:
                data = await self._stream.read()
            except OSError:
                data = b""
            if not data:
                self.ended = True
                return
            self.received += len(data)
            self._session.receive_data(data, asyncio.get_running_loop().time())
            for event in self._session.events_received():
                if isinstance(event, MessageReceived):
                    self._hear(self._channels.index(event.channel), event.message)
            with suppress(OSError):
                await self.flush()

    async def keep_alive(self) -> None:
        """Say something every few seconds, as everybody does."""
        while not self.ended:
            await asyncio.sleep(3)
            self._session.send_encoded(b"\0")
            try:
                await self.flush()
            except OSError:
                return

    def _hear(self, feed: int, message: Message) -> None:
        self.heard.append((feed, message))
        channel = self._channels[feed]
        if isinstance(message, Want):
            self._session.send(channel, self._have(feed, message))
        elif isinstance(message, Request):
            data = self.answer(feed, message)
            if data is not None:
                self._session.send(channel, data)

    def _have(self, feed: int, want: Want) -> Have:
        bits = bitarray(self.feeds[feed].have) if feed < len(self.feeds) else bitarray()
        if self.claims is not None:
            claimed = list(self.claims[feed])
            bits = bitarray(max(claimed, default=-1) + 1, endian="big")
            for index in claimed:
                bits[index] = 1
        return Have(want.start, want.length, rle.encode(bits.tobytes()))


@asynccontextmanager
async def calling(
    target: Node,
    *feeds: Feed,
    host: str = "203.0.113.9",
    claims: list[Iterable[int]] | None = None,
    answer: Callable[["RawPeer", int, Request], Data | None] | None = None,
) -> AsyncIterator[RawPeer]:
    """A stranger calls a node about feeds, the first of which names the archive."""
    transport, _ = target.network.host(host)
    peer = RawPeer(await transport.dial(target.address), feeds, host)
    peer.claims = claims
    if answer is not None:
        peer.answer = lambda feed, request: answer(peer, feed, request)
    async with asyncio.TaskGroup() as group:
        await peer.greet()
        tasks = [group.create_task(peer.run()), group.create_task(peer.keep_alive())]
        try:
            yield peer
        finally:
            for task in tasks:
                task.cancel()
            peer._stream.close()
