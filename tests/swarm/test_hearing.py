import asyncio

import pytest
from tests.helpers.network import MemoryNetwork
from tests.helpers.virtual_time import in_virtual_time

from datd.swarm.hearing import HeardStream
from datd.transport.base import HIGH_WATER, MAX_UNREAD, Stream
from datd.types import Address

THERE = Address("10.0.0.2", 3282)


async def line() -> tuple[HeardStream, Stream]:
    """Our end, which is heard, and the other one."""
    network = MemoryNetwork(latency=0.0)
    called: list[Stream] = []
    await network.host("10.0.0.2")[0].listen("0.0.0.0", THERE.port, called.append)
    near = await network.host("10.0.0.1")[0].dial(THERE)
    return HeardStream(near, asyncio.get_running_loop().time), called[0]


def now() -> float:
    return asyncio.get_running_loop().time()


def test_it_is_the_stream_that_it_listens_to():
    async def story() -> None:
        near, far = await line()
        assert (near.kind, near.remote) == ("tcp", THERE)
        await near.write(b"hello")
        assert await far.read() == b"hello"
        near.close()
        assert await far.read() == b""
        near, far = await line()
        near.abort()
        with pytest.raises(ConnectionResetError):
            await far.read()

    in_virtual_time(story())


def test_silence_is_counted_from_the_last_byte():
    async def story() -> None:
        near, far = await line()
        await asyncio.sleep(4)
        assert near.silence(now()) == 4  # nobody said anything since the beginning
        async with asyncio.TaskGroup() as group:
            group.create_task(far.write(b"x"))
            assert await near.read() == b"x"
        reading = asyncio.timeout(10)
        with pytest.raises(TimeoutError):
            async with reading:
                await near.read()
        assert near.silence(now()) == 10
        await asyncio.sleep(2)
        assert near.silence(now()) == 12  # the wait was given up, the silence goes on

    in_virtual_time(story())


def test_while_nobody_reads_the_silence_is_ours():
    async def story() -> None:
        near, far = await line()
        await far.write(b"x")
        await near.read()
        await asyncio.sleep(100)
        assert near.silence(now()) == 0

    in_virtual_time(story())


def test_the_end_is_no_silence():
    async def story() -> None:
        near, far = await line()
        ended = [near.ended]
        far.close()
        assert await near.read() == b""
        ended.append(near.ended)
        assert ended == [False, True]
        await asyncio.sleep(100)
        assert near.silence(now()) == 0

    in_virtual_time(story())


def test_keep_alives_are_idle_talk_and_large_pieces_are_not():
    async def story() -> None:
        near, far = await line()
        await asyncio.sleep(50)
        await near.write(b"." * 50)
        await far.write(b"." * 50)
        await near.read()
        assert near.idleness(now()) == 50
        await near.write(bytes(2000))
        assert near.idleness(now()) == 0
        await asyncio.sleep(50)
        await far.write(bytes(2000))
        await near.read()
        assert near.idleness(now()) == 0
        await asyncio.sleep(50)
        near.used()  # a block of some bytes
        assert near.idleness(now()) == 0

    in_virtual_time(story())


def test_who_is_still_sending_is_not_idle():
    async def story() -> None:
        near, _ = await line()
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(near.write(bytes(MAX_UNREAD + 2 * HIGH_WATER)))
            await asyncio.sleep(1000)
            assert not writing.done()
            assert near.idleness(now()) == 0
            writing.cancel()
        await asyncio.sleep(7)
        assert near.idleness(now()) == 7

    in_virtual_time(story())
