"""Which entries changed a path: an index beside the archives, so that nobody reads all of a feed.

One file for all archives, derived from their metadata and made again when it is lost (decision 14).
An archive gets into it when somebody asks for a history that would take long without. What is found
here is a hint: whoever asks reads the entries named and looks at their names.

A row says that the entries `first` to `last` changed something at or below a path. Folders get
stretches of neighbours, so they cost little; an entry costs some 40 bytes on disk. A path is kept
as two hashes, its folder's and its own: those of one folder lie side by side, as their entries do
in the feed, and adding a million takes seconds.
"""

import asyncio
import hashlib
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

T = TypeVar("T")
log = logging.getLogger(__name__)

# Folders below this depth are found among what changed in their ancestor there: a hostile name may
# have thousands of components.
DEPTH: Final = 16

# Memory of the file while it is in use.
_CACHE_KIB: Final = 2048
# Rows of a removed archive go in slices, by path: a look-up waits some 100 ms for a large one.
_SLICES: Final = 64

# Bytes of each of the two hashes; paths that share both are told apart by who reads the entries.
_HASH: Final = 4
_FORMAT: Final = 1
_SCHEMA: Final = f"""
    CREATE TABLE archives (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name BLOB UNIQUE,  -- NULL: it was removed, and its rows are to go
        reach INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE changes (
        archive INTEGER NOT NULL,
        path INTEGER NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        PRIMARY KEY (archive, path, first)
    ) STRICT, WITHOUT ROWID;
    PRAGMA user_version = {_FORMAT};
"""
# Stretches of one path do not overlap, so only one can begin before and reach into what is asked.
_FIND: Final = """
    SELECT first, last FROM changes
    WHERE archive = :archive AND path = :path AND last >= :start AND first < :stop AND first >= (
        SELECT coalesce(max(first), 0) FROM changes
        WHERE archive = :archive AND path = :path AND first <= :start
    )
    ORDER BY first LIMIT :most
"""

Names = tuple[str, ...]


class Found(NamedTuple):
    """What the index says of a path.

    Attributes:
        reach: It knows all entries up to this one.
        stretches: Entries, ascending, that may have changed it; not all, if there were more than
            was asked for.
    """

    reach: int
    stretches: list[range]


