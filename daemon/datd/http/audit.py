"""The audit log at the edge: what is noted of each request, and the route that reads it back."""

from typing import Annotated

from aiohttp import web
from aiohttp.typedefs import Middleware
from pydantic import Field

from datctl import models_auth as models
from datd.books.audit import AuditLine
from datd.errors import KeyFormatError, UnknownArchive
from datd.hosting.library import Library
from datd.http import shapes
from datd.http.access import NOBODY, access_of, noted_archive
from datd.http.credentials import from_unix_socket
from datd.http.desk import Desk
from datd.http.guard import SAFE_METHODS
from datd.http.inputs import Query, read_query
from datd.http.operation import ARCHIVES, PREFIX, operation_of
from datd.http.operation import Operation as Op
from datd.http.paging import DEFAULT_PAGE, Limit
from datd.http.problems import Handler
from datd.http.senders import Senders
from datd.http.version_names import split_link
from datd.keys import Key

# Reading that is noted all the same: a secret leaves the house.
_SECRET_READS = frozenset({"get_secret_key"})
# What nobody in particular does, and is noted all the same: it is how somebody comes in.
_ENTRANCES = frozenset({"log_in", "register_account"})
# Attempts that nobody looked at: of these a stranger can make as many as he likes.
_TURNED_AWAY = frozenset({400, 429, 503})


class AuditQuery(Query):
    """Parameters of `GET /audit`: lines after the one with the id `since`; else the newest ones."""

    since: Annotated[int, Field(ge=0, lt=2**53)] | None = None
    limit: Limit = DEFAULT_PAGE


class AuditRoutes:
    """Notes what is done, and shows it."""

    def __init__(self, library: Library, desk: Desk) -> None:
        self._library = library
        self._audit = desk.audit
        self._senders = Senders(desk.proxies)
        self._now = desk.wall_clock

    def operations(self) -> list[Op]:
        """What can be asked of the log."""
        return [
            Op(
                "GET",
                f"{PREFIX}/audit",
                self.page,
                name="list_audit",
                summary="Who changed what, and who used a secret key",
                scope="admin",
                tag="Access",
                query=AuditQuery,
                answers={200: models.AuditPage},
                description="In the order in which it happened. For what comes later give `next` "
                "of the answer as `since`.",
            )
        ]

    async def page(self, request: web.Request) -> web.Response:
        """`GET /audit`."""
        query = read_query(request, AuditQuery)
        found = await self._audit.page(query.since, query.limit)
        last = found[-1].id if found else query.since or 0
        return shapes.json_response(
            models.AuditPage(entries=[_shape(line) for line in found], next=last)
        )

    def middleware(self) -> Middleware:
        """Notes each change with what came of it; to stand before all others."""

        @web.middleware
        async def audit(request: web.Request, handler: Handler) -> web.StreamResponse:
            operation = operation_of(request)
            if operation is None or not _is_noted(operation, request):
                return await handler(request)
            # Before, since it may be gone afterwards.
            archive = self._archive_of(request)
            status = None
            try:
                response = await handler(request)
                status = response.status
                if archive is None:
                    archive = noted_archive(request) or _made(response)
                return response
            finally:
                self._note(request, operation, archive, status)

        return audit

    def _note(
        self, request: web.Request, operation: Op, archive: Key | None, status: int | None
    ) -> None:
        access = access_of(request)
        # A flood of strangers without a token must not push out what others did.
        if access is NOBODY and (operation.name not in _ENTRANCES or status in _TURNED_AWAY):
            return
        source = "unix" if from_unix_socket(request) else self._senders.address(request)
        discovery = None if archive is None else str(archive.discovery_key)
        self._audit.note(self._now(), access.name, source, operation.name, discovery, status)

    def _archive_of(self, request: web.Request) -> Key | None:
        reference = request.match_info.get("key")
        if reference is None:
            return None
        for text in (reference, split_link(reference)[0]):
            try:
                return self._library.find(text).key
            except UnknownArchive:
                continue
        return None


def _is_noted(operation: Op, request: web.Request) -> bool:
    return request.method not in SAFE_METHODS or operation.name in _SECRET_READS


def _made(response: web.StreamResponse) -> Key | None:
    """The archive that an answer says was made."""
    where = response.headers.get("Location", "")
    if not where.startswith(f"{ARCHIVES}/"):
        return None
    try:
        return Key.parse(where)
    except KeyFormatError:
        return None


def _shape(line: AuditLine) -> models.AuditEntry:
    return models.AuditEntry(
        id=line.id,
        at=shapes.moment(line.at),
        who=line.who,
        source=line.source,
        action=line.action,
        archive=line.archive,
        status=line.status,
    )
