"""One feed of an open archive as the event loop sees it: who exchanges it, who waits for it."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from bitarray import bitarray

from datd.errors import BlockMissing
from datd.feed.feed import Feed
from datd.replication.exchange import FeedExchange
from datd.replication.picker import USUAL_BLOCK, BlockPicker
from datd.types import Seek

if TYPE_CHECKING:
    from datd.hosting.peer import PeerConnection


class LiveFeed:
    """A feed with its picker, the exchanges that share it, and the readers that wait for blocks.

    The feed itself belongs to the archive's lane; everything else here belongs to the loop.

    Attributes:
        feed: Only to be called in the lane, but for its plain attributes.
        picker: What to ask of whom.
        present_bytes: Bytes of the blocks held, as the lane counted them last.
        exchanges: Who exchanges this feed with us.
        unproven: A length that peers claimed and did not prove when they were asked.
        watched: Whether somebody waits for whatever is appended next.
        on_hashes: Is told of blocks whose leaf hashes `picker.ask_hashes` has asked for: they came,
            or will not come; `Feed.leaf_hash` tells, in the lane.
        news: Set, and replaced, when blocks arrive.
        on_first: Is told when block 0 is here, also if whoever brought it has gone meanwhile.
    """

    def __init__(
        self, feed: Feed, have: bitarray, present_bytes: int, choose: Callable[[int], int]
    ) -> None:
        size = feed.byte_length // feed.length if feed.length else USUAL_BLOCK
        self.feed = feed
        self.picker = BlockPicker(have, feed.length, choose=choose, block_size=max(1, size))
        self.present_bytes = present_bytes
        self.exchanges: dict[FeedExchange, PeerConnection] = {}
        self.unproven = 0
        self.watched = False
        self.on_hashes: Callable[[list[int]], None] | None = None
        self.news = asyncio.Event()
        self.on_first: Callable[[], None] | None = None
        self._readers: dict[int, list[asyncio.Future[None]]] = {}
        self._listeners: list[asyncio.Future[None]] = []
        self.picker.on_reach = self._reached
        self._seekers: dict[int, list[asyncio.Future[None]]] = {}

    async def fetch(self, missing: BlockMissing) -> None:
        """Have asked for what a read of this feed lacks; wait for what it lacks first."""
        seeks = [Seek(*seek) for seek in missing.seeks]
        for seek in seeks:
            self.picker.seeks.want(seek)
        if not missing.unsure:
            return await self.arrival([missing.index, *missing.also], missing.stages)
        position = seeks[0].position
        if position not in self.picker.seeks:
            return None
        found: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._seekers.setdefault(position, []).append(found)
        self.ask_all()
        return await found

    @property
    def lonely(self) -> bool:
        """Whether somebody waits for news of it, and nobody is there who could bring them."""
        return self.watched and not self.exchanges

    async def longer(self) -> None:
        """Wait until a peer tells of a longer feed than anybody before."""
        heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._listeners.append(heard)
        try:
            await heard
        finally:
            # Who gave up must not stay in the list until somebody tells, which may be never.
            with suppress(ValueError):
                self._listeners.remove(heard)

    def _reached(self) -> None:
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            if not listener.done():
                listener.set_result(None)

    async def arrival(self, indexes: Iterable[int], stages: Sequence[int] = ()) -> None:
        """Have blocks asked for before others, and wait until the first missing one is here.

        Args:
            indexes: The blocks.
            stages: Some of them; the arrival of any ends the wait, too.
        """
        wanted = [index for index in indexes if index not in self.picker.have]
        if not wanted:
            return
        arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        awaited = [wanted[0], *(index for index in stages if index not in self.picker.have)]
        for index in awaited:
            self._readers.setdefault(index, []).append(arrived)
        self.picker.prioritise(wanted)
        self.ask_all()
        try:
            await arrived
        finally:
            self.picker.forget_priority(wanted)
            for index in awaited:
                readers = self._readers.get(index, [])
                if arrived in readers:
                    readers.remove(arrived)
                    if not readers:
                        del self._readers[index]

    def ask_all(self) -> None:
        """There may be something new to ask somebody for."""
        for connection in self.exchanges.values():
            connection.ask()

    def refuse(self, error: Exception) -> None:
        """Nothing more will come: who waits gets an error."""
        waiting = [*self._readers.values(), *self._seekers.values(), self._listeners]
        self._readers, self._seekers, self._listeners = {}, {}, []
        self.picker.forget_readers()
        for readers in waiting:
            for reader in readers:
                if not reader.done():
                    reader.set_exception(error)

    def stored(self, indexes: list[int]) -> None:
        """Blocks are here: wake who reads, tell who wants to know."""
        self.picker.stored(indexes, self.feed.length)
        if self._readers:
            for index in indexes:
                for reader in self._readers.pop(index, ()):
                    if not reader.done():
                        reader.set_result(None)
        for exchange, connection in self.exchanges.items():
            connection.tell(exchange, exchange.stored(indexes))
        self.news.set()
        self.news = asyncio.Event()
        if self.on_first is not None and 0 in indexes:
            self.on_first()

    def hashes_arrived(self, indexes: Iterable[int]) -> None:
        """The hashes of these blocks are here, or will not come: tell who asked for them."""
        settled = self.picker.hashes.settle(indexes)
        if settled and self.on_hashes is not None:
            self.on_hashes(settled)

    def sought(self, positions: Sequence[int]) -> None:
        """The blocks of these bytes are known now, or are not to be asked for any longer."""
        self.picker.seeks.settle(positions)
        for position in positions:
            for seeker in self._seekers.pop(position, ()):
                if not seeker.done():
                    seeker.set_result(None)

    def given_up(self, exchange: FeedExchange) -> None:
        """A peer did not answer in time: tell who need not wait any longer."""
        self.hashes_arrived(exchange.hashes.take_lost())
        self.sought(exchange.seeks.take_over())

    def lost(self, indexes: list[int]) -> None:
        """Blocks turned out to be damaged: say so, and fetch them again."""
        self.picker.lost(indexes)
        for exchange, connection in self.exchanges.items():
            connection.tell(exchange, exchange.lost(indexes))
        self.ask_all()

    def available(self, start: int, stop: int) -> int:
        """How many blocks of a range are here."""
        stop = min(stop, self.picker.length)
        return self.picker.have.window(start, stop).count() if start < stop else 0
