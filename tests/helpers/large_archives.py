"""Archives of many entries, on disk where a daemon keeps them, written by our own writer."""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from datd import crypto
from datd.archive.creation import create
from datd.archive.writer import ArchiveWriter
from datd.hosting.descriptors import Descriptors
from datd.keys import Key
from datd.storage import layout
from tests.helpers.own_archives import THEN

PAIR = crypto.key_pair(b"an archive of very many entries.")
# One second after the other, as a slow author would write.
STEP = 1000
_BATCH = 4000


@contextmanager
def writing(archives: Path, pair: crypto.KeyPair = PAIR) -> Iterator[ArchiveWriter]:
    """A new archive under the folder where a daemon looks for it; all is on disk at the end."""
    name = crypto.discovery_key(pair.public).hex()
    pool = Descriptors()
    archive = create(layout.flat(archives / name[:2] / name[2:], pool), pair)
    writer = ArchiveWriter(archive)
    yield writer
    writer.commit()
    for feed in (archive.metadata, archive.content):
        assert feed is not None
        feed.close()
    pool.close()


def moment(version: int) -> int:
    """When `make` writes a version, in milliseconds."""
    return THEN + STEP * version


def put(writer: ArchiveWriter, path: str) -> int:
    """A file that holds its path, written when its turn comes."""
    version = writer.archive.version + 1
    draft = writer.begin()
    draft.write([path.encode()])
    if writer.queued >= _BATCH:
        writer.commit()
    return writer.put(path, draft, mtime=moment(version), ctime=moment(version))


def make(archives: Path, paths: Iterable[str], pair: crypto.KeyPair = PAIR) -> Key:
    """An archive with a version for each of these paths."""
    with writing(archives, pair) as writer:
        for path in paths:
            put(writer, path)
    return Key(pair.public)


def cube(wide: int) -> Iterator[str]:
    """Paths in three levels of folders, each so wide, in the order of an import."""
    for numbers in itertools.product(range(wide), repeat=3):
        yield "/{:02}/{:02}/{:02}.txt".format(*numbers)
