"""Which blocks are held here, by hash: an index over the content of all archives.

Derived (decision 14): it lies in a file of its own outside the archives, and what is lost of it is
made again from their hash trees. It holds the first 8 bytes of each hash, so what it says is only a
hint: who takes a block from another archive reads it there and compares the whole hash.

Measured with ten million blocks: 19 bytes a block on disk, 1 to 3 microseconds to note one,
a look-up of 4,000 hashes in some 10 ms, below 30 MB of memory.
"""

import json
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from bitarray import bitarray
from bitarray.util import zeros

from datd.errors import ProtocolError
from datd.feed import rle
from datd.hosting.derived_index import DamagedIndex, DerivedIndex, Form

# Blocks noted in one transaction: sorted by hash, so many share pages, and a look-up waits 50 ms.
MAX_NOTED: Final = 16384

# L-9: longer feeds are not kept, so neither are the bits of what was noted of one.
_BITS_LIMIT: Final = 2**32 // 8

# Removed archives leave rows behind. They go when they are a third of all, in slices by hash.
_SWEEP_SHARE: Final = 3
_SWEEP_SLICES: Final = 256

# Bytes kept of a hash: with ten million blocks, a stranger meets one of them once in 10^12 times.
_PREFIX: Final = 8

_SCHEMA: Final = """
    CREATE TABLE archives (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name BLOB UNIQUE,  -- NULL: it was removed, and its rows are to go
        noted BLOB NOT NULL,
        rows INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE blocks (
        prefix INTEGER NOT NULL,
        archive INTEGER NOT NULL,
        block INTEGER NOT NULL,
        PRIMARY KEY (prefix, archive)
    ) STRICT, WITHOUT ROWID;
"""
_FORM: Final = Form(
    number=1,
    schema=_SCHEMA,
    cache_kib=8192,  # keeps a million blocks quick
    lasting=False,  # what a power cut tears is made again
    without="blocks held here are fetched again",
)
# One place for each hash is enough, and bounds the answer: zeros may lie in thousands of places.
_FIND: Final = """
    SELECT wanted.key, archives.name, blocks.block
    FROM json_each(?) AS wanted
    JOIN blocks ON blocks.prefix = wanted.value AND blocks.archive = (
        SELECT held.archive FROM blocks AS held
        JOIN archives AS living ON living.id = held.archive AND living.name IS NOT NULL
        WHERE held.prefix = wanted.value LIMIT 1
    )
    JOIN archives ON archives.id = blocks.archive
"""
_NOTE: Final = """
    INSERT OR IGNORE INTO blocks
    SELECT value, ?, key + ? FROM json_each(?) WHERE value IS NOT NULL ORDER BY value
"""
_DROP: Final = """
    DELETE FROM blocks WHERE (prefix, archive, block) IN (
        SELECT value, ?, key + ? FROM json_each(?) WHERE value IS NOT NULL
    )
"""


class Place(NamedTuple):
    """Where a block may lie: the archive's discovery key, and the number in its content feed."""

    archive: bytes
    block: int


class KnownBlocks:
    """The index. Whatever goes wrong with its file, it knows less, and nobody gets an error.

    Attributes:
        empty: Whether no archive was noted: nothing can be found.
    """

    def __init__(self, file: Path) -> None:
        """Nothing is opened yet.

        Args:
            file: Where it lies; its folder is made if need be.
        """
        self.empty = True
        self._index = DerivedIndex(file, _FORM, self._look)

    @property
    def made(self) -> int:
        """How often an index was begun anew since the daemon's start: then all is to be noted."""
        return self._index.made

    async def open(self) -> None:
        """Open the file, or begin a new one."""
        await self._index.run(self._look, None)

    async def close(self) -> None:
        """End; nothing is known any more."""
        await self._index.close()
        self.empty = True

    async def noted(self, archive: bytes) -> bitarray:
        """The blocks of an archive that were noted; bits missing at the end count as zero."""
        return await self._index.run(partial(_noted, archive), bitarray(endian="big"))

    async def note(self, archive: bytes, start: int, hashes: Sequence[bytes | None]) -> None:
        """Add blocks of an archive.

        Args:
            archive: Its discovery key.
            start: The first block.
            hashes: Hashes of it and the following ones. None for those that are not meant; b"" for
                those that count as noted and need not be found.
        """
        await self._index.run(partial(self._note, archive, start, hashes), None)

    async def drop(self, archive: bytes, start: int, hashes: Sequence[bytes | None]) -> None:
        """Take blocks out that are not held any more; see `note`."""
        await self._index.run(partial(_drop, archive, start, hashes), None)

    async def find(self, hashes: Sequence[bytes]) -> list[Place | None]:
        """Where blocks with these hashes may lie: one place for each, or None."""
        if self.empty:
            return [None] * len(hashes)
        return await self._index.run(partial(_find, hashes), [None] * len(hashes))

    async def archives(self) -> set[bytes]:
        """The archives of which something was noted."""
        return await self._index.run(_names, set())

    async def forget(self, archive: bytes) -> None:
        """An archive was removed. Its rows go when there are many such."""
        if await self._index.run(partial(self._forget, archive), False):
            for number in range(_SWEEP_SLICES):
                await self._index.run(partial(_sweep_slice, number), None)

    # In the thread

    def _look(self, database: sqlite3.Connection) -> None:
        self.empty = not _names(database)

    def _note(
        self,
        archive: bytes,
        start: int,
        hashes: Sequence[bytes | None],
        database: sqlite3.Connection,
    ) -> None:
        def write(number: int) -> int:
            return database.execute(_NOTE, (number, start, _coded(hashes))).rowcount

        def mark(stretch: bitarray, named: bitarray) -> bitarray:
            return stretch | named

        _change(database, archive, start, hashes, write, mark)
        self.empty = False

    def _forget(self, archive: bytes, database: sqlite3.Connection) -> bool:
        """Rows of a removed archive are passed over; whether it is time to sweep them out."""
        database.execute("UPDATE archives SET name = NULL, noted = x'' WHERE name = ?", (archive,))
        gone, rows = database.execute(
            "SELECT coalesce(sum(rows) FILTER (WHERE name IS NULL), 0), coalesce(sum(rows), 0)"
            " FROM archives"
        ).fetchone()
        self._look(database)
        return bool(gone * _SWEEP_SHARE >= rows)


