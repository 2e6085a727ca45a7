"""The catalogue: what is hosted, how, and what is known of it. One SQLite file, one thread.

Hot state (which blocks are here) lies in the SLEEP files; this book changes only when somebody
asks for something, when an archive gets its first write after a clean state, and every half minute.
"""

import asyncio
import errno
import json
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from datd.errors import (
    DamagedCatalogue,
    KeyFormatError,
    NewerFormat,
    ReadOnlyError,
    StorageError,
)
from datd.keys import Key, KnownName
from datd.migrations import MIGRATIONS
from datd.records import Conflict, Forking, GoodPeer, ImportRules, Record, Signed, Summary
from datd.soundness import is_damage, primary_code, require_sense, require_sound
from datd.storage.faults import storage_error
from datd.storage.private import make_database_private
from datd.types import Address

log = logging.getLogger(__name__)

T = TypeVar("T")
Write = Callable[[sqlite3.Connection], None]

# STRICT tables. An older one would call the file malformed, though nothing is wrong with it.
_OLDEST_SQLITE = (3, 37, 0)

# Good peers that are kept of one archive: enough to come back after an outage.
MAX_GOOD_PEERS = 16
# What an archive may be kept as; another word is one that turned on the disk.
MODES = ("archive", "latest", "sparse")


