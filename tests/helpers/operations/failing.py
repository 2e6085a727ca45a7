"""An API whose catalogue takes nothing more, from the moment when one operation is asked."""

import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.helpers.api import Answer, RunningApi

Refuse = Callable[[sqlite3.Connection], object]


def read_only(database: sqlite3.Connection) -> None:
    """As on a disk that takes no writes."""
    database.execute("PRAGMA query_only = ON")


def damaged(database: sqlite3.Connection) -> None:
    """As with a file of which SQLite can make nothing."""
    writing = (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE)
    database.set_authorizer(
        lambda action, *_: sqlite3.SQLITE_DENY if action in writing else sqlite3.SQLITE_OK
    )


def disk_full(database: sqlite3.Connection) -> None:
    """As on a full disk: SQLite gets no page more, and each write needs one."""
    database.execute("CREATE TABLE IF NOT EXISTS more (bytes BLOB)")
    for table in _tables(database):
        for verb in ("INSERT", "UPDATE", "DELETE"):
            name = f"full_{table}_{verb}"
            database.execute(
                f"CREATE TEMP TRIGGER IF NOT EXISTS {name} BEFORE {verb} ON main.{table} "
                "BEGIN INSERT INTO more VALUES (zeroblob(10000000)); END"
            )
    # Not below what there is, and that is what there is.
    database.execute("PRAGMA max_page_count = 1")


def _tables(database: sqlite3.Connection) -> list[str]:
    found = database.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")
    return [name for (name,) in found if not name.startswith("sqlite_") and name != "more"]


def mended(database: sqlite3.Connection) -> None:
    """As before."""
    database.execute("PRAGMA query_only = OFF")
    database.execute("PRAGMA max_page_count = 4294967294")
    triggers = database.execute("SELECT name FROM temp.sqlite_master WHERE type = 'trigger'")
    for (name,) in triggers.fetchall():
        database.execute(f"DROP TRIGGER temp.{name}")
    database.set_authorizer(None)


@dataclass
class FailingApi(RunningApi):
    """Asked as any other.

    Attributes:
        method: Of the operation.
        path: As the document has it.
        refuse: What becomes of the catalogue then.
    """

    method: str
    path: str
    refuse: Refuse

    async def ask(self, target: str, *headers: str, method: str = "GET", **how: Any) -> Answer:
        pattern = re.sub(r"\{\w+\}", "[^/]+", self.path)
        if method == self.method and re.fullmatch(pattern, target.partition("?")[0]):
            await self.make(self.refuse)
        return await super().ask(target, *headers, method=method, **how)

    async def make(self, state: Refuse) -> None:
        """Bring the catalogue into some state."""
        await self.library.services.catalogue.together(state)
