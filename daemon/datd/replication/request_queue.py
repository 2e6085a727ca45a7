"""The requests of one peer that wait for an answer."""

from typing import Final

from datd.replication.block_map import INDEX_LIMIT
from datd.wire.messages import Cancel, Request

# L-12: with so many waiting, nothing more is read from the peer (T-17). It is the largest number
# that another datd asks at a time; the reference asks 16.
QUEUE_LIMIT: Final = 512

# One read may bring more before it is stopped; what goes beyond this is dropped.
_DROPPED_FROM: Final = 4 * QUEUE_LIMIT

_Asked = tuple[int, int, bool]


class RequestQueue:
    """Requests in the order they came. One that is repeated while it waits is answered once."""

    def __init__(self) -> None:
        self._waiting: dict[_Asked, Request] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, request: Request) -> None:
        """Queue a request; numbers that no feed reaches are ignored."""
        asked = (request.index, request.bytes, request.hash)
        if request.index < INDEX_LIMIT and (
            len(self._waiting) < _DROPPED_FROM or asked in self._waiting
        ):
            # The newer one knows better which hashes its sender has.
            self._waiting[asked] = request

    def cancel(self, cancel: Cancel) -> None:
        """Forget a request that its sender took back."""
        self._waiting.pop((cancel.index, cancel.bytes, cancel.hash), None)

    def forget_blocks(self, start: int, stop: int) -> None:
        """Forget what was asked by number within a range: those blocks are gone."""
        gone = [
            asked
            for asked, request in self._waiting.items()
            if start <= request.index < stop and not request.bytes and not request.hash
        ]
        for asked in gone:
            del self._waiting[asked]

    def take(self, max_count: int, max_bytes: int, expected_size: int) -> list[Request]:
        """Take the oldest requests out.

        Args:
            max_count: At most so many.
            max_bytes: Bytes that all their blocks may be expected to have; one is always taken.
            expected_size: Bytes that one block may be expected to have.
        """
        count = min(max_count, max(1, max_bytes // expected_size), len(self._waiting))
        return [self._waiting.pop(next(iter(self._waiting))) for _ in range(count)]
