"""Two uTP machines and a wire that loses, delays, doubles and reorders, under a fake clock.

A rival can share the way from the caller to the called side.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from datd.transport.utp.connection import Connection, State
from datd.transport.utp.packet import DATA, FIN, HEADER, SYN, Packet, decode
from datd.transport.utp.strangers import Doorkeeper
from datd.types import Address

CALLER = Address("192.0.2.1", 4001)
PATTERN = bytes(index % 251 for index in range(251 * 1024))


def pattern(size: int, start: int = 0) -> bytes:
    """Bytes of which every position is known."""
    start %= 251
    return (PATTERN * (size // len(PATTERN) + 2))[start : start + size]


@dataclass
class Weather:
    """What the wire does; times in seconds, chances from 0 to 1.

    `rate` is in bytes a second, and what would wait longer than `queue` seconds is dropped.
    """

    delay: float = 0.01
    loss: float = 0.0
    jitter: float = 0.0
    duplicate: float = 0.0
    rate: float = 0.0
    queue: float = 0.5
    seed: int = 0


@dataclass
class End:
    """One machine, what it has to say, and what it has heard."""

    name: str
    up: Connection | None = None
    to_write: bytes | memoryview = b""
    close_when_written: bool = False
    close_when_heard: bool = False
    reads: bool = True
    heard: bytearray = field(default_factory=bytearray)
    sent: list[tuple[float, bytes]] = field(default_factory=list)

    @property
    def machine(self) -> Connection:
        """The machine of one that is there."""
        assert self.up is not None
        return self.up

    @property
    def gone(self) -> bool:
        return self.up is not None and self.up.state is State.GONE

    def act(self, now: float) -> None:
        """What the owner of a stream would do now."""
        machine = self.up
        if machine is None:
            return
        if self.reads:
            while machine.incoming.unread:
                self.heard += machine.read(256 * 1024)
        if machine.state is not State.CONNECTED or machine.broken_off:
            return
        if self.to_write and machine.outgoing.waiting < 64 * 1024:
            machine.write(bytes(self.to_write[: 256 * 1024]))
            self.to_write = memoryview(self.to_write)[256 * 1024 :]
        heard_all = not self.close_when_heard or machine.incoming.ended
        if self.close_when_written and not self.to_write and heard_all:
            machine.close(now)


class Rival(End):
    """Somebody else's transfer, with always as many packets under way, as BBR has."""

    SIZE = 1500
    carried: int = 0
    over: bool = False