class HistoryIndex:
    """The index. Whatever goes wrong with its file, it knows less, and nobody gets an error."""

    def __init__(self, file: Path) -> None:
        """Nothing is opened or made before somebody asks.

        Args:
            file: Where it lies; its folder is made if need be.
        """
        self._file = file
        self._thread = ThreadPoolExecutor(1, "history")
        self._connection: sqlite3.Connection | None = None
        self._failed = False

    async def close(self) -> None:
        """End."""
        if self._connection is not None:
            await self._run(self._close, None)
        self._thread.shutdown()

    async def reach(self, archive: bytes) -> int:
        """Up to which entry an archive is known; 0 if nothing is.

        Args:
            archive: Its discovery key.
        """
        return await self._run(lambda: self._archive(archive)[1], 0)

    async def add(self, archive: bytes, start: int, names: Sequence[Names | None]) -> int:
        """Take entries in.

        Args:
            archive: Discovery key.
            start: Number of the first; nothing is taken unless it is the one behind `reach`.
            names: Components of the path that each of them changed; None for what is no entry.

        Returns:
            What `reach` is now.
        """
        return await self._run(lambda: self._add(archive, start, names), 0)

    async def find(self, archive: bytes, names: Names, start: int, stop: int, most: int) -> Found:
        """Find the entries that may have changed something at or below a path.

        Args:
            archive: Discovery key.
            names: Components of the path, at least one.
            start: The first entry of interest.
            stop: The one behind the last.
            most: Stretches at most.
        """
        return await self._run(lambda: self._find(archive, names, start, stop, most), Found(0, []))

    async def forget(self, archive: bytes) -> None:
        """An archive was removed."""
        if self._connection is None and not self._file.exists():
            return
        number = await self._run(lambda: self._forget(archive), None)
        if number is not None:
            for slice_ in range(_SLICES):
                await self._run(partial(self._sweep, number, slice_), None)

    # In the thread

    async def _run(self, call: Callable[[], T], otherwise: T) -> T:
        def attempt() -> T:
            try:
                return call()
            except (sqlite3.Error, OSError) as error:
                self._recover(error)
                return otherwise

        return await asyncio.get_running_loop().run_in_executor(self._thread, attempt)

    def _recover(self, error: Exception) -> None:
        """A damaged file goes, to be begun anew; any other trouble (a full disk) may pass."""
        code = getattr(error, "sqlite_errorcode", None)
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR):
            log.warning("%s is damaged and made anew: %s", self._file, error)
            try:
                self._close()
                self._remove()
            except (sqlite3.Error, OSError) as again:
                error = again
            else:
                return
        if not self._failed:
            self._failed = True
            log.warning("%s: %s; histories take longer meanwhile", self._file, error)

    @property
    def _database(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        database = sqlite3.connect(self._file, isolation_level=None, check_same_thread=False)
        try:
            database.execute("PRAGMA locking_mode = EXCLUSIVE")
            database.execute("PRAGMA journal_mode = WAL")
            # A row that is missing would not be noticed: unlike other indexes, this one survives a
            # power cut whole, or is known to be damaged.
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            (found,) = database.execute("PRAGMA user_version").fetchone()
            if found not in (0, _FORMAT):
                database.close()
                self._remove()
                return self._open()
            if found == 0:
                database.executescript(_SCHEMA)
        except BaseException:
            database.close()
            raise
        return database

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _remove(self) -> None:
        for ending in ("", "-wal", "-shm", "-journal"):
            self._file.with_name(self._file.name + ending).unlink(missing_ok=True)

    def _archive(self, name: bytes) -> tuple[int, int]:
        """Id and reach of an archive; zeros if nothing is known of it."""
        row = self._database.execute(
            "SELECT id, reach FROM archives WHERE name = ?", (name,)
        ).fetchone()
        return (0, 0) if row is None else (row[0], row[1])

    def _add(self, name: bytes, start: int, names: Sequence[Names | None]) -> int:
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            number, reach = self._archive(name)
            if not number:
                row = database.execute(
                    "INSERT INTO archives (name, reach) VALUES (?, 0) RETURNING id", (name,)
                ).fetchone()
                number = row[0]
            if start == reach + 1:
                rows = sorted(_stretches(start, names))
                database.executemany(f"INSERT INTO changes VALUES ({number}, ?, ?, ?)", rows)
                reach += len(names)
                database.execute("UPDATE archives SET reach = ? WHERE id = ?", (reach, number))
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
        return reach

    def _find(self, name: bytes, names: Names, start: int, stop: int, most: int) -> Found:
        number, reach = self._archive(name)
        asked = {
            "archive": number,
            "path": _hashes(names[:DEPTH])[-1],
            "start": start,
            "stop": stop,
            "most": most,
        }
        rows = self._database.execute(_FIND, asked)
        return Found(reach, [range(max(first, start), min(last + 1, stop)) for first, last in rows])

    def _forget(self, name: bytes) -> int | None:
        number, _ = self._archive(name)
        if not number:
            return None
        self._database.execute("UPDATE archives SET name = NULL WHERE id = ?", (number,))
        return number

    def _sweep(self, number: int, slice_: int) -> None:
        width = 2 ** (16 * _HASH) // _SLICES
        low = slice_ * width - 2 ** (16 * _HASH - 1)
        self._database.execute(
            "DELETE FROM changes WHERE archive = ? AND path BETWEEN ? AND ?",
            (number, low, low + width - 1),
        )
        if slice_ == _SLICES - 1:
            self._database.execute("DELETE FROM archives WHERE id = ?", (number,))


def _stretches(start: int, names: Sequence[Names | None]) -> Iterator[tuple[int, int, int]]:
    """Rows for entries: path, first, last. Neighbours below one folder make one."""
    open_: dict[int, tuple[int, int]] = {}
    known: dict[Names, list[int]] = {}
    for seq, path in enumerate(names, start):
        if path is None:
            continue
        folder = path[:DEPTH][:-1]
        above = known.get(folder)
        if above is None:
            above = known[folder] = _hashes(folder)
        for key in (*above, *_hashes(path[:DEPTH], len(above))):
            first, last = open_.get(key, (seq, seq))
            if last < seq - 1:
                yield key, first, last
                first = seq
            open_[key] = first, seq
    for key, (first, last) in open_.items():
        yield key, first, last


def _hashes(names: Names, skip: int = 0) -> list[int]:
    """What stands for a path and each folder above it but the root and the first `skip`."""
    found = []
    above = _hash(names[:skip])
    for depth in range(skip + 1, len(names) + 1):
        own = _hash(names[:depth])
        found.append(int.from_bytes(above + own, "big", signed=True))
        above = own
    return found


def _hash(names: Names) -> bytes:
    text = "/".join(names).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=_HASH).digest()
