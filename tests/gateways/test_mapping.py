import asyncio
import contextlib
import itertools
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from tests.helpers.routers import LOOPBACK, PUBLIC, Igd, Router
from tests.helpers.virtual_time import in_virtual_time

from datd.gateways import mapping as gateway_mapping
from datd.gateways.mapping import (
    CLOSE_SECONDS,
    FIRST_RETRY,
    LAST_RETRY,
    LEASE_SECONDS,
    PortMapping,
)
from datd.gateways.route import Gateway
from datd.types import Address

HERE = Gateway(LOOPBACK, LOOPBACK)
PORT = 3282


class Told:
    """What the discovery networks are told."""

    def __init__(self) -> None:
        self.all: list[tuple[str | None, int | None]] = []
        self._arrived = asyncio.Event()

    def learn(self, host: str | None, port: int | None) -> None:
        self.all.append((host, port))
        self._arrived.set()

    async def next(self) -> tuple[str | None, int | None]:
        await self._arrived.wait()
        self._arrived.clear()
        return self.all[-1]


@asynccontextmanager
async def mapping(
    told: Told,
    router: Router | None = None,
    igd: Igd | None = None,
    find: Callable[[], Gateway | None] = lambda: HERE,
) -> AsyncIterator[None]:
    """A port that is being mapped until the end."""
    chance = random.Random(1)
    mapped = PortMapping(
        port=PORT,
        learn=told.learn,
        choose=chance.randrange,
        find_gateway=find,
        gateway_port=router.port if router is not None else 9,
        search=Address(LOOPBACK, igd.search_port) if igd is not None else None,
    )
    task = asyncio.get_running_loop().create_task(mapped.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def patient(monkeypatch):
    """What is given back may take its time: a busy machine may stand still for a second."""
    monkeypatch.setattr(gateway_mapping, "CLOSE_SECONDS", 60)


@pytest.mark.parametrize("name", ["PCP", "NAT-PMP"])
async def test_a_port_is_mapped_told_and_given_back(patient, name, caplog):
    caplog.set_level(logging.INFO)
    told = Told()
    made = Router(pcp=name == "PCP", nat_pmp=name == "NAT-PMP")
    async with made.serving() as router:
        async with mapping(told, router):
            assert await told.next() == (PUBLIC, PORT)
            lease = (PORT, LEASE_SECONDS)
            assert router.mappings == {("tcp", PORT): lease, ("udp", PORT): lease}
        assert router.mappings == {}
    assert told.all == [(PUBLIC, PORT), (None, None)]
    assert [record.message for record in caplog.records if record.levelno >= logging.INFO] == [
        f"the router passes on port {PORT} of {PUBLIC} to us ({name})"
    ]


async def test_upnp_is_the_last_resort(patient):
    told = Told()
    async with Router(nat_pmp=True, refuse=2).serving() as router, Igd().serving() as igd:
        async with mapping(told, router, igd):
            assert await told.next() == (PUBLIC, PORT)
            assert set(igd.mappings) == {("tcp", PORT), ("udp", PORT)}
        assert igd.mappings == {}


async def test_a_taken_port_is_mapped_from_another_one_and_both_protocols_alike():
    told = Told()
    async with Router(pcp=True, taken={PORT}).serving() as router, mapping(told, router):
        assert await told.next() == (PUBLIC, PORT + 1)
        assert {outside for outside, _ in router.mappings.values()} == {PORT + 1}
    told = Told()
    async with Igd(taken={PORT}).serving() as igd, mapping(told, None, igd):
        host, port = await told.next()
        assert set(igd.mappings) == {("tcp", port), ("udp", port)}
        assert host == PUBLIC
        assert port != PORT


def test_mappings_are_renewed_at_half_their_life():
    async def story() -> None:
        told = Told()
        async with Router(pcp=True, lifetime=600).serving() as router, mapping(told, router):
            await told.next()
            await asyncio.sleep(3600)
            # TCP and UDP each time.
            pauses = [after - before for before, after in itertools.pairwise(router.times[::2])]
            assert len(pauses) >= 10
            assert all(269 <= pause <= 331 for pause in pauses)
            assert len(set(pauses)) > 1
            # The same nonce each time, or the router would take it for another host's wish.
            assert len({request[24:36] for request in router.requests}) == 1
            assert told.all == [(PUBLIC, PORT)]

    in_virtual_time(story())


def test_a_router_that_will_not_is_asked_ever_more_rarely_and_told_of_once(caplog):
    caplog.set_level(logging.INFO)

    async def story() -> None:
        told, loop = Told(), asyncio.get_running_loop()
        before = loop.time()
        async with Router(nat_pmp=True, refuse=2).serving() as router, mapping(told, router):
            await asyncio.sleep(24 * 3600)
            # Two requests a try: PCP, and NAT-PMP's question for the address.
            tries = len(router.requests) / 2
            assert 24 <= tries <= 40
            assert told.all == []
            router.refuse = 0
            assert await told.next() == (PUBLIC, PORT)
            assert loop.time() - before < 24 * 3600 + 1.1 * LAST_RETRY
        assert FIRST_RETRY < LAST_RETRY

    in_virtual_time(story())
    lines = [record.message for record in caplog.records if record.levelno >= logging.INFO]
    assert lines[0] == (
        f"the router {LOOPBACK} maps no port (PCP: it does not speak this version of PCP; "
        "NAT-PMP: port mapping is switched off in it)"
    )
    assert len(lines) == 2


def test_where_there_is_no_router_it_is_quiet(caplog):
    caplog.set_level(logging.INFO)

    async def story() -> None:
        told = Told()
        async with mapping(told, find=lambda: None):
            await asyncio.sleep(24 * 3600)
        assert told.all == []

    in_virtual_time(story())
    assert len([r for r in caplog.records if r.levelno >= logging.INFO]) == 1


def test_another_network_is_another_router():
    async def story() -> None:
        told, here = Told(), [HERE]
        async with Router(pcp=True, taken={PORT}).serving() as router:
            async with mapping(told, router, find=lambda: here[0]):
                assert await told.next() == (PUBLIC, PORT + 1)
                here[0] = Gateway("127.0.0.2", "127.0.0.1")
                assert await told.next() == (None, None)
                other = Router(pcp=True, public="192.0.2.9", port=router.port)
                async with other.serving("127.0.0.2"):
                    # What the old one had to spare does not matter here.
                    assert await told.next() == ("192.0.2.9", PORT)
            # Nothing more was said to the old one: it is out of reach.
            assert len(router.requests) == 2

    in_virtual_time(story())


def test_a_router_behind_another_nat_is_no_use_and_that_is_said(caplog):
    caplog.set_level(logging.INFO)

    async def story() -> None:
        told = Told()
        async with Router(pcp=True, public="10.1.2.3").serving() as router:
            async with mapping(told, router):
                await asyncio.sleep(7200)
            assert told.all == []
            assert router.mappings == {}

    in_virtual_time(story())
    assert "no public address itself (10.1.2.3)" in caplog.text


def test_a_router_that_fell_silent_is_told_of_and_found_again():
    async def story() -> None:
        told = Told()
        async with Router(pcp=True).serving() as router, mapping(told, router):
            assert await told.next() == (PUBLIC, PORT)
            router.silent = True
            assert await told.next() == (None, None)
            router.silent = False
            assert await told.next() == (PUBLIC, PORT)

    in_virtual_time(story())


@pytest.mark.parametrize(("lifetime", "port"), [(1, PORT), (0xFFFFFFFF, PORT), (60, 0)])
def test_t31_odd_grants_do_not_make_us_ask_all_the_time(lifetime, port):
    async def story() -> None:
        told = Told()
        router = Router(pcp=True, lifetime=lifetime)
        if port == 0:
            router._map = lambda *given: (0, lifetime)  # type: ignore[method-assign]
        async with router.serving(), mapping(told, router):
            await asyncio.sleep(3600)
            assert 2 <= len(router.requests) <= 2 * 3600 / 54 + 2
            assert told.all == ([(PUBLIC, PORT)] if port else [])

    in_virtual_time(story())


def test_closing_takes_no_longer_than_a_second():
    async def story() -> None:
        told, loop = Told(), asyncio.get_running_loop()
        async with Router(pcp=True).serving() as router:
            async with mapping(told, router):
                await told.next()
                router.silent = True
                before = loop.time()
            assert loop.time() - before == pytest.approx(CLOSE_SECONDS)
        assert told.all[-1] == (None, None)

    in_virtual_time(story())
    assert CLOSE_SECONDS <= 1
