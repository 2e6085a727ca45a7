"""What each step of a transfer costs: both ends in one thread, without sockets, in processor time.

Rates beside the original depend on who else uses the machine, these numbers far less: old and new
in turns tell whether a change made a step dearer. They leave out what the daemon adds: threads,
sockets, flushes. Pages of new files are dear where a virtual machine's host has to find them: with
blocks of 64 KiB `store` may take twice as long by chance.
"""

import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import process_time

from datd.crypto import key_pair
from datd.feed.feed import Feed
from datd.hosting.batches import serve_batch, store_batch
from datd.hosting.descriptors import Descriptors
from datd.hosting.peer import KEEPS_HASHES, SERVE_COUNT
from datd.hosting.toll import SERVE_BYTES
from datd.keys import Key
from datd.replication.exchange import FeedExchange, Send, Store
from datd.replication.picker import USUAL_BLOCK, BlockPicker
from datd.storage.layout import bare
from datd.wire.messages import Data
from datd.wire.session import HandshakeReceived, MessageReceived, Session
from tests.benchmarks.report import Load, table

LOADS = (Load(100, 4_000_000), Load(1024, 20_000_000), Load(65536, 200_000_000))

# What a socket gives at most in one read.
_READ = 256 * 1024
# The serving end's, then the other one's.
STEPS = ("hear requests", "serve", "encrypt", "hear blocks", "store", "ask", "note")
COLUMNS = ("", *STEPS, "seed", "fetch")
_SEEDING = 3


@dataclass(frozen=True, slots=True)
class Transfer:
    """One feed from one end to the other.

    Attributes:
        load: What it was.
        keeps: Whether the ends agreed that no hash is sent twice.
        seconds: Of processor time, by step.
    """

    load: Load
    keeps: bool
    seconds: dict[str, float]

    def each(self, step: str) -> float:
        """Microseconds a block."""
        return self.seconds[step] / (self.load.size // self.load.block_size) * 1e6


@dataclass
class _End:
    feed: Feed
    session: Session
    picker: BlockPicker
    exchange: FeedExchange
    spent: defaultdict[str, float]
    known: set[int] | None = None
    blocks: list[Data] = field(default_factory=list)

    @classmethod
    def open(
        cls, feed: Feed, spent: defaultdict[str, float], number: int, *, keeps: bool
    ) -> "_End":
        names = (KEEPS_HASHES,) if keeps else ()
        session = Session(
            nonce=bytes([number]) * 24, peer_id=bytes([number]) * 32, now=0.0, extensions=names
        )
        size = feed.byte_length // feed.length if feed.length else USUAL_BLOCK
        picker = BlockPicker(feed.have, feed.length, choose=lambda _: 0, block_size=size)
        session.open(feed.key)
        return cls(feed, session, picker, FeedExchange(picker, now=0.0), spent)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        start = process_time()
        yield
        self.spent[name] += process_time() - start

    def hear(self, data: bytes | bytearray, name: str) -> None:
        """Take in what the other end sent; blocks wait in `blocks`."""
        with self._step(name):
            self.session.receive_data(data, 0.0)
            for event in self.session.events_received():
                if isinstance(event, HandshakeReceived):
                    self._start(event)
                elif isinstance(event, MessageReceived):
                    for action in self.exchange.receive(event.message, 0.0):
                        if isinstance(action, Store):
                            self.blocks.append(action.data)
                        elif isinstance(action, Send):
                            self.session.send(0, action.message)

    def _start(self, event: HandshakeReceived) -> None:
        if KEEPS_HASHES in event.handshake.extensions:
            self.exchange.keeps_hashes, self.known = True, set()
        for message in self.exchange.start():
            self.session.send(0, message)

    def serve(self) -> None:
        """Answer what the other end asked for."""
        with self._step("serve"):
            requests = self.exchange.take_requests(SERVE_COUNT, SERVE_BYTES)
            while requests:
                served = serve_batch(self.feed, 0, requests, self.known, SERVE_BYTES)
                self.session.send_encoded(served.frames)
                requests = list(served.left) or self.exchange.take_requests(
                    SERVE_COUNT, SERVE_BYTES
                )

    def store(self) -> None:
        """Store the blocks that came and ask for others."""
        blocks, self.blocks = self.blocks, []
        with self._step("ask"):
            ask = self.exchange.next_requests(0.0)
        with self._step("store"):
            stored = store_batch(self.feed, blocks, ask)
        with self._step("ask"):
            for index, digest in zip(ask, stored.digests, strict=True):
                self.session.send(0, self.exchange.request(index, digest))
        with self._step("note"):
            self.picker.stored(stored.here, self.feed.length)
            for message in self.exchange.stored(stored.here):
                self.session.send(0, message)

    def said(self, name: str) -> bytes | bytearray:
        """What goes to the other end, encrypted."""
        with self._step(name):
            return self.session.data_to_send()


def transfer(load: Load, folder: Path, *, keeps: bool) -> Transfer:
    """Carry a new feed of that many blocks over, within an empty folder."""
    spent: defaultdict[str, float] = defaultdict(float)
    pool = Descriptors()
    source = Feed.create(bare(folder / "s", pool), key_pair(bytes(32)))
    piece = os.urandom(load.block_size)
    count = load.size // load.block_size
    for start in range(0, count, 4096):
        numbers = range(start, min(count, start + 4096))
        source.append([number.to_bytes(8, "big") + piece[8:] for number in numbers])
    source.flush()
    copy = Feed.open(bare(folder / "f", pool), Key(source.key.raw))
    seeder = _End.open(source, spent, 1, keeps=keeps)
    reader = _End.open(copy, spent, 2, keeps=keeps)
    reader.picker.want_all()
    while copy.present_blocks < count:
        before = copy.present_blocks, len(reader.blocks)
        seeder.hear(reader.said("ask"), "hear requests")
        seeder.serve()
        sent = seeder.said("encrypt")
        for start in range(0, len(sent), _READ):
            reader.hear(sent[start : start + _READ], "hear blocks")
            reader.store()
        if not sent and before == (copy.present_blocks, 0) and not reader.session.unsent:
            raise RuntimeError(f"nothing moves after {before[0]} of {count} blocks")
    source.close()
    copy.close()
    pool.close()
    return Transfer(load, keeps, dict(spent))


def measure(
    rounds: int, say: Callable[[str], object], loads: Sequence[Load] = LOADS
) -> list[Transfer]:
    """All loads, with and without kept hashes, so many rounds."""
    done = []
    for number in range(rounds):
        for load in loads:
            for keeps in (True, False):
                with tempfile.TemporaryDirectory(prefix="datd-bench-") as name:
                    done.append(transfer(load, Path(name), keeps=keeps))
            say(f"  round {number + 1}: {load.title}\n")
    return done


def show(done: Sequence[Transfer]) -> list[str]:
    """Microseconds a block, medians; the last two columns are the sums of either end."""
    rows = []
    for load, keeps in dict.fromkeys((one.load, one.keeps) for one in done):
        runs = [one for one in done if (one.load, one.keeps) == (load, keeps)]
        each = [median(run.each(step) for run in runs) for step in STEPS]
        sums = (sum(each[:_SEEDING]), sum(each[_SEEDING:]))
        peer = "datd" if keeps else "others"
        rows.append([f"{load.title}, {peer}", *(f"{one:.2f}" for one in (*each, *sums))])
    return [table("microseconds of processor time a block", rows, COLUMNS)]
