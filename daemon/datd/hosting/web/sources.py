"""The web sources of all archives: when each is looked at, and talked with.

A source is asked every few minutes whether there is something new, and talked with as long as
something is to be fetched. All of them share one clock; without web sources there is none.

Source: transports.md sections 6 and 7.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from yarl import URL

from datd.errors import DatdError, IntegrityError, ProtocolError, WebError
from datd.hosting.line import Line
from datd.hosting.web.client import Seen, WebClient, WebHost
from datd.hosting.web.layout import WEBSOCKET, signed_length, sleep_url
from datd.hosting.web.line import WebLine
from datd.hosting.web.peer import WebPeer
from datd.hosting.web.pipe import pipe
from datd.hosting.web.schedule import AFTER_A_LIE, Agenda, first_poll, next_poll, next_retry
from datd.hosting.web.socket import dial
from datd.swarm.judgement import leaves
from datd.swarm.peer import Mark, Peer, PeerView, State
from datd.transport.bandwidth import Limit
from datd.types import Address

if TYPE_CHECKING:
    from datd.hosting.archive import HostedArchive

log = logging.getLogger(__name__)

# Sources talked with: each may hold some megabytes. Looks have turns of their own, so that archives
# that take hours do not keep others from hearing of new versions.
MAX_AT_ONCE: Final = 16
# At the start of the daemon: few sources are looked at right away, thousands overrun no server.
LOOKS_A_SECOND: Final = 50
# WebSockets: as with peers, a conversation lasts, and costs little while nothing is to be said.
MAX_CALLS: Final = 512
# A reader who waits brings the next look forward, but a source that just failed is left alone.
_EAGER_SECONDS: Final = 5.0
SOURCE: Final = "web"


class _Source:
    """One address of one archive. Small: there are as many as archives, and most are quiet."""

    __slots__ = (
        "asked", "failed_at", "failures", "name", "peer", "seen", "talk", "task", "text",
    )  # fmt: skip

    def __init__(self, name: bytes, text: str, now: float) -> None:
        self.name = name
        self.text = text
        url = self.url
        self.peer = Peer(name, Address(url.host or "", url.port or 0), SOURCE)
        self.peer.first_seen = now
        self.failures = 0
        self.failed_at = float("-inf")
        self.seen: Seen | None = None
        self.asked = False  # somebody waits for what it may have
        self.task: asyncio.Task[None] | None = None
        self.talk: WebPeer | None = None

    @property
    def url(self) -> URL:
        """The address, read."""
        return URL(self.text, encoded=True)


class WebSources:
    """Knows the web sources of each archive that is shared."""

    def __init__(
        self,
        client: WebClient,
        *,
        find: "Callable[[bytes], HostedArchive | None]",
        serve: Callable[[Line], Awaitable[None]],
        peer_id: bytes,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        clock: Callable[[], float],
        choose: Callable[[int], int],
        interval: float,
        limit: Limit | None = None,
    ) -> None:
        """Nothing is asked before an archive joins.

        Args:
            client: The way out.
            find: The archive of a discovery key.
            serve: Talks over a connection until its end.
            peer_id: 32 bytes that name this process.
            spawn: Runs a coroutine in a task.
            clock: Seconds.
            choose: Gives a random number from 0 to below its argument.
            interval: Seconds between two looks at a source.
            limit: Of what all sources and peers bring.
        """
        self._client = client
        self._find = find
        self._serve = serve
        self._peer_id = peer_id
        self._spawn = spawn
        self._clock = clock
        self._choose = choose
        self._interval = interval
        self._limit = limit
        self._sources: dict[bytes, list[_Source]] = {}
        self._agenda: Agenda[_Source] = Agenda()
        self._looks = asyncio.Semaphore(MAX_AT_ONCE)
        self._talks = asyncio.Semaphore(MAX_AT_ONCE)
        self._calls = asyncio.Semaphore(MAX_CALLS)
        self._wake = asyncio.Event()
        self._time: asyncio.Task[None] | None = None
        self._closed = False

    # ---- archives

    def join(self, name: bytes, addresses: Sequence[str], *, at_once: bool) -> None:
        """Use these sources for an archive from now on; joining again changes them.

        Args:
            name: Its discovery key, 32 bytes.
            addresses: As `web_layout.web_source` gives them.
            at_once: Whether somebody waits for it; else first looks are spread out.
        """
        known = {source.text: source for source in self._sources.pop(name, [])}
        if not addresses:
            self._drop(known.values())
            return
        now = self._clock()
        sources = [
            known.pop(text) if text in known else _Source(name, text, now) for text in addresses
        ]
        self._sources[name] = sources
        self._drop(known.values())
        for source in sources:
            if source.task is None:
                first = first_poll(now, self._interval, self._choose)
                soon = now if at_once else now + len(self._sources) / LOOKS_A_SECOND
                self._agenda.put(source, min(first, soon))
        self._keep_time_soon()

    async def leave(self, name: bytes) -> None:
        """Use none any more. When it returns, the talks are over."""
        tasks = self._drop(self._sources.pop(name, []))
        if tasks:
            await asyncio.wait(tasks)

    def wanted(self, name: bytes) -> None:
        """Somebody waits for what is missing of an archive."""
        now = self._clock()
        for source in self._sources.get(name, ()):
            if source.talk is not None and not source.talk.ended:
                continue
            source.asked = True
            if source.task is None and now >= source.failed_at + _EAGER_SECONDS:
                self._agenda.put(source, now)
                self._wake.set()

    def poll(self, name: bytes) -> None:
        """Look now whether there is something new."""
        for source in self._sources.get(name, ()):
            self._agenda.put(source, self._clock())
            self._wake.set()

    def peers(self, name: bytes) -> list[PeerView]:
        """The sources of an archive, shown like other peers."""
        return [PeerView.of(source.peer) for source in self._sources.get(name, ())]

    async def close(self) -> None:
        """End all."""
        self._closed = True
        tasks = [source.task for one in self._sources.values() for source in one if source.task]
        tasks += [self._time] if self._time is not None else []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._client.close()

    def _drop(self, sources: Iterable[_Source]) -> list[asyncio.Task[None]]:
        tasks = []
        for source in sources:
            self._agenda.remove(source)
            if source.task is not None:
                source.task.cancel()
                tasks.append(source.task)
        return tasks

    # ---- the clock

    def _keep_time_soon(self) -> None:
        self._wake.set()
        if self._time is None and not self._closed:
            self._time = self._spawn(self._keep_time())

    async def _keep_time(self) -> None:
        while self._sources:
            self._wake.clear()
            for source in self._agenda.due(self._clock()):
                if source.talk is not None:
                    self._spawn(source.talk.poll())
                    self._later(source)
                elif source.task is None:
                    source.task = self._spawn(self._visit(source))
            deadline = self._agenda.next_time()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._wake.wait()
            except TimeoutError:
                pass
        self._time = None

    def _later(self, source: _Source) -> None:
        self._agenda.put(source, next_poll(self._clock(), self._interval, self._choose))
        self._wake.set()

    # ---- one look

    async def _visit(self, source: _Source) -> None:
        peer = source.peer
        failure: str | None = None
        lied = False
        try:
            if source.url.scheme in WEBSOCKET:
                async with self._calls:
                    if self._start(source) is not None:
                        await self._call(source)
            else:
                with closing(WebHost(self._client, limit=self._limit)) as host:
                    async with self._looks:
                        archive = self._start(source)
                        to_do = archive is not None and await self._look(source, archive, host)
                    if archive is not None and to_do:
                        async with self._talks:
                            await self._talk(source, archive, host)
        except Exception as error:
            failure, lied = self._judge(source, error)
        finally:
            source.task = source.talk = None
            peer.state = State.WAITING
            if not self._closed and source in self._sources.get(source.name, ()):
                self._settle(source, failure, lied=lied)

    def _settle(self, source: _Source, failure: str | None, *, lied: bool) -> None:
        source.peer.last_error = failure
        if failure is None:
            source.failures = 0
            if source.asked:  # while it was ending
                self._agenda.put(source, self._clock())
            else:
                self._later(source)
        else:
            now = self._clock()
            source.failures += 1
            source.failed_at = now + (AFTER_A_LIE if lied else 0.0)
            retry = next_retry(now, source.failures, self._interval, self._choose)
            self._agenda.put(source, now + AFTER_A_LIE if lied else retry)
        self._wake.set()

    def _start(self, source: _Source) -> "HostedArchive | None":
        archive = self._find(source.name)
        if archive is None or archive.paused or archive.error is not None:
            source.asked = False
            return None
        source.peer.state = State.CONNECTING
        source.peer.marks[Mark.DIALS] += 1
        return archive

    async def _look(self, source: _Source, archive: "HostedArchive", host: WebHost) -> bool:
        """Ask the server how long the archive is there; whether to talk with it, then."""
        seen = await host.look(sleep_url(source.url, "metadata.signatures"))
        source.peer.last_seen = source.peer.last_success = self._clock()
        if seen != source.seen:
            # What was wrong with the files of one version says nothing of the next one's.
            source.seen, source.peer.dropped = seen, None
        newer = signed_length(seen.size) > archive.record.summary.version + 1
        return source.asked or newer or archive.state in ("searching", "syncing")

    async def _talk(self, source: _Source, archive: "HostedArchive", host: WebHost) -> None:
        near, far = pipe(source.url.scheme, source.peer.address)
        async with archive.opened() as opened:
            talk = WebPeer(
                far,
                host,
                source.url,
                opened,
                archive.key,
                clock=self._clock,
                bad_block=lambda file: self._edited(source, file),
            )
            await talk.begin()
            source.talk = talk
            source.asked = False
            self._later(source)
            line = WebLine(
                near,
                source.peer,
                own_id=self._peer_id,
                clock=self._clock,
                counted=host.account,
            )
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(talk.run())
                    try:
                        await self._serve(line)
                    finally:
                        near.abort()
            finally:
                source.talk = None
                self._agenda.remove(source)
                line.over()
        if talk.error is not None:
            raise talk.error

    async def _call(self, source: _Source) -> None:
        async with dial(self._client, source.url, source.peer.address) as stream:
            line = WebLine(stream, source.peer, own_id=self._peer_id, clock=self._clock)
            try:
                await self._serve(line)
            finally:
                line.over()
        # Whoever ends a conversation may have restarted: it is dialled again before long.
        raise WebError("the other side ended the conversation")

    def _edited(self, source: _Source, file: str) -> None:
        source.peer.marks[Mark.BAD_BLOCKS] += 1
        source.peer.dropped = f"{file} there is not what was signed: edited, or damaged"

    def _judge(self, source: _Source, error: Exception) -> tuple[str, bool]:
        """What went wrong, for people; and whether it was a lie."""
        found = list(leaves(error))
        for one in found:
            if isinstance(one, IntegrityError):
                mark = Mark.BAD_SIGNATURES if one.signature else Mark.BAD_BLOCKS
                source.peer.marks[mark] += 1
                source.peer.dropped = f"what it has does not verify: {one}"
                return source.peer.dropped, True
        for one in found:
            if isinstance(one, ProtocolError):
                source.peer.marks[Mark.PROTOCOL_ERRORS] += 1
            if isinstance(one, DatdError | OSError):
                source.peer.marks[Mark.FAILED_DIALS] += isinstance(one, WebError)
                return str(one) or type(one).__name__, False
        log.error("talking with %s failed", source.url.host, exc_info=error)
        return "a fault of this daemon; see its log", False
