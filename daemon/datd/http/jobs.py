"""Routes of the jobs: what is under way, and what came of it."""

from typing import Literal

from aiohttp import web

from datctl.models_jobs import JobList
from datd.hosting.library import Library
from datd.http import shapes
from datd.http.inputs import Query, read_query
from datd.http.problems import SAFE_HEADERS
from datd.http.stats import NoQuery


class JobsQuery(Query):
    """Parameters of `GET /jobs`; `archive` is named as in a path."""

    archive: str | None = None
    state: Literal["running", "done", "failed", "cancelled"] | None = None


class JobRoutes:
    """Handlers of `/jobs`."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._jobs = library.workshop.jobs

    async def list(self, request: web.Request) -> web.Response:
        """`GET /jobs`."""
        query = read_query(request, JobsQuery)
        jobs = self._jobs.all()
        if query.archive is not None:
            key = self._library.find(query.archive).key
            jobs = [job for job in jobs if job.archive == key]
        chosen = [job for job in jobs if query.state in (None, job.state)]
        return shapes.json_response(JobList(jobs=[shapes.job(job) for job in chosen]))

    async def show(self, request: web.Request) -> web.Response:
        """`GET /jobs/{id}`."""
        read_query(request, NoQuery)
        return shapes.json_response(shapes.job(self._jobs.find(request.match_info["id"])))

    async def cancel(self, request: web.Request) -> web.Response:
        """`DELETE /jobs/{id}`: end it, if it runs. What it did so far stays."""
        read_query(request, NoQuery)
        await self._library.cancel(self._jobs.find(request.match_info["id"]))
        return web.Response(status=204, headers=SAFE_HEADERS)
