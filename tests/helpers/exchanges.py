"""Two ends of one feed that hand each other messages directly: no wire, no clock but their own."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from bitarray import bitarray

from datd.errors import IntegrityError
from datd.replication.exchange import FeedExchange, Send, Store
from datd.replication.picker import BlockPicker
from datd.wire.messages import Cancel, Data, Have, Message, Request


class Replica:
    """What one program holds of a feed: blocks, and the picker that all its exchanges share.

    `truth` stands for signature and hashes: a block that differs from it does not verify.
    """

    def __init__(
        self,
        truth: Mapping[int, bytes],
        held: Iterable[int] = (),
        *,
        length: int | None = None,
        choose: Callable[[int], int] = lambda limit: limit // 2,
    ) -> None:
        self.truth = truth
        self.blocks = {index: truth[index] for index in held}
        self.length = length if length is not None else max(self.blocks, default=-1) + 1
        bits = bitarray(self.length, endian="big")
        for index in self.blocks:
            bits[index] = 1
        self.picker = BlockPicker(bits, self.length, choose=choose)
        self.ends: list[End] = []

    def append(self, count: int) -> None:
        """Blocks of our own, told to everybody."""
        new = range(self.length, self.length + count)
        self.length += count
        self._keep({index: self.truth[index] for index in new})

    def clear(self, indexes: Iterable[int]) -> None:
        gone = list(indexes)
        for index in gone:
            del self.blocks[index]
        self.picker.lost(gone)
        for end in self.ends:
            end.send(end.exchange.lost(gone))

    def put(self, data: Data) -> None:
        """Verify and keep one block. A proof for it shows the whole feed's length."""
        if data.value != self.truth.get(data.index):
            raise IntegrityError(f"block {data.index} is not what was signed", index=data.index)
        assert data.value is not None
        self.length = max(self.length, max(self.truth) + 1)
        self._keep({data.index: data.value})

    def _keep(self, blocks: Mapping[int, bytes]) -> None:
        self.blocks.update(blocks)
        self.picker.stored(list(blocks), self.length)
        for end in self.ends:
            end.send(end.exchange.stored(list(blocks)))


@dataclass
class End:
    """One side of a pair.

    Attributes:
        sent: All it said, in order.
        serve: False for one that claims blocks and does not deliver.
    """

    replica: Replica
    exchange: FeedExchange
    sent: list[Message] = field(default_factory=list)
    serve: bool = True
    closed: bool = False
    on_the_way: deque[tuple[float, Message]] = field(default_factory=deque)
    now: float = 0.0
    delay: float = 0.0
    tamper: Callable[[Message], Message | None] = lambda message: message

    def send(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.sent.append(message)
            changed = self.tamper(message)
            if changed is not None:
                self.on_the_way.append((self.now + self.delay, changed))

    def take_in(self, message: Message) -> None:
        try:
            for action in self.exchange.receive(message, self.now):
                if isinstance(action, Send):
                    self.send([action.message])
                elif isinstance(action, Store):
                    self.replica.put(action.data)
        except IntegrityError as bad:
            self.exchange.failed(bad.index)
            self.close()
            raise

    def pump(self) -> None:
        """What a connection does after each read: serve, then ask."""
        if self.serve:
            for request in self.exchange.take_requests(64, 2**20):
                value = self.replica.blocks.get(request.index)
                if value is not None:
                    self.send([Data(request.index, value)])
        timer = self.exchange.next_timer()
        if timer is not None and timer <= self.now:
            self.send(self.exchange.handle_timer(self.now))
        self.send(self.exchange.request(i, 0) for i in self.exchange.next_requests(self.now))

    def close(self) -> None:
        self.closed = True
        self.exchange.close()
        if self in self.replica.ends:
            self.replica.ends.remove(self)

    @property
    def asked(self) -> list[int]:
        return [message.index for message in self.sent if isinstance(message, Request)]

    @property
    def served(self) -> list[int]:
        return [message.index for message in self.sent if isinstance(message, Data)]

    @property
    def cancelled(self) -> list[int]:
        return [message.index for message in self.sent if isinstance(message, Cancel)]

    @property
    def announced(self) -> list[Have]:
        return [message for message in self.sent if isinstance(message, Have)]


class ExchangePair:
    """Two replicas connected.

    `tamper` of an end changes what it sends (None: the message is lost), `delay` holds it back for
    so many seconds.
    """

    def __init__(
        self,
        left: Replica,
        right: Replica,
        *,
        left_downloads: bool = True,
        right_downloads: bool = True,
        live: bool = True,
        ack: bool = False,
        now: float = 0.0,
    ) -> None:
        self.left = self._end(left, left_downloads, live, ack, now)
        self.right = self._end(right, right_downloads, live, ack, now)

    @staticmethod
    def _end(replica: Replica, download: bool, live: bool, ack: bool, now: float) -> End:
        exchange = FeedExchange(replica.picker, now=now, download=download, live=live, ack=ack)
        end = End(replica, exchange, now=now)
        replica.ends.append(end)
        return end

    @property
    def ends(self) -> tuple[End, End]:
        return self.left, self.right

    def start(self) -> "ExchangePair":
        for end in self.ends:
            end.send(end.exchange.start())
        return self

    def step(self) -> bool:
        """Hand over what has arrived by now; whether there was anything."""
        if self.left.closed or self.right.closed:
            return False
        moved = False
        for end, other in (self.ends, self.ends[::-1]):
            while end.on_the_way and end.on_the_way[0][0] <= end.now and not other.closed:
                moved = True
                other.take_in(end.on_the_way.popleft()[1])
        for end in self.ends:
            if not end.closed:
                end.pump()
        return moved or any(end.on_the_way and end.on_the_way[0][0] <= end.now for end in self.ends)

    def deliver(self) -> "ExchangePair":
        """Hand over messages until all is quiet."""
        deliver([self])
        return self

    def advance(self, seconds: float) -> "ExchangePair":
        advance([self], seconds)
        return self


def deliver(pairs: Iterable[ExchangePair]) -> None:
    """Take turns among pairs until all are quiet."""
    pairs = list(pairs)
    moved = True
    while moved:
        moved = False
        for pair in pairs:
            moved = pair.step() or moved


def advance(pairs: Iterable[ExchangePair], seconds: float) -> None:
    """Let time go by, a second at most at a time, and deliver what it brings."""
    pairs = list(pairs)
    while seconds > 0:
        step = min(seconds, 1.0)
        seconds -= step
        for pair in pairs:
            for end in pair.ends:
                end.now += step
        deliver(pairs)
