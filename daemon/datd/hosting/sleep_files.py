"""The SLEEP files of an archive, to be read by others: what a web server needs of it.

Read in the archive's lane, so never in the middle of a batch. What is read later holds all that an
earlier read tells of: whoever reads signatures and bitfield before tree and data has a state that
was once true. No secret key is among them.

Source: sleep.md sections 1 to 8; transports.md section 6.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from bitarray import bitarray
from bitarray.util import intervals, zeros

from datd.archive.walk import Walk
from datd.errors import ArchiveFormatError
from datd.feed.bitfield import Bitfield
from datd.feed.feed import Feed
from datd.hosting.open_archive import OpenArchive
from datd.storage.base import FeedStorage, RandomAccess
from datd.storage.memory import MemoryFile

PARTS: Final = ("key", "tree", "signatures", "bitfield", "data")
NAMES: Final = tuple(f"{feed}.{part}" for feed in ("metadata", "content") for part in PARTS)

# Entries looked at in one call into the lane.
_SLICE: Final = 1000
# Metadata that is not here is asked of peers; who wants a copy of a folder has seen its files, so
# that only a piece here and there is missing.
PEERS_SECONDS: Final = 3.0
# Its author says how long a feed is: the bitfield of a few blocks can be a file of 1.9 GB, nearly
# all of it holes (L-9). Read in such pieces it costs no memory.
_PIECE: Final = 2**20
# A copy that is changed is in memory, once for each request. 150 million blocks are 10 TB, as dat
# cuts files.
_MOST_COPIED: Final = 64 * 2**20


@dataclass(frozen=True, slots=True)
class SleepView:
    """One file as it is now.

    Attributes:
        size: Bytes.
        tag: Changes whenever a byte does; None while blocks are still being written.
        read: Gives bytes, from an offset and so many; to be called in the lane.
    """

    size: int
    tag: str | None
    read: Callable[[int, int], bytes]


async def look(opened: OpenArchive, name: str) -> SleepView | None:
    """One of `NAMES`; None if there is no such file (yet)."""
    live = opened.metadata if name.startswith("metadata.") else opened.content
    if name not in NAMES or live is None:
        return None
    files = opened.place.files
    storage = files.metadata if live is opened.metadata else files.content
    return await opened.run(partial(_view, live.feed, storage, name.partition(".")[2]))


async def newest_bits(opened: OpenArchive) -> SleepView | None:
    """The bitfield of content for a copy that has the files of the newest version, and no others.

    Raises:
        Timeout: Metadata of the newest version is not here, and no peer gives it.
        ArchiveFormatError: The feed is too long for that.
    """
    live = opened.content
    if live is None or not opened.metadata.feed.length:
        return None
    file = opened.place.files.content.bitfield
    # Also what is not here yet is counted while the copy is made.
    size = max(await opened.run(file.size), live.feed.length // 8)
    if size > _MOST_COPIED:
        raise ArchiveFormatError(
            f"a bitfield of {live.feed.length:,} blocks takes {size:,} bytes, and no copy is made "
            f"of more than {_MOST_COPIED:,}: ask for the whole one"
        )
    wanted = zeros(live.feed.length, endian="big")
    walk: Walk = await opened.call(opened.archive.walk, wait=PEERS_SECONDS)
    while not walk.finished:
        for _, stat in await opened.call(partial(walk.page, _SLICE), wait=PEERS_SECONDS):
            if stat.is_file and stat.offset < len(wanted):
                wanted[stat.offset : stat.offset + stat.blocks] = True
    data = await opened.run(partial(_only, file, wanted))
    return SleepView(len(data), _tag("newest", [data]), lambda at, size: data[at : at + size])


def _view(feed: Feed, storage: FeedStorage, part: str) -> SleepView:
    if part == "key":
        key = feed.key.raw
        return SleepView(len(key), _tag(part, [key]), lambda at, size: key[at : at + size])
    if part == "data":
        # What lies behind the last block is nobody's business.
        file, size = storage.data, feed.byte_length
    else:
        file = {
            "tree": storage.tree,
            "signatures": storage.signatures,
            "bitfield": storage.bitfield,
        }[part]
        size = file.size()
    tag = None
    if not feed.dirty:
        # What is known and what is here stands in the bitfield, which is small; a signature more
        # changes the size of its file.
        signed = storage.signatures.size()
        tag = _tag(f"{part} {size} {signed} {feed.key.hex}", _written(storage.bitfield))
    return SleepView(size, tag, partial(_padded, file))


def _written(file: RandomAccess) -> Iterator[bytes]:
    """Where there are bytes in a file of holes, and which."""
    for at in range(0, file.size(), _PIECE):
        piece = file.read(at, _PIECE)
        if piece.count(0) != len(piece):
            yield b"%d " % at
            yield piece


def _padded(file: RandomAccess, at: int, size: int) -> bytes:
    """Bytes of a file with holes, which may end early: what is absent reads as zeros."""
    return file.read(at, size).ljust(size, b"\0")


def _only(file: RandomAccess, wanted: bitarray) -> bytes:
    copy = MemoryFile(file.read(0, file.size()))
    if not copy.size():
        return b""
    bits = Bitfield.open(copy)
    for is_wanted, start, stop in intervals(wanted):
        if not is_wanted:
            bits.clear_range(start, stop)
    bits.write_pages()
    return copy.read(0, copy.size())


def _tag(part: str, data: Iterable[bytes]) -> str:
    digest = hashlib.blake2b(digest_size=12, key=hashlib.sha256(part.encode()).digest())
    for piece in data:
        digest.update(piece)
    return f'"{digest.hexdigest()}"'
