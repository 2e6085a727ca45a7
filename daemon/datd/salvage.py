"""What can still be read of a damaged catalogue, row by row, into a new one. SQL, and no judgement.

SQLite stops at the first page that makes no sense. Each table is therefore read from both ends:
what lies between the first such page and the last one is lost.

Source: reliability.md C-19.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from datd.catalogue import MODES, record_of
from datd.errors import DamagedCatalogue
from datd.soundness import JSON_COLUMNS

# A row is written before what refers to it: SQLite lists tables in the order they were made in.
_TABLES: Final = (
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' "
    "ORDER BY rowid"
)
_COLUMNS: Final = "SELECT name FROM pragma_table_info(?) ORDER BY cid"
_KEY: Final = "SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk"
_HAS_ROWID: Final = "SELECT NOT wr FROM pragma_table_list WHERE name = ?"
# Where SQLite notes the last number of a table whose numbers are never given again.
_NUMBERS: Final = "sqlite_sequence"


def salvage(damaged: Path, database: sqlite3.Connection) -> Counter[str]:
    """Copy what can be read; nothing in the damaged file is changed.

    Args:
        damaged: The file. With a `-wal` beside it, that counts as well.
        database: A new catalogue without rows, in a transaction.

    Returns:
        How many rows of each table came over; of "sqlite_sequence" as well.
    """
    taken: Counter[str] = Counter()
    tables = [name for (name,) in database.execute(_TABLES).fetchall()]
    try:
        old = sqlite3.connect(f"{damaged.absolute().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error:
        return taken
    # One letter that turned is no reason to lose the row.
    old.text_factory = partial(str, encoding="utf-8", errors="replace")
    with closing(old):
        for table in tables:
            taken[table] = _copy(old, database, table)
        taken[_NUMBERS] = _copy_numbers(old, database)
    _drop_nonsense(database, taken)
    return taken


def _copy(old: sqlite3.Connection, database: sqlite3.Connection, table: str) -> int:
    try:
        known = {name for (name,) in old.execute(_COLUMNS, (table,))}
    except sqlite3.DatabaseError:
        return 0
    columns = [name for (name,) in database.execute(_COLUMNS, (table,)) if name in known]
    if not columns:
        return 0  # an older datd wrote it
    names = ", ".join(columns)
    insert = f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({', '.join('?' * len(columns))})"
    (has_rowid,) = database.execute(_HAS_ROWID, (table,)).fetchone()
    key = ["rowid"] if has_rowid else [name for (name,) in database.execute(_KEY, (table,))]
    count = 0
    for row in _rows(old, f"SELECT {names} FROM {table}", key):
        # A number where text should be, or what it refers to is lost.
        with suppress(sqlite3.IntegrityError):
            count += database.execute(insert, row).rowcount
    return count


def _copy_numbers(old: sqlite3.Connection, database: sqlite3.Connection) -> int:
    try:
        rows = old.execute(f"SELECT name, seq FROM {_NUMBERS} WHERE typeof(seq) = 'integer'")
        found = rows.fetchall()
    except sqlite3.DatabaseError:
        return 0
    for name, number in found:
        database.execute(f"DELETE FROM {_NUMBERS} WHERE name = ?", (name,))
        database.execute(f"INSERT INTO {_NUMBERS} (name, seq) VALUES (?, ?)", (name, number))
    return len(found)


def _rows(old: sqlite3.Connection, select: str, key: list[str]) -> Iterator[tuple[Any, ...]]:
    """Rows from the first one on, and if there is an end to that, from the last one back."""
    for direction in ("ASC", "DESC"):
        order = ", ".join(f"{name} {direction}" for name in key)
        try:
            yield from old.execute(f"{select} ORDER BY {order}")
        except sqlite3.DatabaseError:
            continue
        return


def _drop_nonsense(database: sqlite3.Connection, taken: Counter[str]) -> None:
    """Drop archives of which no record can be made (their folders may tell more), and the like."""
    for table, column in JSON_COLUMNS:
        # What NULL is to json_valid differs between releases of SQLite.
        nonsense = f"{column} IS NOT NULL AND NOT json_valid({column})"
        dropped = database.execute(f"DELETE FROM {table} WHERE {nonsense}")
        taken[table] -= dropped.rowcount
    database.execute(
        "UPDATE archives SET mode = 'archive', paused = 1 "
        f"WHERE mode NOT IN ({', '.join('?' * len(MODES))})",
        MODES,
    )
    database.row_factory = sqlite3.Row
    for row in database.execute("SELECT * FROM archives").fetchall():
        try:
            record_of(row, [], [], {})
        except DamagedCatalogue:
            database.execute("DELETE FROM archives WHERE key = ?", (row["key"],))
            taken["archives"] -= 1
