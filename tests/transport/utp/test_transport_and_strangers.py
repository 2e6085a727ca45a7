"""What a transport says to those who are not its peers, heard through a bare socket."""

import asyncio
import random
import socket
from itertools import count

import pytest

from datd.transport.base import Stream
from datd.transport.utp.packet import DATA, FIN, RESET, STATE, SYN, Packet, decode, encode
from datd.transport.utp.receiving import WINDOW
from datd.transport.utp.strangers import CALLS_PER_SECOND, HALF_OPEN_TIME, MAX_PER_HOST
from datd.transport.utp.transport import UtpTransport
from datd.types import Address
from datd.udp.socket import UdpSocket

PATIENCE = 60.0
HOST = "127.0.0.1"


async def until(holds):
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110  # what changes is inside of machines
            await asyncio.sleep(0.001)


class Stranger:
    """Somebody with a bare socket, who may say anything."""

    def __init__(self, port: int, host: str = HOST) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.setblocking(False)
        self.port = port
        self._inbox: list[Packet] = []

    def say(self, packet: Packet) -> None:
        self.socket.sendto(encode(packet), (HOST, self.port))

    def heard(self) -> list[Packet]:
        """What arrived since it was asked last."""
        packets, self._inbox = self._inbox + self._arrived(), []
        return packets

    def _arrived(self) -> list[Packet]:
        packets: list[Packet] = []
        while True:
            try:
                packet = decode(self.socket.recv(2000))
            except BlockingIOError:
                return packets
            assert packet is not None
            packets.append(packet)

    async def hears(self, count: int = 1) -> list[Packet]:
        """The next packets; that there are no more of them is not promised."""
        packets: list[Packet] = []

        def enough() -> bool:
            packets.extend(self.heard())
            return len(packets) >= count

        await until(enough)
        return packets

    async def is_answered(self, question: int) -> None:
        """Ask what is always answered, once: on the way from it, and to it, nothing overtakes."""
        self.say(Packet(STATE, question, 0, 0, 0, question, 0))

        def answered() -> bool:
            self._inbox += self._arrived()
            return any((packet.kind, packet.id) == (RESET, question) for packet in self._inbox)

        await until(answered)
        self._inbox = [packet for packet in self._inbox if packet.id != question]


class Scene:
    """A transport, who was put through to it, and a clock that stands still."""

    def __init__(self) -> None:
        self.udp = UdpSocket()
        self.now = 5000.0
        self.transport = UtpTransport(
            self.udp, clock=lambda: self.now, choose=random.Random(1).randrange
        )
        self.streams: list[Stream] = []
        self.strangers: list[Stranger] = []
        self._questions = count(60_000)  # ids that nobody else has

    async def begin(self) -> None:
        self.port = await self.transport.listen(HOST, 0, self.streams.append)

    def stranger(self, host: str = HOST) -> Stranger:
        self.strangers.append(Stranger(self.port, host))
        return self.strangers[-1]

    async def settled(self) -> None:
        """Everything said before was listened to, and the answers are here."""
        for stranger in self.strangers:
            await stranger.is_answered(next(self._questions))

    def end(self) -> None:
        for stream in self.streams:
            stream.abort()
        for stranger in self.strangers:
            stranger.socket.close()
        self.udp.close()


@pytest.fixture
async def scene():
    scene = Scene()
    await scene.begin()
    yield scene
    scene.end()


SYN_PACKET = Packet(SYN, 4567, 1, 0, WINDOW, 100, 0)


async def test_t37_a_call_gets_one_answer_no_longer_than_itself_and_no_stream(scene):
    caller = scene.stranger()
    caller.say(SYN_PACKET)
    [answer] = await caller.hears()
    assert len(encode(answer)) == len(encode(SYN_PACKET)) == 20
    assert (answer.kind, answer.id, answer.ack) == (STATE, 4567, 100)
    scene.now += 3600
    await scene.settled()
    assert caller.heard() == []
    assert scene.streams == []
    assert scene.transport.connections == 0


async def test_a_caller_is_put_through_by_its_first_data(scene):
    caller = scene.stranger()
    caller.say(SYN_PACKET)
    [answer] = await caller.hears()
    caller.say(Packet(DATA, 4568, 1, 0, WINDOW, 101, answer.seq - 1 & 0xFFFF, payload=b"hello"))
    await until(lambda: scene.streams)
    [stream] = scene.streams
    assert await stream.read() == b"hello"
    assert stream.remote == Address(*caller.socket.getsockname())
    caller.heard()
    caller.say(SYN_PACKET)  # again: dropped without a word
    await scene.settled()
    assert [packet for packet in caller.heard() if packet.kind != STATE] == []
    assert scene.transport.connections == 1


async def test_t37_data_that_does_not_know_our_number_proves_nothing(scene):
    caller = scene.stranger()
    caller.say(SYN_PACKET)
    [answer] = await caller.hears()
    for wrong in (answer.seq, answer.seq + 1, answer.seq + 500):
        caller.say(Packet(DATA, 4568, 1, 0, WINDOW, 101, wrong & 0xFFFF, payload=b"forged"))
    await scene.settled()
    assert scene.streams == []


async def test_a_call_that_nothing_follows_is_forgotten(scene):
    caller = scene.stranger()
    caller.say(SYN_PACKET)
    [answer] = await caller.hears()
    scene.now += HALF_OPEN_TIME
    data = Packet(DATA, 4568, 1, 0, WINDOW, 101, answer.seq - 1 & 0xFFFF, payload=b"late")
    caller.say(data)
    await scene.settled()
    assert scene.streams == []
    caller.say(data._replace(seq=102))
    [refusal] = await caller.hears()
    assert (refusal.kind, refusal.id, refusal.ack) == (RESET, 4568, 102)