class Wire:
    """The story of one connection, told by a fake clock."""

    def __init__(self, weather: Weather | None = None, *, seq: int | None = None) -> None:
        """`seq` makes the numbers of both sides begin there."""
        self.weather = weather or Weather()
        self.chance = random.Random(self.weather.seed)
        self.now = 1000.0
        self.caller = End("caller")
        self.called = End("called")
        first = self.chance.randrange(65536) if seq is None else seq
        self.caller.up = Connection.calling(self.chance.randrange(65535), first, self.now)
        answer = self.chance.randrange if seq is None else lambda _: seq
        self.door = Doorkeeper(answer, self.now)
        self.drop: Callable[[End, bytes], bool] = lambda _, __: False
        self.rival = Rival("rival")
        self._air: list[tuple[float, int, End, bytes]] = []
        self._order = count()
        self._busy_until = {"caller": 0.0, "called": 0.0}

    def send(self, sender: End, datagram: bytes) -> None:
        """Put a datagram on the wire."""
        sender.sent.append((self.now, datagram))
        weather, chance = self.weather, self.chance
        if chance.random() < weather.loss or self.drop(sender, datagram):
            return
        leaves = self.now
        if weather.rate:
            leaves = max(self.now, self._busy_until[sender.name])
            if leaves - self.now > weather.queue:
                return
            leaves += len(datagram) / weather.rate
            self._busy_until[sender.name] = leaves
        to = self.called if sender is self.caller else self.caller
        for _ in range(2 if chance.random() < weather.duplicate else 1):
            at = leaves + weather.delay + chance.random() * weather.jitter
            heapq.heappush(self._air, (at, next(self._order), to, datagram))

    def go(self, end: End) -> None:
        """What a transport does after something happened."""
        end.act(self.now)
        if end.up is None:
            return
        while True:
            for datagram in end.machine.datagrams_to_send(self.now):
                self.send(end, datagram)
            if not end.machine.more:
                return

    def queued(self, sender: End) -> float:
        """Seconds that a datagram would wait before it leaves."""
        return max(0.0, self._busy_until[sender.name] - self.now)

    def fill_queue(self, sender: End, seconds: float) -> bool:
        """Let somebody else's packets fill the queue up to that; a filter that drops nothing."""
        self._busy_until[sender.name] = max(self._busy_until[sender.name], self.now + seconds)
        return False

    def compete(self, window: int) -> None:
        """Let the rival begin, with so many bytes under way."""
        for _ in range(window // Rival.SIZE):
            self._send_of_rival()

    def _send_of_rival(self) -> None:
        leaves = max(self.now, self._busy_until["caller"]) + Rival.SIZE / self.weather.rate
        self._busy_until["caller"] = leaves
        back = leaves + 2 * self.weather.delay
        heapq.heappush(self._air, (back, next(self._order), self.rival, b""))

    def deliver(self, to: End, datagram: bytes) -> None:
        """Let a datagram arrive."""
        if to is self.rival:
            self.rival.carried += Rival.SIZE
            if not self.rival.over:
                self._send_of_rival()
            return
        if to.up is None:
            self._arrive_at_door(to, datagram)
            return
        packet = decode(datagram)
        if packet is not None and packet.kind != SYN and packet.id == to.machine.receive_id:
            to.machine.receive([datagram], self.now)

    def _arrive_at_door(self, to: End, datagram: bytes) -> None:
        packet = decode(datagram)
        assert packet is not None
        if packet.kind == SYN:
            answer = self.door.ring(CALLER, packet, 0, self.now)
            if answer is not None:
                self.send(to, answer)
        elif packet.kind in (DATA, FIN):
            key = (CALLER.host, CALLER.port, packet.id)
            call = self.door.take(key, packet.seq, packet.ack, self.now)
            if call is not None:
                to.up = Connection.called(call.syn, call.seq, self.now)
                to.machine.receive([datagram], self.now)

    def run(self, until: Callable[[], bool] = lambda: False, *, limit: float = 600.0) -> bool:
        """Let things happen until they did; gives whether it came to that."""
        ends = (self.caller, self.called)
        for end in ends:
            self.go(end)
        last = self.now + limit
        while not until():
            times = [self._air[0][0]] if self._air else []
            for end in ends:
                timer = end.up.next_timer() if end.up is not None else None
                times += [timer] if timer is not None else []
            if not times or min(times) > last:
                return False
            self.now = max(self.now, min(times))
            moved = set()
            while self._air and self._air[0][0] <= self.now:
                _, _, to, datagram = heapq.heappop(self._air)
                self.deliver(to, datagram)
                moved.add(to.name)
            for end in ends:
                machine = end.up
                if machine is None:
                    continue
                timer = machine.next_timer()
                if timer is not None and timer <= self.now:
                    machine.handle_timer(self.now)
                    moved.add(end.name)
                if end.name in moved:
                    self.go(end)
        return True

    @property
    def over(self) -> bool:
        """Whether both machines are done."""
        return self.caller.gone and self.called.gone


def connected(**weather: float) -> Wire:
    """A connection over which one byte went."""
    wire = Wire(Weather(**weather))  # type: ignore[arg-type]
    wire.caller.machine.write(b"!")
    assert wire.run(lambda: bool(wire.called.heard) and not wire.caller.machine.outgoing.unacked)
    wire.called.heard.clear()
    wire.caller.sent.clear()
    wire.called.sent.clear()
    return wire


def parsed(datagram: bytes | None) -> Packet:
    """What a datagram says that must be one of uTP."""
    packet = decode(datagram or b"")
    assert packet is not None
    return packet


def numbers(datagram: bytes) -> tuple[int, int, int, int]:
    """Kind, id, seq and ack of a packet."""
    first, _, id_, _, _, _, seq, ack = HEADER.unpack_from(datagram)
    return first >> 4, id_, seq, ack
