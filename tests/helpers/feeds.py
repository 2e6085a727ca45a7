"""Feeds in memory for tests: whole or sparse, from bytes of the vectors or made for a story."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from datd import crypto
from datd.archive.archive import Archive
from datd.archive.entries import HYPERDRIVE, Header, Stat, encode_entry, split_name
from datd.archive.plain_files import PlainFiles
from datd.feed.feed import Feed
from datd.hosting.descriptors import Descriptors
from datd.storage import layout
from datd.storage.memory import memory_feed_storage
from tests.helpers.vectors import vectors

PAIR = crypto.key_pair(b"metadata of a made-up archive...")
FILE_MODE = 0o100644


def feed_of(blocks: Sequence[bytes], pair: crypto.KeyPair = PAIR) -> Feed:
    """A feed of our own that holds these blocks."""
    feed = Feed.create(memory_feed_storage(), pair)
    if blocks:
        feed.append(blocks)
    return feed


def sparse_copy(feed: Feed, blocks: Iterable[int] = ()) -> Feed:
    """A reader's copy that fetched only these blocks."""
    copy = Feed.open(memory_feed_storage(), feed.key)
    fetch(copy, feed, blocks)
    return copy


def content_of(archive: Archive) -> Feed:
    """The content feed of an archive that has one."""
    assert archive.content is not None
    return archive.content


def fetch(copy: Feed, source: Feed, blocks: Iterable[int]) -> None:
    """What a peer's connection would do: ask for blocks and store them."""
    for block in blocks:
        if not copy.has(block):
            copy.put(block, source.get(block), source.proof(block, digest=copy.digest(block)))


@cache
def index_vector(name: str) -> dict[str, Any]:
    """One tree of the vectors: its operations, entries and tables."""
    path = vectors("archive-index") / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def index_names() -> list[str]:
    """All trees of the vectors."""
    return sorted(path.stem for path in vectors("archive-index").glob("*.json"))


@cache
def index_feed(name: str) -> Feed:
    """The metadata feed of a tree of the vectors, under the key it was made with."""
    entries = index_vector(name)["entries"]
    return feed_of([bytes.fromhex(entry["hex"]) for entry in entries])


class ArchiveWriter:
    """Makes archives that no honest writer would: any entries, any rows, any claims."""

    def __init__(self, content_key: bytes | None = None, *, pair: crypto.KeyPair = PAIR) -> None:
        self._pair = pair
        self._content_pair = crypto.content_key_pair(pair.secret)
        key = self._content_pair.public if content_key is None else content_key
        self._blocks = [Header(HYPERDRIVE, key).encode()]
        self._content: list[bytes] = []
        self._content_size = 0

    @property
    def next(self) -> int:
        """Number of the entry that comes next."""
        return len(self._blocks)

    def raw(self, block: bytes) -> int:
        """Write a metadata block as it is."""
        self._blocks.append(block)
        return self.next - 1

    def entry(
        self, name: str, rows: Sequence[Sequence[int]] | None = None, stat: Stat | None = None
    ) -> int:
        """Write an entry; without rows, those of an archive that holds nothing else."""
        seq = self.next
        if rows is None:
            rows = [[seq]] * (len(split_name(name)) + 1)
        return self.raw(encode_entry(seq, name, stat or Stat(FILE_MODE), rows))

    def file(
        self, name: str, blocks: Sequence[bytes], rows: Sequence[Sequence[int]] | None = None
    ) -> Stat:
        """Write a file of these content blocks."""
        size = sum(map(len, blocks))
        stat = Stat(
            FILE_MODE,
            size=size,
            blocks=len(blocks),
            offset=len(self._content),
            byte_offset=self._content_size,
        )
        self._content += blocks
        self._content_size += size
        self.entry(name, rows, stat)
        return stat

    def archive(self) -> Archive:
        """The archive with everything written so far."""
        return Archive(
            feed_of(self._blocks, self._pair), feed_of(self._content, self._content_pair)
        )


def archive_names() -> list[str]:
    """All archive folders of the vectors."""
    return sorted(path.name for path in vectors("archives").iterdir())


@dataclass(frozen=True)
class ArchiveFolder:
    """An archive folder of the vectors, opened in its layout.

    Attributes:
        expected: What the reference knows of it.
        archive: The archive; without content feed where the folder has none.
        folder: Where the copy lies.
    """

    expected: dict[str, Any]
    archive: Archive
    folder: Path

    def files(self) -> dict[str, tuple[int, str]]:
        """Size and SHA-256 of every file that lies there."""
        return {
            str(path.relative_to(self.folder)): (
                path.stat().st_size,
                hashlib.sha256(path.read_bytes()).hexdigest(),
            )
            for path in self.folder.rglob("*")
            if path.is_file() and path.name != "expected.json"
        }


@contextmanager
def archive_folder(name: str, place: Path) -> Iterator[ArchiveFolder]:
    """Copy an archive folder of the vectors to `place` and open it there."""
    folder = place / name
    shutil.copytree(vectors("archives") / name, folder, symlinks=True)
    expected = json.loads((folder / "expected.json").read_text())
    pool = Descriptors()
    plain_files = PlainFiles()
    files = _files(folder, pool, plain_files)
    archive = Archive(Feed.open(files.metadata))
    plain_files.metadata = archive.metadata
    if archive.metadata.length:
        archive.content = Feed.open(files.content, archive.content_key())
    try:
        yield ArchiveFolder(expected, archive, folder)
    finally:
        pool.close()


def _files(folder: Path, pool: Descriptors, plain_files: PlainFiles) -> layout.ArchiveFiles:
    if layout.detect(folder / "dir") == "dat":
        keys = folder / "secret_keys"
        return layout.dat(folder / "dir", pool, secret_keys=keys, locate=plain_files.locate)
    if layout.detect(folder / "store") == "flat":
        return layout.flat(folder / "store", pool)
    assert layout.detect(folder / "store") == "hyperdrive"
    return layout.hyperdrive(folder / "store", pool)
