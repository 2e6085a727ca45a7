"""Whether there is room for more blocks: quotas, and the floor of free disk space (T-29, L-26)."""

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from datd.storage import holes
from datd.words import size_text

log = logging.getLogger(__name__)

# L-26: datd stops before the disk is full, since others of the host need some of it, too: the
# smaller of these two is left free.
KEEP_FREE_BYTES = 2**30
KEEP_FREE_SHARE = 0.05
# Asking the system for each batch would cost more than the batch; a gigabit brings 250 MB in two
# seconds, a quarter of the floor.
LOOK_EVERY = 2.0


class Room:
    """Counts what all archives hold, and says when it is enough.

    Attributes:
        held: Bytes of blocks that all archives hold.
        coming: Bytes on the disk that somebody sends, and that are not in an archive yet.
        max_bytes: What all archives may hold; None: no limit. May be changed, as the next two.
        max_archive_bytes: What one archive may hold; None: no limit.
        keep_free: Bytes to leave free on the disk; None: the smaller of 1 GiB and 5 %.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], float],
        max_bytes: int | None = None,
        max_archive_bytes: int | None = None,
        keep_free: int | None = None,
    ) -> None:
        """Nothing is looked at yet.

        Args:
            folder: On the disk that archives lie on.
            clock: Seconds.
            max_bytes: See the attributes.
            max_archive_bytes: Likewise.
            keep_free: Likewise.
        """
        self.held = 0
        self.coming = 0
        self._folder = folder
        self._clock = clock
        self.max_bytes = max_bytes
        self.max_archive_bytes = max_archive_bytes
        self.keep_free = keep_free
        self._looked_at = float("-inf")
        self._lacking: str | None = None
        self._tried = False

    def refusal(self, archive_bytes: int) -> str | None:
        """Why an archive that holds so many bytes may not take more; None if it may."""
        if self.max_archive_bytes is not None and archive_bytes >= self.max_archive_bytes:
            return (
                f"it has reached the limit of {size_text(self.max_archive_bytes)} for one archive: "
                "raise storage.max_archive_bytes, or remove it"
            )
        if self.max_bytes is not None and self.held + self.coming >= self.max_bytes:
            return (
                f"all archives together have reached the limit of {size_text(self.max_bytes)}: "
                "raise storage.max_bytes, or remove some"
            )
        now = self._clock()
        if now - self._looked_at >= LOOK_EVERY:
            self._looked_at = now
            self._lacking = self._look()
        return self._lacking

    def gave_back(self, size: int) -> None:
        """Bytes of blocks were dropped.

        The first time it is told if the disk keeps their room all the same.
        """
        self.held -= size
        if not size or self._tried:
            return
        self._tried = True
        with suppress(OSError):
            if not holes.possible(self._folder):
                log.warning(
                    "the file system of %s cannot make holes in files: blocks that are dropped "
                    "take room until the archive is removed; use ext4, XFS, Btrfs or ZFS",
                    self._folder,
                )

    def _look(self) -> str | None:
        try:
            disk = os.statvfs(self._folder)
        except OSError:
            return None  # whoever writes there will learn why, and say so
        free = disk.f_bavail * disk.f_frsize
        floor = self.keep_free
        if floor is None:
            floor = min(KEEP_FREE_BYTES, int(disk.f_blocks * disk.f_frsize * KEEP_FREE_SHARE))
        if free >= floor:
            return None
        return (
            f"only {size_text(free)} are free on the disk of {self._folder}, and "
            f"{size_text(floor)} are kept free: make room, or lower storage.keep_free"
        )
