"""Block numbers as ranges of neighbours, which is how they are asked for, told of and compared."""

from collections.abc import Iterable


def runs(blocks: Iterable[int]) -> list[tuple[int, int]]:
    """Ranges `(start, stop)` of some blocks in ascending order."""
    found: list[tuple[int, int]] = []
    for block in blocks:
        if found and found[-1][1] == block:
            found[-1] = (found[-1][0], block + 1)
        else:
            found.append((block, block + 1))
    return found
