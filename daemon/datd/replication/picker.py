"""Which block to ask of which peer next: the book that all exchanges of one feed share.

A block is asked of one peer at a time. What a reader waits for comes first; the rest goes in order
of the feed, each peer from a place of its own, so that peers do not get in one another's way.
No clock in here: exchanges decide when a request took too long.

Source: wire.md section 7 (asking), reliability.md T-23, T-24.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from bitarray import bitarray

from datd.feed import rle
from datd.replication.block_map import INDEX_LIMIT, REGION_BITS, BlockMap
from datd.replication.coverage import count_missing, count_unoffered
from datd.replication.hash_book import HashBook
from datd.replication.open_blocks import OpenBlocks
from datd.replication.remote_blocks import RemoteBlocks
from datd.replication.seek_book import SeekBook

# Regions looked at for something to ask about, at one go; each may cost some 30 microseconds.
_REGIONS_LOOKED_AT: Final = 8

# Answers to Wants that are kept coded while the feed does not change.
_CODED_WINDOWS: Final = 16

# What dat cuts files into; stands until blocks of this feed were seen.
USUAL_BLOCK: Final = 65536

# Weight of the newest block in the running average of sizes.
_NEWEST: Final = 0.05


@dataclass(slots=True)
class _Course:
    """How far a peer has come: where to go on, and when there was nothing more to be found."""

    cursor: int | None = None
    exhausted_at: int = -1


class BlockPicker:
    """The wanted, missing and requested blocks of one feed.

    Attributes:
        have: The blocks held here.
        length: Proven length of the feed, in blocks.
        known_length: The longest length that is proven, or announced by a peer still believed.
        everything: Whether all blocks are wanted, also those still to come.
        hashes: The leaf hashes that are asked for on their own.
        seeks: The bytes whose blocks are asked for.
        on_reach: Is called when `known_length` has grown.
        on_offer: Is called when more may have become open to be asked for, before it is: what a
            peer announced, or what is wanted now. Whoever is called may hold blocks.
        changes: Grows whenever blocks may have become free to be asked for. A connection that sees
            another number than last time should call `FeedExchange.next_requests` again.
    """

    def __init__(
        self,
        have: bitarray,
        length: int,
        *,
        choose: Callable[[int], int],
        block_size: int = USUAL_BLOCK,
    ) -> None:
        """Start with nothing wanted.

        Args:
            have: The first bit is block 0; bits missing at the end count as zero.
            length: Proven length, in blocks.
            choose: Gives, by chance, a number from 0 up to, not including, its argument.
            block_size: Bytes that a block of this feed may be expected to have.
        """
        self.have = BlockMap.of_bits(have)
        self.length = length
        self.known_length = length
        self.everything = False
        self.changes = 0
        self.on_offer: Callable[[], None] | None = None
        self.on_reach: Callable[[], None] | None = None
        self._choose = choose
        self._block_size = float(block_size)
        self._have_count = self.have.count()
        self._have_changes = 0
        self._missing_in_ranges = 0
        self._in_flight: dict[int, RemoteBlocks] = {}
        self._open = OpenBlocks(self.have, self._in_flight.keys(), length)
        self.hashes = HashBook(length)
        self.seeks = SeekBook()
        self._readers: dict[int, int] = {}  # block -> how many wait for it
        self._urgent: dict[int, None] = {}  # those that are not in flight, oldest first
        self._courses: dict[RemoteBlocks, _Course] = {}
        self._coded: dict[tuple[int, int], tuple[int, bytes]] = {}

    # What is wanted

    def want_all(self) -> None:
        """Want every block, also those the feed does not have yet."""
        self.everything = True
        self._open.want(BlockMap.of_ranges([(0, INDEX_LIMIT)]))
        self.changes += 1
        self._offer()

    def want(self, blocks: Iterable[tuple[int, int]] | BlockMap) -> None:
        """Want exactly these blocks, in place of what was wanted.

        Args:
            blocks: Ranges `(start, stop)`, or a set that nobody changes any more.
        """
        wanted = blocks if isinstance(blocks, BlockMap) else BlockMap.of_ranges(blocks)
        self.everything = False
        self._missing_in_ranges = count_missing(wanted, self.have)
        self._open.want(wanted)
        self.changes += 1
        self._offer()

    def prioritise(self, indexes: Iterable[int]) -> None:
        """Ask for these blocks before all others, wanted or not. Each call is one reader."""
        for index in indexes:
            if index not in self.have and 0 <= index < INDEX_LIMIT:
                self._readers[index] = self._readers.get(index, 0) + 1
                if index not in self._in_flight:
                    self._urgent[index] = None
        self.changes += 1

    def forget_priority(self, indexes: Iterable[int]) -> None:
        """One reader of each of these blocks waits no longer."""
        for index in indexes:
            readers = self._readers.get(index, 0)
            if readers > 1:
                self._readers[index] = readers - 1
            elif readers:
                del self._readers[index]
                self._urgent.pop(index, None)

    def forget_readers(self) -> None:
        """Nobody waits for anything any longer: nothing may be stored, or all is closed."""
        self._readers.clear()
        self._urgent.clear()
        self.seeks.clear()

    def hold(self, indexes: Iterable[int]) -> None:
        """Do not ask for these blocks, though they are wanted: they may come from elsewhere.

        What a reader waits for is asked for all the same, and so is what is in flight already.
        """
        for index in indexes:
            if index not in self.have:
                self._open.hold(index)
        self.changes += 1

    def hold_run(self, start: int, stop: int) -> None:
        """Hold a run out of `open_runs`, or a part of it: a thousand times faster than `hold`."""
        self._open.hold_run(start, stop)
        self.changes += 1

    def release_run(self, start: int, stop: int) -> None:
        """Hold none of the blocks from start to stop any more."""
        self._open.release_run(start, stop)
        self.changes += 1

    def release(self, indexes: Iterable[int]) -> None:
        """These blocks are held no longer: they are asked for like others."""
        held = self._open.held
        for index in indexes:
            if index in held:
                held.discard(index)
                if index not in self.have and index not in self._in_flight:
                    self._open.open(index)
        self.changes += 1

    def ask_hashes(self, indexes: Iterable[int]) -> None:
        """Have the leaf hashes of these blocks asked for, those of low numbers first."""
        self.hashes.want(indexes)
        self.changes += 1

    # What happened to blocks

    def stored(self, indexes: Iterable[int], length: int) -> None:
        """These blocks are here now, and the feed is proven to be `length` blocks long."""
        have, in_flight, opened = self.have, self._in_flight, self._open
        ranges = None if self.everything else opened.wanted
        for index in indexes:
            in_flight.pop(index, None)
            if have.add(index):
                self._have_count += 1
                opened.close(index)
                if index in opened.held:
                    opened.held.discard(index)
                if ranges is not None and index in ranges:
                    self._missing_in_ranges -= 1
                if self._readers and self._readers.pop(index, 0):
                    self._urgent.pop(index, None)
        self._have_changes += 1
        self.length = max(self.length, length)
        self._know(length)

    def lost(self, indexes: Iterable[int]) -> None:
        """These blocks are no longer here: damaged or cleared."""
        for index in indexes:
            if self.have.discard(index):
                self._have_count -= 1
                if not self.everything and index in self._open.wanted:
                    self._missing_in_ranges += 1
                self._free(index)
        self._have_changes += 1
        self.changes += 1

    # Peers

    def join(self, remote: RemoteBlocks) -> None:
        """A peer may be asked from now on."""
        self._courses[remote] = _Course()
        self.announced(remote)

    def leave(self, remote: RemoteBlocks) -> None:
        """A peer left, or nothing more is to be asked of it: its blocks are free for others."""
        if self._courses.pop(remote, None) is not None:
            self.hashes.leave(remote)
            self.seeks.leave(remote)
            mine = [index for index, owner in self._in_flight.items() if owner is remote]
            self.give_back(remote, mine)
            self.distrusted()

    def announced(self, remote: RemoteBlocks) -> None:
        """A peer told something new about what it has."""
        course = self._courses.get(remote)
        if course is not None:
            course.exhausted_at = -1
            if remote.trusted:
                self._know(remote.reach)
                self._offer()

    def distrusted(self) -> None:
        """What some peer announced counts for nothing any more."""
        reaches = [remote.reach for remote in self._courses if remote.trusted]
        self.known_length = self._open.length = max([self.length, *reaches])
        self.hashes.reach(self.known_length)

    def wants(self, index: int) -> bool:
        """Whether a block is wanted, here or not, other than by a reader."""
        return index in self._open.wanted

    def next(self, remote: RemoteBlocks, count: int) -> list[int]:
        """Choose up to `count` blocks to ask a peer for; they are in flight from here on."""
        course = self._courses.get(remote)
        if course is None or course.exhausted_at == self.changes or count <= 0:
            return []
        taken = self._take_urgent(remote, count) if self._urgent else []
        if len(taken) < count and remote.reach:
            if course.cursor is None:
                course.cursor = self._place(remote)
            cursor = course.cursor
            found = self._take(remote, cursor, INDEX_LIMIT, count - len(taken))
            if len(taken) + len(found) < count:
                found += self._take(remote, 0, cursor, count - len(taken) - len(found))
            if found:
                course.cursor = found[-1] + 1
                taken += found
        if len(taken) < count:
            course.exhausted_at = self.changes
        return taken

    def give_back(self, remote: RemoteBlocks, indexes: Iterable[int]) -> None:
        """A peer will not deliver these blocks: they may be asked of others, or of it again."""
        for index in indexes:
            if self._in_flight.get(index) is remote:
                del self._in_flight[index]
                self._free(index)
        self.changes += 1

    def arrived(self, remote: RemoteBlocks, index: int, size: int) -> None:
        """A block of `size` bytes came and is about to be stored; until then nobody is asked."""
        self._block_size += (size - self._block_size) * _NEWEST
        if index not in self._in_flight:
            self._in_flight[index] = remote
            self._urgent.pop(index, None)
            self._open.close(index)

    def region_to_ask_about(self, remote: RemoteBlocks) -> int | None:
        """A region with open blocks about which a peer may have more to tell, or None.

        Regions are those of a Want: region r is the 2^20 blocks from r * 2^20.
        """
        unknown = remote.unknown
        if not remote.trusted:
            return None
        for index in (*self._urgent, *self.seeks.guesses()):
            if unknown[index >> REGION_BITS]:
                return index >> REGION_BITS
        region = unknown.find(1)
        looked_at = 0
        while 0 <= region <= remote.reach >> REGION_BITS and looked_at < _REGIONS_LOOKED_AT:
            if self.hashes.any_in(region):
                return region
            if self._open.wanted.part(region) is not None:
                looked_at += 1
                if self._open.any_in(region):
                    return region
            region = unknown.find(1, region + 1)
        return None

    # Answers

    @property
    def missing_count(self) -> int:
        """Wanted blocks that are not here; of everything: those below `known_length`."""
        if self.everything:
            return max(0, self.known_length - self._have_count)
        return self._missing_in_ranges

    @property
    def in_flight_count(self) -> int:
        """Blocks asked for, or received and not stored yet."""
        return len(self._in_flight)

    @property
    def expected_size(self) -> int:
        """Bytes that the next block may be expected to have, at least 1."""
        return max(1, int(self._block_size))

    @property
    def urgent(self) -> bool:
        """Whether somebody waits for a block that was not asked for yet."""
        return bool(self._urgent)

    @property
    def idle(self) -> bool:
        """Whether no connected peer offers, or has yet to say if it offers, a missing block."""
        return not self._in_flight and not any(
            self._has_open(remote) for remote in self._courses if remote.trusted
        )

    def open_runs(self) -> Iterator[tuple[int, int]]:
        """Runs of blocks that could be asked of a peer now; those of several peers come again."""
        for remote in self._courses:
            if remote.trusted:
                yield from self._open.runs(remote, 0, INDEX_LIMIT)

    def offered(self, index: int) -> bool:
        """Whether a connected peer says it has the block."""
        return any(index in remote for remote in self._courses)

    def offered_elsewhere(self, index: int, remote: RemoteBlocks) -> bool:
        """Whether another peer than this one says it has the block."""
        return any(index in other for other in self._courses if other is not remote)

    def unavailable(self, blocks: Iterable[tuple[int, int]] | BlockMap | None = None) -> int:
        """Count missing blocks that no connected peer offers.

        A region counts as offered while a peer has yet to say what it has there.

        Args:
            blocks: Where to look, ranges `(start, stop)` or a set; None: among the wanted blocks,
                up to the proven length.
        """
        peers = [remote for remote in self._courses if remote.trusted]
        if blocks is None:
            return count_unoffered(self._open.wanted, self.have, self.length, peers)
        among = blocks if isinstance(blocks, BlockMap) else BlockMap.of_ranges(blocks)
        return count_unoffered(among, self.have, INDEX_LIMIT, peers)

    def coded_have(self, start: int, stop: int) -> bytes:
        """The bits of blocks held from start to stop, run-length coded for a Have."""
        coded = self._coded.get((start, stop))
        if coded is not None and coded[0] == self._have_changes:
            return coded[1]
        # Blocks beyond the feed's end are zero anyway, and zeros at the end are not coded.
        end = min(stop, max(start, self.length))
        made = rle.encode(self.have.window(start, end).tobytes()) if start < end else b""
        if len(self._coded) >= _CODED_WINDOWS:
            self._coded.pop(next(iter(self._coded)))
        self._coded[start, stop] = (self._have_changes, made)
        return made

    def _take_urgent(self, remote: RemoteBlocks, count: int) -> list[int]:
        taken = []
        for index in self._urgent:
            if index in remote:
                taken.append(index)
                if len(taken) == count:
                    break
        for index in taken:
            del self._urgent[index]
            self._in_flight[index] = remote
            self._open.close(index)
        return taken

    def _take(self, remote: RemoteBlocks, start: int, stop: int, count: int) -> list[int]:
        taken: list[int] = []
        for low, high in self._open.runs(remote, start, stop):
            high = min(high, low + count - len(taken))
            taken.extend(range(low, high))
            self._open.close_run(low, high)
            if len(taken) == count:
                break
        self._in_flight.update(dict.fromkeys(taken, remote))
        if self._urgent:
            for index in taken:
                self._urgent.pop(index, None)
        return taken

    def _free(self, index: int) -> None:
        if index not in self.have:
            self._open.open(index)
            if index in self._readers:
                self._urgent[index] = None

    def _has_open(self, remote: RemoteBlocks) -> bool:
        if self._courses[remote].exhausted_at != self.changes:
            if any(index in remote for index in self._urgent):
                return True
            if any(True for _ in self._open.runs(remote, 0, INDEX_LIMIT)):
                return True
        if self._open.any_held(remote):
            return True
        return self.region_to_ask_about(remote) is not None

    def _place(self, remote: RemoteBlocks) -> int:
        """Where a peer begins: the first one at the start, others somewhere else."""
        others = any(
            course.cursor is not None and other.trusted
            for other, course in self._courses.items()
            if other is not remote
        )
        return self._choose(self.known_length) if others and self.known_length else 0

    def _offer(self) -> None:
        if self.on_offer is not None:
            self.on_offer()

    def _know(self, length: int) -> None:
        if length > self.known_length:
            self.known_length = self._open.length = length
            self.hashes.reach(length)
            self.changes += 1
            if self.on_reach is not None:
                self.on_reach()
