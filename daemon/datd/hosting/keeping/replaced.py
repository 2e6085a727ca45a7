"""Files whose newer content is still on its way: until it is here, the older one is kept.

Source: archives.md section 8, latest mode.
"""

from dataclasses import dataclass
from typing import Final

from datd.archive.entries import Entry
from datd.archive.succession import Passage
from datd.replication.block_map import INDEX_LIMIT, REGION, BlockMap

# Paths remembered at a time: to look them through takes 40 ms of the loop. With more of them,
# everything old is kept until all that is new is here.
MAX_PATHS: Final = 2**12
# Regions of 2^20 blocks kept bit by bit, 128 KiB each; old content beyond that is not kept for
# longer than it must be.
_PRECISE_REGIONS: Final = 64

Range = tuple[int, int]


@dataclass(slots=True)
class _Waiting:
    old: list[Range]
    new: Range | None


class Replaced:
    """Old and new content of the files that were replaced.

    Attributes:
        crowded: Whether there were too many to remember each.
    """

    def __init__(self) -> None:
        self.crowded = False
        self._waiting: dict[str, _Waiting] = {}

    def note(self, passage: Passage) -> None:
        """A path is not what it was."""
        old, new = _blocks(passage.old), _blocks(passage.new)
        waiting = self._waiting.get(passage.path)
        if waiting is not None:
            waiting.new = new
            if old is not None:
                waiting.old.append(old)
        elif old is not None and new is not None:
            if len(self._waiting) >= MAX_PATHS:
                self.crowded = True
            else:
                self._waiting[passage.path] = _Waiting([old], new)

    def kept(self, have: BlockMap) -> BlockMap:
        """Old blocks that are not to go yet. Files that are complete are forgotten."""
        kept = BlockMap()
        for path, waiting in list(self._waiting.items()):
            if waiting.new is None or _is_here(have, *waiting.new):
                del self._waiting[path]
                continue
            for start, stop in waiting.old:
                if stop - start <= REGION and kept.partial < _PRECISE_REGIONS:
                    kept.add_range(start, stop)
        if not self._waiting:
            self.crowded = False
        return kept


def _blocks(entry: Entry | None) -> Range | None:
    stat = entry.stat if entry is not None else None
    if stat is None or not stat.is_file or not stat.blocks:
        return None
    return stat.offset, stat.offset + stat.blocks


def _is_here(have: BlockMap, start: int, stop: int) -> bool:
    # A claim of more than a region is a lie or a terabyte: look no further than its first region.
    return stop <= INDEX_LIMIT and have.window(start, min(stop, start + REGION)).all()
