"""Archives of our own, in memory or on disk, and the operations of the vectors done to them."""

from collections.abc import Callable, Sequence
from typing import Any

from datd import crypto
from datd.archive.archive import Archive
from datd.archive.creation import create
from datd.archive.entries import Stat
from datd.archive.writer import ArchiveWriter
from datd.storage.layout import ArchiveFiles
from datd.storage.memory import memory_feed_storage
from tests.helpers.feeds import content_of

PAIR = crypto.key_pair(b"an archive of our own, for tests")
# Milliseconds since 1970 of whatever a test writes.
THEN = 1_500_000_000_000


def memory_files() -> ArchiveFiles:
    """Empty files of both feeds."""
    return ArchiveFiles(memory_feed_storage(), memory_feed_storage())


def new_archive(pair: crypto.KeyPair = PAIR) -> Archive:
    """A new archive in memory."""
    return create(memory_files(), pair)


def put(writer: ArchiveWriter, path: str, *blocks: bytes, **options: Any) -> int:
    """Write a file of these blocks."""
    draft = writer.begin()
    draft.write(blocks)
    return writer.put(path, draft, **{"mtime": THEN, "ctime": THEN, **options})


def written(*paths: str) -> tuple[Archive, ArchiveWriter]:
    """An archive with a file at each path that holds its own path, committed."""
    archive = new_archive()
    writer = ArchiveWriter(archive)
    for path in paths:
        put(writer, path, path.encode())
    writer.commit()
    return archive, writer


def read(archive: Archive, path: str, version: int | None = None) -> bytes:
    """A whole file."""
    return read_stat(archive, archive.stat(path, version))


def read_stat(archive: Archive, stat: Stat) -> bytes:
    """The whole file that a Stat means."""
    data = b""
    while len(data) < stat.size:
        for block, start, stop in archive.spans(stat, len(data), stat.size):
            data += content_of(archive).get(block)[start:stop]
    return data


def files(archive: Archive, version: int | None = None) -> list[tuple[str, bytes | None]]:
    """Every file with its bytes, and every folder with an entry with None, as a walk tells them."""
    return [
        (path, read_stat(archive, stat) if stat.is_file else None)
        for path, stat in archive.walk("/", version)
    ]


def replay(
    writer: ArchiveWriter,
    operations: Sequence[dict[str, Any]],
    after_each: Callable[[int], object] = lambda number: None,
) -> None:
    """Do what the reference did when it made a tree of the vectors, at the same times.

    Args:
        writer: Of a new archive.
        operations: The `ops` of the vector.
        after_each: Called with the number of operations done.
    """
    for number, operation in enumerate(operations, 1):
        clock = THEN + 1000 * number
        name = operation["name"]
        match operation["op"]:
            case "put":
                seq = put(writer, name, *_content(operation), mtime=clock, ctime=clock - 500)
            case "mkdir":
                seq = writer.mkdir(name, mtime=clock, ctime=clock)
            case "del":
                seq = writer.remove(name)
            case _:
                seq = writer.rmdir(name)
        assert seq == operation["seq"]
        after_each(number)


def _content(operation: dict[str, Any]) -> list[bytes]:
    name, size = operation["name"].encode(), operation["size"]
    data = (name * (size // len(name) + 1))[:size]
    return [data[start : start + 65536] for start in range(0, size, 65536)]
