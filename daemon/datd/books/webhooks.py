"""The book of webhooks: who wants to be sent what happens, and how far each of them is. SQL."""

import json
import sqlite3
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where events are sent, and which.

    Attributes:
        id: Unique.
        url: Where to.
        secret: What deliveries are signed with: `whsec_` and base64.
        created_at: Seconds since 1970.
        kinds: Kinds of events, as they were named; none: all.
        archive: Only those about this one, by its key in hex.
        path: Also its files, at or below this path.
        tag: Only those about archives with this tag.
        enabled: Whether anything is sent.
    """

    id: str
    url: str
    secret: str
    created_at: float
    kinds: tuple[str, ...] = ()
    archive: str | None = None
    path: str | None = None
    tag: str | None = None
    enabled: bool = True


@dataclass(slots=True)
class Progress:
    """How far a webhook is, and how it fares.

    Attributes:
        position: Behind the last event that was delivered, or was none of its business.
        attempts: How often the next one was sent in vain.
        failing_since: When that began, in seconds since 1970; None: it does not fail.
        delivered_at: When an event was taken last.
        status: HTTP status of the last answer.
        error: Why the last delivery failed.
        disabled: Why it was disabled, if not by hand.
    """

    position: str
    attempts: int = 0
    failing_since: float | None = None
    delivered_at: float | None = None
    status: int | None = None
    error: str | None = None
    disabled: str | None = None


def load(database: sqlite3.Connection) -> list[tuple[Webhook, Progress]]:
    """All of them, the oldest first."""
    found = []
    for row in database.execute("SELECT * FROM webhooks"):
        fields = json.loads(row["fields"])
        fields["kinds"] = tuple(fields["kinds"])
        found.append((Webhook(**fields), Progress(**json.loads(row["progress"]))))
    return sorted(found, key=lambda pair: (pair[0].created_at, pair[0].id))


def save(database: sqlite3.Connection, webhook: Webhook, progress: Progress) -> None:
    """Write one down as it is now."""
    database.execute(
        "INSERT OR REPLACE INTO webhooks VALUES (?, ?, ?)",
        (webhook.id, json.dumps(asdict(webhook)), json.dumps(asdict(progress))),
    )


def remove(database: sqlite3.Connection, name: str) -> None:
    """Forget one."""
    database.execute("DELETE FROM webhooks WHERE id = ?", (name,))