def _names(database: sqlite3.Connection) -> set[bytes]:
    rows = database.execute("SELECT name FROM archives WHERE name IS NOT NULL")
    return {name for (name,) in rows}


def _noted(archive: bytes, database: sqlite3.Connection) -> bitarray:
    row = database.execute("SELECT noted FROM archives WHERE name = ?", (archive,)).fetchone()
    bits = bitarray(endian="big")
    if row is not None:
        try:
            bits.frombytes(rle.decode(row[0], limit=_BITS_LIMIT))
        except (ProtocolError, ValueError) as error:
            raise DamagedIndex(f"the bits of an archive make no sense: {error}") from error
    return bits


def _drop(
    archive: bytes, start: int, hashes: Sequence[bytes | None], database: sqlite3.Connection
) -> None:
    def write(number: int) -> int:
        return -database.execute(_DROP, (number, start, _coded(hashes))).rowcount

    def mark(stretch: bitarray, named: bitarray) -> bitarray:
        return stretch & ~named

    _change(database, archive, start, hashes, write, mark)


def _change(
    database: sqlite3.Connection,
    archive: bytes,
    start: int,
    hashes: Sequence[bytes | None],
    write: Callable[[int], int],
    mark: Callable[[bitarray, bitarray], bitarray],
) -> None:
    """Write rows and say so in the archive's bits, both or neither."""
    stop = start + len(hashes)
    with database:
        database.execute("BEGIN")
        database.execute(
            "INSERT OR IGNORE INTO archives (name, noted, rows) VALUES (?, x'', 0)", (archive,)
        )
        (number,) = database.execute(
            "SELECT id FROM archives WHERE name = ?", (archive,)
        ).fetchone()
        rows = write(number)
        bits = _noted(archive, database)
        bits += zeros(max(0, stop - len(bits)), endian="big")
        named = bitarray([one is not None for one in hashes], endian="big")
        bits[start:stop] = mark(bits[start:stop], named)
        database.execute(
            "UPDATE archives SET noted = ?, rows = rows + ? WHERE id = ?",
            (rle.encode(bits.tobytes()), rows, number),
        )


def _find(hashes: Sequence[bytes], database: sqlite3.Connection) -> list[Place | None]:
    found: list[Place | None] = [None] * len(hashes)
    for at, name, block in database.execute(_FIND, (_coded(hashes),)):
        found[at] = Place(name, block)
    return found


def _sweep_slice(number: int, database: sqlite3.Connection) -> None:
    width = 2**64 // _SWEEP_SLICES
    low = number * width - 2**63
    database.execute(
        "DELETE FROM blocks WHERE prefix BETWEEN ? AND ?"
        " AND archive NOT IN (SELECT id FROM archives WHERE name IS NOT NULL)",
        (low, low + width - 1),
    )
    if number == _SWEEP_SLICES - 1:
        # One removed while this went on keeps rows in early slices until the next time.
        database.execute("DELETE FROM archives WHERE name IS NULL")


def _coded(hashes: Sequence[bytes | None]) -> str:
    return json.dumps(
        [int.from_bytes(one[:_PREFIX], "big", signed=True) if one else None for one in hashes]
    )
