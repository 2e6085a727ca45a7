"""One feed of an open archive as the event loop sees it: who exchanges it, who waits for it."""

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from bitarray import bitarray

from datd.feed.feed import Feed
from datd.replication.exchange import FeedExchange
from datd.replication.picker import USUAL_BLOCK, BlockPicker

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
    """

    def __init__(
        self, feed: Feed, have: bitarray, present_bytes: int, choose: Callable[[int], int]
    ) -> None:
        size = feed.byte_length // feed.length if feed.length else USUAL_BLOCK
        self.feed = feed
        self.picker = BlockPicker(have, feed.length, choose=choose, block_size=max(1, size))
        self.present_bytes = present_bytes
        self.exchanges: dict[FeedExchange, PeerConnection] = {}
        self._readers: dict[int, list[asyncio.Future[None]]] = {}

    async def arrival(self, indexes: Iterable[int]) -> None:
        """Have blocks asked for before others, and wait until the first missing one is here."""
        wanted = [index for index in indexes if index not in self.picker.have]
        if not wanted:
            return
        arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        readers = self._readers.setdefault(wanted[0], [])
        readers.append(arrived)
        self.picker.prioritise(wanted)
        self.ask_all()
        try:
            await arrived
        finally:
            self.picker.forget_priority(wanted)
            readers.remove(arrived)
            if not readers and self._readers.get(wanted[0]) is readers:
                del self._readers[wanted[0]]

    def ask_all(self) -> None:
        """There may be something new to ask somebody for."""
        for connection in self.exchanges.values():
            connection.ask()

    def refuse(self, error: Exception) -> None:
        """Nothing more will come: who waits gets an error."""
        readers, self._readers = self._readers, {}
        for waiting in readers.values():
            for reader in waiting:
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
