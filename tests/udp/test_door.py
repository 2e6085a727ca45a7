import asyncio
import socket
import sys
import time
from collections.abc import Sequence

import pytest
from tests.udp.test_socket import DHT, DNS, Ear

from datd.types import Address
from datd.udp.demultiplex import Kind
from datd.udp.socket import UdpSocket

FRIEND, STRANGER = "127.0.0.1", "127.0.0.2"
PATIENCE = 240.0


def throw(mouth: socket.socket, port: int, count: int) -> None:
    for _ in range(count):
        mouth.sendto(DNS, (FRIEND, port))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel has to help")
async def test_in_a_flood_who_was_asked_is_heard_at_once_and_later_everybody():
    """What waits when it begins is thousands of datagrams, and each costs the reader its time."""
    udp = UdpSocket()
    answers, read = Ear(udp, Kind.DHT), [0]

    def slowly(datagrams: Sequence[bytes], _: Address) -> None:
        read[0] += len(datagrams)
        until = time.perf_counter() + 0.0005 * len(datagrams)
        while time.perf_counter() < until:
            pass

    udp.route(Kind.DNS, slowly)
    port = await udp.listen(FRIEND, 0)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as friend,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger,
    ):
        friend.bind((FRIEND, 0))
        friend.setblocking(False)
        stranger.bind((STRANGER, 0))
        thrown = 0
        async with asyncio.timeout(PATIENCE):
            while thrown < 20_000:  # four times as fast as it is read
                throw(stranger, port, 256)
                thrown += 256
                await asyncio.sleep(0)
            assert read[0] < thrown / 2
            throw(stranger, port, 256)
            udp.send(b"?", Address(*friend.getsockname()), awaited=True)
            friend.sendto(DHT, (FRIEND, port))
            await answers.wait_for(1)
            assert read[0] < thrown / 2
            # One that is not from a stranger, many times: nothing is lost.
            for count in range(1, 100):
                throw(stranger, port, 64)
                friend.sendto(DHT, (FRIEND, port))
                await answers.wait_for(1 + count)
            # The flood is over. As soon as all are heard, a few words of a stranger arrive.
            while True:
                before = read[0]
                throw(stranger, port, 32)
                await asyncio.sleep(0.2)
                if read[0] == before + 32:
                    break
    udp.close()
