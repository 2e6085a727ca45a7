"""How feeds of our own grow: calls into their lane append, and what is sealed may be let out.

To seal is to make durable what was appended, content first, and to note beside the secret key how
far that is (reliability.md sections 3.1 and 3.4). It costs several flushes of the disk, so long
work appends a lot before it commits. Until then nobody hears of the new blocks; and since the proof
of any block carries the newest signature, nothing at all of the archive is served unsealed (D-2).
"""

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from datd.errors import StorageError
from datd.feed.feed import Feed

T = TypeVar("T")

# Whoever writes commits now and then; who does not, such as a file that is put without an end, is
# sealed after so much, so that no flush keeps the lane for long.
MOST_UNSEALED = 64 * 2**20 + 2**20


class Growth(NamedTuple):
    """How one feed grew: its blocks that are sealed since the last time, and the bytes it holds."""

    blocks: range
    present_bytes: int


class Grown(NamedTuple, Generic[T]):
    """What came of a call that appends.

    Attributes:
        result: What it gave; None if it raised.
        error: What it raised. What it had appended until then is there all the same.
        feeds: How each feed grew, in their order.
    """

    result: T | None
    error: Exception | None
    feeds: list[Growth]


class Growing:
    """The feeds of one archive that is written. Only to be used in its lane, but for `waits`."""

    def __init__(self, feeds: Callable[[], Sequence[Feed]], mark: Callable[[], None]) -> None:
        """Append nothing yet.

        Args:
            feeds: Gives metadata and content, both writable once something is appended.
            mark: Notes durably how far both are signed.
        """
        self._feeds = feeds
        self._mark = mark
        self._marked: list[int] = []  # the lengths that it noted last
        self._told: list[int] | None = None  # lengths that peers know of, where they are shorter
        self._unsealed = False
        self._failed = False

    def grow(self, call: Callable[[], T]) -> Grown[T]:
        """Run a call that appends; what it has made durable is sealed, all else waits.

        Raises:
            StorageError: The disk refused: then nothing is certain until all is opened anew.
        """
        self._require_sound()
        if self._told is None:
            self._told = [feed.length for feed in self._feeds()]
        result, error = None, None
        try:
            result = call()
        except StorageError:
            self._failed = True
            raise
        except Exception as raised:
            error = raised
        self._unsealed = True
        if not 0 < sum(feed.dirty for feed in self._feeds()) < MOST_UNSEALED:
            self.seal()
        return Grown(result, error, self._news())

    def seal(self) -> None:
        """Make durable what was appended: from here on it may be let out.

        Raises:
            StorageError: As `grow`.
        """
        if not self._unsealed:
            return
        self._require_sound()  # D-4: a flush that failed once may say yes the next time, and lie
        try:
            for feed in reversed(self._feeds()):
                if feed.dirty:
                    feed.flush()
            lengths = [feed.length for feed in self._feeds()]
            if lengths != self._marked:
                self._mark()
                self._marked = lengths
        except StorageError:
            self._failed = True
            raise
        self._unsealed = False

    @property
    def waits(self) -> bool:
        """Whether something was appended that is not sealed."""
        return self._unsealed

    def _require_sound(self) -> None:
        if self._failed:
            raise StorageError("a file of this archive could not be written before: open it anew")

    def _news(self) -> list[Growth]:
        ends = [feed.length for feed in self._feeds()]
        starts = ends if self._unsealed else self._told or ends
        if not self._unsealed:
            self._told = None
        return [
            Growth(range(start, end), feed.present_bytes)
            for start, end, feed in zip(starts, ends, self._feeds(), strict=True)
        ]
