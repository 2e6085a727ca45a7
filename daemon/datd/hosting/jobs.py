"""Long work that somebody asked for and does not wait for: what runs, and what came of it."""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from datd.errors import Busy, DatdError, UnknownJob
from datd.keys import Key

log = logging.getLogger(__name__)

JobKind = Literal["import", "fork", "verify", "adopt", "mode"]
JobState = Literal["running", "done", "failed", "cancelled"]
Unit = Literal["bytes", "files", "blocks"]
Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]

# What ended is remembered for whoever comes to ask; a client that asks once a second sees its own
# job end unless a hundred others do in that second.
KEPT = 100
# More at once would only take the disk from one another; the others wait for their turn. Each kind
# has turns of its own: copies that wait for peers, perhaps for ever, keep no import waiting.
AT_ONCE = 4
# A script that shares a thousand folders in one go may; one that runs wild may not.
WAITING = 2_000
# Shown to people: a folder with more than that is wrong as a whole.
MAX_SKIPPED = 100
# Characters shown of a path, a reason or an error: strangers' names have up to 64 KiB, and what
# ended is remembered.
MAX_TEXT = 1_000


@dataclass(eq=False, slots=True)
class Job:
    """One piece of work, as far as it is.

    Attributes:
        id: Unique, also over restarts.
        kind: What is done.
        archive: What it works on.
        unit: What is counted in `done` and `total`.
        text: One line for people.
        error: Why it failed.
        skipped: Paths that were left out, and why: the first `MAX_SKIPPED`.
        started_at: Seconds since 1970.
        ended_at: Likewise; None while it runs.
        copies: The folder whose archive is copied, for who asks for that again.
    """

    id: str
    kind: JobKind
    archive: Key
    unit: Unit
    started_at: float
    state: JobState = "running"
    done: int = 0
    total: int = 0
    text: str = ""
    error: str | None = None
    skipped: list[tuple[str, str]] = field(default_factory=list)
    ended_at: float | None = None
    copies: Path | None = None
    task: asyncio.Task[None] | None = None

    @property
    def progress(self) -> float:
        """From 0 to 1; exactly 1 only when it is done."""
        if self.state == "done":
            return 1.0
        return min(self.done / self.total, 0.9999) if self.total else 0.0

    def skip(self, path: str, why: str) -> None:
        """Note a path that was left out."""
        if len(self.skipped) < MAX_SKIPPED:
            self.skipped.append((path[:MAX_TEXT], why[:MAX_TEXT]))


class Jobs:
    """The book of jobs: all that run, and the last that ended.

    Attributes:
        ended: How many have ended, by kind and how.
    """

    def __init__(
        self,
        spawn: Spawn,
        wall_clock: Callable[[], float],
        tell: Callable[[Job], None] = lambda job: None,
    ) -> None:
        """Start with none.

        Args:
            spawn: Runs a coroutine in a task.
            wall_clock: Seconds since 1970.
            tell: Is given each job when it begins, and when it has ended.
        """
        self._tell = tell
        self._spawn = spawn
        self._wall_clock = wall_clock
        self.ended: Counter[tuple[JobKind, JobState]] = Counter()
        self._running: dict[str, Job] = {}
        self._ended: dict[str, Job] = {}
        self._turns = {kind: asyncio.Semaphore(AT_ONCE) for kind in get_args(JobKind)}
        self._closed = False

    def start(
        self,
        kind: JobKind,
        archive: Key,
        work: Callable[[Job], Awaitable[None]],
        *,
        unit: Unit,
        text: str = "",
    ) -> Job:
        """Have something done.

        Args:
            kind: What.
            archive: On what.
            work: Does it, and tells in the job how far it is. An error of ours ends it as failed.
            unit: What it will count.
            text: A line for people, until the work says better.

        Raises:
            Busy: Far too much waits already.
        """
        self.require_room()
        name = os.urandom(6).hex()
        job = Job(name, kind, archive, unit, self._wall_clock(), text=text)
        self._running[name] = job
        job.task = self._spawn(self._run(job, work))
        # By callback: a task that is cancelled before its first step reaches no `finally`.
        job.task.add_done_callback(lambda task: self._over(job, cancelled=task.cancelled()))
        self._tell(job)
        return job

    def require_room(self) -> None:
        """Check that another job may begin.

        Raises:
            Busy: Far too much waits already.
        """
        if self._closed:
            raise Busy("the daemon is ending")
        if len(self._running) >= WAITING:
            raise Busy(f"{WAITING} jobs are under way: wait until some have ended")

    def find(self, name: str) -> Job:
        """The job with an id.

        Raises:
            UnknownJob: There is none.
        """
        job = self._running.get(name) or self._ended.get(name)
        if job is None:
            raise UnknownJob(f"there is no job {name[:80]!r}, or it ended long ago")
        return job

    def all(self) -> list[Job]:
        """What runs and what ended lately, the newest first."""
        found = [*self._running.values(), *self._ended.values()]
        return sorted(found, key=lambda job: (job.started_at, job.id), reverse=True)

    def of(self, archive: Key, *kinds: JobKind) -> Job | None:
        """What works on an archive now: the oldest job, of these kinds if any are named."""
        for job in self._running.values():
            if job.archive != archive or job.state != "running":  # who has ended does no more
                continue
            if not kinds or job.kind in kinds:
                return job
        return None

    def by_archive(self) -> dict[Key, Job]:
        """What `of` gives for every archive that something works on, looked up once for all."""
        found: dict[Key, Job] = {}
        for job in self._running.values():
            if job.state == "running":
                found.setdefault(job.archive, job)
        return found

    async def cancel(self, job: Job) -> None:
        """End a job; what it did so far stays."""
        if job.task is not None:
            job.task.cancel()
            await asyncio.wait([job.task])

    async def cancel_all(self, archive: Key) -> None:
        """End all that works on an archive."""
        for job in [job for job in self._running.values() if job.archive == archive]:
            await self.cancel(job)

    async def close(self) -> None:
        """End everything, and begin nothing any more: the daemon ends."""
        self._closed = True
        for job in list(self._running.values()):
            if job.task is not None:
                job.task.cancel()
        tasks = [job.task for job in self._running.values() if job.task is not None]
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, job: Job, work: Callable[[Job], Awaitable[None]]) -> None:
        try:
            async with self._turns[job.kind]:
                await work(job)
            job.state = "done"
        except DatdError as error:
            job.state, job.error = "failed", str(error)[:MAX_TEXT]
            log.warning("%s: a job failed (%s): %s", job.archive.discovery_key, job.kind, error)
        except Exception:
            # Nobody waits for this task, and its fault must not end the daemon.
            job.state, job.error = "failed", "the daemon failed at it; its log says why"
            log.exception("%s: a job failed (%s)", job.archive.discovery_key, job.kind)

    def _over(self, job: Job, *, cancelled: bool) -> None:
        if cancelled:
            job.state = "cancelled"
        job.task = None
        job.ended_at = self._wall_clock()
        del self._running[job.id]
        self._ended[job.id] = job
        self.ended[job.kind, job.state] += 1
        while len(self._ended) > KEPT:
            del self._ended[next(iter(self._ended))]
        self._tell(job)
