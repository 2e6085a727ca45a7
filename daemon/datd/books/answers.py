"""The book of answers: what was asked with an `Idempotency-Key`, and what came of it. SQL, values.

A page is written with what a request made, in the transaction that made it, and again with its
answer. So a request that was cut short in between is told from one that did nothing, which leaves
no page, and from one that was answered.
"""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered.

    Attributes:
        status: HTTP status.
        headers: By name, the media type of the body included.
        body: JSON.
    """

    status: int
    headers: dict[str, str]
    body: str


@dataclass(frozen=True, slots=True)
class Page:
    """What is known of one request.

    Attributes:
        name: Who asked, what, and with which key; unique.
        asked: SHA-256 of the body, hex.
        made: Key of the archive that it made, hex; None: none.
        answer: None while there is none.
    """

    name: str
    asked: str
    made: str | None
    answer: Answer | None


def load(database: sqlite3.Connection) -> list[Page]:
    """All pages, those that were written last at the end."""
    return [
        Page(
            row["name"],
            row["asked"],
            row["made"],
            None if row["answer"] is None else Answer(**json.loads(row["answer"])),
        )
        for row in database.execute("SELECT * FROM answers ORDER BY number")
    ]


def save(database: sqlite3.Connection, page: Page) -> None:
    """Write a page, in the place of an earlier one of that name."""
    answer = None if page.answer is None else json.dumps(asdict(page.answer))
    database.execute(
        "INSERT OR REPLACE INTO answers (name, asked, made, answer) VALUES (?, ?, ?, ?)",
        (page.name, page.asked, page.made, answer),
    )


def forget(database: sqlite3.Connection, names: Iterable[str]) -> None:
    """Tear pages out."""
    database.executemany("DELETE FROM answers WHERE name = ?", [(name,) for name in names])
