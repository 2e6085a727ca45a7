"""Which hashes to ask for first, and what of a window to look at after that. Numbers only."""

from collections.abc import Collection, Sequence
from typing import Final

# One hash in so many, at least and at most so many of them, tells whether to ask for more.
SAMPLE_ONE_IN: Final = 32
LEAST_SAMPLE: Final = 8
MOST_SAMPLE: Final = 64


def spread(window: Sequence[int]) -> list[int]:
    """A sample, evenly over a window of blocks."""
    count = min(len(window), MOST_SAMPLE, max(LEAST_SAMPLE, len(window) // SAMPLE_ONE_IN))
    return [window[(2 * number + 1) * len(window) // (2 * count)] for number in range(count)]


def around(window: Sequence[int], sample: Sequence[int], hits: Collection[int]) -> list[int]:
    """The parts of a window in which, or beside which, the sample found something.

    Where it mostly did, all of the window: what has changed is smaller than a part.

    Args:
        window: Blocks, in order.
        sample: What `spread` chose of them.
        hits: Blocks that are known. The neighbour in a pair, whose hash came along, counts too.
    """
    found = [index in hits or index ^ 1 in hits for index in sample]
    if 2 * sum(found) >= len(found):
        return list(window)
    chosen: list[int] = []
    for number in range(len(found)):
        if any(found[max(0, number - 1) : number + 2]):
            start, stop = (one * len(window) // len(found) for one in (number, number + 1))
            chosen += window[start:stop]
    return chosen
