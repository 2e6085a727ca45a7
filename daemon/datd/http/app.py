"""The routes of the API, put together with what stands before them."""

from collections.abc import Callable, Sequence

from aiohttp import web

from datd.hosting.library import Library
from datd.http.accounts import AccountRoutes
from datd.http.adoption import AdoptionRoutes
from datd.http.archive_lists import ListRoutes
from datd.http.archives import ArchiveRoutes
from datd.http.audit import AuditRoutes
from datd.http.desk import Desk
from datd.http.docs import DocsRoutes
from datd.http.doctor import DoctorRoutes
from datd.http.events import EventRoutes
from datd.http.files import FileRoutes
from datd.http.guard import Guard
from datd.http.inputs import MAX_BODY
from datd.http.jobs import JobRoutes
from datd.http.metrics import MetricsRoutes
from datd.http.one_archive import OneArchiveRoutes
from datd.http.operation import Operation, add_operations, answer_options
from datd.http.origins import Origins
from datd.http.own_archives import OwnRoutes
from datd.http.pinning import PinningRoutes
from datd.http.problems import answer_problems
from datd.http.replays import Replays
from datd.http.sleep_files import SleepFileRoutes
from datd.http.stats import StatsRoutes
from datd.http.tokens import TokenRoutes
from datd.http.tuning import TuningRoutes
from datd.http.versions import VersionRoutes
from datd.http.webhooks import WebhookRoutes
from datd.http.websocket import ReplicationRoutes
from datd.http.well_known import WellKnownRoutes
from datd.http.writing import WritingRoutes
from datd.naming.resolver import Names


def make_app(
    library: Library,
    *,
    token: str,
    desk: Desk,
    hosts: Sequence[str] = (),
    is_ready: Callable[[], bool] = lambda: True,
    names: Names | None = None,
    metrics_archives: int = 0,
) -> web.Application:
    """The API over a library.

    Args:
        library: What is hosted.
        token: Asked of everybody who comes over TCP, loopback included; not on a Unix socket.
        desk: Further tokens, accounts, the audit log, and settings of who may do what.
        hosts: Names in the Host header that are ours beside localhost (setting `api.hosts`).
        is_ready: Whether `GET /readyz` says so.
        names: Turns names such as example.org into keys; None: only keys are understood.
        metrics_archives: So many archives have numbers of their own in `GET /metrics`.
    """
    guard = Guard(
        token,
        hosts,
        desk,
        find=library.find,
        is_domain=lambda host: library.of_domain(host) is not None,
    )
    audit = AuditRoutes(library, desk)
    app = web.Application(
        middlewares=[audit.middleware(), answer_problems, guard.middleware(), answer_options],
        client_max_size=MAX_BODY,
    )
    app.on_response_prepare.append(Origins(desk.origins).mark)
    add_operations(app, _operations(library, desk, is_ready, names, metrics_archives))
    return app


def _operations(
    library: Library,
    desk: Desk,
    is_ready: Callable[[], bool],
    names: Names | None,
    metrics_archives: int,
) -> list[Operation]:
    replays = Replays(library.services.catalogue)
    own = OwnRoutes(library, replays)
    archives = OneArchiveRoutes(library)
    adoption = AdoptionRoutes(library, archives.find)
    return [
        *StatsRoutes(library, is_ready).operations(),
        *WellKnownRoutes(library.of_domain).operations(),
        *ListRoutes(library).operations(),
        *ArchiveRoutes(library, own, replays, names).operations(),
        *archives.operations(),
        *VersionRoutes(library.versions, archives.find).operations(),
        *FileRoutes(library.versions, archives.find).operations(),
        *SleepFileRoutes(archives.find).operations(),
        *ReplicationRoutes(library.services.swarm.call, archives.find).operations(),
        *WritingRoutes(library, adoption.find_writable).operations(),
        *own.operations(),
        *adoption.operations(),
        *JobRoutes(library).operations(),
        *TokenRoutes(library, desk).operations(),
        *AccountRoutes(desk).operations(),
        *AuditRoutes(library, desk).operations(),
        *PinningRoutes(desk, names).operations(),
        *DoctorRoutes(library).operations(),
        *TuningRoutes(desk.tuning).operations(),
        *MetricsRoutes(library, metrics_archives).operations(),
        *EventRoutes(library).operations(),
        *WebhookRoutes(library).operations(),
        *DocsRoutes().operations(),
    ]
