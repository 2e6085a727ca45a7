"""Asking one peer for hashes without their blocks.

Knowing hashes costs nothing but bytes, and not knowing them costs no more than that: a peer that
lets such a request wait is not asked for hashes again.

Source: wire.md section 7 (Request.hash), reliability.md T-23.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from datd.replication.pending import PendingRequests
from datd.replication.picker import BlockPicker
from datd.replication.remote_blocks import RemoteBlocks
from datd.wire.messages import Cancel, Message, Request

# Requests that one peer may have. With 128 each tenth of a second, which is far away, hashes of
# 64 KiB blocks run ahead of a line of 1 Gbit/s; more would only draw the same nodes more often.
_IN_FLIGHT: Final = 128

# Bytes of one answer: the leaf, its neighbour and some nodes above.
_ANSWER: Final = 512


class HashAsking:
    """The book of one peer about hashes of one feed."""

    def __init__(self, picker: BlockPicker, remote: RemoteBlocks, now: float) -> None:
        self._picker = picker
        self._remote = remote
        self._pending = PendingRequests(now)
        self._silent = False
        self._lost: list[int] = []

    def next(self, now: float) -> list[int]:
        """The next blocks whose hashes to ask for. They count as asked from here on."""
        if not self._picker.hashes or self._silent:
            return []
        pending = self._pending
        room = pending.window.room(len(pending), _ANSWER, urgent=True)
        indexes = self._picker.hashes.next(self._remote, min(room, _IN_FLIGHT - len(pending)))
        pending.add(indexes, now)
        return indexes

    def request(self, index: int, digest: int) -> Request:
        """The message that asks for a hash out of `next`; for the digest see `Feed.digest`."""
        return Request(index, hash=True, nodes=digest)

    def known(self, indexes: Iterable[int]) -> None:
        """These hashes out of `next` are here after all: the peer is not asked."""
        self._pending.withdraw(indexes)

    def answered(self, index: int, now: float) -> bool:
        """A hash came; whether it was asked for."""
        return self._pending.answered(index, now, delivered=True)

    def progressed(self, now: float) -> None:
        """The peer sent something else: hashes behind it are not late yet."""
        self._pending.progressed(now)

    def taken_back(self, start: int, stop: int) -> None:
        """The peer has nothing of this range (any more)."""
        self._give_up(self._pending.within(start, stop))

    def clear(self) -> None:
        """Forget all; the peer is gone."""
        self._pending.clear()

    def next_timer(self) -> float | None:
        """When `late` may have something to say."""
        return self._pending.next_timer()

    def late(self, now: float) -> list[Message]:
        """Give up what waited too long; what to tell the peer."""
        silent, elsewhere = self._pending.overdue(
            now, lambda index: self._picker.offered_elsewhere(index, self._remote)
        )
        given_up = (*silent, *elsewhere)
        if given_up:
            self._silent = True
            self._give_up(given_up)
            self._lost += [one for index in silent for one in (index, index ^ 1)]
        return [Cancel(index, hash=True) for index in given_up]

    def take_lost(self) -> list[int]:
        """Blocks whose hashes no peer gave in time, since the last call."""
        lost, self._lost = self._lost, []
        return lost

    def _give_up(self, indexes: Sequence[int]) -> None:
        if indexes:
            self._pending.give_up(indexes)
            self._picker.hashes.give_back(self._remote, indexes)
