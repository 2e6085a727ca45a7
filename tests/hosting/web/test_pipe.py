import asyncio

import pytest

from datd.hosting.web.pipe import pipe
from datd.transport.base import HIGH_WATER
from datd.types import Address

THERE = Address("192.0.2.1", 443)


async def test_bytes_go_both_ways_and_ends_are_seen():
    near, far = pipe("https", THERE)
    assert (near.kind, far.remote) == ("https", THERE)
    await near.write(b"question")
    assert await far.read() == b"question"
    near.close()
    assert await far.read() == b""
    await far.write(b"answer")
    far.close()
    assert (await near.read(), await near.read()) == (b"answer", b"")


async def test_who_writes_waits_for_who_reads():
    near, far = pipe("https", THERE)
    writing = asyncio.ensure_future(near.write(bytes(3 * HIGH_WATER)))  # noqa: TID251
    await asyncio.sleep(0)
    assert not writing.done()
    got = 0
    while got < 3 * HIGH_WATER:
        got += len(await far.read())
    await writing


async def test_an_end_from_either_side_stops_the_other():
    near, far = pipe("https", THERE)
    far.abort()
    assert await near.read() == b""
    with pytest.raises(ConnectionError):
        await near.write(b"late")
