"""Asking one peer which blocks hold some bytes.

The answer is a block with its proof, but not always the one that was named; which byte it was meant
for is seen only when it is stored. So answers are counted here, and no more than that.

Source: wire.md section 7 (Request.bytes).
"""

from collections.abc import Iterable
from typing import Final

from datd.replication.picker import BlockPicker
from datd.replication.remote_blocks import RemoteBlocks
from datd.wire.messages import Request

# Seconds without anything from the peer after which its answer is waited for no longer: guesses
# will do. The original never answers a byte that it told about just before.
_PATIENCE: Final = 5.0


class SeekAsking:
    """The book of one peer about sought bytes of one feed."""

    def __init__(self, picker: BlockPicker, remote: RemoteBlocks) -> None:
        self._picker = picker
        self._remote = remote
        self._unanswered = 0
        self._arrived: set[int] = set()  # blocks that may be answers, not stored yet
        self._waiting_since: float | None = None
        self._over = False

    @property
    def waiting(self) -> bool:
        """Whether the peer owes an answer that somebody waits for."""
        return self._waiting_since is not None

    def next(self, now: float) -> list[Request]:
        """The requests to send now."""
        asked = self._picker.seeks.next(self._remote)
        if asked:
            self._unanswered += len(asked)
            self._waiting_since = now
        return asked

    def answered(self, index: int, now: float) -> bool:
        """A block came that was not asked for by its number; whether it may be an answer."""
        if not self._unanswered:
            return False
        self._unanswered -= 1
        self._arrived.add(index)
        self.progressed(now)
        return True

    def stored(self, indexes: Iterable[int]) -> None:
        """These blocks were stored, or could not be."""
        self._arrived.difference_update(indexes)
        self._over = not self._unanswered and not self._arrived

    def progressed(self, now: float) -> None:
        """The peer sent something: what comes behind it is not late yet."""
        if self._waiting_since is not None:
            self._waiting_since = now

    def next_timer(self) -> float | None:
        """When `late` may have something to say."""
        return None if self._waiting_since is None else self._waiting_since + _PATIENCE

    def late(self, now: float) -> None:
        """Wait no longer for what has not come; should it come still, it is welcome."""
        if self._waiting_since is not None and now >= self._waiting_since + _PATIENCE:
            self._over = True

    def asked(self) -> list[int]:
        """The bytes that this peer was asked about and that are not found yet."""
        return self._picker.seeks.asked_of(self._remote)

    def take_over(self) -> list[int]:
        """The bytes that it will not tell about any more, once the found ones are settled."""
        left = self.asked()
        if not left:
            self._waiting_since = None
        if not self._over:
            return []
        self._over, self._waiting_since = False, None
        return left
