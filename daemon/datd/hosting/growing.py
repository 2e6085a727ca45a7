"""What is done to feeds of our own in one call into their lane: blocks appended, and counted."""

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from datd.errors import StorageError
from datd.feed.feed import Feed

T = TypeVar("T")


class Growth(NamedTuple):
    """How one feed grew: its new blocks, and the bytes of all that it holds."""

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


def grow(feeds: Sequence[Feed], call: Callable[[], T]) -> Grown[T]:
    """Run a call that appends to feeds, and look what they have more.

    Raises:
        StorageError: The disk refused: then nothing is certain until all is opened anew.
    """
    starts = [feed.length for feed in feeds]
    result, error = None, None
    try:
        result = call()
    except StorageError:
        raise
    except Exception as raised:
        error = raised
    return Grown(
        result,
        error,
        [
            Growth(range(start, feed.length), feed.present_bytes)
            for feed, start in zip(feeds, starts, strict=True)
        ],
    )
