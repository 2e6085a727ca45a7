"""Routes of the jobs: what is under way, and what came of it."""

from aiohttp import web

from datctl.models_jobs import Job, JobKind, JobList, JobState
from datd.errors import UnknownJob
from datd.hosting.jobs import Job as Work
from datd.hosting.library import Library
from datd.http import shapes
from datd.http.access import access_of, find_visible
from datd.http.inputs import Query, read_query
from datd.http.operation import PREFIX, Operation
from datd.http.paging import MAX_PAGE, Limit, decode_cursor, encode_cursor, page_of
from datd.http.problems import SAFE_HEADERS
from datd.http.stats import NoQuery


class JobsQuery(Query):
    """Parameters of `GET /jobs`.

    Attributes:
        archive: Only those that work on this archive, named as in a path.
        state: Only those in this state.
        kind: Only those of this kind.
        limit: Jobs on a page.
        cursor: The `next_cursor` of the page before.
    """

    archive: str | None = None
    state: JobState | None = None
    kind: JobKind | None = None
    limit: Limit = MAX_PAGE
    cursor: str | None = None


class JobRoutes:
    """Handlers of `/jobs`."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._jobs = library.workshop.jobs

    def operations(self) -> list[Operation]:
        """What can be asked of jobs."""
        one = f"{PREFIX}/jobs/{{id}}"
        return [
            Operation(
                "GET",
                f"{PREFIX}/jobs",
                self.list,
                name="list_jobs",
                summary="What is under way, and what ended lately; the newest first",
                scope="read",
                tag="Jobs",
                query=JobsQuery,
                answers={200: JobList},
                selective=True,
                errors=("unknown_archive",),
            ),
            Operation(
                "GET",
                one,
                self.show,
                name="get_job",
                summary="One job, with its progress",
                scope="read",
                tag="Jobs",
                answers={200: Job},
                selective=True,
                errors=("no_such_job",),
            ),
            Operation(
                "DELETE",
                one,
                self.cancel,
                name="cancel_job",
                summary="End a job, if it runs; what it did so far stays",
                scope="control",
                tag="Jobs",
                answers={204: None},
                selective=True,
                errors=("no_such_job",),
            ),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """`GET /jobs`."""
        query = read_query(request, JobsQuery)
        access = access_of(request)
        jobs = [job for job in self._jobs.all() if access.may_see(job.archive)]
        if query.archive is not None:
            key = find_visible(self._library.find, query.archive, access).key
            jobs = [job for job in jobs if job.archive == key]
        after = None
        if query.cursor is not None:
            after = decode_cursor(query.cursor, (int, float), (str,))
        page, position = page_of(
            [
                job
                for job in jobs
                if query.state in (None, job.state) and query.kind in (None, job.kind)
            ],
            lambda job: [job.started_at, job.id],
            after=after,
            limit=query.limit,
            descending=True,
        )
        return shapes.json_response(
            JobList(
                jobs=[shapes.job(job) for job in page],
                next_cursor=encode_cursor(*position) if position else None,
            )
        )

    async def show(self, request: web.Request) -> web.Response:
        """`GET /jobs/{id}`."""
        read_query(request, NoQuery)
        return shapes.json_response(shapes.job(self._find(request)))

    async def cancel(self, request: web.Request) -> web.Response:
        """`DELETE /jobs/{id}`: end it, if it runs. What it did so far stays."""
        read_query(request, NoQuery)
        await self._library.cancel(self._find(request))
        return web.Response(status=204, headers=SAFE_HEADERS)

    def _find(self, request: web.Request) -> Work:
        id = request.match_info["id"]
        job = self._jobs.find(id)
        if not access_of(request).may_see(job.archive):
            raise UnknownJob(f"there is no job {id[:80]!r}, or it ended long ago")
        return job
