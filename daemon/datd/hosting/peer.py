"""One connection with one peer about one archive: the hub between stream, session and feeds.

Two tasks: one reads, one pumps. The reader decodes what arrives and hands blocks to the lane, one
batch a read, the next read being decoded meanwhile. The pump is the only one that writes: it serves
queued requests, asks for blocks, encrypts and sends, and sleeps until something of that is to do.
"""

import asyncio
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from datd.errors import ForkError, IntegrityError, ProtocolError, StorageError
from datd.hosting.archive import HostedArchive
from datd.hosting.asking import requests, settle
from datd.hosting.attention import Attention
from datd.hosting.batches import Served, Stored
from datd.hosting.buffers import Share, Unfinished
from datd.hosting.line import Line
from datd.hosting.live_feed import LiveFeed
from datd.hosting.open_archive import OpenArchive
from datd.hosting.stats import Traffic
from datd.hosting.toll import Toll
from datd.keys import Key
from datd.replication.exchange import FeedExchange, Send, Store
from datd.replication.request_queue import QUEUE_LIMIT
from datd.swarm.roster import Duplicate
from datd.wire.messages import Data, Handshake, Message, Request, Unhave
from datd.wire.session import FeedOffered, HandshakeReceived, MessageReceived, Session, SessionState

SERVE_COUNT = 256  # answers made in one go; for their bytes see `Toll.batch`
# L-12. Answers that are not blocks count, too: a peer that asks for what is not here gets a word
# for each request, and must not pile them up by not listening (T-17).
UNSENT_BYTES = 2**20
# Extension by which two datd know one another. It has no messages: who names it takes answers in
# the order they were sent and keeps every hash in them, so none is sent twice on a connection. With
# hundreds of small blocks under way that is most of the bytes. The original ignores the name.
KEEPS_HASHES = "datd-keeps-hashes"
# A peer that takes nothing for so long is gone, or wants us to hold what it asked for (T-17).
WRITE_SECONDS = 120.0
# A peer that has ended gets so long to take what it asked for. After an outage, it may be a kernel
# that ends what a program left: it takes nothing, and until we end, too, nobody is dialled instead.
FAREWELL_SECONDS = 2.0
# While others hold all the memory for answers, a peer's turn is looked for so often.
STARVED_SECONDS = 0.2


@dataclass(eq=False, slots=True)
class _Channel:
    number: int
    live: LiveFeed
    exchange: FeedExchange
    ask: bool = True
    serving: asyncio.Task[Served] | None = None
    batch: int = 0  # bytes of answers that are being made
    left: Sequence[Request] = ()
    remote_nodes: set[int] | None = None


