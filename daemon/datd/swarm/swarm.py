"""The swarm at work: it looks names up, dials, takes calls, starts talks and judges how they end.

It knows archives by their discovery keys only. What is decided lies in the pure parts (`PeerTable`,
`Roster`, `Schedule`, `Judge`); here are the tasks: one clock, and one for each dial or connection.
"""

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack
from functools import partial

from datd.discovery.base import DiscoveryNetwork
from datd.swarm.judgement import Judge, why
from datd.swarm.limits import CLOSE_TIMEOUT, SwarmLimits
from datd.swarm.peer import KnownPeer, Peer, PeerView, State
from datd.swarm.peers import PeerTable
from datd.swarm.race import race
from datd.swarm.roster import Connection, Roster
from datd.swarm.rounds import Pace
from datd.swarm.rules import AddressRules
from datd.swarm.schedule import Schedule
from datd.transport.base import Stream, Transport
from datd.types import Address
from datd.udp.socket import UdpSocket

_log = logging.getLogger(__name__)

Serve = Callable[[Connection], Awaitable[None]]

# While there are connections, somebody looks this often who fell silent.
_PULSE = 1.0
# What the ends of uTP streams still have to say leaves within this time.
_FAREWELL = 0.1
# Pairs of a TCP and a UDP port that are tried when the preferred number is taken in either.
_PAIR_ATTEMPTS = 8


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
        rules: AddressRules | None = None,
        udp: UdpSocket | None = None,
        own_hosts: Callable[[], frozenset[str]] = frozenset,
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
            rules: Whom to keep apart from.
            udp: The socket that transports and networks share. It is bound to the number of the
                TCP port here, and closed last.
            own_hosts: Gives the addresses of this host's interfaces: others must not name them.
        """
        limits = limits or SwarmLimits()
        self._transports = transports
        self._networks = {network.name: network for network in networks}
        self._udp = udp
        self._serve = serve
        self._clock = clock
        self._table = PeerTable(choose=choose, limits=limits, rules=rules, own_hosts=own_hosts)
        self._roster = Roster(self._table, peer_id, limits)
        self._judge = Judge(self._table, self._roster)
        paces = [Pace(one.name, one.interval, one.lookups_per_second) for one in networks]
        self._schedule = Schedule(paces, choose)
        self._joined: dict[bytes, frozenset[str] | None] = {}
        self._hungry: set[bytes] = set()
        self._pulse_at = float("-inf")
        self._talking = 0
        self._wake = asyncio.Event()
        self._stack = AsyncExitStack()
        self._open = False
        self._running: set[asyncio.Task[None]] = set()
        self._time: asyncio.Task[None] | None = None
        self._talks: dict[Connection, asyncio.Task[None]] = {}
        self._dials: dict[asyncio.Task[None], Peer] = {}

    # ---- life

    async def start(self, host: str, port: int) -> int:
        """Listen, begin to discover, and dial.

        Args:
            host: Numeric address to listen on; `0.0.0.0` and `::` mean all.
            port: The preferred port; if it is taken, any one that is free for TCP and UDP alike.

        Returns:
            The port that was taken; it is the one that is announced.

        Raises:
            OSError: The host cannot be listened on.
        """
        self._tasks = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._open = True
        try:
            port = await self._listen(host, port)
            for network in self._networks.values():
                await network.start(partial(self._found, network.name), port)
        except BaseException:
            await self.close()
            raise
        self._time = self._start(self._keep_time())
        return port

    async def close(self) -> None:
        """End everything; connections are closed in order, or cut off after a moment."""
        self._open = False
        # The clock goes first: nothing else begins dials or rounds, which nobody would end.
        if self._time is not None:
            await self._cancel([self._time])
        ends = [transport.close() for transport in self._transports]
        ends += [network.close() for network in self._networks.values()]
        ends.append(self._cancel(list(self._running)))
        for error in await asyncio.gather(*ends, return_exceptions=True):
            if isinstance(error, Exception):
                _log.error("something did not end well", exc_info=error)
        await self._stack.aclose()
        if self._udp is not None:
            await asyncio.sleep(_FAREWELL if self._udp.port else 0)
            self._udp.close()

    async def _listen(self, host: str, port: int) -> int:
        """Listen on one number with all transports (transports.md section 2)."""
        on_tcp = [one for one in self._transports if one.kind == "tcp"]
        others = [one for one in self._transports if one.kind != "tcp"]
        for wanted in [port] + [0] * _PAIR_ATTEMPTS:
            taken = wanted
            for transport in on_tcp:
                taken = await transport.listen(host, taken, self._called)
            if self._udp is not None:
                try:
                    taken = await self._udp.listen(host, taken, exact=bool(on_tcp))
                except OSError as error:
                    if error.errno != errno.EADDRINUSE or not on_tcp:
                        raise
                    for transport in on_tcp:
                        await transport.close()
                    continue
            for transport in others:
                taken = await transport.listen(host, taken, self._called)
            return taken
        raise OSError(errno.EADDRINUSE, f"no port of {host} is free for both TCP and UDP")

    # ---- archives and peers

    def join(
        self,
        discovery_key: bytes,
        *,
        announce: bool = True,
        networks: frozenset[str] | None = None,
        at_once: bool = True,
        known: Sequence[KnownPeer] = (),
    ) -> None:
        """Look for peers of an archive and, with `announce`, be found. Joining again changes that.

        Args:
            discovery_key: 32 bytes.
            announce: Whether to be found.
            networks: Names of those to use; None for all there are.
            at_once: Whether somebody waits for it; else its first rounds are spread out.
            known: Peers that were good in an earlier life, as `known_good` gave them.
        """
        self._table.join(discovery_key, known, self._clock(), urgent=at_once)
        for name, network in self._networks.items():
            if networks is None or name in networks:
                network.join(discovery_key, announce)
            elif discovery_key in self._joined:
                network.leave(discovery_key)
        self._joined[discovery_key] = networks
        self._schedule.add(discovery_key, networks, at_once)
        self._note_need(discovery_key)
        self._wake.set()

    async def leave(self, discovery_key: bytes) -> None:
        """Forget an archive and its peers. When it returns, the talks about it are over."""
        networks = self._joined.pop(discovery_key, frozenset())
        for name, network in self._networks.items():
            if networks is None or name in networks:
                network.leave(discovery_key)
        self._schedule.remove(discovery_key)
        self._hungry.discard(discovery_key)
        self._table.leave(discovery_key)
        tasks = [task for task, peer in self._dials.items() if peer.name == discovery_key]
        for connection in self._roster.about(discovery_key):
            self._roster.forget(connection)
            tasks.append(self._talks[connection])
        # Some were cut off a moment ago, as they gave way to others: they are waited for as well.
        talks = self._talks.items()
        ending = [task for talk, task in talks if talk.discovery_key == discovery_key]
        await self._cancel(tasks, ending=ending)
        self._wake.set()

    def hungry(self, discovery_key: bytes, hungry: bool) -> None:
        """Whether an archive misses blocks: then it is looked up, and its peers dialled, sooner."""
        if hungry == (discovery_key in self._hungry):
            return
        if hungry:
            self._hungry.add(discovery_key)
        else:
            self._hungry.discard(discovery_key)
        self._note_need(discovery_key)
        self._wake.set()

    def add_peer(self, discovery_key: bytes, address: Address) -> None:
        """Dial an address for a joined archive now, and again whenever it is lost.

        An address at which nobody can listen, or that the rules keep out, is not dialled; `peers`
        shows it with the reason.
        """
        self._table.add(discovery_key, address, self._clock())
        self._wake.set()

    def peers(self, discovery_key: bytes) -> list[PeerView]:
        """The known peers of an archive, those that were dropped included; none if not joined."""
        return self._table.views(discovery_key, self._clock())

    def known_good(self, discovery_key: bytes) -> list[KnownPeer]:
        """Peers of a joined archive that were good, best first, to be kept over a restart."""
        return self._table.known_good(discovery_key)

    def call(self, stream: Stream) -> None:
        """Somebody calls by another way than the transports, such as a WebSocket.

        The stream is closed when the talk over it has ended, or at once if the call is not taken.
        """
        self._called(stream)

    def public_address(self, host: str | None, port: int | None) -> None:
        """Where others see this daemon, as far as it is known: it is not dialled."""
        self._table.own_address(host, port)

    def obey(self, rules: AddressRules) -> None:
        """Keep apart from others than before; connections that are not allowed now are cut off."""
        self._table.obey(rules, self._clock())
        for connection in self._roster.refused():
            connection.cut()
        for task, peer in self._dials.items():
            if rules.refusal(peer.address.host) is not None:
                task.cancel()
        self._wake.set()

    @property
    def connected(self) -> int:
        """Connections there are, over all archives."""
        return len(self._roster)

    # ---- the clock

    async def _keep_time(self) -> None:
        while True:
            self._wake.clear()
            now = self._clock()
            if now >= self._pulse_at:
                self._pulse_at = now + _PULSE
                self._talking = self._roster.pulse(now)
                self._roster.make_room(now)
            while (peer := self._table.next_dial(now)) is not None:
                task = self._start(self._dial(peer))
                self._dials[task] = peer
                task.add_done_callback(self._dial_ended)
            for name in self._table.take_changed():
                self._note_need(name)
            for network, name in self._schedule.due(now):
                self._networks[network].lookup(name)
            await self._sleep(now)

    async def _sleep(self, now: float) -> None:
        times = [self._table.next_time(now), self._schedule.next_time(now)]
        if self._talking or len(self._roster):
            times.append(self._pulse_at)
        deadline = min((time for time in times if time is not None), default=None)
        try:
            async with asyncio.timeout(None if deadline is None else max(0.0, deadline - now)):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _found(self, source: str, name: bytes, address: Address, told_by: Address) -> None:
        if self._table.found(name, address, source, told_by, self._clock()):
            self._wake.set()

    def _note_need(self, name: bytes) -> None:
        hungry = name in self._hungry
        self._table.hungry(name, hungry)
        self._schedule.set_need(name, hungry, self._table.talking(name))

    # ---- connections

    async def _dial(self, peer: Peer) -> None:
        old = peer.connection  # a silent one, if there is any
        try:
            stream = await race(self._transports, peer.address, report=partial(_note, peer))
        except Exception as error:
            if old is None:
                self._judge.dial(peer, error, self._clock())
            return
        finally:
            peer.probed_at = None
            if old is not None:
                # Whatever became of the peer meanwhile, it is not this dial that it waits for.
                self._dials.pop(_this_task(), None)
        if isinstance(old, Connection) and not self._may_replace(peer, old):
            stream.abort()
            return
        now = self._clock()
        connection = Connection(stream, roster=self._roster, clock=self._clock, peer=peer)
        self._table.connected(peer, connection, stream.kind, now)
        # From here on the connection stands for the dial.
        self._dials.pop(_this_task(), None)
        self._begin(connection, _this_task())
        try:
            await self._talk(connection)
        finally:
            self._ended(connection)

    def _may_replace(self, peer: Peer, old: Connection) -> bool:
        """A peer that was silent answers a new dial; what became of the old connection?"""
        if peer.connection is old:
            return self._roster.supplant(old, self._clock())
        return peer.state is State.WAITING

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
        self._wake.set()

    async def _talk(self, connection: Connection) -> None:
        try:
            await self._serve(connection)
        except Exception as error:
            self._judge.talk(connection, error, self._clock())

    def _ended(self, connection: Connection) -> None:
        connection.stream.close()
        del self._talks[connection]
        self._roster.forget(connection)
        if connection.peer is not None:
            self._table.lost(connection.peer, None, self._clock())

    def _dial_ended(self, task: asyncio.Task[None]) -> None:
        peer = self._dials.pop(task, None)
        if peer is not None and peer.state is State.CONNECTING:
            self._table.lost(peer, None, self._clock())

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

    async def _cancel(
        self, tasks: list[asyncio.Task[None]], *, ending: Iterable[asyncio.Task[None]] = ()
    ) -> None:
        """Cancel tasks and wait for their end, and that of others; the caller may be among them."""
        for task in tasks:
            if task is not asyncio.current_task():
                task.cancel()
        others = {*tasks, *ending} - {asyncio.current_task()}
        if others:
            _, late = await asyncio.wait(others, timeout=CLOSE_TIMEOUT)
            for task in late:
                _log.warning("a connection does not end: %r", task)
                task.cancel()


def _this_task() -> asyncio.Task[None]:
    task = asyncio.current_task()
    if task is None:
        raise AssertionError("not within a task")
    return task


def _note(peer: Peer, kind: str, error: OSError | None) -> None:
    peer.tried[kind] = "connected" if error is None else why(error)
