"""Imports of folders into archives of our own."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datd.archive.archive import Archive
from datd.archive.writer import Committed
from datd.importing.importer import Importer
from datd.importing.progress import Progress


def wall_clock() -> int:
    """Milliseconds since 1970, which the times of files are compared with."""
    return time.time_ns() // 1_000_000


def import_folder(
    archive: Archive,
    folder: Path,
    after_slice: Callable[[Importer, Committed], object] = lambda importer, committed: None,
    **options: Any,
) -> Progress:
    """Import all of a folder.

    Args:
        archive: Of our own.
        folder: The folder.
        after_slice: Called after each slice.
        options: Those of `Importer`.
    """
    importer = Importer(archive, folder, **{"now": wall_clock, **options})
    finish(importer, after_slice)
    return importer.progress


def finish(
    importer: Importer,
    after_slice: Callable[[Importer, Committed], object] = lambda importer, committed: None,
) -> None:
    """Go on with an import until it is done."""
    while (committed := importer.advance()) is not None:
        after_slice(importer, committed)


def outcome(progress: Progress) -> tuple[int, int, int, int]:
    """Files added, changed, removed, unchanged."""
    return progress.added, progress.changed, progress.removed, progress.unchanged
