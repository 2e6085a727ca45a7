"""Verbs that read files of an archive: ls, cat."""

import re
import stat
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from datctl import output
from datctl.commands.options import (
    DaemonOption,
    JsonOption,
    Place,
    VersionOption,
    WaitForPeers,
    parse_place,
)
from datctl.errors import UsageError

if TYPE_CHECKING:
    from datctl.client import Client
    from datctl.models import Entry

PlaceArgument = Annotated[
    str,
    Parameter(
        name="ARCHIVE/PATH",
        help="An archive (link, key, its beginning, or name) and a path in it; dat://KEY+N/PATH "
        "means version N, which may be a name given by datctl tag.",
    ),
]
_RANGE = re.compile(r"([0-9]{0,15})-([0-9]{0,15})")


async def ls(
    place: PlaceArgument,
    /,
    *,
    long: Annotated[
        bool,
        Parameter(
            name=("-l", "--long"),
            negative=(),
            show_default=False,
            help="With permissions, size, how much of it is here, and date.",
        ),
    ] = False,
    recursive: Annotated[
        bool,
        Parameter(
            name=("-R", "--recursive"),
            negative=(),
            show_default=False,
            help="With everything below.",
        ),
    ] = False,
    version: VersionOption = None,
    wait: WaitForPeers = 30.0,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """List a folder of an archive.

    **Examples**

    - `datctl ls recipes`
    - `datctl ls -l -R recipes/soups`
    - `datctl ls recipes --version 12 --json`
    - `datctl ls recipes --version 2019-03-01` (as it was then)
    """
    where = parse_place(place, version)
    async with daemon.client() as dat:
        if json:
            output.print_json([page async for entries in _pages(dat, where, recursive, wait)
                               for page in entries])  # fmt: skip
            return
        async for entries in _pages(dat, where, recursive, wait):
            _print_entries(entries, where.path, long)


async def _pages(
    dat: "Client", where: Place, recursive: bool, wait: float
) -> "AsyncIterator[list[Entry]]":
    """The entries of a folder, page by page; a file is a folder of itself."""
    from datctl.download import find_entry

    snapshot, entry = await find_entry(
        dat, where.archive, where.path, version=where.version, wait=wait
    )
    if entry is not None:
        yield [entry]
        return
    cursor = None
    while True:
        page = await dat.list(
            snapshot.archive,
            where.path,
            version=snapshot.version,
            recursive=recursive,
            wait=wait,
            cursor=cursor,
        )
        yield page.entries
        cursor = page.next_cursor
        if cursor is None:
            return


def _print_entries(entries: "list[Entry]", path: str, long: bool) -> None:
    base = "/" + path.strip("/")
    base = base if base.endswith("/") else base + "/"
    width = max((len(str(entry.size)) for entry in entries), default=0)
    for entry in entries:
        name = entry.path.removeprefix(base).lstrip("/")
        name = output.shown(name + ("/" if entry.kind == "directory" else ""))
        if long:
            here = output.percent_text(entry.available / entry.blocks) if entry.blocks else "-"
            name = (
                f"{stat.filemode(entry.mode)}  {entry.size:>{width}}  {here:>7}  "
                f"{output.time_text(entry.mtime):<16}  {name}"
            )
        output.say(name)


async def cat(
    place: PlaceArgument,
    /,
    *,
    version: VersionOption = None,
    range_: Annotated[
        str | None,
        Parameter(
            name="--range",
            allow_leading_hyphen=True,
            help="Bytes A-B, both included, counted from 0; A- to the end, -N the last N.",
        ),
    ] = None,
    wait: WaitForPeers = 30.0,
    daemon: DaemonOption,
) -> None:
    """Write a file of an archive to standard output.

    **Examples**

    - `datctl cat recipes/soups/leek.md`
    - `datctl cat dat://KEY+12/film.ogv --range 0-65535 > beginning`
    """
    where = parse_place(place, version)
    start, stop = parse_range(range_)
    async with (
        daemon.client() as dat,
        dat.stream(
            where.archive, where.path, version=where.version, start=start, stop=stop, wait=wait
        ) as chunks,
    ):
        async for chunk in chunks:
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()


def parse_range(text: str | None) -> tuple[int, int | None]:
    """First byte (negative: from the end) and where to stop, of `A-B`, `A-` or `-N`.

    Raises:
        UsageError: It is none of these.
    """
    if text is None:
        return 0, None
    match = _RANGE.fullmatch(text)
    first, last = match.groups() if match else ("", "")
    if first and last and int(first) <= int(last):
        return int(first), int(last) + 1
    if first and not last:
        return int(first), None
    if last and not first and int(last) > 0:
        return -int(last), None
    raise UsageError(f"{text!r} is no range of bytes: expected A-B, A- or -N, as in 0-1023")
