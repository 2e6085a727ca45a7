"""uTP over the shared UDP socket: who gets which datagram, and one timer for all connections.

The protocol is in `connection` and the modules below it; the streams that users hold in `stream`.

Source: transports.md sections 3 and 4.
"""

import asyncio
import heapq
import math
import struct
from collections.abc import Callable, Sequence
from itertools import count

from datd.transport.base import Stream
from datd.transport.utp.connection import Connection, State
from datd.transport.utp.packet import DATA, FIN, FIRST_BYTE, RESET, SEQUENCE, SYN, decode
from datd.transport.utp.strangers import Doorkeeper, Key, Memories
from datd.transport.utp.stream import UtpStream
from datd.types import Address
from datd.udp.demultiplex import Kind
from datd.udp.socket import UdpSocket

_SWEEP = 64
_SYN = FIRST_BYTE[SYN]
# Hosts behind a path that lost full-size packets; calls to them begin with small ones.
_MAX_NARROW = 256
# Connection id, sequence number, acknowledged number.
_NUMBERS = struct.Struct(">2xH12xHH").unpack_from


class UtpTransport:
    """Listens and dials on the shared socket. It has no tasks, and one timer.

    Attributes:
        refused: Packets of no connection that were answered with a RESET.
    """

    kind = "utp"

    def __init__(
        self,
        udp: UdpSocket,
        *,
        clock: Callable[[], float],
        choose: Callable[[int], int],
    ) -> None:
        """Nothing is sent before `listen`.

        Args:
            udp: The socket, shared with others; its owner closes it.
            clock: Monotonic seconds.
            choose: Gives a random number below its argument.
        """
        self.refused = 0
        self._udp = udp
        self._clock = clock
        self._choose = choose
        self._on_stream: Callable[[Stream], None] | None = None
        self._streams: dict[Key, UtpStream] = {}
        self._door = Doorkeeper(choose, clock())
        self._memories = Memories()
        self._dialling: dict[UtpStream, asyncio.Future[None]] = {}
        self._touched: dict[UtpStream, None] = {}
        self._again: asyncio.Handle | None = None
        self._unsent: dict[UtpStream, list[bytes]] = {}
        self._agenda: list[tuple[float, int, UtpStream]] = []
        self._order = count()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._narrow: dict[str, None] = {}

    # ---- for the owner

    @property
    def connections(self) -> int:
        """How many there are, calls that nothing followed not counted."""
        return len(self._streams)

    async def listen(self, host: str, port: int, on_stream: Callable[[Stream], None]) -> int:
        self._loop = asyncio.get_running_loop()
        port = await self._udp.listen(host, port)
        self._on_stream = on_stream
        self._udp.route(Kind.UTP, self._receive, self._flush)
        return port

    async def dial(self, address: Address) -> UtpStream:
        if not self._udp.port or self._on_stream is None:
            raise ConnectionRefusedError("uTP is closed")
        now = self._clock()
        key, machine = self._call(address, now)
        stream = self._add(key, machine, address, inbound=False)
        answered = self._dialling[stream] = self._loop.create_future()
        try:
            self._go(stream, now)
            self._arm(now)
            await answered
        except BaseException:
            machine.abort()  # forgotten, so that not even a RESET is sent
            self._forget(key, stream)
            # The answer may still come, and a RESET would not be silence.
            self._memories.remember(key, None, self._clock())
            raise
        finally:
            del self._dialling[stream]
        return stream

    async def close(self) -> None:
        self._on_stream = None

    def _call(self, address: Address, now: float) -> tuple[Key, Connection]:
        while True:
            id_ = self._choose(SEQUENCE)
            key = (address.host, address.port, id_)
            if key not in self._streams:
                break
        self._memories.forget(key)
        machine = Connection.calling(id_, self._choose(SEQUENCE + 1), now)
        if address.host in self._narrow:
            machine.outgoing.narrow_down()
        return key, machine

    # ---- streams

    def _add(self, key: Key, machine: Connection, remote: Address, *, inbound: bool) -> UtpStream:
        stream = UtpStream(
            machine, remote, inbound=inbound, clock=self._clock, stirred=self._stirred
        )
        self._streams[key] = stream
        return stream

    def _forget(self, key: Key, stream: UtpStream) -> None:
        if self._streams.pop(key, None) is None:
            return
        self._touched.pop(stream, None)
        self._unsent.pop(stream, None)
        if stream.inbound:
            self._door.left(key[0])
        if stream.machine.outgoing.narrow:
            self._narrow[key[0]] = None
            if len(self._narrow) > _MAX_NARROW:
                del self._narrow[next(iter(self._narrow))]

    def _stirred(self, stream: UtpStream) -> None:
        """A stream has something to send, or so it seems; soon, with all that comes meanwhile."""
        self._touched[stream] = None
        self._come_again()

    def _come_again(self) -> None:
        if self._again is None:
            self._again = self._loop.call_soon(self._once_more)

    # ---- datagrams in

    def _receive(self, datagrams: Sequence[bytes], address: Address) -> None:
        """Take datagrams of one sender; runs of one connection go to it as a whole."""
        now = self._clock()
        start = 0
        total = len(datagrams)
        while start < total:
            datagram = datagrams[start]
            id_ = datagram[2:4]
            stream = None
            # A SYN carries an id of the caller's choice, which may be that of another connection.
            if datagram[0] != _SYN:
                stream = self._streams.get((address.host, address.port, int.from_bytes(id_)))
            start += 1
            if stream is None:
                self._stranger(datagram, address, now)
                continue
            first = start - 1
            while start < total and datagrams[start][2:4] == id_ and datagrams[start][0] != _SYN:
                start += 1
            run = datagrams if start - first == total else datagrams[first:start]
            stream.machine.receive(run, now)
            self._touched[stream] = None

    def _stranger(self, datagram: bytes, address: Address, now: float) -> None:
        """Take a packet whose id is not that of a connection with its sender."""
        kind = datagram[0] >> 4
        id_, seq, ack = _NUMBERS(datagram)
        key = (address.host, address.port, id_)
        if kind == SYN:
            self._ring(datagram, address, now)
        elif kind == RESET:
            self._refused(datagram, key, now)
        elif self._door.has(key):
            if kind in (DATA, FIN):
                self._accept(key, datagram, seq, ack, now)
        else:
            reply = self._memories.reply(key, datagram, now)
            if reply is not None:
                self.refused += 1
                self._udp.send(reply, address)

    def _ring(self, datagram: bytes, address: Address, now: float) -> None:
        syn = decode(datagram)
        if syn is None or self._on_stream is None:
            return
        if (address.host, address.port, syn.id + 1 & SEQUENCE) in self._streams:
            return  # libutp drops it without a word as well
        answer = self._door.ring(address, syn, len(self._streams), now)
        if answer is not None:
            self._udp.send(answer, address)

    def _refused(self, datagram: bytes, key: Key, now: float) -> None:
        """A RESET may carry our own id as well: that of the packet it answers."""
        host, port, id_ = key
        for near in (id_ - 1 & SEQUENCE, id_ + 1 & SEQUENCE):
            stream = self._streams.get((host, port, near))
            if stream is not None and stream.machine.send_id == id_:
                stream.machine.receive((datagram,), now)
                self._touched[stream] = None
                return
        self._door.hang_up(key)
        self._door.hang_up((host, port, id_ + 1 & SEQUENCE))

    def _accept(self, key: Key, datagram: bytes, seq: int, ack: int, now: float) -> None:
        """The first packet with content, from somebody who called and heard the answer."""
        if self._on_stream is None:
            return
        call = self._door.take(key, seq, ack, now)
        if call is None:
            return
        self._memories.forget(key)
        machine = Connection.called(call.syn, call.seq, now)
        stream = self._add(key, machine, Address(key[0], key[1]), inbound=True)
        machine.receive((datagram,), now)
        self._touched[stream] = None
        self._on_stream(stream)

    # ---- datagrams out

    def _flush(self) -> None:
        """One go for each connection that heard or said something."""
        touched, self._touched = self._touched, {}
        now = self._clock()
        for stream in touched:
            self._go(stream, now)
        self._arm(now)

    def _once_more(self) -> None:
        self._again = None
        self._flush()

    def _go(self, stream: UtpStream, now: float) -> None:
        machine = stream.machine
        if stream not in self._unsent:
            datagrams = machine.datagrams_to_send(now)
            if datagrams:
                self._send(stream, datagrams)
        state = machine.state
        if state is not State.CALLING and stream in self._dialling:
            self._called(stream)
        stream.notice()
        if state is State.GONE:
            self._gone(stream, now)
            return
        if machine.more:
            self._stirred(stream)
        at = machine.next_timer()
        if at is not None and at < stream.scheduled:
            self._schedule(stream, at)

    def _called(self, stream: UtpStream) -> None:
        answered = self._dialling[stream]
        if answered.done():
            return
        if stream.machine.state is State.CONNECTED:
            answered.set_result(None)
        else:
            answered.set_exception(stream.machine.error or ConnectionAbortedError("closed"))

    def _gone(self, stream: UtpStream, now: float) -> None:
        machine = stream.machine
        key = (stream.remote.host, stream.remote.port, machine.receive_id)
        if self._streams.get(key) is stream:
            self._forget(key, stream)
            if machine.finished:
                self._memories.remember(key, machine.farewell(now), now)

    def _send(self, stream: UtpStream, datagrams: list[bytes]) -> None:
        """Send, in runs of one size, which cost the system one call."""
        udp, address = self._udp, stream.remote
        total = len(datagrams)
        start = 0
        while start < total:
            size = len(datagrams[start])
            end = start + 1
            while end < total and len(datagrams[end]) == size:
                end += 1
            if end < total and len(datagrams[end]) < size:
                end += 1
            if end - start == 1:
                udp.send(datagrams[start], address, awaited=True)
            else:
                run = datagrams if end - start == total else datagrams[start:end]
                sent = udp.send_run(run, address)
                if sent < end - start:
                    self._unsent[stream] = datagrams[start + sent :]
                    udp.when_writable(self._send_rest)
                    return
            start = end

    def _send_rest(self) -> None:
        """The system takes datagrams again."""
        waiting, self._unsent = self._unsent, {}
        for stream, datagrams in waiting.items():
            self._send(stream, datagrams)
            self._stirred(stream)

    # ---- time

    def _schedule(self, stream: UtpStream, at: float) -> None:
        stream.scheduled = at
        heapq.heappush(self._agenda, (at, next(self._order), stream))
        # Entries that an earlier one overtook stay behind; now and then they are swept out.
        if len(self._agenda) > 4 * len(self._streams) + _SWEEP:
            self._agenda = [entry for entry in self._agenda if entry[0] == entry[2].scheduled]
            heapq.heapify(self._agenda)

    def _arm(self, now: float) -> None:
        """Set the one timer to the nearest entry, if that is sooner than it is set."""
        if not self._agenda:
            return
        at = self._agenda[0][0]
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_later(max(0.0, at - now), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = self._clock()
        agenda = self._agenda
        while agenda and agenda[0][0] <= now:
            at, _, stream = heapq.heappop(agenda)
            if at != stream.scheduled:
                continue
            stream.scheduled = math.inf
            due = stream.machine.next_timer()
            if due is None:
                continue
            if due <= now:
                stream.machine.handle_timer(now)
                self._go(stream, now)
            else:
                self._schedule(stream, due)
            agenda = self._agenda
        self._door.expire(now)
        self._arm(now)
