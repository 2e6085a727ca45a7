"""The catalogue: what is hosted, how, and what is known of it. One SQLite file, one thread.

Hot state (which blocks are here) lies in the SLEEP files; this book changes only when somebody
asks for something, when an archive gets its first write after a clean state, and every half minute.
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from datd.errors import NewerFormat, StorageError
from datd.keys import Key
from datd.types import Address

T = TypeVar("T")

# One entry a version of the schema: never edited after a release, only added to.
_MIGRATIONS = (
    """
    CREATE TABLE archives (
        key TEXT PRIMARY KEY,
        name TEXT UNIQUE,
        tags TEXT NOT NULL,
        mode TEXT NOT NULL,
        paused INTEGER NOT NULL,
        pinned INTEGER,
        added_at REAL NOT NULL,
        updated_at REAL,
        last_peer_at REAL,
        dirty INTEGER NOT NULL,
        downloaded INTEGER NOT NULL,
        uploaded INTEGER NOT NULL,
        summary TEXT NOT NULL,
        conflict TEXT
    ) STRICT;
    CREATE TABLE peers (
        key TEXT NOT NULL REFERENCES archives (key) ON DELETE CASCADE,
        host TEXT NOT NULL,
        port INTEGER NOT NULL,
        PRIMARY KEY (key, host, port)
    ) STRICT, WITHOUT ROWID;
    """,
)


@dataclass(slots=True)
class Summary:
    """What was last known of an archive, so that it can be shown without opening it."""

    title: str = ""
    description: str = ""
    version: int = 0
    files: int = 0
    size: int = 0
    blocks_have: int = 0
    blocks_total: int = 0
    blocks_unavailable: int = 0
    bytes_have: int = 0
    bytes_total: int = 0
    complete: bool = False


@dataclass(slots=True)
class Signed:
    """What a feed's writer put its name to. Hash and signature are hex, length counts blocks."""

    length: int
    root_hash: str
    signature: str


@dataclass(slots=True)
class Conflict:
    """Proof that one key signed two histories (T-22).

    Attributes:
        feed: Discovery key of the feed, hex.
        kept: The history that came first, kept and served.
        refused: The other one, of which nothing is stored.
    """

    feed: str
    kept: Signed | None
    refused: Signed


@dataclass(slots=True)
class Record:
    """One hosted archive. Times are seconds since 1970; `pinned` is the version to stop at."""

    key: Key
    added_at: float
    name: str | None = None
    tags: list[str] = field(default_factory=list)
    mode: str = "archive"
    paused: bool = False
    pinned: int | None = None
    updated_at: float | None = None
    last_peer_at: float | None = None
    dirty: bool = False
    downloaded: int = 0
    uploaded: int = 0
    summary: Summary = field(default_factory=Summary)
    conflict: Conflict | None = None
    peers: list[Address] = field(default_factory=list)


class Catalogue:
    """The book itself. Every call is carried out, and committed, before it returns.

    Raises:
        StorageError: The file cannot be opened, read or written, or a newer datd wrote it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, "catalogue")
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> list[Record]:
        """Open or make the file and give all records."""
        return await self._run(self._open)

    async def close(self) -> None:
        """End; later calls are an error."""
        if self._connection is not None:
            await self._run(lambda: self._database.close())
            self._connection = None
        self._thread.shutdown()

    async def add(self, record: Record) -> None:
        """Write a new archive down. Its name must be free."""
        await self._run(lambda: self._save([record]))

    async def save(self, records: Iterable[Record]) -> None:
        """Write archives down as they are now, in one transaction."""
        chosen = list(records)
        await self._run(lambda: self._save(chosen))

    async def set_dirty(self, key: Key, dirty: bool) -> None:
        """Note that files of an archive are being written, or that all of it is on the disk."""
        await self._run(
            lambda: self._write("UPDATE archives SET dirty = ? WHERE key = ?", (dirty, key.hex))
        )

    async def remove(self, key: Key) -> None:
        """Forget an archive."""
        await self._run(lambda: self._write("DELETE FROM archives WHERE key = ?", (key.hex,)))

    @property
    def _database(self) -> sqlite3.Connection:
        if self._connection is None:
            raise AssertionError("the catalogue is not open")
        return self._connection

    async def _run(self, call: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        except sqlite3.Error as error:
            raise StorageError(f"{self._path}: {error}") from error

    def _open(self) -> list[Record]:
        self._connection = sqlite3.connect(self._path, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
        )
        self._migrate()
        peers: dict[str, list[Address]] = {}
        for row in self._connection.execute("SELECT key, host, port FROM peers"):
            peers.setdefault(row["key"], []).append(Address(row["host"], row["port"]))
        rows = self._connection.execute("SELECT * FROM archives ORDER BY added_at, key")
        return [_record(row, peers.get(row["key"], [])) for row in rows]

    def _migrate(self) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version > len(_MIGRATIONS):
            raise NewerFormat(
                f"{self._path} was written by a newer datd (format {version}, this one knows "
                f"{len(_MIGRATIONS)}): install that version again"
            )
        for number, script in enumerate(_MIGRATIONS[version:], version + 1):
            self._database.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        self._database.execute(statement, values)

    def _save(self, records: list[Record]) -> None:
        database = self._database
        database.execute("BEGIN")
        try:
            for record in records:
                database.execute(_UPSERT, _row(record))
                database.execute("DELETE FROM peers WHERE key = ?", (record.key.hex,))
                database.executemany(
                    "INSERT OR IGNORE INTO peers VALUES (?, ?, ?)",
                    [(record.key.hex, host, port) for host, port in record.peers],
                )
            database.execute("COMMIT")
        except BaseException:
            database.execute("ROLLBACK")
            raise


_COLUMNS = [
    "key",
    "name",
    "tags",
    "mode",
    "paused",
    "pinned",
    "added_at",
    "updated_at",
    "last_peer_at",
    "dirty",
    "downloaded",
    "uploaded",
    "summary",
    "conflict",
]
# `dirty` has a writer of its own: a save that was prepared earlier must not undo it.
_UPSERT = (
    f"INSERT INTO archives ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
    " ON CONFLICT (key) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name not in ("key", "dirty"))
)


def _row(record: Record) -> tuple[Any, ...]:
    summary = {name: getattr(record.summary, name) for name in Summary.__slots__}
    return (
        record.key.hex,
        record.name,
        json.dumps(record.tags),
        record.mode,
        record.paused,
        record.pinned,
        record.added_at,
        record.updated_at,
        record.last_peer_at,
        record.dirty,
        record.downloaded,
        record.uploaded,
        json.dumps(summary),
        json.dumps(asdict(record.conflict)) if record.conflict else None,
    )


def _record(row: sqlite3.Row, peers: list[Address]) -> Record:
    known = json.loads(row["summary"])
    return Record(
        key=Key(bytes.fromhex(row["key"])),
        added_at=row["added_at"],
        name=row["name"],
        tags=json.loads(row["tags"]),
        mode=row["mode"],
        paused=bool(row["paused"]),
        pinned=row["pinned"],
        updated_at=row["updated_at"],
        last_peer_at=row["last_peer_at"],
        dirty=bool(row["dirty"]),
        downloaded=row["downloaded"],
        uploaded=row["uploaded"],
        summary=Summary(**{k: v for k, v in known.items() if k in Summary.__slots__}),
        conflict=_conflict(row["conflict"]),
        peers=peers,
    )


def _conflict(text: str | None) -> Conflict | None:
    if text is None:
        return None
    known = json.loads(text)
    kept = Signed(**known["kept"]) if known["kept"] else None
    return Conflict(known["feed"], kept, Signed(**known["refused"]))
