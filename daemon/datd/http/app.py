"""The routes of the API, put together with what stands before them."""

from collections.abc import Callable, Sequence

from aiohttp import web

from datd.hosting.library import Library
from datd.http.adoption import AdoptionRoutes
from datd.http.archives import ArchiveRoutes
from datd.http.files import FileRoutes
from datd.http.guard import Guard
from datd.http.inputs import MAX_BODY
from datd.http.jobs import JobRoutes
from datd.http.own_archives import OwnRoutes
from datd.http.problems import answer_problems
from datd.http.stats import StatsRoutes
from datd.http.versions import VersionRoutes
from datd.http.well_known import PATH as WELL_KNOWN
from datd.http.well_known import WellKnownRoutes
from datd.http.writing import WritingRoutes
from datd.naming.resolver import Names

PREFIX = "/api/v1"


def make_app(
    library: Library,
    *,
    token: str,
    hosts: Sequence[str] = (),
    is_ready: Callable[[], bool] = lambda: True,
    names: Names | None = None,
) -> web.Application:
    """The API over a library.

    Args:
        library: What is hosted.
        token: Asked of everybody who comes over TCP, loopback included; not on a Unix socket.
        hosts: Names in the Host header that are ours beside localhost (setting `api.hosts`).
        is_ready: Whether `GET /readyz` says so.
        names: Turns names such as example.org into keys; None: only keys are understood.
    """
    guard = Guard(token, hosts, is_domain=lambda host: library.of_domain(host) is not None)
    app = web.Application(
        middlewares=[answer_problems, guard.middleware()], client_max_size=MAX_BODY
    )
    app.add_routes(_routes(library, is_ready, names))
    return app


def _routes(
    library: Library, is_ready: Callable[[], bool], names: Names | None
) -> list[web.RouteDef]:
    stats = StatsRoutes(library, is_ready)
    own = OwnRoutes(library)
    archives = ArchiveRoutes(library, own, names)
    jobs = JobRoutes(library)
    adoption = AdoptionRoutes(library, archives.find)
    writing = WritingRoutes(library, adoption.find_writable)
    files = FileRoutes(library.versions, archives.find)
    versions = VersionRoutes(library.versions, archives.find)
    one = f"{PREFIX}/archives/{{key:[^/]+}}"
    # Slashes in the last part, which OpenAPI cannot express (decision 23).
    path = f"{one}/files/{{path:[\\s\\S]*}}"
    return [
        web.get("/healthz", stats.alive),
        web.get("/readyz", stats.ready),
        web.get(WELL_KNOWN, WellKnownRoutes(library.of_domain).get),
        web.get(PREFIX, stats.info),
        web.get(f"{PREFIX}/", stats.info),
        web.get(f"{PREFIX}/stats", stats.stats),
        web.get(f"{PREFIX}/peers", stats.peers),
        web.get(f"{PREFIX}/archives", archives.list),
        web.post(f"{PREFIX}/archives", archives.add),
        web.get(one, archives.show),
        web.patch(one, archives.change),
        web.delete(one, archives.remove),
        web.post(f"{one}/pause", archives.pause),
        web.post(f"{one}/resume", archives.resume),
        web.get(f"{one}/stats", archives.stats),
        web.get(f"{one}/peers", archives.peers),
        web.post(f"{one}/peers", archives.add_peer),
        web.get(f"{one}/history", versions.history),
        web.get(f"{one}/diff", versions.diff),
        web.get(f"{one}/files", files.get),
        web.get(path, files.get),
        web.put(path, writing.put),
        web.delete(path, writing.delete),
        web.post(f"{one}/fork", own.fork),
        web.post(f"{one}/rescan", own.rescan),
        web.post(f"{one}/verify", own.verify),
        web.post(f"{one}/adopt", adoption.adopt),
        web.get(f"{one}/secret_key", own.secret_key),
        web.put(f"{one}/secret_key", own.take_secret_key),
        web.get(f"{PREFIX}/jobs", jobs.list),
        web.get(f"{PREFIX}/jobs/{{id}}", jobs.show),
        web.delete(f"{PREFIX}/jobs/{{id}}", jobs.cancel),
    ]
