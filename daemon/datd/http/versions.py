"""Routes of the versions: what changed in an archive or below a path, what differs between two."""

from collections.abc import Callable
from typing import Annotated

from aiohttp import web
from pydantic import Field

from datctl import models_versions as models
from datctl.models import Entry as EntryModel
from datd.archive.entries import Entry
from datd.hosting.archive import HostedArchive
from datd.hosting.reading import kind_of
from datd.hosting.versions import DifferenceView, Versions
from datd.hosting.views import EntryView
from datd.http import shapes
from datd.http.files import MAX_WAIT
from datd.http.inputs import Query, read_query
from datd.http.operation import ARCHIVE, Operation
from datd.http.paging import DEFAULT_PAGE, Limit, decode_cursor, encode_cursor
from datd.http.problems import Problem
from datd.http.version_names import VersionText, find_version

Wait = Annotated[float, Field(ge=0, le=MAX_WAIT)]
# A path may have 64 KiB (`entries.MAX_NAME_SIZE`), and a request line no more than that.
Path = Annotated[str, Field(min_length=1, max_length=65_536)]


class HistoryQuery(Query):
    """Parameters of the history; `since` and `until` are versions, by number, tag or time."""

    path: Path = "/"
    since: VersionText | None = None
    until: VersionText | None = None
    limit: Limit = DEFAULT_PAGE
    wait: Wait = 30.0


class DiffQuery(Query):
    """Parameters of the difference; `to` is the newest version if it is not given."""

    old: Annotated[VersionText, Field(alias="from")]
    new: Annotated[VersionText | None, Field(alias="to")] = None
    path: Path = "/"
    limit: Limit = DEFAULT_PAGE
    cursor: str | None = None
    wait: Wait = 30.0


class VersionRoutes:
    """Handlers of the versions."""

    def __init__(self, versions: Versions, find: Callable[[web.Request], HostedArchive]) -> None:
        self._versions = versions
        self._find = find

    def operations(self) -> list[Operation]:
        """What can be asked of versions."""
        errors = ("unknown_archive", "no_such_version", "damaged", "no_peers")
        return [
            Operation(
                "GET",
                f"{ARCHIVE}/history",
                self.history,
                name="get_history",
                summary="What changed in an archive, or below a path of it",
                scope="read",
                tag="Versions",
                query=HistoryQuery,
                answers={200: models.History},
                errors=errors,
            ),
            Operation(
                "GET",
                f"{ARCHIVE}/diff",
                self.diff,
                name="get_difference",
                summary="What differs between two versions",
                scope="read",
                tag="Versions",
                query=DiffQuery,
                answers={200: models.DifferencePage},
                errors=errors,
                description="All pages are of the versions that the first one was of.",
            ),
        ]

    async def history(self, request: web.Request) -> web.Response:
        """`GET /archives/{key}/history`."""
        query = read_query(request, HistoryQuery)
        archive = self._find(request)
        since, until = [
            await find_version(self._versions, archive, asked, wait=query.wait)
            for asked in (query.since, query.until)
        ]
        found = await self._versions.history(
            archive,
            query.path,
            since=since or 0,
            until=until,
            limit=query.limit,
            wait=query.wait,
        )
        return shapes.json_response(
            models.History(
                key=archive.key.hex,
                version=found.version,
                changes=[_change(entry) for entry in found.entries],
                next_since=found.following,
                complete=found.complete,
            )
        )

    async def diff(self, request: web.Request) -> web.Response:
        """`GET /archives/{key}/diff`. All pages are of the versions that the first one was of."""
        query = read_query(request, DiffQuery)
        archive = self._find(request)
        after = None
        if query.cursor is not None:
            old, new, path, after = decode_cursor(query.cursor, (int,), (int,), (str,), (str,))
            asked = {query.old: old, query.new: new}
            moved = any(text and text.isdecimal() and int(text) != at for text, at in asked.items())
            if moved or path != query.path:
                raise Problem("bad_request", "`cursor` belongs to another list.")
        else:
            old, new = [
                await find_version(self._versions, archive, asked, wait=query.wait)
                for asked in (query.old, query.new)
            ]
        found = await self._versions.diff(
            archive, old, new, query.path, after=after, limit=query.limit, wait=query.wait
        )
        cursor = None
        if found.following is not None:
            cursor = encode_cursor(found.old, found.new, query.path, found.following)
        return shapes.json_response(
            models.DifferencePage(
                key=archive.key.hex,
                old_version=found.old,
                new_version=found.new,
                changes=[_difference(view) for view in found.differences],
                next_cursor=cursor,
            )
        )


def _change(entry: Entry) -> models.Change:
    path = shapes.encodable(entry.name if entry.name.startswith("/") else f"/{entry.name}")
    stat = entry.stat
    if stat is None:
        return models.Change(version=entry.seq, type="delete", path=path)
    return models.Change(
        version=entry.seq,
        type="put",
        path=path,
        kind=kind_of(stat),
        size=stat.size,
        mtime=shapes.moment(stat.mtime / 1000),
    )


def _difference(view: DifferenceView) -> models.Difference:
    return models.Difference(
        type="changed" if view.old and view.new else "added" if view.new else "removed",
        path=shapes.encodable(view.path),
        old=_entry(view.old),
        new=_entry(view.new),
    )


def _entry(view: EntryView | None) -> EntryModel | None:
    return None if view is None else shapes.entry(view)