class PeerConnection:
    """A conversation, from the first byte to the end of the stream.

    Attributes:
        archive: What it is about; None before the peer said so.
        traffic: Bytes of blocks, both ways.
    """

    def __init__(
        self,
        connection: Line,
        *,
        peer_id: bytes,
        find: Callable[[bytes], HostedArchive],
        clock: Callable[[], float],
        unfinished: Unfinished[Line],
        unsent: Share,
        toll: Toll,
    ) -> None:
        self.connection = connection
        self.archive: HostedArchive | None = None
        self.traffic = Traffic()
        self._find = find
        self._clock = clock
        self._unfinished = unfinished
        self._unsent = unsent
        self._starved = False
        self._session = Session(
            nonce=os.urandom(24), peer_id=peer_id, now=clock(), extensions=(KEEPS_HASHES,)
        )
        self._channels: dict[int, _Channel] = {}
        self._opened: OpenArchive | None = None
        self._wake = asyncio.Event()
        self._toll = toll
        toll.answers_may_go = self._wake.set
        self._room = asyncio.Event()
        self._attention = Attention(self._session, clock)
        self._ended = False
        self._handshake: Handshake | None = None

    @property
    def announced_length(self) -> int | None:
        """Blocks of metadata that the peer says exist; None before it said anything."""
        for channel in self._channels.values():
            if self._opened is not None and channel.live is self._opened.metadata:
                return channel.exchange.remote.reach
        return None

    async def run(self) -> None:
        """Talk until either side ends.

        Raises:
            ProtocolError, IntegrityError: The peer is at fault.
            StorageError, HashesLost: Our disk is, or we had no room.
            UnknownArchive: The peer asked for something that is not hosted.
        """
        try:
            archive = await self._introduction()
            if archive is not None:
                self.archive = archive
                await self._talk_about(archive)
        finally:
            self._unfinished.forget(self.connection)
            self._unsent.close()
            self._toll.close()

    async def _talk_about(self, archive: HostedArchive) -> None:
        async with archive.opened() as opened:
            self._opened = opened
            opened.connections.add(self)
            archive.peer_seen()
            try:
                await self._converse(archive.key, opened)
            finally:
                opened.connections.discard(self)
                for channel in self._channels.values():
                    channel.live.exchanges.pop(channel.exchange, None)
                    channel.exchange.close()
                    channel.live.ask_all()
                archive.peer_left()

    def ask(self) -> None:
        """There may be something new to ask this peer for, or a feed more to talk about."""
        for channel in self._channels.values():
            channel.ask = True
        self._wake.set()

    def tell(self, exchange: FeedExchange, said: list[Message]) -> None:
        """Send messages of one exchange, unless the conversation is over."""
        if not said or self._session.state is SessionState.CLOSED:
            return
        for channel in self._channels.values():
            if channel.exchange is exchange:
                for message in said:
                    self._session.send(channel.number, message)
        self._wake.set()

    async def _introduction(self) -> HostedArchive | None:
        # A dialled peer was dialled for an archive. One who calls names it in its first message.
        if self.connection.discovery_key is not None:
            return self._find(self.connection.discovery_key)
        while True:
            async with asyncio.timeout_at(self._session.next_timer()):
                data = await self.connection.stream.read()
            if not data:
                return None  # somebody who only looked whether the port is open
            self._receive(data)
            for event in self._session.events_received():
                if isinstance(event, FeedOffered):
                    archive = self._find(event.discovery_key)
                    self.connection.identify(event.discovery_key)
                    return archive

    async def _converse(self, key: Key, opened: OpenArchive) -> None:
        self._open_channel(opened.metadata, key)
        self._join_content()
        async with asyncio.TaskGroup() as group:
            pump = group.create_task(self._pump(group))
            try:
                await self._read(group)
            except Duplicate:
                # Without our handshake, the other end would not learn that the address it dialled
                # is of the peer it talks with: it would dial in vain, and not know it as good.
                async with asyncio.timeout(FAREWELL_SECONDS):
                    await self.connection.stream.write(self._session.data_to_send())
                raise
            self._ended = True
            self._wake.set()
            await asyncio.wait([pump], timeout=FAREWELL_SECONDS)
            pump.cancel()

    def _join_content(self) -> bool:
        """Talk about the content feed if it is open and we do not yet; whether that is new."""
        content = self._opened.content if self._opened is not None else None
        if content is None or any(one.live is content for one in self._channels.values()):
            return False
        self._open_channel(content, content.feed.key)
        return True

    def _open_channel(self, live: LiveFeed, key: Key) -> None:
        number = self._session.open(key)
        exchange = FeedExchange(live.picker, now=self._attention.now)
        live.exchanges[exchange] = self
        self._channels[number] = channel = _Channel(number, live, exchange)
        self._start(channel)
        self._wake.set()

    def _start(self, channel: _Channel) -> None:
        if self._handshake is None:
            return
        exchange = channel.exchange
        exchange.ack = self._handshake.ack
        if KEEPS_HASHES in self._handshake.extensions:
            exchange.keeps_hashes = True
            channel.remote_nodes = set()
        # Decision 2: what a peer once sent wrong it is never asked for again.
        peer = self.connection.peer
        for feed, index in peer.distrusted if peer is not None else ():
            if channel.live.feed.discovery_key == feed:
                exchange.failed(index)
        for message in exchange.start():
            self._session.send(channel.number, message)

    # ---- reading

    async def _read(self, group: asyncio.TaskGroup) -> None:
        storing: asyncio.Task[None] | None = None
        batches = self._take_events()
        while True:
            for channel, blocks in batches.items():
                if storing is not None:
                    with self._attention.elsewhere():
                        await storing
                storing = group.create_task(self._store(channel, blocks))
            while self._crowded():
                # To wake the pump here would keep both busy until there is something to answer.
                self._room.clear()
                with self._attention.elsewhere():
                    await self._room.wait()
            if self._toll.reading_waits:
                with self._attention.elsewhere():
                    await self._toll.may_read()
            data = await self.connection.stream.read()
            if not data:
                break
            self._receive(data)
            batches = self._take_events()
            self._attention.heard(len(data), blocks=bool(batches))
            self._wake.set()
        if storing is not None:
            await storing

    def _receive(self, data: bytes | bytearray) -> None:
        self._toll.received(len(data))
        self._session.receive_data(data, self._clock())
        largest = self._unfinished.report(self.connection, self._session.unfinished)
        if largest is self.connection:
            raise ProtocolError("holds a message open while memory is short")
        if largest is not None:
            largest.cut()

    def _take_events(self) -> dict[_Channel, list[Data]]:
        batches: dict[_Channel, list[Data]] = {}
        now = self._attention.now
        for event in self._session.events_received():
            if isinstance(event, MessageReceived):
                channel = self._channels[event.channel]
                for action in channel.exchange.receive(event.message, now):
                    if isinstance(action, Store):
                        batches.setdefault(channel, []).append(action.data)
                    elif isinstance(action, Send):
                        self._session.send(channel.number, action.message)
                if channel not in batches:
                    channel.ask = True
            elif isinstance(event, HandshakeReceived):
                self.connection.handshaken(event.handshake.id)
                self._handshake = event.handshake
                for channel in self._channels.values():
                    self._start(channel)
        return batches

    def _crowded(self) -> bool:
        """L-12: whether the peer asked for so much that nothing more is read from it."""
        queues = (channel.exchange.queued for channel in self._channels.values())
        return self._session.unsent > UNSENT_BYTES or max(queues, default=0) >= QUEUE_LIMIT

    async def _store(self, channel: _Channel, blocks: list[Data]) -> None:
        opened, archive = self._opened, self.archive
        if opened is None or archive is None:
            raise AssertionError("blocks before the archive was opened")
        if not archive.may_store():
            channel.exchange.not_stored(blocks)
            return
        ask = channel.exchange.next_requests(self._attention.now)
        try:
            told = partial(self._count, channel.live)
            stored = await opened.store(channel.live, blocks, ask, told)
        except StorageError as error:
            if not archive.refused_to_write(error):
                raise
            channel.exchange.withdraw(ask)
            channel.exchange.not_stored(blocks)
            return
        for index, digest in zip(ask, stored.digests, strict=True):
            self._session.send(channel.number, channel.exchange.request(index, digest))
        channel.ask |= bool(stored.hashes)
        await settle(opened, channel.live, channel.exchange, blocks)
        self._wake.set()
        await self._judge(channel, blocks, stored)

    def _count(self, live: LiveFeed, stored: Stored) -> None:
        # Also if the connection was cut off meanwhile: nobody else tells the archive.
        if stored.here and self.archive is not None:
            self.traffic.downloaded.add(stored.size, self._clock())
            self.connection.delivered(len(stored.here), stored.size)
            self.archive.blocks_stored(live, stored)

    async def _judge(self, channel: _Channel, blocks: list[Data], stored: Stored) -> None:
        if stored.error is not None:
            if isinstance(stored.error, ForkError) and self.archive is not None:
                await self.archive.in_conflict(channel.live, stored.error, stored.kept)
            if isinstance(stored.error, IntegrityError) and stored.error.index >= 0:
                channel.exchange.failed(stored.error.index)
                self.connection.distrust(channel.live.feed.discovery_key, stored.error.index)
            raise stored.error
        if len(stored.here) < len(blocks):
            # Hashes of our own turned out to be damaged: those blocks are asked for again.
            here = set(stored.here).union(stored.hashes)
            channel.exchange.not_stored([data for data in blocks if data.index not in here])

    # ---- writing

    async def _pump(self, group: asyncio.TaskGroup) -> None:
        session = self._session
        while True:
            self._wake.clear()
            self._starved = False
            self._keep_time(self._clock())
            if self._join_content():
                self._take_events()  # what the peer said of it before
            for channel in list(self._channels.values()):
                self._serve(channel, group)
                channel.exchange.allow_in_flight(self._toll.in_flight)
                if channel.ask:
                    await self._request(channel)
            self._room.set()
            data = session.data_to_send()
            if data:
                # Meanwhile the lane makes the next answers ready.
                self._toll.sent(len(data))
                await self._write(data)
            self._unsent.sent()
            if data:
                continue
            if self._ended and not any(c.serving for c in self._channels.values()):
                return
            if not self._wake.is_set():
                await self._sleep()

    async def _write(self, data: bytes | bytearray) -> None:
        end = self._clock() + WRITE_SECONDS
        while True:
            deadline = min(self._deadline() or end, end)
            waiting = asyncio.timeout_at(deadline)
            try:
                async with waiting:
                    return await self.connection.stream.write(data)
            except TimeoutError:
                if not waiting.expired():
                    raise  # the connection's own
            if deadline == end:
                raise ProtocolError(f"took nothing of what it asked for in {WRITE_SECONDS:.0f} s")
            # Others must not wait for what this peer owes us. The stream has all of the data.
            self._keep_time(max(self._clock(), deadline))
            data = b""

    def _serve(self, channel: _Channel, group: asyncio.TaskGroup) -> None:
        """Take the answers that the lane has made, and give it the next requests."""
        if channel.serving is not None:
            if not channel.serving.done() or self._toll.answers_wait:
                return
            self._answer(channel, channel.serving.result())
            channel.serving = None
        waits = channel.left or channel.exchange.queued
        if self._opened is None or not self._session.handshaken or not waits:
            return
        channel.batch = size = self._toll.batch
        if not self._unsent.take(size):
            self._starved = True
            return
        requests = channel.left or channel.exchange.take_requests(SERVE_COUNT, size)
        channel.left = ()
        if requests:
            live, known = channel.live, channel.remote_nodes
            answers = self._opened.serve(live, channel.number, requests, known, size)
            channel.serving = group.create_task(self._toll.announced(answers))
            channel.serving.add_done_callback(lambda _: self._wake.set())

    def _answer(self, channel: _Channel, served: Served) -> None:
        self._unsent.made(channel.batch)
        self._session.send_encoded(served.frames)
        channel.left = served.left
        for index in served.lost:
            if channel.live.picker.known_length > index:
                self._session.send(channel.number, Unhave(index))
        if served.size and self.archive is not None:
            self.traffic.uploaded.add(served.size, self._clock())
            self.connection.served()
            self.archive.blocks_served(served.size)

    async def _request(self, channel: _Channel) -> None:
        channel.ask = False
        if self._opened is None or not self._session.handshaken:
            return
        live, exchange = channel.live, channel.exchange
        for request in await requests(self._opened, live, exchange, self._attention.now):
            self._session.send(channel.number, request)

    # ---- time

    async def _sleep(self) -> None:
        deadline = self._deadline()
        if self._starved:
            deadline = min(deadline or math.inf, self._clock() + STARVED_SECONDS)
        try:
            async with asyncio.timeout_at(deadline):
                await self._wake.wait()
        except TimeoutError:
            self._keep_time(max(self._clock(), deadline or 0.0))

    def _deadline(self) -> float | None:
        timers = [self._session.next_timer()]
        if not self._attention.lacking:
            exchanges = (channel.exchange for channel in self._channels.values())
            timers += [self._attention.due(one.next_timer()) for one in exchanges]
        return min((t for t in timers if t is not None), default=None)

    def _keep_time(self, now: float) -> None:
        """Judge a peer that is late, and ask others for what it did not give (T-23)."""
        deadline = self._deadline()
        if deadline is None or now < deadline:
            return
        self._session.handle_timer(now)
        for channel in self._channels.values() if not self._attention.lacking else ():
            changes = channel.live.picker.changes
            self.tell(channel.exchange, channel.exchange.handle_timer(self._attention.told(now)))
            channel.live.given_up(channel.exchange)
            if channel.live.picker.changes != changes:
                channel.live.ask_all()
