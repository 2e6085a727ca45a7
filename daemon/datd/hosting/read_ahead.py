"""What a reader will need next is asked for while it still takes what it has."""

from collections.abc import Iterable, Sequence

from datd.hosting.live_feed import LiveFeed
from datd.types import Seek


class ReadAhead:
    """The blocks ahead of one reader, asked for before others until it has passed them."""

    def __init__(self, live: LiveFeed) -> None:
        self._live = live
        self._asked: set[int] = set()

    def move(self, blocks: Iterable[int], seeks: Sequence[Seek]) -> None:
        """The reader has come further.

        Args:
            blocks: What it needs next and is not here.
            seeks: Bytes it needs, in blocks that are not known.
        """
        picker = self._live.picker
        needed = set(blocks)
        new = needed - self._asked
        picker.forget_priority(self._asked - needed)
        for seek in seeks:
            picker.seeks.want(seek)
        if new:
            picker.prioritise(sorted(new))
        self._asked = needed
        if new or seeks:
            self._live.ask_all()

    def close(self) -> None:
        """The reader is done, or gone."""
        self._live.picker.forget_priority(self._asked)
        self._asked = set()
