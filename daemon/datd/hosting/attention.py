"""Whether a peer is being read: while it is not, its silence and missing answers are our doing.

Exchanges live by a clock that stands meanwhile, so that nothing is asked of others (L-16), and no
miss is counted, since we did not read. But for a peer that talks and talks, and brings no block,
the clock goes on: else it could keep what it was asked for from others for as long as we cannot
read as fast as it talks (T-23).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from datd.wire.session import Session

# Bytes that a peer may say between two blocks. What is said of a million blocks takes a tenth of
# that where they lie in a few runs.
MOST_WORDS: Final = 64 * 1024


class Attention:
    """That of one connection.

    Attributes:
        lacking: Whether nothing was read since the last halt: what the exchanges wait for may lie
            in the stream.
    """

    def __init__(self, session: Session, clock: Callable[[], float]) -> None:
        """The peer is being read; `clock` gives seconds."""
        self.lacking = False
        self._session = session
        self._clock = clock
        self._halted_at: float | None = None
        self._missed = 0.0
        self._words = 0
        self._unfinished = 0

    @property
    def now(self) -> float:
        """Seconds on the clock of the exchanges."""
        return self.told(self._clock() if self._halted_at is None else self._halted_at)

    def told(self, now: float) -> float:
        """A time of ours on the clock of the exchanges."""
        return now - self._missed

    def due(self, timer: float | None) -> float | None:
        """When a timer of theirs is due on ours, as long as we read."""
        return None if timer is None else timer + self._missed

    def heard(self, size: int, *, blocks: bool) -> None:
        """So many bytes were read, and there were blocks among the messages that are whole now."""
        self.lacking = False
        # What is said in a message counts when it is whole: until then it may bring a block.
        words = self._unfinished + size
        self._unfinished = self._session.unfinished
        self._words = 0 if blocks else self._words + words - self._unfinished

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """Do something else than reading."""
        began = self._clock()
        stands = self._words <= MOST_WORDS
        if stands:
            self.lacking = True
            self._halted_at = began
        self._session.pause(began)
        try:
            yield
        finally:
            now = self._clock()
            self._halted_at = None
            self._missed += now - began if stands else 0.0
            self._session.resume(now)
