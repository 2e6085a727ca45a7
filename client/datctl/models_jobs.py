"""Long work that the daemon does for somebody: imports, forks, verification."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

JobKind = Literal["import", "fork", "verify", "adopt", "mode"]
JobState = Literal["running", "done", "failed", "cancelled"]
Unit = Literal["bytes", "files", "blocks"]


class Skipped(BaseModel):
    """A file that was left out, and why."""

    path: str
    reason: str


class Job(BaseModel):
    """One piece of work.

    Attributes:
        kind: What is done.
        archive: Key of the archive it works on.
        progress: 0 to 1; 0 while the total is not known.
        done: How much is done, of `total`, in `unit`.
        text: One line for people.
        error: Why it failed.
        skipped: What was left out, the first hundred.
    """

    id: str
    kind: JobKind
    archive: str
    state: JobState
    progress: float
    done: int
    total: int
    unit: Unit
    text: str
    error: str | None
    skipped: list[Skipped]
    started_at: datetime | None
    ended_at: datetime | None


class JobList(BaseModel):
    """Answer of `GET /jobs`: what runs, and what ended lately; the newest first.

    Attributes:
        next_cursor: Null on the last page.
    """

    jobs: list[Job]
    next_cursor: str | None = None
