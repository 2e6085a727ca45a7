"""Whether a peer is being read: while it is not, its silence and missing answers are our doing.

Exchanges live by a clock that stands meanwhile, so that nothing is asked of others (L-16), and no
miss is counted, since we did not read.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from datd.wire.session import Session


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

    @property
    def now(self) -> float:
        """Seconds on the clock of the exchanges."""
        return self.told(self._clock() if self._halted_at is None else self._halted_at)

    def told(self, now: float) -> float:
        """A time of ours on the clock of the exchanges."""
        return now - self._missed

    def due(self, timer: float) -> float:
        """When a timer of theirs is due on ours, as long as we read."""
        return timer + self._missed

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """Do something else than reading."""
        self.lacking = True
        self._halted_at = began = self._clock()
        self._session.pause(began)
        try:
            yield
        finally:
            now = self._clock()
            self._halted_at = None
            self._missed += now - began
            self._session.resume(now)
