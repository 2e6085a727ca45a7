"""The journal: what happened here, numbered, so that whoever was away can read on. SQL and values.

A number is given when an event is written, in one transaction with what it tells of where that is
in the catalogue too. Numbers follow one another without gaps and none is ever used twice: events
are shown only after they are durable, and what is pruned leaves its number behind.

Beside the events stands, for each archive, up to where it was told of. It moves in the same
transaction, so that a crash between an event and the next look at an archive's files neither
forgets a version nor tells of one twice.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

# What is kept: a busy daemon of 10,000 archives writes a few thousand events a day, each some 200
# bytes, so that the journal stays below 20 MB; who was away for a month looks at everything anew.
# There is no limit of age: a clock that is wrong for a minute would throw the whole journal away,
# and the wall clock decides nothing about what is kept (D-10).
MAX_EVENTS: Final = 100_000
# Where a journal was lost its numbers go on in one of so many places, none of which another journal
# has reached from the one before it: no daemon has 2^32 events. All stay below 2^53, so that
# programs that know floating point only read them right.
CHANCES: Final = 2**20
_GAP: Final = 2**32


@dataclass(frozen=True, slots=True)
class Draft:
    """An event that has no number yet.

    Attributes:
        kind: Dotted, such as "archive.version".
        at: Seconds since 1970.
        archive: Key of the archive it is about, hex.
        fields: What else there is to tell; plain values for JSON.
    """

    kind: str
    at: float
    archive: str | None
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """An event that is in the journal; see `Draft`."""

    id: int
    kind: str
    at: float
    archive: str | None
    fields: dict[str, Any]


class Mark(NamedTuple):
    """Up to where an archive was told of.

    Attributes:
        version: The newest version that an event names.
        complete: The last version that was told to be complete; -1 for none.
    """

    version: int = 0
    complete: int = -1


class Bounds(NamedTuple):
    """What the journal holds: events from `oldest` to `newest`; none if that is one less."""

    oldest: int
    newest: int


def write(database: sqlite3.Connection, drafts: Iterable[Draft]) -> None:
    """Write events down, in their order, within the transaction of the caller."""
    for draft in drafts:
        database.execute(
            "INSERT INTO events (at, kind, archive, fields) VALUES (?, ?, ?, ?)",
            (draft.at, draft.kind, draft.archive, json.dumps(draft.fields)),
        )
        _move_mark(database, draft)


def _move_mark(database: sqlite3.Connection, draft: Draft) -> None:
    key, fields = draft.archive, draft.fields
    match draft.kind:
        case "archive.added":
            database.execute("INSERT OR REPLACE INTO event_marks VALUES (?, 0, -1)", (key,))
        case "archive.removed":
            database.execute("DELETE FROM event_marks WHERE archive = ?", (key,))
        case "archive.version":
            database.execute(
                "UPDATE event_marks SET version = ? WHERE archive = ?", (fields["version"], key)
            )
        case "archive.complete":
            database.execute(
                "UPDATE event_marks SET complete = ? WHERE archive = ?", (fields["version"], key)
            )


def read(
    database: sqlite3.Connection,
    after: int,
    stop: int,
    limit: int,
    *,
    archive: str | None = None,
    kinds: Sequence[str] = (),
) -> list[Event]:
    """Events, oldest first.

    Args:
        database: The catalogue's.
        after: Number of the last one that is known already.
        stop: Number of the last one of interest.
        limit: At most so many.
        archive: Only those about this one.
        kinds: Only these; none named: all.
    """
    statement = "SELECT * FROM events WHERE id > ? AND id <= ?"
    values: list[Any] = [after, stop]
    if archive is not None:
        statement += " AND archive = ?"
        values.append(archive)
    if kinds:
        statement += f" AND kind IN ({', '.join('?' * len(kinds))})"
        values += kinds
    rows = database.execute(f"{statement} ORDER BY id LIMIT ?", (*values, limit))
    return [
        Event(row["id"], row["kind"], row["at"], row["archive"], json.loads(row["fields"]))
        for row in rows
    ]


def bounds(database: sqlite3.Connection) -> Bounds:
    """What the journal holds. An empty one still knows the numbers that it gave."""
    (oldest,) = database.execute("SELECT min(id) FROM events").fetchone()
    given = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    newest = given["seq"] if given is not None else 0
    return Bounds(newest + 1 if oldest is None else oldest, newest)


def begin_anew(database: sqlite3.Connection, chance: int, *, sure: bool) -> None:
    """Behind events that may have been lost, go on with numbers that cannot have been given before.

    Whoever was further, or has a number from before a gap, is told so (`events.lost`) and passes
    over nothing.

    Args:
        database: The catalogue's, in a transaction; with those events that could be read.
        chance: Of `CHANCES`: of numbers before nothing may be known.
        sure: Whether the last number that was given is known.
    """
    newest = bounds(database).newest
    (last,) = database.execute("SELECT max(id) FROM events").fetchone()
    if sure and newest < _GAP * CHANCES and last in (None, newest):
        # Nothing is missing behind the last gap.
        database.execute(
            "DELETE FROM events WHERE id < (SELECT max(id) FROM events AS first WHERE NOT EXISTS "
            "(SELECT 1 FROM events WHERE id = first.id - 1))"
        )
        return
    begin = (newest if 0 < newest < _GAP * CHANCES else 0) + (chance + 1) * _GAP
    database.execute("DELETE FROM events")
    database.execute("DELETE FROM sqlite_sequence WHERE name = 'events'")
    database.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('events', ?)", (begin,))


def marks(database: sqlite3.Connection) -> dict[str, Mark]:
    """Up to where archives were told of, by key."""
    rows = database.execute("SELECT * FROM event_marks")
    return {row["archive"]: Mark(row["version"], row["complete"]) for row in rows}


def prune(database: sqlite3.Connection, *, most: int = MAX_EVENTS) -> int:
    """Forget the oldest events, if there are too many. Returns the number of the oldest one left.

    Numbers have no gaps, so they tell how many there are.
    """
    database.execute("DELETE FROM events WHERE id <= ?", (bounds(database).newest - most,))
    return bounds(database).oldest
