"""A web server as a peer: the far end of a stream in memory, which speaks Dat and asks by HTTP.

The near end is a `PeerConnection` like any other: what to ask for, in which order, verification,
counting and storing are the same as with everybody. So a web server needs no trust.

Requests that wait are put together: neighbouring blocks come with one range, four at once.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from yarl import URL

from datd.archive.plain_files import PlainFiles
from datd.errors import WebError
from datd.feed import rle
from datd.feed.runs import runs
from datd.hosting.open_archive import OpenArchive
from datd.hosting.web.client import MAX_REQUESTS, WebHost
from datd.hosting.web.feed import WebFeed
from datd.hosting.web.layout import Extent, Span, spans
from datd.hosting.web.pipe import PipeEnd
from datd.keys import Key
from datd.wire.messages import Cancel, Data, Have, Message, Request, Unhave, Want
from datd.wire.session import FeedOffered, MessageReceived, Session, SessionState

log = logging.getLogger(__name__)

# Blocks of one range, at most: as many as one peer is asked for at a time.
_RUN: Final = 512
# Answers that the near end has not taken yet: beyond that, no more is asked of the server.
_UNSENT: Final = 2**20
# wire.md: what a Want asks about at most; larger ones are answered in part.
_WANTED: Final = 2**20
# Content whose entries are on their way here is held back until they come, at most so long.
_HELD_SECONDS: Final = 10.0
# Nobody asked for anything for so long: the conversation ends, and polls go on.
IDLE_SECONDS: Final = 20.0

_OUR_FAULT: Final = "a fault of this daemon; see its log"


@dataclass(slots=True, eq=False)
class _Channel:
    number: int
    feed: WebFeed
    queue: dict[int, Request] = field(default_factory=dict)
    seeks: list[Request] = field(default_factory=list)
    told: int = 0  # the length that the near end knows of


class WebPeer:
    """One conversation about one archive.

    Attributes:
        error: Why it ended, if the server was the reason.
    """

    def __init__(
        self,
        stream: PipeEnd,
        host: WebHost,
        base: URL,
        opened: OpenArchive,
        key: Key,
        *,
        clock: Callable[[], float],
        bad_block: Callable[[str], None],
        idle: float = IDLE_SECONDS,
    ) -> None:
        """Say nothing yet.

        Args:
            stream: The far end.
            host: Asks the server.
            base: The archive's folder there.
            opened: The archive here, whose metadata tells which file holds what.
            key: The archive's.
            clock: Seconds.
            bad_block: Is told of a file that is not what was signed.
            idle: Seconds without a request after which it ends.
        """
        self.error: WebError | None = None
        self._stream = stream
        self._host = host
        self._base = base
        self._opened = opened
        self._clock = clock
        self._bad_block = bad_block
        self._metadata = WebFeed(host, base, "metadata", key)
        self._plain = PlainFiles(opened.metadata.feed)
        self._session = Session(nonce=os.urandom(24), peer_id=os.urandom(32), now=clock())
        self._channels: dict[int, _Channel] = {}
        self._wake = asyncio.Event()
        self._sent = asyncio.Event()
        self._free = MAX_REQUESTS
        self._looking = False
        self._group: asyncio.TaskGroup | None = None
        self._held: asyncio.Task[None] | None = None
        self._in_vain: asyncio.Event | None = None
        self._used_at = clock()
        self._ended = False
        self._idle = idle

    @property
    def ended(self) -> bool:
        """Whether nothing asked of it is answered any more."""
        return self._ended

    async def begin(self) -> None:
        """Look how long the archive is there, before anybody is told of it.

        Raises:
            WebError: The server cannot be asked, or its signatures do not hold.
        """
        await self._metadata.refresh()

    async def run(self) -> None:
        """Answer until the near end has gone, or has not asked for a while."""
        self._open(self._metadata)
        async with asyncio.TaskGroup() as group:
            self._group = group
            writing = group.create_task(self._write())
            try:
                await self._read()
            except WebError as error:
                self._fail(error)
            self._ended = True
            if self._held is not None:
                self._held.cancel()
            self._stream.close()
            self._wake.set()
            self._sent.set()
            await asyncio.wait([writing])

    async def poll(self) -> None:
        """Look whether there is a new version, and tell of it."""
        if self._looking:
            return  # a server that is slower than the clock
        self._looking = True
        try:
            await self._look()
        except WebError as error:
            self._fail(error)
        except Exception:
            # Nobody waits for a look, and its fault must not end the daemon.
            log.exception("looking at %s failed", self._base.host)
            self._fail(WebError(_OUR_FAULT))
        finally:
            self._looking = False

    async def _look(self) -> bool:
        """Tell of what is new; whether anything is.

        Entries are looked at before content: the latter is always there when the former is.
        """
        changed = False
        for channel in list(self._channels.values()):
            changed |= await channel.feed.refresh()
            if channel.feed.length > channel.told:
                new = Have(channel.told, channel.feed.length - channel.told)
                channel.told = channel.feed.length
                self._say(channel, new)
        return changed

    def _open(self, feed: WebFeed) -> None:
        number = self._session.open(feed.key)
        self._channels[number] = _Channel(number, feed, told=feed.length)
        self._wake.set()

    # ---- what the near end says

    async def _read(self) -> None:
        session = self._session
        while True:
            data = await self._stream.read()
            if not data:
                return
            session.receive_data(data, self._clock())
            # A feed that is opened for one event brings further ones: what was said of it before.
            while events := session.events_received():
                for event in events:
                    if isinstance(event, FeedOffered):
                        await self._offered(event.discovery_key)
                    elif isinstance(event, MessageReceived):
                        await self._heard(self._channels[event.channel], event.message)
            self._set_to_work()
            self._wake.set()

    async def _offered(self, discovery_key: bytes) -> None:
        content = self._opened.content
        known = {channel.feed.key.discovery_key.raw for channel in self._channels.values()}
        if content is None or discovery_key in known:
            return
        if content.feed.discovery_key == discovery_key:
            feed = WebFeed(self._host, self._base, "content", content.feed.key, self._place)
            await feed.refresh()
            self._open(feed)

    async def _heard(self, channel: _Channel, message: Message) -> None:
        match message:
            case Want():
                start = message.start - message.start % _WANTED
                bits = await channel.feed.have(start, start + _WANTED)
                coded = rle.encode(bits.tobytes())
                self._say(channel, Have(start, _WANTED, bitfield=coded))
            case Request() if message.bytes:
                channel.seeks.append(message)
            case Request():
                channel.queue[message.index] = message
            case Cancel():
                channel.queue.pop(message.index, None)
            case _:
                pass

    async def _place(self, extents: Sequence[Extent]) -> tuple[list[Span], list[int]]:
        live = self._opened.metadata
        news = live.news
        found, nowhere = await self._opened.run(partial(spans, extents, self._plain.place))
        unnamed = nowhere or not all(span.name for span in found)
        if unnamed and news is not self._in_vain and not live.picker.idle:
            # Which file they are in stands in entries that are on their way: asked again, then.
            self._hold(news)
            return [span for span in found if span.name], []
        return found, nowhere

    def _hold(self, news: asyncio.Event) -> None:
        if self._held is None and self._group is not None and not self._ended:
            self._held = self._group.create_task(self._wait_for(news))

    async def _wait_for(self, news: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(_HELD_SECONDS):
                await news.wait()
        except TimeoutError:
            self._in_vain = news
        self._held = None
        self._set_to_work()

    # ---- answers

    def _set_to_work(self) -> None:
        while self._group is not None and self._free and not self._ended and self._next():
            self._free -= 1
            self._group.create_task(self._work())

    def _next(self) -> _Channel | None:
        """Where something waits: entries before content, which may have to wait for them."""
        for channel in self._channels.values():
            if channel.seeks or (
                channel.queue and (channel.feed is self._metadata or self._held is None)
            ):
                return channel
        return None

    async def _work(self) -> None:
        try:
            while not self._ended:
                while self._session.unsent > _UNSENT and not self._ended:
                    self._sent.clear()
                    await self._sent.wait()
                self._used_at = self._clock()
                if not await self._answer_some():
                    return
        except WebError as error:
            self._fail(error)
        except Exception:
            log.exception("asking %s failed", self._base.host)
            self._fail(WebError(_OUR_FAULT))
        finally:
            self._used_at = self._clock()
            self._free += 1
            self._wake.set()

    async def _answer_some(self) -> bool:
        """Answer what has waited longest, with what lies beside it. False: nothing waits."""
        channel = self._next()
        if channel is None:
            return False
        if channel.seeks:
            await self._answer_seek(channel, channel.seeks.pop(0))
            return True
        first = next(iter(channel.queue.values()))
        if first.hash:
            del channel.queue[first.index]
            await self._prove(channel, first, None)
        else:
            await self._answer_run(channel, first.index)
        return True

    async def _answer_run(self, channel: _Channel, first: int) -> None:
        queue = channel.queue
        stop = first
        while stop in queue and not queue[stop].hash and stop - first < _RUN:
            stop += 1
        asked = {index: queue.pop(index) for index in range(first, stop)}
        good, lost = await channel.feed.fetch(range(first, stop))
        for index, value in good.items():
            await self._prove(channel, asked.pop(index), value)
        gone = set(lost) | {index for index in asked if index >= channel.feed.length}
        for start, behind in runs(sorted(gone)):
            self._say(channel, Unhave(start, behind - start))
        bad = channel.feed.take_bad()
        # Files of a version that came out meanwhile are not those of the older one, nor edited.
        if bad and not await self._look():
            for name in bad:
                self._bad_block(name)
        # There was more than comes at one go: that is next.
        left = {index: one for index, one in asked.items() if index not in gone}
        channel.queue = {**left, **channel.queue}

    async def _answer_seek(self, channel: _Channel, request: Request) -> None:
        found = await channel.feed.resolve(request.bytes)
        if found is not None:
            await self._prove(channel, Request(found, hash=True), None)

    async def _prove(self, channel: _Channel, request: Request, value: bytes | None) -> None:
        index = request.index
        proof = await channel.feed.proof(index, request.nodes, hash_only=value is None)
        if proof is None:
            self._say(channel, Unhave(index))
        else:
            self._say(channel, Data(index, value, proof.nodes, proof.signature))

    def _say(self, channel: _Channel, message: Message) -> None:
        if self._session.state is not SessionState.CLOSED:
            self._session.send(channel.number, message)
            self._wake.set()

    def _fail(self, error: WebError) -> None:
        self.error = self.error or error
        self._ended = True
        self._stream.abort()
        self._wake.set()
        self._sent.set()

    # ---- the only one who writes

    async def _write(self) -> None:
        session = self._session
        while not self._ended:
            self._wake.clear()
            data = session.data_to_send()
            if data:
                try:
                    await self._stream.write(data)
                except ConnectionError:
                    return
                self._sent.set()
                continue
            await self._sleep()

    async def _sleep(self) -> None:
        timer = self._session.next_timer()
        idle_at = self._used_at + self._idle
        until = idle_at if timer is None else min(timer, idle_at)
        try:
            async with asyncio.timeout_at(until):
                await self._wake.wait()
        except TimeoutError:
            now = max(self._clock(), until)
            if timer is not None and now >= timer:
                self._session.handle_timer(now)
            if self._free == MAX_REQUESTS and now >= self._used_at + self._idle:
                self._ended = True
                self._stream.abort()