class Catalogue:
    """The book itself. Every call is carried out, and committed, before it returns.

    Attributes:
        damage: What was found to make no sense since it was opened, if anything was (C-19).

    Raises:
        StorageError: The file cannot be opened, read or written, or a newer datd wrote it.
        DamagedCatalogue: It makes no sense; see `hosting.folders.rebuilding`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, "catalogue")
        self._connection: sqlite3.Connection | None = None
        self.damage: str | None = None

    async def open(self) -> list[Record]:
        """Open or make the file and give all records."""
        return await self._run(self._open)

    async def close(self) -> None:
        """End; later calls are an error."""
        if self._connection is not None:
            await self._run(lambda: self._database.close())
            self._connection = None
        self._thread.shutdown()

    async def add(self, record: Record, beside: Write | None = None) -> None:
        """Write a new archive down. Its name must be free."""
        await self._run(lambda: self._save([record], beside))

    async def save(self, records: Iterable[Record], beside: Write | None = None) -> None:
        """Write archives down as they are now, in one transaction.

        Args:
            records: The archives.
            beside: Writes into tables of other books, in the same transaction.
        """
        chosen = list(records)
        await self._run(lambda: self._save(chosen, beside))

    async def set_dirty(self, key: Key, dirty: bool) -> None:
        """Note that files of an archive are being written, or that all of it is on the disk."""
        await self._run(
            lambda: self._write("UPDATE archives SET dirty = ? WHERE key = ?", (dirty, key.hex))
        )

    async def remove(self, key: Key, beside: Write | None = None) -> None:
        """Forget an archive."""

        def remove() -> None:
            self._write("DELETE FROM archives WHERE key = ?", (key.hex,))
            if beside is not None:
                beside(self._database)

        await self._run(lambda: self._together(remove))

    async def names(self) -> list[KnownName]:
        """What names meant when somebody asked, those whose time has passed included."""
        return await self._run(self._names)

    async def save_name(self, known: KnownName, dropped: Iterable[str] = ()) -> None:
        """Note what a name means, and forget others, in one transaction."""
        forgotten = [(name,) for name in dropped]
        row = (known.name, known.key.hex, known.expires_at)

        def save() -> None:
            self._database.executemany("DELETE FROM names WHERE name = ?", forgotten)
            self._write("INSERT OR REPLACE INTO names VALUES (?, ?, ?)", row)

        await self._run(lambda: self._together(save))

    async def together(self, call: Callable[[sqlite3.Connection], T]) -> T:
        """Read or write tables of other books (`books/`) in one transaction.

        Args:
            call: Is given the database, in the thread of the catalogue.
        """

        def carry_out() -> T:
            found: list[T] = []
            self._together(lambda: found.append(call(self._database)))
            return found[0]

        return await self._run(carry_out)

    @property
    def _database(self) -> sqlite3.Connection:
        if self._connection is None:
            raise AssertionError("the catalogue is not open")
        return self._connection

    async def _run(self, call: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        except sqlite3.Error as error:
            raise self._fault(error) from _cause(error)
        except OSError as error:
            raise storage_error(error, self._path, "use") from error

    def _fault(self, error: sqlite3.Error) -> StorageError:
        """What happened, in words that tell a full disk from a damaged one."""
        cause = _cause(error)
        if isinstance(cause, OSError):
            return storage_error(cause, self._path, "write")
        if primary_code(error) == sqlite3.SQLITE_READONLY:
            return ReadOnlyError(
                f"cannot write {str(self._path)!r}: let the disk take writes, and the user that "
                "runs datd have the file"
            )
        if is_damage(error):
            if self.damage is None:
                self.damage = str(error)
                log.error("%s is damaged: %s", self._path, error)
            return DamagedCatalogue(
                f"the catalogue {str(self._path)!r} is damaged ({error}): start datd anew, it "
                "keeps that file, and makes another one of what it can still read in it and of "
                "the archives' folders"
            )
        return StorageError(f"{self._path}: {error}")

    def _open(self) -> list[Record]:
        try:
            return self._load()
        except sqlite3.Error as error:
            if is_damage(error):
                raise DamagedCatalogue(str(error)) from error
            raise

    def _load(self) -> list[Record]:
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise StorageError(
                f"this host's SQLite is {sqlite3.sqlite_version}, datd needs 3.37: upgrade it"
            )
        make_database_private(self._path)
        require_sound(self._path)
        self._connection = sqlite3.connect(self._path, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
            # Sorting must not need a descriptor that may not be there (C-17).
            "PRAGMA temp_store = MEMORY;"
        )
        self._migrate()
        require_sense(self._connection)
        peers: dict[str, list[Address]] = {}
        for row in self._connection.execute("SELECT key, host, port FROM peers"):
            peers.setdefault(row["key"], []).append(Address(row["host"], row["port"]))
        good = _good_peers(self._connection)
        tags: dict[str, dict[str, int]] = {}
        for row in self._connection.execute("SELECT * FROM version_tags ORDER BY version, tag"):
            tags.setdefault(row["key"], {})[row["tag"]] = row["version"]
        rows = self._connection.execute("SELECT * FROM archives ORDER BY added_at, key")
        return [
            record_of(
                row,
                peers.get(row["key"], []),
                good.get(row["key"], []),
                tags.get(row["key"], {}),
            )
            for row in rows
        ]

    def _names(self) -> list[KnownName]:
        names = []
        for row in self._database.execute("SELECT * FROM names ORDER BY expires_at, name"):
            # What makes no sense is asked for again when somebody uses the name.
            with suppress(ValueError, KeyFormatError):
                key = Key(bytes.fromhex(row["key"]))
                names.append(KnownName(row["name"], key, row["expires_at"]))
        return names

    def _migrate(self) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise NewerFormat(
                f"{self._path} was written by a newer datd (format {version}, this one knows "
                f"{len(MIGRATIONS)}): install that version again"
            )
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            try:
                self._database.executescript(
                    f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;"
                )
            except sqlite3.OperationalError as error:
                if primary_code(error) != sqlite3.SQLITE_ERROR:
                    raise  # the disk, not the tables
                raise DamagedCatalogue(
                    f"its tables are not those of format {number - 1}: {error}"
                ) from error

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        self._database.execute(statement, values)

    def _save(self, records: list[Record], beside: Write | None = None) -> None:
        def save() -> None:
            for record in records:
                self._write(_UPSERT, _row(record))
                self._save_parts(record)
            if beside is not None:
                beside(self._database)

        self._together(save)

    def _save_parts(self, record: Record) -> None:
        key, database = record.key.hex, self._database
        database.execute("DELETE FROM peers WHERE key = ?", (key,))
        database.executemany(
            "INSERT OR IGNORE INTO peers VALUES (?, ?, ?)",
            [(key, host, port) for host, port in record.peers],
        )
        database.execute("DELETE FROM good_peers WHERE key = ?", (key,))
        database.executemany(
            "INSERT OR IGNORE INTO good_peers VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (key, *one.address, one.kind, one.last_success, json.dumps(one.sources), one.useful)
                for one in record.good_peers[:MAX_GOOD_PEERS]
            ],
        )
        database.execute("DELETE FROM version_tags WHERE key = ?", (key,))
        database.executemany(
            "INSERT INTO version_tags VALUES (?, ?, ?)",
            [(key, tag, version) for tag, version in record.version_tags.items()],
        )

    def _together(self, writes: Callable[[], None]) -> None:
        self._database.execute("BEGIN")
        try:
            writes()
            self._database.execute("COMMIT")
        except BaseException:
            # A full disk may have ended the transaction already.
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise


_COLUMNS = [
    "key", "name", "tags", "mode", "paused", "pinned", "added_at", "updated_at", "last_peer_at",
    "dirty", "downloaded", "uploaded", "summary", "conflict", "networks", "shortname", "domain",
    "include", "synced", "writable", "chunking", "source", "watch", "importing", "location",
    "layout", "import_rules", "forking", "web_sources",
]  # fmt: skip
# `dirty` has a writer of its own: a save that was prepared earlier must not undo it.
_UPSERT = (
    f"INSERT INTO archives ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
    " ON CONFLICT (key) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name not in ("key", "dirty"))
)


def _cause(error: sqlite3.Error) -> Exception:
    """The refusal of the system that SQLite puts into words of its own, as callers look for it."""
    if primary_code(error) != sqlite3.SQLITE_FULL:
        return error
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


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
        json.dumps(record.networks) if record.networks is not None else None,
        record.shortname,
        record.domain,
        json.dumps(record.include) if record.include is not None else None,
        record.synced,
        record.writable,
        record.chunking,
        record.source,
        record.watch,
        record.importing,
        record.location,
        record.layout,
        json.dumps(asdict(record.import_rules)),
        json.dumps(asdict(record.forking)) if record.forking else None,
        json.dumps(record.web_sources),
    )


def record_of(
    row: sqlite3.Row,
    peers: list[Address],
    good_peers: list[GoodPeer],
    version_tags: dict[str, int],
) -> Record:
    """What a row of `archives` and those of other tables tell.

    Raises:
        DamagedCatalogue: It makes no sense.
    """
    try:
        return _record(row, peers, good_peers, version_tags)
    except (ValueError, TypeError, KeyError, AttributeError, KeyFormatError) as error:
        raise DamagedCatalogue(f"what it says of an archive makes no sense: {error}") from error


def _record(
    row: sqlite3.Row,
    peers: list[Address],
    good_peers: list[GoodPeer],
    version_tags: dict[str, int],
) -> Record:
    if row["mode"] not in MODES:
        raise ValueError("there is no such mode")
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
        networks=json.loads(row["networks"]) if row["networks"] is not None else None,
        shortname=row["shortname"],
        domain=row["domain"],
        include=json.loads(row["include"]) if row["include"] is not None else None,
        synced=row["synced"],
        writable=bool(row["writable"]),
        chunking=row["chunking"],
        source=row["source"],
        watch=bool(row["watch"]),
        importing=bool(row["importing"]),
        location=row["location"],
        layout=row["layout"],
        import_rules=ImportRules(**json.loads(row["import_rules"])),
        forking=Forking(**json.loads(row["forking"])) if row["forking"] is not None else None,
        version_tags=version_tags,
        peers=peers,
        good_peers=good_peers,
        web_sources=json.loads(row["web_sources"]),
    )


def _good_peers(database: sqlite3.Connection) -> dict[str, list[GoodPeer]]:
    """Good peers by key of their archive, the latest first."""
    found: dict[str, list[GoodPeer]] = {}
    known: dict[str, tuple[str, ...]] = {}  # ten thousand archives have a few lists of sources
    for key, host, port, kind, last_success, text, useful in database.execute(
        "SELECT key, host, port, kind, last_success, sources, useful FROM good_peers "
        "ORDER BY last_success DESC, host, port"
    ):
        sources = known.get(text)
        if sources is None:
            try:
                sources = known[text] = tuple(json.loads(text))
            except (ValueError, TypeError) as error:
                raise DamagedCatalogue(f"a good peer's sources make no sense: {error}") from error
        one = GoodPeer(Address(host, port), kind, last_success, sources, bool(useful))
        found.setdefault(key, []).append(one)
    return found


def _conflict(text: str | None) -> Conflict | None:
    if text is None:
        return None
    known = json.loads(text)
    kept = Signed(**known["kept"]) if known["kept"] else None
    return Conflict(known["feed"], kept, Signed(**known["refused"]))
