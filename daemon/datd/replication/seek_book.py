"""Bytes of a feed whose blocks are to be found: what all exchanges of one feed share.

Each is asked of one peer. That is a short cut: whoever waits for a byte that is not found this way
goes by guesses and sizes instead, so nothing is ever asked twice.

Source: wire.md section 7 (Request.bytes), feeds.md section 6.
"""

from collections.abc import Iterable
from typing import Final

from datd.replication.remote_blocks import RemoteBlocks
from datd.types import Seek
from datd.wire.messages import Request

# A reader seeks two bytes at a time, the ends of its range.
_MOST: Final = 1024


class SeekBook:
    """The bytes that are sought in one feed."""

    def __init__(self) -> None:
        self._seeks: dict[int, Seek] = {}
        self._in_flight: dict[int, RemoteBlocks] = {}

    def __len__(self) -> int:
        return len(self._seeks)

    def __contains__(self, position: int) -> bool:
        return position in self._seeks

    def want(self, seek: Seek) -> None:
        """Have a peer asked which block holds a byte."""
        if len(self._seeks) < _MOST:
            self._seeks.setdefault(seek.position, seek)

    def settle(self, positions: Iterable[int]) -> None:
        """These were found, or will not be, or nobody waits for them any more."""
        for position in positions:
            self._seeks.pop(position, None)
            self._in_flight.pop(position, None)

    def clear(self) -> None:
        """Nobody waits for anything."""
        self._seeks.clear()
        self._in_flight.clear()

    def guesses(self) -> list[int]:
        """Blocks that a peer would be asked for, of those bytes that nobody was asked about."""
        open_ = self._seeks.keys() - self._in_flight.keys()
        return [self._seeks[position].guess for position in open_]

    def next(self, remote: RemoteBlocks) -> list[Request]:
        """What to ask a peer now.

        The block that is named is one that the peer has, near the guess: if it cannot tell where
        the byte lies, it answers with that one, and ends the connection if it has not got it.
        """
        asked = []
        for position, seek in self._seeks.items():
            if position in self._in_flight:
                continue
            index = remote.first_of(seek.guess, seek.stop)
            if index is None:
                index = remote.first_of(seek.first, seek.guess)
            if index is not None:
                self._in_flight[position] = remote
                asked.append(Request(index, bytes=position))
        return asked

    def asked_of(self, remote: RemoteBlocks) -> list[int]:
        """The bytes that a peer was asked about and that are not found yet."""
        return [position for position, owner in self._in_flight.items() if owner is remote]

    def leave(self, remote: RemoteBlocks) -> None:
        """A peer is gone: others may be asked."""
        for position in self.asked_of(remote):
            del self._in_flight[position]
