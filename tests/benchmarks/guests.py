"""Peers that call: how many a second, what one that stays costs, who waits beside greedy ones.

Both sides serve the same archive, and the same callers visit both: they speak the protocol and
store nothing. Each has an address of its own out of 127.0.0.0/8, since limits count by address.
"""

import multiprocessing
import os
import random
import shutil
import socket
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import median, quantiles

from datd.keys import Key
from tests.benchmarks.original_side import OriginalSide
from tests.benchmarks.side import Side, Source
from tests.helpers.callers import HonestPeer, calling, seconds_for_a_block
from tests.helpers.processes import memory, open_files, processor_seconds

BLOCK_SIZE = 65536
BLOCKS = 800
# One polite read: 256 KiB, as a player of films or a browser asks.
READ = 4
READS = 60
GREEDY = 8
# What a greedy peer has asked for and not got.
GREEDY_BLOCKS = 256
STAYING = 40
VISITORS = 4
# Goals of reliability.md section 5.
VISITS_A_SECOND, PEER_BYTES, WAIT_SECONDS = 80.0, 60_000, 0.1


@dataclass(frozen=True, slots=True)
class Stay:
    """What one round told of a side.

    Attributes:
        visits: Callers a second that connect, shake hands, take a block and leave.
        visit_cpu: Processor seconds of a visit.
        left: Bytes of memory that all visits left behind.
        descriptors: Descriptors that all visits left behind.
        peer: Bytes of a peer that stays and is quiet.
        alone: Seconds of a polite read, the 95th percentile, when nobody else is there.
        beside: The same beside greedy peers.
        grown: Bytes that the greedy peers made it grow by.
    """

    visits: float
    visit_cpu: float
    left: int
    descriptors: int
    peer: float
    alone: float
    beside: float
    grown: int


Stays = dict[str, list[Stay]]


def measure(
    sides: Sequence[Side],
    original: OriginalSide,
    rounds: int,
    say: Callable[[str], object],
    *,
    visits: int = 2000,
    reads: int = READS,
) -> Stays:
    """Each side in turn, so many rounds."""
    stays: Stays = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="datd-bench-") as name:
        top = Path(name)
        source = top / "source"
        source.mkdir()
        (source / "file").write_bytes(os.urandom(BLOCKS * BLOCK_SIZE))
        original.make(source, top / "store", BLOCK_SIZE)
        for number in range(rounds):
            for side in sides:
                work = top / "run"
                work.mkdir()
                with side.serve(top / "store", work) as host:
                    stay = _stay(host, Key((top / "store/content.key").read_bytes()), visits, reads)
                shutil.rmtree(work)
                stays[side.name].append(stay)
                say(f"  round {number + 1}: {side.name}: {stay.visits:.0f} visits a second\n")
    return stays


def show(stays: Stays) -> list[str]:
    """Lines for people."""
    lines = [f"peers that call, {GREEDY} greedy ones beside a polite one"]
    for side, done in stays.items():
        goal = side != "original"
        visits = median(one.visits for one in done)
        peer = median(one.peer for one in done)
        beside = median(one.beside for one in done)
        lines += [
            f"  {side}",
            f"    visits a second: {visits:.0f}"
            + _verdict(goal, f"at least {VISITS_A_SECOND:g}", visits < VISITS_A_SECOND),
            f"    processor a visit: {median(one.visit_cpu for one in done) * 1e3:.2f} ms",
            f"    left by all visits: {median(one.left for one in done) / 1e6:.1f} MB, "
            f"{max(one.descriptors for one in done)} descriptors",
            f"    a quiet peer: {peer / 1e3:.0f} KB"
            + _verdict(goal, f"at most {PEER_BYTES / 1e3:g}", peer > PEER_BYTES),
            f"    256 KiB read alone, p95: {median(one.alone for one in done) * 1e3:.0f} ms",
            f"    beside greedy peers, p95: {beside * 1e3:.0f} ms"
            + _verdict(goal, f"at most {WAIT_SECONDS * 1e3:g}", beside > WAIT_SECONDS),
            f"    grown by greedy peers: {median(one.grown for one in done) / 1e6:.0f} MB",
        ]
    return lines


