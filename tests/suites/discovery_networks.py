"""What every `DiscoveryNetwork` must do. Test classes derive from the suite.

The suite looks at two hosts, A and B, on one network.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from datd.discovery.base import DiscoveryNetwork
from datd.types import Address

KEY = bytes(range(32))
OTHER = bytes(range(1, 33))


class Host:
    """A network of one host, and what it was told."""

    def __init__(self, network: DiscoveryNetwork, port: int) -> None:
        self.network = network
        self.port = port
        self.found: list[tuple[bytes, int]] = []
        self.sources: list[Address] = []
        self._news = asyncio.Event()

    async def start(self) -> None:
        await self.network.start(self._on_peer, self.port)

    async def finds(self, key: bytes, port: int) -> None:
        """Wait until a peer was told."""
        async with asyncio.timeout(120):
            while (key, port) not in self.found:
                self._news.clear()
                await self._news.wait()

    def _on_peer(self, key: bytes, address: Address, source: Address) -> None:
        self.found.append((key, address.port))
        self.sources.append(source)
        self._news.set()


class DiscoveryNetworkSuite:
    @pytest.fixture
    def networks(self) -> tuple[DiscoveryNetwork, DiscoveryNetwork]:
        raise AssertionError("each test class gives its own")

    @pytest.fixture
    async def hosts(self, networks) -> AsyncIterator[tuple[Host, Host]]:
        a, b = Host(networks[0], 3282), Host(networks[1], 4444)
        await a.start()
        await b.start()
        yield a, b
        await a.network.close()
        await b.network.close()

    async def test_who_asks_finds_who_announces(self, hosts):
        a, b = hosts
        a.network.join(KEY, True)
        a.network.lookup(KEY)  # a round: some networks announce by that only
        b.network.join(KEY, False)
        b.network.lookup(KEY)
        await b.finds(KEY, 3282)
        assert b.sources[0].host

    async def test_who_does_not_announce_is_not_found(self, hosts):
        a, b = hosts
        a.network.join(KEY, False)
        b.network.join(KEY, False)
        a.network.join(OTHER, True)
        b.network.join(OTHER, False)
        for host in hosts:
            host.network.lookup(KEY)
            host.network.lookup(OTHER)
        await b.finds(OTHER, 3282)
        assert (KEY, 3282) not in b.found

    async def test_announcers_find_each_other(self, hosts):
        a, b = hosts
        for host in hosts:
            host.network.join(KEY, True)
        a.network.lookup(KEY)
        b.network.lookup(KEY)
        await a.finds(KEY, 4444)
        await b.finds(KEY, 3282)

    async def test_nobody_finds_itself(self, hosts):
        a, b = hosts
        for host in hosts:
            host.network.join(KEY, True)
            host.network.lookup(KEY)
        await a.finds(KEY, 4444)
        await b.finds(KEY, 3282)
        assert (KEY, 3282) not in a.found
        assert (KEY, 4444) not in b.found

    async def test_the_whole_discovery_key_comes_back(self, hosts):
        a, b = hosts
        twin = KEY[:20] + bytes(12)
        a.network.join(twin, True)  # the same name on the network
        b.network.join(KEY, False)
        if a.network.name != "memory":
            a.network.lookup(twin)
            b.network.lookup(KEY)
            await b.finds(KEY, 3282)

    async def test_after_leaving_nothing_is_answered_nor_heard(self, hosts):
        a, b = hosts
        for key in (KEY, OTHER):
            a.network.join(key, True)
            b.network.join(key, True)
        a.network.leave(KEY)
        b.network.leave(OTHER)
        b.network.lookup(KEY)
        a.network.lookup(OTHER)
        b.network.leave(KEY)
        a.network.join(OTHER, True)
        b.network.join(OTHER, False)
        b.network.lookup(OTHER)
        await b.finds(OTHER, 3282)
        assert not [found for found in b.found if found[0] == KEY]

    async def test_leaving_what_was_not_joined_does_no_harm(self, hosts):
        hosts[0].network.leave(KEY)
        hosts[0].network.lookup(KEY)

    async def test_after_closing_nothing_is_told(self, hosts):
        a, b = hosts
        for host in hosts:
            host.network.join(KEY, True)
        await b.network.close()
        a.network.lookup(KEY)
        await asyncio.sleep(0.05)
        assert b.found == []
