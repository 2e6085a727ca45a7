"""One feed of an open archive as the event loop sees it: who exchanges it, who waits for it."""

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from bitarray import bitarray

from datd.feed.feed import Feed
from datd.replication.exchange import FeedExchange
from datd.replication.picker import BlockPicker

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
        self.feed = feed
        self.picker = BlockPicker(have, feed.length, choose=choose)
        self.present_bytes = present_bytes
        self.exchanges: dict[FeedExchange, PeerConnection] = {}
        self._readers: dict[int, list[asyncio.Future[None]]] = {}

    def wait_for(self, indexes: Iterable[int]) -> asyncio.Future[None]:
        """Ask for blocks before others; the future ends when the first of them is here."""
        wanted = [index for index in indexes if index not in self.picker.have]
        arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not wanted:
            arrived.set_result(None)
            return arrived
        self.picker.prioritise(wanted)
        self._readers.setdefault(wanted[0], []).append(arrived)
        self.ask_all()
        return arrived

    def ask_all(self) -> None:
        """There may be something new to ask somebody for."""
        for connection in self.exchanges.values():
            connection.ask()

    def give_up(self, indexes: Iterable[int]) -> None:
        """Nobody waits for these any more, unless somebody else does."""
        for index in indexes:
            waiting = [f for f in self._readers.get(index, ()) if not f.done()]
            if waiting:
                self._readers[index] = waiting
            else:
                self._readers.pop(index, None)
                self.picker.forget_priority([index])

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
