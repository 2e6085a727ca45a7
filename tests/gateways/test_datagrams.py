import asyncio
import socket

import pytest
from tests.helpers.ports import free_port
from tests.helpers.routers import LOOPBACK, Router
from tests.helpers.virtual_time import in_virtual_time

from datd.errors import GatewayError
from datd.gateways.datagrams import PAUSES, NatPmp, Pcp, ask
from datd.types import Address

NONCE = bytes(range(12))


def read(datagram: bytes) -> bytes | None:
    return datagram if datagram.startswith(b"yes") else None


async def test_nat_pmp_maps_and_ends_a_mapping():
    async with Router(nat_pmp=True, lifetime=120, taken={3282}).serving() as router:
        way = NatPmp(Address(LOOPBACK, router.port))
        assert await way.add("tcp", 3282, 3282, 3600) == ("192.0.2.7", 3283, 120)
        assert router.mappings == {("tcp", 3282): (3283, 120)}
        await way.remove("tcp", 3282, 3283)
        assert router.mappings == {}


async def test_pcp_maps_and_ends_a_mapping():
    async with Router(pcp=True).serving() as router:
        way = Pcp(Address(LOOPBACK, router.port), LOOPBACK, NONCE)
        assert await way.add("udp", 3282, 8080, 3600) == ("192.0.2.7", 8080, 3600)
        assert router.mappings == {("udp", 3282): (8080, 3600)}
        await way.remove("udp", 3282, 8080)
        assert router.mappings == {}


async def test_each_says_when_the_router_speaks_the_other():
    async with Router(nat_pmp=True).serving() as router:
        with pytest.raises(GatewayError, match="does not speak"):
            await Pcp(Address(LOOPBACK, router.port), LOOPBACK, NONCE).add("tcp", 1, 1, 1)
    async with Router(pcp=True).serving() as router:
        with pytest.raises(GatewayError, match="does not speak"):
            await NatPmp(Address(LOOPBACK, router.port)).add("tcp", 1, 1, 1)


def test_a_silent_router_is_asked_four_times_and_given_up():
    async def story() -> None:
        async with Router(nat_pmp=True, silent=True).serving() as router:
            loop = asyncio.get_running_loop()
            before = loop.time()
            with pytest.raises(GatewayError, match="does not answer"):
                await NatPmp(Address(LOOPBACK, router.port)).add("tcp", 1, 1, 1)
            assert loop.time() - before == pytest.approx(sum(PAUSES))
            assert router.requests == [b"\0\0"] * len(PAUSES)

    in_virtual_time(story())


async def test_where_nobody_listens_it_ends_at_once():
    with pytest.raises(GatewayError, match="not map ports in this way"):
        await ask(Address(LOOPBACK, free_port()), b"?", read)


def test_a_lost_request_is_sent_again():
    async def story() -> None:
        router = Router()
        heard = iter([[], [], [b"no", b"yes"]])
        router.answer = lambda request: next(heard)  # type: ignore[method-assign]
        async with router.serving():
            assert await ask(Address(LOOPBACK, router.port), b"?", read) == b"yes"

    in_virtual_time(story())


def test_answers_from_others_are_not_heard():
    async def story() -> None:
        forger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        forger.bind((LOOPBACK, 0))
        seen: list[int] = []

        class Watched(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
                seen.append(addr[1])
                forger.sendto(b"yes, forged", addr)

        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Watched, local_addr=(LOOPBACK, 0))
        port = transport.get_extra_info("sockname")[1]
        with pytest.raises(GatewayError, match="does not answer"):
            await ask(Address(LOOPBACK, port), b"?", read)
        assert len(seen) == len(PAUSES)
        transport.close()
        forger.close()

    in_virtual_time(story())


async def test_an_address_without_a_way_to_it():
    with pytest.raises(GatewayError, match="cannot be reached"):
        await ask(Address("255.255.255.255", 5351), b"?", read)
