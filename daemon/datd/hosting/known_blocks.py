"""Which blocks are held here, by hash: an index over the content of all archives.

Derived (decision 14): it lies in a file of its own outside the archives, and what is lost of it is
made again from their hash trees. It holds the first 8 bytes of each hash, so what it says is only a
hint: who takes a block from another archive reads it there and compares the whole hash.

Measured with ten million blocks: 19 bytes a block on disk, 1 to 3 microseconds to note one,
a look-up of 4,000 hashes in some 10 ms, below 30 MB of memory.
"""

import asyncio
import json
import logging
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from bitarray import bitarray
from bitarray.util import zeros

from datd.errors import ProtocolError
from datd.feed import rle

T = TypeVar("T")
log = logging.getLogger(__name__)

# Blocks noted in one transaction: sorted by hash, so many share pages, and a look-up waits 50 ms.
MAX_NOTED: Final = 16384

# Memory of the index while it is in use; 8 MiB keep a million blocks quick.
_CACHE_KIB: Final = 8192

# L-9: longer feeds are not kept, so neither are the bits of what was noted of one.
_BITS_LIMIT: Final = 2**32 // 8

# Removed archives leave rows behind. They go when they are a third of all, in slices by hash.
_SWEEP_SHARE: Final = 3
_SWEEP_SLICES: Final = 256

# Bytes kept of a hash: with ten million blocks, a stranger meets one of them once in 10^12 times.
_PREFIX: Final = 8

