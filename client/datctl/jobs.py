"""Long work of the daemon, followed over the API."""

import asyncio
from collections.abc import Callable

from datctl.connection import Connection, parse
from datctl.models_jobs import Job, JobKind, JobList, JobState
from datctl.routes import PAGE, archive_path, job_path

# Often enough for a bar that moves, seldom enough to cost the daemon nothing. What is over soon is
# seen soon: the first looks follow one another faster.
POLL_SECONDS = 0.5
FIRST_POLL_SECONDS = 0.05


class Jobs:
    """The methods of `Client` that begin and follow long work.

        job = await dat.verify("recipes")
        job = await dat.finished(job.id, lambda job: print(f"{job.progress:.0%}"))
        print(job.state, job.text)

    A job goes on without whoever began it, until it is done or cancelled.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def jobs(
        self,
        archive: str | None = None,
        *,
        state: JobState | None = None,
        kind: JobKind | None = None,
    ) -> list[Job]:
        """What is under way and what ended lately, of one archive or of all, newest first."""
        query = {"archive": archive, "state": state, "kind": kind, "limit": PAGE}
        found: list[Job] = []
        cursor = None
        while True:
            page = await self._connection.get("/jobs", JobList, query | {"cursor": cursor})
            found += page.jobs
            cursor = page.next_cursor
            if cursor is None:
                return found

    async def job(self, job: str) -> Job:
        """One job, by its id.

        Raises:
            NotFound: There is none, or it ended long ago.
        """
        return await self._connection.get(job_path(job), Job)

    async def cancel(self, job: str) -> None:
        """End a job. What it did so far stays."""
        await self._connection.call("DELETE", job_path(job))

    async def finished(self, job: str, told: Callable[[Job], object] = lambda job: None) -> Job:
        """Wait until a job has ended, well or not.

        Args:
            job: Its id.
            told: Called with the job again and again meanwhile.
        """
        pause = FIRST_POLL_SECONDS
        while True:
            found = await self.job(job)
            told(found)
            if found.state != "running":
                return found
            await asyncio.sleep(pause)
            pause = min(2 * pause, POLL_SECONDS)

    async def verify(self, archive: str) -> Job:
        """Have every block read and hashed; damaged ones are fetched again."""
        return await self._begin(archive, "verify")

    async def rescan(self, archive: str) -> Job:
        """Have the folder that an archive is published from looked through again."""
        return await self._begin(archive, "rescan")

    async def _begin(self, archive: str, verb: str) -> Job:
        _, document = await self._connection.call("POST", f"{archive_path(archive)}/{verb}")
        return parse(Job, document)
