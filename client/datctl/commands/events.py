"""The verb `events`: what happens in the daemon, line by line."""

import json as json_text
import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from datctl import output
from datctl.commands.options import DaemonOption, parse_place
from datctl.errors import UsageError

if TYPE_CHECKING:
    from datctl.client import Client
    from datctl.models_events import Event

# What every event has; all else stands behind it in the line.
_COMMON = frozenset({"id", "kind", "at", "archive"})
KindOption = Annotated[
    list[str] | None,
    Parameter(
        name="--kind",
        negative=(),
        help="Only these, as in archive.version, or archive.* for all about archives.",
    ),
]


async def events(
    place: Annotated[
        str | None,
        Parameter(
            name="ARCHIVE/PATH",
            help="Only what happens to this archive; with a path, also each file that a new "
            "version changes there. Of a sparse archive just what that takes is fetched.",
        ),
    ] = None,
    /,
    *,
    since: Annotated[
        str | None,
        Parameter(help="Id of an event: first what came behind it; 0: all that is kept."),
    ] = None,
    kind: KindOption = None,
    tag: Annotated[
        str | None, Parameter(help="Only what happens to archives with this tag.")
    ] = None,
    follow: Annotated[
        bool,
        Parameter(
            negative="--no-follow",
            help="Go on until Ctrl-C; with --no-follow print what is kept, and end.",
        ),
    ] = True,
    json: Annotated[
        bool,
        Parameter(negative=(), show_default=False, help="Print one JSON document on each line."),
    ] = False,
    daemon: DaemonOption,
) -> None:
    """Print what happens in the daemon, as it happens; restarts of the daemon lose nothing.

    **Examples**

    - `datctl events`
    - `datctl events recipes/soups/`
    - `datctl events --kind archive.complete --kind archive.error`
    - `datctl events --since 0 --no-follow --json`
    """
    archive, path = _read(place)
    async with daemon.client() as dat:
        if follow:
            async for event in dat.events(
                since=since, archive=archive, path=path, kinds=kind or (), tag=tag
            ):
                _say(event, json=json)
            return
        await _print_kept(dat, since or "0", archive, path, kind or [], tag, json=json)


async def _print_kept(
    dat: "Client",
    since: str,
    archive: str | None,
    path: str | None,
    kinds: list[str],
    tag: str | None,
    *,
    json: bool,
) -> None:
    while True:
        page = await dat.event_page(since=since, archive=archive, path=path, kinds=kinds, tag=tag)
        for event in page.events:
            _say(event, json=json)
        since = page.next
        if not page.more:
            return


def _read(place: str | None) -> tuple[str | None, str | None]:
    if place is None:
        return None, None
    named = parse_place(place)
    if named.version is not None:
        raise UsageError("events happen to an archive, not to one version of it")
    # A slash at the end asks for all files; without one, files are not looked at.
    return named.archive, named.path if named.path != "/" or place.endswith("/") else None


def _say(event: "Event", *, json: bool) -> None:
    document = event.model_dump(mode="json")
    if json:
        output.say(json_text.dumps(document))
    else:
        rest = " ".join(
            f"{name}={_text(value)}"
            for name, value in document.items()
            if name not in _COMMON and value not in (None, [], "")
        )
        where = event.archive[:12] if event.archive is not None else "-"
        line = f"{event.at.astimezone():%Y-%m-%d %H:%M:%S}  {event.kind:<17}  {where:<12}  {rest}"
        output.say(output.shown(line.rstrip()))
    sys.stdout.flush()


def _text(value: object) -> str:
    if isinstance(value, str) and value and not any(one in value for one in ' "\n\t='):
        return value
    return json_text.dumps(value, ensure_ascii=False)