async def test_t37_a_host_has_32_connections_and_others_still_get_in(scene):
    crowd = scene.stranger()
    for number in range(MAX_PER_HOST + 20):
        crowd.say(SYN_PACKET._replace(id=10 * number))
    assert len(await crowd.hears(MAX_PER_HOST)) == MAX_PER_HOST
    neighbour = scene.stranger("127.0.0.2")
    neighbour.say(SYN_PACKET)
    await neighbour.hears()
    await scene.settled()
    assert crowd.heard() == []


async def test_t37_at_most_a_hundred_calls_a_second_are_answered(scene):
    answered = 0
    for number in range(6):
        caller = scene.stranger(f"127.0.0.{number + 2}")
        for call in range(MAX_PER_HOST):
            caller.say(SYN_PACKET._replace(id=10 * call))
        await scene.settled()
        answered += len(caller.heard())
    assert answered == CALLS_PER_SECOND


async def test_packets_of_no_connection_are_refused_once(scene):
    stranger = scene.stranger()
    for _ in range(5):
        stranger.say(Packet(DATA, 77, 1, 0, WINDOW, 5, 6, payload=b"?"))
    [refusal] = await stranger.hears()
    assert (refusal.kind, refusal.id, refusal.ack) == (RESET, 77, 5)
    await scene.settled()
    assert stranger.heard() == []
    scene.now += 10
    stranger.say(Packet(DATA, 77, 1, 0, WINDOW, 5, 6, payload=b"?"))
    await stranger.hears()


async def test_a_reset_for_nobody_is_not_answered(scene):
    stranger = scene.stranger()
    stranger.say(Packet(RESET, 77, 1, 0, 0, 5, 6))
    await scene.settled()
    assert stranger.heard() == []


@pytest.mark.parametrize("id_", [4567, 4568])
async def test_a_reset_with_either_id_ends_the_connection(scene, id_):
    caller = scene.stranger()
    caller.say(SYN_PACKET)
    [answer] = await caller.hears()
    caller.say(Packet(DATA, 4568, 1, 0, WINDOW, 101, answer.seq - 1 & 0xFFFF, payload=b"hello"))
    await until(lambda: scene.streams)
    forger = scene.stranger("127.0.0.9")
    forger.say(Packet(RESET, id_, 1, 0, 0, 5, 6))  # T-37: the right id, but another address
    await scene.settled()
    assert scene.transport.connections == 1
    caller.say(Packet(RESET, id_, 1, 0, 0, 5, 6))
    await until(lambda: scene.transport.connections == 0)
    assert await scene.streams[0].read() == b"hello"
    with pytest.raises(ConnectionResetError):
        await scene.streams[0].read()


async def test_a_cancelled_dial_says_nothing_more(scene):
    called = scene.stranger()
    async with asyncio.TaskGroup() as group:
        dialling = group.create_task(scene.transport.dial(Address(*called.socket.getsockname())))
        [syn] = await called.hears()
        dialling.cancel()
    assert scene.transport.connections == 0
    called.say(Packet(STATE, syn.id, 1, 0, WINDOW, 9, syn.seq))  # the answer comes too late
    await scene.settled()
    assert called.heard() == []


async def test_a_refused_dial_fails(scene):
    called = scene.stranger()
    async with asyncio.TaskGroup() as group:
        dialling = group.create_task(refused(scene, called))
        [syn] = await called.hears()
        called.say(Packet(RESET, syn.id, 1, 0, 0, 9, syn.seq))
    assert isinstance(dialling.result(), ConnectionResetError)
    assert scene.transport.connections == 0


async def refused(scene: Scene, called: Stranger) -> OSError:
    with pytest.raises(OSError, match="reset") as caught:
        await scene.transport.dial(Address(*called.socket.getsockname()))
    return caught.value


async def test_a_fin_that_comes_again_after_the_end_is_acknowledged_again(scene):
    caller = scene.stranger()
    caller.say(SYN_PACKET)
    [answer] = await caller.hears()
    ours = answer.seq
    data = Packet(DATA, 4568, 1, 0, WINDOW, 101, ours - 1 & 0xFFFF, payload=b"hello")
    caller.say(data)
    await until(lambda: scene.streams)
    scene.streams[0].close()
    fin = Packet(FIN, 4568, 1, 0, WINDOW, 102, ours)
    await until(lambda: any(packet.kind == FIN for packet in caller.heard()))
    caller.say(fin)
    await until(lambda: scene.transport.connections == 0)
    await scene.settled()
    caller.heard()
    caller.say(fin)
    [last] = await caller.hears()
    assert (last.kind, last.ack) == (STATE, 102)


async def test_t31_any_datagrams_leave_the_transport_working(scene):
    chance = random.Random(4)
    for _ in range(3000):
        first = bytes([chance.choice([0x01, 0x11, 0x21, 0x31, 0x41]), chance.randrange(4)])
        scene.transport._receive(
            [first + chance.randbytes(chance.randrange(18, 60)) for _ in range(3)],
            Address(f"192.0.2.{chance.randrange(200)}", 9),
        )
    caller = scene.stranger()
    scene.now += 20
    caller.say(SYN_PACKET)
    await caller.hears()
