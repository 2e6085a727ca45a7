"""The book of settings that were changed while the daemon ran. SQL."""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any


def load(database: sqlite3.Connection) -> dict[str, Any]:
    """All of them: name, as `storage.max_bytes`, and value."""
    return {
        row["name"]: json.loads(row["value"])
        for row in database.execute("SELECT * FROM settings ORDER BY name")
    }


def save(database: sqlite3.Connection, changes: Mapping[str, Any]) -> None:
    """Write changes down; what is None is forgotten."""
    for name, value in changes.items():
        if value is None:
            database.execute("DELETE FROM settings WHERE name = ?", (name,))
        else:
            database.execute(
                "INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, json.dumps(value))
            )
