"""`GET /archives`: which of the archives are wanted, in which order, and what of them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from aiohttp import web
from pydantic import AfterValidator, Field

from datctl.models import Archive, ArchivePage, ChosenFields, ChosenPage, Mode, State
from datd.hosting.archive import HostedArchive
from datd.hosting.keeping import census
from datd.hosting.library import Library
from datd.hosting.views import ArchiveView
from datd.http import shapes
from datd.http.access import access_of
from datd.http.inputs import Query, read_query
from datd.http.operation import ARCHIVES, Operation
from datd.http.paging import DEFAULT_PAGE, Limit, decode_cursor, encode_cursor, page_of

# Ten thousand archives take a while; after so many of them others have their turn.
_AT_ONCE = 500
_NAMES = "|".join(Archive.model_fields)


class _Order(NamedTuple):
    """One way to sort: the value of an archive, and what JSON makes of it in a cursor."""

    value: Callable[[HostedArchive], Any]
    types: tuple[type, ...]


# None of them asks for what it costs to show an archive: that is done for one page only.
_ORDERS = {
    "added": _Order(lambda archive: archive.record.added_at, (int, float)),
    "name": _Order(
        lambda archive: (archive.record.name or archive.record.summary.title).casefold(), (str,)
    ),
    "size": _Order(lambda archive: archive.record.summary.size, (int,)),
    "progress": _Order(
        lambda archive: census.progress(
            archive.record.summary, complete=archive.state == "seeding"
        ),
        (int, float),
    ),
    "peers": _Order(lambda archive: archive.peers_connected, (int,)),
    "updated": _Order(lambda archive: archive.record.updated_at or 0.0, (int, float)),
}
Sort = Literal[
    "added", "name", "size", "progress", "peers", "updated",
    "-added", "-name", "-size", "-progress", "-peers", "-updated",
]  # fmt: skip


def _known(text: str) -> str:
    unknown = [name for name in text.split(",") if name not in Archive.model_fields]
    if unknown:
        raise ValueError(f"an archive has no field {unknown[0][:40]!r}")
    return text


Fields = Annotated[
    str,
    Field(
        json_schema_extra={
            "pattern": f"^({_NAMES})(,({_NAMES}))*$",
            "example": "name,progress",
        }
    ),
    AfterValidator(_known),
]


class ArchivesQuery(Query):
    """Parameters of `GET /archives`.

    Attributes:
        state: Only those in this state.
        mode: Only those kept so.
        writable: Only ours, or only those of others.
        tag: Only those with this tag; given several times, with all of them.
        q: Only those with this text in their name, title, description or a tag, or whose key
            begins with it.
        sort: By what, with `-` in front from the end.
        fields: Only these fields of each archive, with commas between them; `key` is always there.
        limit: Archives on a page.
        cursor: The `next_cursor` of the page before.
    """

    state: State | None = None
    mode: Mode | None = None
    writable: bool | None = None
    tag: Annotated[list[str], Field(default_factory=list)]
    q: Annotated[str, Field(max_length=200)] | None = None
    sort: Sort = "added"
    fields: Fields | None = None
    limit: Limit = DEFAULT_PAGE
    cursor: str | None = None


class ListRoutes:
    """Handler of the list of archives."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def operations(self) -> list[Operation]:
        """What can be asked of all archives."""
        return [
            Operation(
                "GET",
                ARCHIVES,
                self.list,
                name="list_archives",
                summary="The archives that are hosted, a page at a time",
                scope="read",
                tag="Archives",
                query=ArchivesQuery,
                answers={200: (ArchivePage, ChosenPage)},
                selective=True,
            )
        ]

    async def list(self, request: web.Request) -> web.Response:
        """`GET /archives`."""
        query = read_query(request, ArchivesQuery)
        order, descending = _ORDERS[query.sort.lstrip("-")], query.sort.startswith("-")
        after = None
        if query.cursor is not None:
            _, *after = decode_cursor(query.cursor, (str,), order.types, (str,))
        access = access_of(request)
        wanted = [
            archive
            async for archive in _in_turns(self._library.archives())
            if access.may_see(archive.key) and _matches(archive, query)
        ]
        page, position = page_of(
            wanted,
            lambda archive: [order.value(archive), archive.key.hex],
            after=after,
            limit=query.limit,
            descending=descending,
        )
        views = [await archive.view() async for archive in _in_turns(page)]
        following = encode_cursor(query.sort, *position) if position else None
        return shapes.json_response(self._page(views, query.fields, following))

    def _page(
        self, views: Sequence[ArchiveView], fields: str | None, following: str | None
    ) -> ArchivePage | ChosenPage:
        jobs = {key.hex: job.id for key, job in self._library.workshop.jobs.by_archive().items()}
        archives = [shapes.archive(view, job=jobs.get(view.key)) for view in views]
        if fields is None:
            return ArchivePage(archives=archives, next_cursor=following)
        return ChosenPage(
            archives=[chosen(archive, fields) for archive in archives], next_cursor=following
        )


def chosen(archive: Archive, fields: str) -> ChosenFields:
    """Some fields of an archive."""
    names = {"key", *fields.split(",")}
    return ChosenFields.model_validate(archive.model_dump(include=names, mode="json"))


async def _in_turns(archives: Sequence[HostedArchive]) -> AsyncIterator[HostedArchive]:
    for count, archive in enumerate(archives, 1):
        yield archive
        if count % _AT_ONCE == 0:
            await asyncio.sleep(0)


def _matches(archive: HostedArchive, query: ArchivesQuery) -> bool:
    record = archive.record
    if query.mode not in (None, record.mode) or not set(query.tag) <= set(record.tags):
        return False
    if query.writable not in (None, record.writable and record.conflict is None):
        return False
    if query.state not in (None, archive.state):
        return False
    if query.q is None:
        return True
    wanted, summary = query.q.casefold(), record.summary
    words = (record.name or "", summary.title, summary.description, *record.tags)
    return archive.key.hex.startswith(wanted) or any(wanted in word.casefold() for word in words)
