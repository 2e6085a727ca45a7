"""Which leaf hashes of a feed are wanted, and who is asked for them: shared by all its exchanges.

A hash answer names the two lowest leaves of its way up, so one request stands for both blocks of a
pair. Numbers only: the hashes themselves go to the feed.

Source: feeds.md section 7, wire.md section 7.
"""

from collections.abc import Iterable
from typing import Final

from datd.replication.block_map import INDEX_LIMIT, BlockMap
from datd.replication.open_blocks import OpenBlocks
from datd.replication.remote_blocks import RemoteBlocks

# Blocks that the next requests are chosen from, in a fraction of a millisecond.
_CHOICE: Final = 2048


class HashBook:
    """The wanted and requested leaf hashes of one feed."""

    def __init__(self, length: int) -> None:
        self._in_flight: dict[int, RemoteBlocks] = {}
        self._open = OpenBlocks(BlockMap(), self._in_flight.keys(), length)
        self._wanted = 0

    def __len__(self) -> int:
        return self._wanted

    def reach(self, length: int) -> None:
        """Ask about blocks below this length only, whatever is wanted."""
        self._open.length = length

    def want(self, indexes: Iterable[int]) -> None:
        """Want the hashes of these blocks."""
        for index in indexes:
            if 0 <= index < INDEX_LIMIT and self._open.wanted.add(index):
                self._wanted += 1
                self._open.open(index)

    def settle(self, indexes: Iterable[int]) -> list[int]:
        """These hashes are here, or will not come; which of them were wanted until now."""
        if not self._wanted:
            return []
        settled = [index for index in indexes if self._open.wanted.discard(index)]
        for index in settled:
            self._in_flight.pop(index, None)
            self._open.close(index)
        for index in settled:
            # A neighbour that did not come along has to be asked for itself.
            if self._in_flight.pop(index ^ 1, None) is not None:
                self._open.open(index ^ 1)
        self._wanted -= len(settled)
        return settled

    def next(self, remote: RemoteBlocks, count: int) -> list[int]:
        """Choose up to `count` blocks to ask a peer about, in order; two neighbours count once.

        Those far from one another come first. Each answer brings the hashes beside its way up, and
        requests that are under way together, side by side, would all draw the same ones.
        """
        taken: list[int] = []
        if not self._wanted or count <= 0:
            return taken
        for index in sorted(self._choice(remote), key=_fineness):
            asked = self._in_flight.get(index ^ 1)
            if asked is None:
                if len(taken) == count:
                    break
                taken.append(index)
            # Whoever was asked about its neighbour brings this one's hash along.
            self._in_flight[index] = asked or remote
            self._open.close(index)
        return sorted(taken)

    def _choice(self, remote: RemoteBlocks) -> list[int]:
        """The first open blocks that a peer has."""
        choice: list[int] = []
        # Not to the end of what a peer may claim: that alone takes milliseconds.
        for low, high in self._open.runs(remote, 0, self._open.wanted.end()):
            choice += range(low, min(high, low + _CHOICE - len(choice)))
            if len(choice) == _CHOICE:
                break
        return choice

    def give_back(self, remote: RemoteBlocks, indexes: Iterable[int]) -> None:
        """A peer will not answer: these, and what they would have brought, may be asked anew."""
        for index in indexes:
            for one in (index, index ^ 1):
                if self._in_flight.get(one) is remote:
                    del self._in_flight[one]
                    self._open.open(one)

    def leave(self, remote: RemoteBlocks) -> None:
        """A peer is gone."""
        self.give_back(remote, [i for i, owner in self._in_flight.items() if owner is remote])

    def any_in(self, region: int) -> bool:
        """Whether something may be asked about in a region of 2^20 blocks."""
        return self._wanted > 0 and self._open.any_in(region)


def _fineness(index: int) -> int:
    """Lower for blocks at the borders of larger subtrees; the same for two neighbours."""
    pair = index >> 1
    return -(pair & -pair) if pair else -INDEX_LIMIT
