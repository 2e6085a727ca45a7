"""Which entries changed a path: an index beside the archives, so that nobody reads all of a feed.

One file for all archives, derived from their metadata and made again when it is lost (decision 14).
An archive gets into it when somebody asks for a history that would take long without. What is found
here is a hint: whoever asks reads the entries named and looks at their names.

A row says that the entries `first` to `last` changed something at or below a path. Folders get
stretches of neighbours, so they cost little; an entry costs some 40 bytes on disk. A path is kept
as two hashes, its folder's and its own: those of one folder lie side by side, as their entries do
in the feed, and adding a million takes seconds.
"""

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from datd.hosting.derived_index import DerivedIndex, Form

# Folders below this depth are found among what changed in their ancestor there: a hostile name may
# have thousands of components.
DEPTH: Final = 16

# Rows of removed archives go in slices, by path: a look-up waits some 100 ms for a large one.
_SLICES: Final = 64

# Bytes of each of the two hashes; paths that share both are told apart by who reads the entries.
_HASH: Final = 4
_SCHEMA: Final = """
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
"""
_FORM: Final = Form(
    number=1,
    schema=_SCHEMA,
    cache_kib=2048,
    lasting=True,  # nobody would notice that a row is missing
    without="histories take longer",
)
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
        self._unswept = False
        self._index = DerivedIndex(file, _FORM, self._opened)

    async def close(self) -> None:
        """End."""
        await self._index.close()

    async def reach(self, archive: bytes) -> int:
        """Up to which entry an archive is known; 0 if nothing is.

        Args:
            archive: Its discovery key.
        """
        return await self._index.run(lambda database: _archive(database, archive)[1], 0)

    async def add(self, archive: bytes, start: int, names: Sequence[Names | None]) -> int:
        """Take entries in.

        Args:
            archive: Discovery key.
            start: Number of the first; nothing is taken unless it is the one behind `reach`.
            names: Components of the path that each of them changed; None for what is no entry.

        Returns:
            What `reach` is now.
        """
        reach = await self._index.run(partial(_add, archive, start, names), 0)
        await self._sweep()
        return reach

    async def find(self, archive: bytes, names: Names, start: int, stop: int, most: int) -> Found:
        """Find the entries that may have changed something at or below a path.

        Args:
            archive: Discovery key.
            names: Components of the path, at least one.
            start: The first entry of interest.
            stop: The one behind the last.
            most: Stretches at most.
        """
        call = partial(_find, archive, names, start, stop, most)
        return await self._index.run(call, Found(0, []))

    async def forget(self, archive: bytes) -> None:
        """An archive was removed."""
        if self._index.begun:
            await self._index.run(partial(self._forget, archive), None)
            await self._sweep()

    async def _sweep(self) -> None:
        """Have the rows of removed archives go, also of those whose sweeping the end cut short."""
        if self._unswept:
            self._unswept = False
            for number in range(_SLICES):
                await self._index.run(partial(_sweep_slice, number), None)

    # In the thread

    def _opened(self, database: sqlite3.Connection) -> None:
        removed = database.execute("SELECT 1 FROM archives WHERE name IS NULL LIMIT 1").fetchone()
        self._unswept = removed is not None

    def _forget(self, name: bytes, database: sqlite3.Connection) -> None:
        changed = database.execute("UPDATE archives SET name = NULL WHERE name = ?", (name,))
        if changed.rowcount:
            self._unswept = True


def _archive(database: sqlite3.Connection, name: bytes) -> tuple[int, int]:
    """Id and reach of an archive; zeros if nothing is known of it."""
    row = database.execute("SELECT id, reach FROM archives WHERE name = ?", (name,)).fetchone()
    return (0, 0) if row is None else (row[0], row[1])


def _add(
    name: bytes, start: int, names: Sequence[Names | None], database: sqlite3.Connection
) -> int:
    with database:  # both tables are changed, or neither
        database.execute("BEGIN IMMEDIATE")
        number, reach = _archive(database, name)
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
    return reach


def _find(
    name: bytes, names: Names, start: int, stop: int, most: int, database: sqlite3.Connection
) -> Found:
    number, reach = _archive(database, name)
    asked = {
        "archive": number,
        "path": _hashes(names[:DEPTH])[-1],
        "start": start,
        "stop": stop,
        "most": most,
    }
    rows = database.execute(_FIND, asked)
    return Found(reach, [range(max(first, start), min(last + 1, stop)) for first, last in rows])


def _sweep_slice(number: int, database: sqlite3.Connection) -> None:
    width = 2 ** (16 * _HASH) // _SLICES
    low = number * width - 2 ** (16 * _HASH - 1)
    database.execute(
        "DELETE FROM changes WHERE path BETWEEN ? AND ?"
        " AND archive IN (SELECT id FROM archives WHERE name IS NULL)",
        (low, low + width - 1),
    )
    if number == _SLICES - 1:
        # One removed while this went on is swept by who removed it.
        database.execute(
            "DELETE FROM archives WHERE name IS NULL"
            " AND NOT EXISTS (SELECT 1 FROM changes WHERE archive = archives.id)"
        )


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
