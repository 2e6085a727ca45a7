"""What we and the original see in archives of ours: every file of every version."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datd import crypto
from datd.archive.archive import Archive
from datd.archive.creation import create, open_own
from datd.archive.writer import ArchiveWriter
from datd.hosting.descriptors import Descriptors
from datd.storage import layout
from tests.helpers.feeds import content_of, index_names, index_vector
from tests.helpers.own_archives import read_stat, replay
from tests.helpers.reference import Reference

PAIR = crypto.key_pair(b"an archive that two of us write.")


@contextmanager
def archive_in(
    folder: Path, *, new: bool = False, pair: crypto.KeyPair = PAIR
) -> Iterator[Archive]:
    """An archive of our own in a folder, closed in the end."""
    pool = Descriptors()
    feeds = layout.flat(folder, pool)
    archive = create(feeds, pair) if new else open_own(feeds)
    try:
        yield archive
    finally:
        archive.metadata.close()
        content_of(archive).close()
        pool.close()


def seen_by_us(archive: Archive, version: int) -> dict[str, str]:
    """Every file of a version with its SHA-256."""
    return {
        path: hashlib.sha256(read_stat(archive, stat)).hexdigest()
        for path, stat in archive.walk("/", version)
        if stat.is_file
    }


def seen_by_the_original(
    reference: Reference, *folders: Path, writable: bool = True
) -> dict[str, list[dict[str, Any]]]:
    """What it says of each version, by folder."""
    program = reference.start("check-versions.js", *folders)
    assert program.wait_for_end(timeout=300) == 0, program.events
    assert len(program.said("checked", writable=writable)) == len(folders), program.events
    return {str(folder): program.said("version", folder=str(folder)) for folder in folders}


def write_shapes(folder: Path) -> list[Path]:
    """An archive of ours for every tree of the vectors, each with a key of its own; their folders.

    They are committed after each operation, after every second one, and so on.
    """
    for number, name in enumerate(index_names()):
        pair = crypto.key_pair(f"shape {number}".encode().ljust(32))
        with archive_in(folder / name, new=True, pair=pair) as archive:
            writer = ArchiveWriter(archive)
            every = number % 5 + 1

            def now_and_then(done: int, writer: ArchiveWriter = writer, every: int = every) -> None:
                if done % every == 0:
                    writer.commit()

            replay(writer, index_vector(name)["ops"], now_and_then)
            writer.commit()
    return [folder / name for name in index_names()]
