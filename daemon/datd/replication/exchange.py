"""One feed with one peer: who has what, what was asked, what to answer.

It neither verifies nor stores a block: it says which ones are worth verifying. Time comes in as an
argument. Requests that wait too long go back to the picker, for another peer.

Source: wire.md sections 6 to 8, reliability.md T-13 to T-18, T-23, T-24.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from datd.errors import HashesLost, ProtocolError
from datd.replication.announcements import Announcements
from datd.replication.block_map import REGION, REGION_BITS
from datd.replication.ending import Ending
from datd.replication.hash_asking import HashAsking
from datd.replication.pending import PendingRequests
from datd.replication.picker import BlockPicker
from datd.replication.remote_blocks import RemoteBlocks
from datd.replication.request_queue import RequestQueue
from datd.replication.seek_asking import SeekAsking
from datd.wire.messages import (
    Cancel,
    Data,
    Have,
    Info,
    Message,
    Request,
    Unhave,
    Unwant,
    Want,
)

# L-15: answers to nothing we asked, over the life of a connection.
_UNASKED: Final = 100

# A peer that does not answer a Want in so many seconds has nothing to tell.
_WANT_PATIENCE: Final = 20.0


@dataclass(slots=True)
class Send:
    """Send this message to the peer."""

    message: Message


@dataclass(slots=True)
class Store:
    """Verify this block and store it; then call `stored`, `failed` or `not_stored`.

    Without a value it is the hash of a block: verify it, and tell `picker.hashes` afterwards.
    """

    data: Data


Action = Send | Store


class FeedExchange:
    """The book of one peer on one feed.

    Attributes:
        remote: What the peer says it has.
        remote_uploading: What the peer last said of itself; True until it says otherwise.
        remote_downloading: Likewise.
        ack: Whether the peer wants a receipt for each block.
        heard: Whether the peer has told anything of what it has.
        hashes: What the peer was asked for of hashes alone.
        seeks: The bytes that the peer was asked to find.
        keeps_hashes: Whether the peer counts on every hash it sent us being kept.
    """

    def __init__(
        self,
        picker: BlockPicker,
        *,
        now: float,
        download: bool = True,
        live: bool = True,
        ack: bool = False,
    ) -> None:
        """Open the book. Nothing is asked for before `start`.

        Args:
            picker: Of the feed, shared by the exchanges with all peers.
            now: Seconds on the clock that all other times are read from.
            download: False for our own feeds, and where nothing is to be fetched.
            live: Whether to stay after everything is here; else see `finished`.
            ack: Whether the peer's Handshake asked for a receipt for each block.
        """
        self.remote = RemoteBlocks()
        self.remote_uploading = True
        self.remote_downloading = True
        self._picker = picker
        self._download = download
        self.ack = ack
        self.keeps_hashes = False
        self._started = False
        self._announcements = Announcements(picker, now)
        self._queue = RequestQueue()
        self._ending = Ending(download=download, live=live)
        self._live = live
        self._pending = PendingRequests(now)
        self.hashes = HashAsking(picker, self.remote, now)
        self.seeks = SeekAsking(picker, self.remote)
        self.heard = False
        self._arrived: set[int] = set()  # handed out as Store, not settled yet
        self._wants: dict[int, float] = {}  # region -> when we asked what the peer has there
        self._want_due: int | None = None
        self._now = now
        self._unasked = 0

    # Talking

    def start(self) -> list[Message]:
        """Both sides have opened the channel and shaken hands: say what we want to know."""
        self._started = True
        if not self._download:
            return []
        self.remote.unknown[0] = True
        self._picker.join(self.remote)
        return [self._want(0)]

    def receive(self, message: Message, now: float) -> list[Action]:
        """Take in a message of this feed.

        Messages that concern the connection (Feed, Handshake, extensions) are ignored.

        Raises:
            ProtocolError: Too many Wants or unasked answers, or a bitfield that is malformed or
                larger than what was asked about. The connection must end.
            HashesLost: The peer counts on an answer that was dropped, being too late. Likewise.
        """
        self._now = now
        match message:
            case Data():
                return self._receive_data(message, now)
            case Request():
                return self._receive_request(message)
            case Have():
                return self._receive_have(message)
            case Unhave():
                return self._receive_unhave(message)
            case Want():
                return [Send(answer) for answer in self._announcements.want(message, now)]
            case Unwant():
                self._announcements.unwant(message)
            case Cancel():
                self._queue.cancel(message)
            case Info():
                return self._receive_info(message)
            case _:
                pass
        return []

    def stored(self, indexes: Sequence[int]) -> list[Message]:
        """Blocks were stored or appended, and the picker knows: what to tell this peer.

        To be called with every batch, whomever the blocks came from.
        """
        messages: list[Message] = []
        arrived, pending, remote = self._arrived, self._pending, self.remote
        if arrived:
            mine = [index for index in indexes if index in arrived]
            arrived.difference_update(mine)
            if self.ack:
                messages += [Have(index, ack=True) for index in mine]
        if pending:
            obsolete = [index for index in indexes if index in pending]
            self._give_up(obsolete)
            messages += [Cancel(index) for index in obsolete]
        if self._announcements.active:
            # Who has a block already gains nothing from hearing that we have it, too.
            news = [index for index in indexes if index not in remote]
            messages += self._announcements.stored(news)
        return messages + self._end_if_complete()

    def lost(self, indexes: Iterable[int]) -> list[Message]:
        """Blocks are no longer here, and the picker knows: what to tell this peer."""
        gone = list(indexes)
        for index in gone:
            self._queue.forget_blocks(index, index + 1)
        return list(self._announcements.lost(gone))

    def close(self) -> None:
        """The connection or the channel is gone; what was asked of this peer is free again."""
        self._pending.clear()
        self.hashes.clear()
        self._arrived.clear()
        self._download = False
        self._picker.leave(self.remote)

    # Asking

    def next_requests(self, now: float) -> list[int]:
        """The next blocks to ask this peer for. They count as asked from here on."""
        self._now = now
        if not self._started or not self._download:
            return []
        room = self._pending.window.room(
            len(self._pending), self._picker.expected_size, urgent=self._picker.urgent
        )
        if room == 0:
            return []
        indexes = self._picker.next(self.remote, room)
        self._pending.add(indexes, now)
        if len(indexes) < room and not self._wants and self.remote.unknown.any():
            self._want_due = self._picker.region_to_ask_about(self.remote)
        return indexes

    def withdraw(self, indexes: Sequence[int]) -> None:
        """These blocks out of `next_requests` are not asked for after all."""
        self._pending.withdraw(indexes)
        self._picker.give_back(self.remote, indexes)

    def allow_in_flight(self, size: int) -> None:
        """Ask for no more than so many bytes that have not come yet, but for two blocks."""
        self._pending.window.bytes_in_flight = size

    def next_hashes(self, now: float) -> list[int]:
        """The next blocks whose hashes to ask this peer for; see `hashes`."""
        return self.hashes.next(now) if self._started and self._download else []

    def next_seeks(self, now: float) -> list[Request]:
        """The messages that ask this peer to find bytes; see `seeks`."""
        if not self._picker.seeks or not self._started or not self._download:
            return []
        return self.seeks.next(now)

    def request(self, index: int, digest: int) -> Request:
        """The message that asks for a block out of `next_requests`.

        Args:
            index: Block.
            digest: Which of the hashes above it are here, as `Feed.digest` says.
        """
        return Request(index, nodes=digest)

    def failed(self, index: int) -> None:
        """That block from this peer was bad: it is never asked for it again (decision 2)."""
        self._arrived.discard(index)
        self._picker.give_back(self.remote, [index])
        self._picker.hashes.give_back(self.remote, [index])
        self.remote.refuse(index)

    def not_stored(self, answers: Iterable[Data]) -> None:
        """Blocks or hashes could not be stored, by no fault of the peer's (a full disk).

        Raises:
            HashesLost: The peer counts on them, and later proofs of its would be too short: the
                connection must end.
        """
        blocks: list[int] = []
        hashes: list[int] = []
        for data in answers:
            (hashes if data.value is None else blocks).append(data.index)
        self._arrived.difference_update(blocks)
        self._picker.give_back(self.remote, blocks)
        self._picker.hashes.give_back(self.remote, hashes)
        if blocks and self.keeps_hashes:
            raise HashesLost(f"block {blocks[0]} came and could not be kept")

    # Serving

    @property
    def queued(self) -> int:
        """Requests of the peer that wait. At `request_queue.QUEUE_LIMIT`, stop reading from it."""
        return len(self._queue)

    def take_requests(self, max_count: int, max_bytes: int) -> list[Request]:
        """The oldest requests of the peer, to be answered now; see `RequestQueue.take`."""
        return self._queue.take(max_count, max_bytes, self._picker.expected_size)

    # Time

    def next_timer(self) -> float | None:
        """When to call `handle_timer`; may lie in the past. None: nothing is waited for."""
        if self._want_due is not None:
            return self._now
        times = [asked_at + _WANT_PATIENCE for asked_at in self._wants.values()]
        books = (self._pending, self.hashes, self.seeks)
        times += [time for book in books if (time := book.next_timer()) is not None]
        return min(times, default=None)

    def handle_timer(self, now: float) -> list[Message]:
        """Give up what waited too long, ask further what the peer has; what to send."""
        self._now = now
        self._forget_unanswered_wants(now)
        messages: list[Message] = self._ask_others(now)
        if self._want_due is not None:
            messages.append(self._want(self._want_due))
        return messages

    # State

    @property
    def finished(self) -> bool:
        """Whether both ends need nothing more of this feed. Never so while we are live."""
        return self._ending.finished

    @property
    def in_flight(self) -> int:
        """Requests to this peer without an answer."""
        return len(self._pending)

    @property
    def window(self) -> int:
        """Requests that this peer may have without an answer, whatever the size of blocks."""
        return self._pending.window.size

    def _receive_data(self, data: Data, now: float) -> list[Action]:
        index = data.index
        if data.value is None and self.hashes.answered(index, now):
            self._pending.progressed(now)
            return [Store(data)]
        found = False
        if not self._pending.answered(index, now, delivered=data.value is not None):
            found = self.seeks.answered(index, now)
            if not found:
                return self._count_unasked(data)
        if data.value is None and not found:
            # An answer, but without the block. It will not be better the next time.
            self.remote.refuse(index)
            self._picker.give_back(self.remote, [index])
            return []
        self.hashes.progressed(now)
        self.seeks.progressed(now)
        if not self.remote.trusted:
            self.remote.trusted = True
            self._picker.announced(self.remote)
        if data.value is None:
            return [Store(data)]
        if index in self._picker.have or index in self._arrived:
            # The block is here, yet later proofs of this peer may build on this one's hashes, and
            # they may tell where a byte is.
            return [Store(data)] if self.keeps_hashes or found else []
        self._picker.arrived(self.remote, index, len(data.value))
        self._arrived.add(index)
        return [Store(data)]

    def _receive_request(self, request: Request) -> list[Action]:
        picker = self._picker
        if not request.bytes and not request.hash and request.index not in picker.have:
            # Decision 15: what was lost is taken back; what never was gets no answer.
            return [Send(Unhave(request.index))] if request.index < picker.length else []
        self._queue.add(request)
        return []

    def _receive_have(self, have: Have) -> list[Action]:
        if have.bitfield is not None:
            self.remote.have_bitfield(have.start, have.length, have.bitfield)
            if have.length <= 1:
                self._wants.clear()
            elif have.length == REGION:
                self._wants.pop(have.start >> REGION_BITS, None)
        else:
            self.remote.have(have.start, max(1, have.length))
        self.heard = True
        self._picker.announced(self.remote)
        return [Send(info) for info in self._end_if_complete()]

    def _receive_unhave(self, unhave: Unhave) -> list[Action]:
        start, stop = unhave.start, unhave.start + unhave.length
        self.remote.unhave(start, unhave.length)
        self._give_up(self._pending.within(start, stop))
        self.hashes.taken_back(start, stop)
        return []

    def _receive_info(self, info: Info) -> list[Action]:
        self.remote_uploading = info.uploading
        self.remote_downloading = info.downloading
        return [Send(answer) for answer in self._ending.informed(info, self._complete())]

    def _count_unasked(self, data: Data) -> list[Action]:
        if self.keeps_hashes and data.value is not None:
            raise HashesLost(f"block {data.index} came when nobody waited for it any longer")
        self._unasked += 1
        if self._unasked > _UNASKED:
            raise ProtocolError(f"sent more than {_UNASKED} blocks or hashes that nobody asked for")
        return []

    def _want(self, region: int) -> Want:
        if self.remote.crowded:
            self.remote.make_room()
        self._want_due = None
        self._wants[region] = self._now
        return Want(region << REGION_BITS, REGION)

    def _forget_unanswered_wants(self, now: float) -> None:
        for region in [
            r for r, asked_at in self._wants.items() if now >= asked_at + _WANT_PATIENCE
        ]:
            del self._wants[region]
            self.remote.unknown[region] = False

    def _ask_others(self, now: float) -> list[Message]:
        silent, elsewhere = self._pending.overdue(
            now, lambda index: self._picker.offered_elsewhere(index, self.remote)
        )
        for index in elsewhere:
            self.remote.doubt(index)
        if self._pending.hopeless and self.remote.trusted:
            self.remote.trusted = False
            self._picker.distrusted()
        late = (*silent, *elsewhere)
        self._give_up(late)
        self.seeks.late(now)
        return [*map(Cancel, late), *self.hashes.late(now)]

    def _give_up(self, indexes: Sequence[int]) -> None:
        if indexes:
            self._pending.give_up(indexes)
            self._picker.give_back(self.remote, indexes)

    def _complete(self) -> bool:
        return self.heard and self._picker.missing_count == 0

    def _end_if_complete(self) -> list[Message]:
        if self._live or not self._picker.everything or not self._complete():
            return []
        return list(self._ending.completed())