_FORMAT: Final = 1
_SCHEMA: Final = f"""
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
    PRAGMA user_version = {_FORMAT};
"""
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
        made: How often an index was begun anew since the daemon's start: then all is to be noted.
    """

    def __init__(self, file: Path) -> None:
        """Nothing is opened yet.

        Args:
            file: Where it lies; its folder is made if need be.
        """
        self.empty = True
        self.made = 0
        self._file = file
        self._thread = ThreadPoolExecutor(1, "index")
        self._connection: sqlite3.Connection | None = None
        self._failed = False

    async def open(self) -> None:
        """Open the file, or begin a new one."""
        await self._run(self._open, None)

    async def close(self) -> None:
        """End; nothing is known any more."""
        await self._run(self._close, None)
        self.empty = True
        self._thread.shutdown()

    async def noted(self, archive: bytes) -> bitarray:
        """The blocks of an archive that were noted; bits missing at the end count as zero."""
        return await self._run(lambda: self._noted(archive), bitarray(endian="big"))

    async def note(self, archive: bytes, start: int, hashes: Sequence[bytes | None]) -> None:
        """Add blocks of an archive.

        Args:
            archive: Its discovery key.
            start: The first block.
            hashes: Hashes of it and the following ones. None for those that are not meant; b"" for
                those that count as noted and need not be found.
        """
        await self._run(lambda: self._note(archive, start, hashes), None)

    async def drop(self, archive: bytes, start: int, hashes: Sequence[bytes | None]) -> None:
        """Take blocks out that are not held any more; see `note`."""
        await self._run(lambda: self._drop(archive, start, hashes), None)

    async def find(self, hashes: Sequence[bytes]) -> list[Place | None]:
        """Where blocks with these hashes may lie: one place for each, or None."""
        if self.empty:
            return [None] * len(hashes)
        return await self._run(lambda: self._find(hashes), [None] * len(hashes))

    async def archives(self) -> set[bytes]:
        """The archives of which something was noted."""
        return await self._run(self._names, set())

    async def forget(self, archive: bytes) -> None:
        """An archive was removed. Its rows go when there are many such."""
        if await self._run(lambda: self._forget(archive), False):
            for number in range(_SWEEP_SLICES):
                await self._run(partial(self._sweep, number), None)

    # In the thread

    async def _run(self, call: Callable[[], T], otherwise: T) -> T:
        def attempt() -> T:
            try:
                return call()
            except (sqlite3.Error, OSError, ProtocolError, ValueError) as error:
                self._recover(error)
                return otherwise

        return await asyncio.get_running_loop().run_in_executor(self._thread, attempt)

    def _recover(self, error: Exception) -> None:
        """A damaged file is begun anew, once; any other trouble (a full disk) may pass."""
        code = getattr(error, "sqlite_errorcode", None)
        damaged = code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
        if damaged or not isinstance(error, (sqlite3.Error, OSError)):
            log.warning("%s is damaged and made anew: %s", self._file, error)
            try:
                self._close()
                self._remove()
                self._open()
            except (sqlite3.Error, OSError) as again:
                self._connection = None
                error = again
            else:
                return
        if not self._failed:
            self._failed = True
            log.warning("%s: %s; blocks held here are fetched again meanwhile", self._file, error)

    def _open(self) -> None:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        database = sqlite3.connect(self._file, isolation_level=None, check_same_thread=False)
        self._connection = database
        # What a power cut tears is made again: nothing here is worth waiting for the disk.
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = OFF")
        database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        (found,) = database.execute("PRAGMA user_version").fetchone()
        if found not in (0, _FORMAT):
            self._close()
            self._remove()
            self._open()
            return
        if found == 0:
            database.executescript(_SCHEMA)
            self.made += 1
        self.empty = not self._names()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _remove(self) -> None:
        for ending in ("", "-wal", "-shm", "-journal"):
            self._file.with_name(self._file.name + ending).unlink(missing_ok=True)

    @property
    def _database(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.OperationalError("the index is not open")
        return self._connection

    def _names(self) -> set[bytes]:
        rows = self._database.execute("SELECT name FROM archives WHERE name IS NOT NULL")
        return {name for (name,) in rows}

    def _noted(self, archive: bytes) -> bitarray:
        row = self._database.execute(
            "SELECT noted FROM archives WHERE name = ?", (archive,)
        ).fetchone()
        bits = bitarray(endian="big")
        if row is not None:
            bits.frombytes(rle.decode(row[0], limit=_BITS_LIMIT))
        return bits

    def _note(self, archive: bytes, start: int, hashes: Sequence[bytes | None]) -> None:
        def write(number: int) -> int:
            return self._database.execute(_NOTE, (number, start, _coded(hashes))).rowcount

        def mark(stretch: bitarray, named: bitarray) -> bitarray:
            return stretch | named

        self._change(archive, start, hashes, write, mark)
        self.empty = False

    def _drop(self, archive: bytes, start: int, hashes: Sequence[bytes | None]) -> None:
        def write(number: int) -> int:
            return -self._database.execute(_DROP, (number, start, _coded(hashes))).rowcount

        def mark(stretch: bitarray, named: bitarray) -> bitarray:
            return stretch & ~named

        self._change(archive, start, hashes, write, mark)

    def _change(
        self,
        archive: bytes,
        start: int,
        hashes: Sequence[bytes | None],
        write: Callable[[int], int],
        mark: Callable[[bitarray, bitarray], bitarray],
    ) -> None:
        """Write rows and say so in the archive's bits, both or neither."""
        database, stop = self._database, start + len(hashes)
        database.execute("BEGIN")
        try:
            database.execute(
                "INSERT OR IGNORE INTO archives (name, noted, rows) VALUES (?, x'', 0)", (archive,)
            )
            (number,) = database.execute(
                "SELECT id FROM archives WHERE name = ?", (archive,)
            ).fetchone()
            rows = write(number)
            bits = self._noted(archive)
            bits += zeros(max(0, stop - len(bits)), endian="big")
            named = bitarray([one is not None for one in hashes], endian="big")
            bits[start:stop] = mark(bits[start:stop], named)
            database.execute(
                "UPDATE archives SET noted = ?, rows = rows + ? WHERE id = ?",
                (rle.encode(bits.tobytes()), rows, number),
            )
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise

    def _find(self, hashes: Sequence[bytes]) -> list[Place | None]:
        found: list[Place | None] = [None] * len(hashes)
        for at, name, block in self._database.execute(_FIND, (_coded(hashes),)):
            found[at] = Place(name, block)
        return found

    def _forget(self, archive: bytes) -> bool:
        """Rows of a removed archive are passed over; whether it is time to sweep them out."""
        database = self._database
        database.execute("UPDATE archives SET name = NULL, noted = x'' WHERE name = ?", (archive,))
        gone, rows = database.execute(
            "SELECT coalesce(sum(rows) FILTER (WHERE name IS NULL), 0), coalesce(sum(rows), 0)"
            " FROM archives"
        ).fetchone()
        self.empty = not self._names()
        return bool(gone * _SWEEP_SHARE >= rows)

    def _sweep(self, number: int) -> None:
        width = 2**64 // _SWEEP_SLICES
        low = number * width - 2**63
        self._database.execute(
            "DELETE FROM blocks WHERE prefix BETWEEN ? AND ?"
            " AND archive NOT IN (SELECT id FROM archives WHERE name IS NOT NULL)",
            (low, low + width - 1),
        )
        if number == _SWEEP_SLICES - 1:
            # One removed while this went on keeps rows in early slices until the next time.
            self._database.execute("DELETE FROM archives WHERE name IS NULL")


def _coded(hashes: Sequence[bytes | None]) -> str:
    return json.dumps(
        [int.from_bytes(one[:_PREFIX], "big", signed=True) if one else None for one in hashes]
    )
