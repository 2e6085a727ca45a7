"""How far an import is, and what it found."""

from dataclasses import dataclass, field

from datd.importing.scan import Skipped

# Shown to people; a folder of unreadable files must not fill the memory.
MAX_SKIPPED_NAMED = 1000


@dataclass(slots=True)
class Progress:
    """How far an import is. The totals are there once the folder was counted, before it is read.

    Attributes:
        files_done: Files that were looked at, whatever came of it.
        files_total: Files there are; 0 while they are being counted.
        bytes_done: Bytes of those files.
        bytes_total: Bytes there are.
        added: Files that are new.
        changed: Files that were put again.
        removed: Files that had vanished.
        unchanged: Files that are as they were.
        skipped: What could not be imported, and why: the first `MAX_SKIPPED_NAMED`.
        skipped_total: How many there are.
    """

    files_done: int = 0
    files_total: int = 0
    bytes_done: int = 0
    bytes_total: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    skipped_total: int = 0

    def skip(self, skipped: Skipped) -> None:
        """Note something that could not be imported."""
        self.skipped_total += 1
        if len(self.skipped) < MAX_SKIPPED_NAMED:
            self.skipped.append(skipped)

    def add(self, earlier: "Progress") -> None:
        """Count what an import of some of the same files did before."""
        self.added += earlier.added
        self.changed += earlier.changed
        self.removed += earlier.removed
        self.unchanged -= earlier.added + earlier.changed

    def did(self, files: int, size: int) -> None:
        """Count files as done; the folder may have grown since it was counted."""
        self.files_done += files
        self.bytes_done += size
        self.files_total = max(self.files_total, self.files_done)
        self.bytes_total = max(self.bytes_total, self.bytes_done)
