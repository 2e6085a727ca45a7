"""Verbs that read files of an archive: ls, cat, get."""

import re
import stat
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
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
from datctl.errors import DatdError, NoPeers, UsageError

if TYPE_CHECKING:
    from datctl.client import Client
    from datctl.download import Report
    from datctl.models import Entry

PlaceArgument = Annotated[
    str,
    Parameter(
        name="ARCHIVE/PATH",
        help="An archive (link, key, its beginning, or name) and a path in it; dat://KEY+N/PATH "
        "means version N.",
    ),
]
_RANGE = re.compile(r"([0-9]{0,15})-([0-9]{0,15})")
# A list of a thousand reasons helps nobody; all of them are counted.
MAX_REASONS = 20


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


async def get(
    place: PlaceArgument,
    dest: Annotated[
        Path, Parameter(name="DEST", help="A folder to write into, or the name for a single file.")
    ],
    /,
    *,
    version: VersionOption = None,
    wait: WaitForPeers = 30.0,
    daemon: DaemonOption,
) -> None:
    """Copy a file, or a folder with everything below it, to this host.

    What is here already, of the same size and date, is kept, so that an interrupted copy goes on
    when it is repeated. Files appear when they are complete, replacing older ones. Names that are
    not safe as files here are skipped and reported; links are never followed.

    **Examples**

    - `datctl get recipes ./recipes`
    - `datctl get recipes/soups/leek.md .`
    - `datctl get dat://KEY+12 old --wait 300`
    """
    from datctl.disk import DestinationFolder, Skipped
    from datctl.download import Download, find_entry

    where = parse_place(place, version)
    async with daemon.client() as dat:
        snapshot, entry = await find_entry(
            dat, where.archive, where.path, version=where.version, wait=wait
        )
        total = await _total(dat, where, entry)
        folder, name = (dest, "") if entry is None else _file_target(dest, entry.path)
        with (
            DestinationFolder(folder) as written,
            output.Progress(f"get {place}", time.monotonic) as progress,
        ):
            download = Download(
                dat,
                snapshot,
                written,
                wait=wait,
                changed=lambda report: progress.update(report.size, total, _so_far(report)),
            )
            if entry is None:
                await download.tree(where.path)
            else:
                try:
                    await download.file(entry, name)
                except Skipped as reason:
                    raise DatdError(f"{folder / name} was not written: {reason}") from reason
    _tell(download.report)


async def _total(dat: "Client", where: Place, entry: "Entry | None") -> int | None:
    """How many bytes will come, where that is known before they do."""
    if entry is not None:
        return entry.size
    if where.version is not None or where.path.strip("/"):
        return None
    return (await dat.archive(where.archive)).size or None


def _file_target(dest: Path, path: str) -> tuple[Path, str]:
    """Folder and name for one file: below DEST if that is a folder, else DEST itself."""
    from datctl.disk_names import UnsafeName, disk_parts

    if not dest.is_dir():
        if dest.name in {"", "..", "."}:
            raise UsageError(f"{dest} is not a name for a file")
        return dest.parent, dest.name
    try:
        return dest, disk_parts(path.rpartition("/")[2])[0]
    except UnsafeName as reason:
        raise UsageError(
            f"{output.shown(path)} is no name for a file here ({reason}): give one as DEST"
        ) from reason


def _so_far(report: "Report") -> str:
    kept = f", {report.kept} kept" if report.kept else ""
    return f"{report.files} files, {output.size_text(report.size)}{kept}"


def _tell(report: "Report") -> None:
    """What became of it.

    Raises:
        NoPeers: Files are missing.
    """
    for title, reasons in (("skipped", report.skipped), ("missing", report.missing)):
        for path, reason in reasons[:MAX_REASONS]:
            output.note(f"{title} {output.shown(path)}: {output.shown(reason)}")
        if len(reasons) > MAX_REASONS:
            output.note(f"{title} {len(reasons) - MAX_REASONS} more")
    output.note(_so_far(report))
    if report.missing:
        raise NoPeers(
            504,
            "no_peers",
            f"{len(report.missing)} files are missing, since no peer gave them in time; "
            "the same command fetches them when one does",
        )
