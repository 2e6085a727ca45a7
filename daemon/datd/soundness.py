"""Does what a catalogue's file says make sense? Looked at before it is used, at each start.

Source: reliability.md C-19.
"""

import sqlite3
from pathlib import Path
from typing import Final

from datd.errors import DamagedCatalogue
from datd.migrations import MIGRATIONS

# What SQLite says of pages that make no sense.
_DAMAGE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
# What a broken upgrade, or somebody with a tool, may have left out.
_COLUMNS: Final = (
    "SELECT tables.name, columns.name FROM sqlite_schema AS tables, "
    "pragma_table_info(tables.name) AS columns WHERE tables.type = 'table'"
)
# Rows of other books that are read much later, or all at once at each start.
JSON_COLUMNS: Final = (
    ("events", "fields"),
    ("webhooks", "fields"),
    ("webhooks", "progress"),
    ("settings", "value"),
    ("tokens", "archives"),
    ("answers", "answer"),
)
"""Tables and columns: texts that whoever reads them takes for JSON, unless they are NULL."""


def require_sound(path: Path) -> None:
    """Look through the whole file, and change nothing; 20 MB take a twentieth of a second.

    Raises:
        DamagedCatalogue: It is no database, or some of its pages make no sense.
        sqlite3.Error: Anything else.
    """
    # A connection that may write would work on the file when it is closed.
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        (found,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        found = str(error)
    finally:
        database.close()
    if found != "ok":
        raise DamagedCatalogue(" ".join(found.split()))


def require_sense(database: sqlite3.Connection) -> None:
    """See that all tables are there, and that what other books keep in them can be read.

    Raises:
        DamagedCatalogue: A column is missing, or a text is none.
    """
    model = sqlite3.connect(":memory:")
    try:
        model.executescript("".join(MIGRATIONS))
        wanted = set(model.execute(_COLUMNS))
    finally:
        model.close()
    missing = wanted - {tuple(row) for row in database.execute(_COLUMNS)}
    if missing:
        table, column = min(missing)
        raise DamagedCatalogue(f"its table {table} has no column {column}")
    for table, column in JSON_COLUMNS:
        # The column itself is read, too: letters that are none are found by Python, not by SQLite.
        rows = database.execute(f"SELECT {column}, json_valid({column}) FROM {table}")
        if any(text is not None and not valid for text, valid in rows):
            raise DamagedCatalogue(f"a row of {table} makes no sense")


def is_damage(error: sqlite3.Error) -> bool:
    """Whether something makes no sense; a read error of the disk is another matter (D-7)."""
    # What is no UTF-8 Python finds, and gives it no number.
    return primary_code(error) in _DAMAGE or str(error).startswith("Could not decode to UTF-8")


def primary_code(error: sqlite3.Error) -> int:
    """What SQLite calls an error; without the details that stand in the higher bits."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