def _verdict(goal: bool, wanted: str, missed: bool) -> str:
    return f" ({wanted}){'  MISSED' if missed else ''}" if goal else ""


def _stay(host: Source, content: Key, visits: int, reads: int) -> Stay:
    key = Key.parse(host.key)
    _visit(host, key, VISITORS * 10)  # what is allocated once is there
    held, files, cpu = memory(host.pid), len(open_files(host.pid)), processor_seconds(host.pid)
    seconds = _visit(host, key, visits)
    visit_cpu = (processor_seconds(host.pid) - cpu) / visits
    left, descriptors = memory(host.pid) - held, len(open_files(host.pid)) - files
    peer = _staying(host, key)
    alone = _polite(host, key, content, reads)
    held = memory(host.pid)
    with _greedy(host, key, content):
        beside = _polite(host, key, content, reads)
        grown = memory(host.pid) - held
    return Stay(visits / seconds, visit_cpu, left, descriptors, peer, alone, beside, grown)


def _visit(host: Source, key: Key, visits: int) -> float:
    """So many visits by a few callers at once; gives the seconds of all."""
    start = time.monotonic()
    with ThreadPoolExecutor(VISITORS) as visitors:
        calls = visitors.map(
            lambda number: seconds_for_a_block(host.port, key, _address(number)), range(visits)
        )
        assert all(seconds > 0 for seconds in calls)
    return time.monotonic() - start


def _staying(host: Source, key: Key) -> float:
    """Bytes of memory of a peer that shook hands and is quiet."""
    before = memory(host.pid)
    with ExitStack() as guests:
        for number in range(STAYING):
            connection = guests.enter_context(calling(host.port, _address(number)))
            peer = HonestPeer(connection, key)
            peer.request(peer.metadata, 0)
            peer.receive(peer.metadata)
        return (memory(host.pid) - before) / STAYING


def _polite(host: Source, key: Key, content: Key, reads: int) -> float:
    """The 95th percentile of the seconds of a read, one after the other."""
    chance = random.Random(1)
    seconds = []
    with calling(host.port, "127.9.9.9") as connection:
        peer = HonestPeer(connection, key)
        channel = peer.open(content)
        for _ in range(reads):
            first = chance.randrange(BLOCKS - READ)
            start = time.monotonic()
            peer.request(channel, *range(first, first + READ))
            for _ in range(READ):
                peer.receive(channel)
            seconds.append(time.monotonic() - start)
    return quantiles(seconds, n=20)[-1]


@contextmanager
def _greedy(host: Source, key: Key, content: Key) -> Iterator[None]:
    """Peers, each a process of its own, that always have much more asked for than they got."""
    spawn = multiprocessing.get_context("spawn")
    over = spawn.Event()
    eating = [spawn.Event() for _ in range(GREEDY)]
    peers = [
        spawn.Process(
            target=_eat, args=(host.port, f"127.8.0.{number + 1}", key.hex, content.hex, full, over)
        )
        for number, full in enumerate(eating)
    ]
    for peer in peers:
        peer.start()
    try:
        for full in eating:
            if not full.wait(60):
                raise RuntimeError("a greedy peer got nothing")
        yield
    finally:
        over.set()
        for peer in peers:
            peer.join(30)


def _eat(port: int, source: str, key: str, content: str, full: Event, over: Event) -> None:
    chance = random.Random(source)
    with calling(port, source) as connection:
        peer = HonestPeer(connection, Key.parse(key))
        channel = peer.open(Key.parse(content))
        ask = threading.Semaphore(0)

        def read() -> None:
            # What comes is not looked at: a block has arrived when so many bytes have.
            came = 0
            while not over.is_set():
                try:
                    came += len(connection.recv(1 << 18))
                except OSError:
                    return
                while came >= BLOCK_SIZE:
                    came -= BLOCK_SIZE
                    full.set()
                    ask.release()

        for _ in range(GREEDY_BLOCKS):
            peer.request(channel, chance.randrange(BLOCKS))
        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        while not over.is_set():
            if ask.acquire(timeout=0.2):
                peer.request(channel, chance.randrange(BLOCKS))
        connection.shutdown(socket.SHUT_RDWR)
        reader.join(10)


def _address(number: int) -> str:
    return f"127.1.{number // 250 % 250}.{number % 250 + 1}"
