"""The swarm at work: it looks names up, dials, takes calls, starts talks and judges how they end.

It knows archives by their discovery keys only. What is decided lies in the pure parts (`PeerTable`,
`Roster`, `LookupSchedule`); here are the tasks: one clock, and one for each dial or connection.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from functools import partial

from datd.discovery.base import DiscoveryNetwork
from datd.discovery.budget import Budget
from datd.errors import (
    ForkError,
    IntegrityError,
    ProtocolError,
    StorageError,
    Timeout,
    UnknownArchive,
)
from datd.swarm.limits import CLOSE_TIMEOUT, DIAL_TIMEOUT, SwarmLimits
from datd.swarm.peer import Peer, PeerView
from datd.swarm.peers import PeerTable
from datd.swarm.rates import Window
from datd.swarm.roster import Connection, Refused, Roster
from datd.swarm.schedule import LookupSchedule
from datd.transport.base import Stream, Transport
from datd.types import Address

_log = logging.getLogger(__name__)

Serve = Callable[[Connection], Awaitable[None]]

# L-28: log lines about one host in a minute.
_LINES_PER_MINUTE = 10
# When several things went wrong in one talk, the first of these that is among them decides.
_GRAVITY = (IntegrityError, ProtocolError, StorageError, Refused, UnknownArchive, OSError, Timeout)


class Swarm:
    """Peers for archives, by all networks and transports there are.

    `start` and `close` must be called by the same task: it owns the tasks in between.
    """

    def __init__(
        self,
        *,
        transports: Sequence[Transport],
        networks: Sequence[DiscoveryNetwork],
        serve: Serve,
        peer_id: bytes,
        clock: Callable[[], float],
        choose: Callable[[int], int],
        limits: SwarmLimits | None = None,
    ) -> None:
        """Nothing happens before `start`.

        Args:
            transports: Ways to reach a peer, best first.
            networks: Ways to find peers.
            serve: Talks over one connection until its end. What it raises is judged here.
            peer_id: 32 random bytes that name this process to its peers.
            clock: Monotonic seconds, running like those of the event loop.
            choose: Gives a random number from 0 to below its argument.
            limits: Other limits than the usual ones.
        """
        limits = limits or SwarmLimits()
        self._transports = transports
        self._networks = networks
        self._serve = serve
        self._clock = clock
        self._table = PeerTable(choose=choose, limits=limits)
        self._roster = Roster(self._table, peer_id, limits)
        self._schedule = LookupSchedule(choose=choose)
        rate = min((network.lookups_per_second for network in networks), default=0.0)
        self._lookups = Budget(rate, rate)
        self._lines = Window(_LINES_PER_MINUTE, 60.0)
        self._wake = asyncio.Event()
        self._stack = AsyncExitStack()
        self._open = False
        self._running: set[asyncio.Task[None]] = set()
        self._talks: dict[Connection, asyncio.Task[None]] = {}
        self._dials: dict[Peer, asyncio.Task[None]] = {}

    # ---- life

    async def start(self, host: str, port: int) -> int:
        """Listen, begin to discover, and dial.

        Args:
            host: Numeric address to listen on; `0.0.0.0` and `::` mean all.
            port: The preferred port; if it is taken, any free one.

        Returns:
            The port that was taken; it is the one that is announced.

        Raises:
            OSError: The host cannot be listened on.
        """
        self._tasks = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._open = True
        try:
            for transport in self._transports:
                port = await transport.listen(host, port, self._called)
            for network in self._networks:
                await network.start(partial(self._found, network.name), port)
        except BaseException:
            await self.close()
            raise
        self._start(self._keep_time())
        return port

    async def close(self) -> None:
        """End everything; connections are closed in order, or cut off after a moment."""
        self._open = False
        for network in self._networks:
            await network.close()
        for transport in self._transports:
            await transport.close()
        await self._cancel(list(self._running))
        await self._stack.aclose()

    # ---- archives and peers

    def join(self, discovery_key: bytes, *, announce: bool = True) -> None:
        """Look for peers of an archive and, with `announce`, be found."""
        self._table.join(discovery_key)
        for network in self._networks:
            network.join(discovery_key, announce)
        if self._networks:
            self._schedule.add(discovery_key)
        self._wake.set()

    async def leave(self, discovery_key: bytes) -> None:
        """Forget an archive and its peers. When it returns, the talks about it are over."""
        for network in self._networks:
            network.leave(discovery_key)
        self._schedule.remove(discovery_key)
        self._table.leave(discovery_key)
        tasks = [task for peer, task in self._dials.items() if peer.name == discovery_key]
        for connection in self._roster.about(discovery_key):
            self._roster.forget(connection)
            tasks.append(self._talks[connection])
        await self._cancel(tasks)
        self._wake.set()

    def add_peer(self, discovery_key: bytes, address: Address) -> None:
        """Dial an address for a joined archive now, and again whenever it is lost.

        An address at which nobody can listen is not dialled; `peers` shows it with the reason.
        """
        self._table.add(discovery_key, address, self._clock())
        self._wake.set()

    def peers(self, discovery_key: bytes) -> list[PeerView]:
        """The known peers of an archive, those that were dropped included; none if not joined."""
        return self._table.views(discovery_key, self._clock())

    @property
    def connected(self) -> int:
        """Connections there are, over all archives."""
        return len(self._roster)

    # ---- the clock

    async def _keep_time(self) -> None:
        while True:
            self._wake.clear()
            now = self._clock()
            while (peer := self._table.next_dial(now)) is not None:
                self._dials[peer] = self._start(self._dial(peer), partial(self._dial_ended, peer))
            for name in self._schedule.due(now, self._lookups.available(now)):
                self._lookups.take(now)
                for network in self._networks:
                    network.lookup(name)
            await self._sleep(now)

    async def _sleep(self, now: float) -> None:
        times = [self._table.next_time(now)]
        lookup = self._schedule.next_time()
        if lookup is not None:
            times.append(max(lookup, self._lookups.ready_at(now)))
        deadline = min((time for time in times if time is not None), default=None)
        try:
            async with asyncio.timeout(None if deadline is None else max(0.0, deadline - now)):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _found(self, source: str, name: bytes, address: Address, told_by: Address) -> None:
        if self._table.found(name, address, source, told_by, self._clock()):
            self._wake.set()

    # ---- connections

    async def _dial(self, peer: Peer) -> None:
        try:
            stream = await self._reach(peer.address)
        except OSError as error:
            self._table.dial_failed(peer, _why(error), self._clock())
            return
        connection = Connection(stream, roster=self._roster, clock=self._clock, peer=peer)
        self._table.connected(peer, connection, stream.kind, self._clock())
        self._begin(connection, self._dials[peer])
        try:
            await self._talk(connection)
        finally:
            self._ended(connection)

    async def _reach(self, address: Address) -> Stream:
        error: OSError = OSError("there is no transport")
        for transport in self._transports:
            try:
                async with asyncio.timeout(DIAL_TIMEOUT):
                    return await transport.dial(address)
            except OSError as failed:
                error = failed
        raise error

    def _called(self, stream: Stream) -> None:
        if not self._open or not self._roster.may_call(stream.remote.host, self._clock()):
            stream.abort()
            return
        connection = Connection(stream, roster=self._roster, clock=self._clock)
        # By callback: a task that is cut off before its first step never reaches its `finally`.
        task = self._start(self._talk(connection), partial(self._ended, connection))
        self._begin(connection, task)

    def _begin(self, connection: Connection, task: asyncio.Task[None]) -> None:
        self._talks[connection] = task
        connection.cut = task.cancel
        self._roster.enter(connection)

    async def _talk(self, connection: Connection) -> None:
        try:
            await self._serve(connection)
        except Exception as error:
            self._judge(connection, _gravest(error))

    def _ended(self, connection: Connection) -> None:
        connection.stream.close()
        del self._talks[connection]
        self._roster.forget(connection)
        if connection.peer is not None:
            self._table.lost(connection.peer, None, self._clock())

    def _dial_ended(self, peer: Peer) -> None:
        del self._dials[peer]
        self._table.lost(peer, None, self._clock())

    # ---- judgement

    def _judge(self, connection: Connection, error: Exception) -> None:
        """The one place where a peer is blamed for anything, or is not."""
        peer, now = connection.peer, self._clock()
        match error:
            case UnknownArchive():
                if not connection.initiator:
                    self._roster.unknown(connection, now)
            case Refused():
                pass
            case OSError() | Timeout() | StorageError():
                if peer is not None:
                    self._table.lost(peer, _why(error), now)
            case IntegrityError():
                self._say(connection, _reason(error), now)
                if peer is not None:
                    self._blame(peer, error, now)
            case ProtocolError():
                self._say(connection, _reason(error), now)
                if peer is not None:
                    self._table.protocol_error(peer, _reason(error), now)
            case _:
                if self._lines.count(connection.address.host, now):
                    _log.error("talking with %s failed", connection.address, exc_info=error)
                if peer is not None:
                    self._table.lost(peer, "a fault of this daemon; see its log", now)

    def _blame(self, peer: Peer, error: IntegrityError, now: float) -> None:
        self._table.good_blocks(peer, len(error.stored))
        if error.signature:
            self._table.bad_signature(peer, _reason(error), now)
        elif isinstance(error, ForkError):
            # The signature is the author's: this peer passes on what it got.
            self._table.protocol_error(peer, _reason(error), now)
        else:
            self._table.bad_block(peer, error.index, _reason(error), now)

    def _say(self, connection: Connection, reason: str, now: float) -> None:
        if self._lines.count(connection.address.host, now):
            _log.info("dropped %s: %s", connection.address, reason)

    # ---- tasks

    def _start(
        self,
        work: Coroutine[object, object, None],
        ended: Callable[[], None] | None = None,
    ) -> asyncio.Task[None]:
        task = self._tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(partial(self._finished, ended))
        return task

    def _finished(self, ended: Callable[[], None] | None, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if ended is not None:
            ended()
        self._wake.set()

    async def _cancel(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        """Cancel tasks and wait for their end; one of them may be the caller."""
        others = [task for task in tasks if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        if others:
            _, late = await asyncio.wait(others, timeout=CLOSE_TIMEOUT)
            for task in late:
                _log.warning("a connection does not end: %r", task)
                task.cancel()


def _gravest(error: Exception) -> Exception:
    """What decides the verdict, out of all that went wrong at once. Bugs come before anything."""
    found = list(_leaves(error))
    known = [one for kind in _GRAVITY for one in found if isinstance(one, kind)]
    bugs = [one for one in found if not isinstance(one, _GRAVITY)]
    return (bugs + known)[0]


def _leaves(error: BaseException) -> Iterator[Exception]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    elif isinstance(error, Exception):
        yield error


def _reason(error: IntegrityError | ProtocolError) -> str:
    match error:
        case ForkError():
            return f"another history of the archive, {error.length} blocks long"
        case IntegrityError(signature=True):
            return "bad signature"
        case IntegrityError(index=index) if index >= 0:
            return f"bad block {index}"
        case _:
            return str(error)


def _why(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "no answer in time"
        case OSError(errno=int() as number):
            return os.strerror(number)
        case _:
            return str(error) or type(error).__name__
