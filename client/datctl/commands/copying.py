"""Verbs that copy files of an archive to this host: get, once or for ever, and export."""

import asyncio
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from datctl import output
from datctl.commands import asking, waiting
from datctl.commands.files import PlaceArgument
from datctl.commands.options import (
    DaemonOption,
    Place,
    VersionOption,
    WaitForPeers,
    parse_place,
)
from datctl.errors import DatdError, NoPeers, TimedOut, UsageError, passes

if TYPE_CHECKING:
    from datctl.client import Client
    from datctl.disk import DestinationFolder
    from datctl.download import Report, Snapshot
    from datctl.mirror import Mirror
    from datctl.models import Archive, Entry

# A new version is here within a second or two; asking costs the daemon nothing.
FOLLOW_SECONDS = 1.0
# What nobody had may come with the next peer.
RETRY_SECONDS = 10.0
# Removed by `export --delete`: so many are named before it asks.
MAX_NAMED = 20


async def get(
    place: PlaceArgument,
    dest: Annotated[
        Path, Parameter(name="DEST", help="A folder to write into, or the name for a single file.")
    ],
    /,
    *,
    version: VersionOption = None,
    follow: Annotated[
        bool,
        Parameter(
            negative=(),
            show_default=False,
            help="Stay, and keep the folder like the archive's newest version, until Ctrl-C.",
        ),
    ] = False,
    wait: WaitForPeers = 30.0,
    daemon: DaemonOption,
) -> None:
    """Copy a file, or a folder with everything below it, to this host.

    What is here already, of the same size and date, is kept, so that an interrupted copy goes on
    when it is repeated. Files appear when they are complete, replacing older ones. Names that are
    not safe as files here are skipped and reported; links are never followed.

    With `--follow`, each new version is brought here as it comes: only files that changed are
    written, and files that the archive has no more are removed, unless they were changed here or
    never came from it. Once the folder was complete, files that somebody put or changed here are
    not replaced either, but reported. The file `.datctl-follow.json` in DEST says how far it is, so
    that a later run goes on from there.

    **Examples**

    - `datctl get recipes ./recipes`
    - `datctl get recipes/soups/leek.md .`
    - `datctl get dat://KEY+12 old --wait 300`
    - `datctl get recipes /srv/www/recipes --follow`
    """
    from datctl.disk import DestinationFolder, Skipped
    from datctl.download import Download, find_entry

    where = parse_place(place, version)
    if follow and where.version is not None:
        raise UsageError("--follow is for the newest version: name no other")
    async with daemon.client() as dat:
        if follow:
            await _follow(dat, where, dest, wait)
            return
        snapshot, entry = await find_entry(
            dat, where.archive, where.path, version=where.version, wait=wait
        )
        total = await _total(dat, where, entry)
        folder, name = (dest, "") if entry is None else _file_target(dest, entry.path)
        with (
            DestinationFolder(folder) as written,
            output.Progress(f"get {place}", time.monotonic) as progress,
        ):
            pace = waiting.Pace(time.monotonic)
            download = Download(
                dat,
                snapshot,
                written,
                wait=wait,
                changed=lambda report: progress.update(
                    report.size, total, _on_the_way(report, total, pace)
                ),
            )
            if entry is None:
                await download.tree(where.path)
            else:
                try:
                    await download.file(entry, name)
                except Skipped as reason:
                    raise DatdError(f"{folder / name} was not written: {reason}") from reason
    _tell(download.report)


async def _follow(dat: "Client", where: Place, dest: Path, wait: float) -> None:
    """Keep a folder like the newest version, as long as it takes."""
    from datctl.mirror import Mirror, alone

    archive = await dat.archive(where.archive)
    if archive.version and await dat.head(archive.key, where.path, wait=wait) is not None:
        raise UsageError("--follow is for folders: datctl get copies the file once")
    _require_elsewhere(archive, dest)
    with alone(dest):
        mirror = Mirror(dat, archive.key, where.path, dest, wait=wait)
        output.note(f"following {archive.link} into {dest}; Ctrl-C ends that")
        await _keep(dat, archive.key, mirror)


def _require_elsewhere(archive: "Archive", dest: Path) -> None:
    """Check that a folder is not followed into the one that it is published from."""
    if archive.source is not None and archive.source == str(dest.resolve()):
        raise UsageError(f"{archive.link} is published from that folder: name another one")


async def _keep(dat: "Client", key: str, mirror: "Mirror") -> None:
    answering, retry = True, 0.0
    while True:
        try:
            version = (await dat.archive_stats(key)).version
            if version < max(mirror.begun, default=0):
                # A daemon that hosts it anew hears of its versions one after another.
                raise TimedOut(
                    f"the daemon knows version {version} only, and the folder has a later one"
                )
            due = mirror.complete or time.monotonic() >= retry
            if version and due and not (mirror.complete and mirror.begun == [version]):
                await _bring(mirror, version, retried=bool(retry))
                retry = 0.0 if mirror.complete else time.monotonic() + RETRY_SECONDS
            answering = True
        except DatdError as error:
            if not passes(error):
                raise
            # Whoever follows goes on when the daemon, or a peer, is there again.
            if answering:
                output.note(output.shown(f"{error}; trying again"))
            answering = False
        await asyncio.sleep(FOLLOW_SECONDS)


async def _bring(mirror: "Mirror", version: int, *, retried: bool) -> None:
    with output.Progress(f"version {version}", time.monotonic) as progress:
        report, removed = await mirror.bring(
            version, lambda report: progress.update(report.size, None, _so_far(report))
        )
    # What nobody has is told once, and then when it comes.
    if not retried or report.files:
        _tell_reasons(report)
        told = f"{report.files} written, {removed} removed, {output.size_text(report.size)}"
        output.say(f"version {version}: {told}")


async def export(
    archive: Annotated[
        str,
        Parameter(
            name="ARCHIVE", help="A link, key, name, or the beginning of a key; /PATH may follow."
        ),
    ],
    folder: Annotated[Path, Parameter(name="DIR", help="A folder to write into.")],
    /,
    *,
    version: VersionOption = None,
    delete: Annotated[
        bool,
        Parameter(
            negative=(),
            show_default=False,
            help="Delete whatever else lies in DIR, so that it is exactly that version. Only .dat "
            "and .datd, where keys and feeds lie, stay.",
        ),
    ] = False,
    yes: Annotated[
        bool,
        Parameter(
            negative=(), show_default=False, help="Delete without asking. Needed in scripts."
        ),
    ] = False,
    static: Annotated[
        bool,
        Parameter(
            negative=(),
            show_default=False,
            help="Make DIR a source for others behind any web server: its hashes and signatures "
            "are put into DIR/.dat. Of the newest version; later runs bring DIR up to date.",
        ),
    ] = False,
    all_versions: Annotated[
        bool,
        Parameter(
            negative=(),
            show_default=False,
            help="With --static: others can read old versions there, too. Takes the room of all.",
        ),
    ] = False,
    wait: WaitForPeers = 30.0,
    daemon: DaemonOption,
) -> None:
    """Write a version of an archive out as a plain folder.

    Files that are here already, of the same size and date, are kept. Nothing else in DIR is touched
    without `--delete`.

    **Examples**

    - `datctl export recipes ./recipes`
    - `datctl export recipes ./before --version v1`
    - `datctl export recipes /srv/www/recipes --delete --yes`
    - `datctl export recipes /srv/www/recipes --static --delete --yes` (a source behind a server)
    """
    from datctl.disk import DestinationFolder
    from datctl.download import find_entry

    where = parse_place(archive, version)
    if static and (where.version is not None or where.path.strip("/")):
        raise UsageError("--static is for the newest version of a whole archive")
    if all_versions and not static:
        raise UsageError("--all-versions goes with --static")
    async with daemon.client() as dat, contextlib.AsyncExitStack() as held:
        site = None
        if static:
            from datctl.commands.static import StaticFolder
            from datctl.mirror import alone

            key = (await dat.archive(where.archive)).key
            # Two of them, as a timer starts them, would write into the same new files.
            held.enter_context(alone(folder, "writes"))
            site = StaticFolder(folder, key, all_versions=all_versions)
            where = where._replace(archive=key, version=await site.fetch(dat))
        snapshot, entry = await find_entry(
            dat, where.archive, where.path, version=where.version, wait=wait
        )
        if entry is not None:
            raise UsageError("that is a file: datctl get copies it")
        total = await _total(dat, where, None)
        names: dict[tuple[str, ...], bool] = {}
        with DestinationFolder(folder) as written:
            report = await _tree(dat, snapshot, where.path, written, wait, total, names)
            if site is not None:
                site.publish(names)
            cleared = delete and not report.missing and await _deleted(written, names, yes=yes)
        if cleared and report.skipped:
            # What was deleted may have lain in the way.
            with DestinationFolder(folder) as written:
                report = await _tree(dat, snapshot, where.path, written, wait, total, names)
    _tell(report)
    output.note(f"version {snapshot.version} of {snapshot.archive[:12]} is in {folder}")
    if site is not None:
        site.tell()


async def _tree(
    dat: "Client",
    snapshot: "Snapshot",
    path: str,
    folder: "DestinationFolder",
    wait: float,
    total: int | None,
    names: dict[tuple[str, ...], bool],
) -> "Report":
    from datctl.download import Download

    pace = waiting.Pace(time.monotonic)
    with output.Progress(f"export {snapshot.archive[:12]}", time.monotonic) as progress:
        download = Download(
            dat,
            snapshot,
            folder,
            wait=wait,
            changed=lambda report: progress.update(
                report.size, total, _on_the_way(report, total, pace)
            ),
            wanted=names,
        )
        await download.tree(path)
    return download.report


async def _deleted(
    folder: "DestinationFolder", names: dict[tuple[str, ...], bool], *, yes: bool
) -> bool:
    """Delete what does not belong to the version, if somebody agrees; whether there was any.

    Raises:
        DatdError: Nobody does.
    """
    others = folder.others(lambda parts, is_folder: names.get(parts) is is_folder)
    if others and not yes:
        asking.require_person("export --delete")
        for parts in others[:MAX_NAMED]:
            output.note(f"  {output.shown('/'.join(parts))}")
        if len(others) > MAX_NAMED:
            output.note(f"  and {len(others) - MAX_NAMED} more")
        if not asking.agrees(f"Delete these {len(others)} from {folder.path}?"):
            raise DatdError("nothing was deleted; the files of the version are there")
    for parts in others:
        await asyncio.sleep(0)  # Ctrl-C, perhaps while it was looked through, spares what is left
        folder.discard(parts)
    if others:
        output.note(f"deleted {len(others)} that do not belong to it")
    return bool(others)


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
    return f"{output.count_text(report.files, 'file')}, {output.size_text(report.size)}{kept}"


def _on_the_way(report: "Report", total: int | None, pace: waiting.Pace) -> str:
    rate = pace.rate(report.size)
    left = total - report.size if total else 0
    time_left = f", {output.span_text(left / rate)} left" if rate and left > 0 else ""
    return f"{_so_far(report)}, {output.rate_text(rate)}{time_left}"


def _tell(report: "Report") -> None:
    """What became of it.

    Raises:
        NoPeers: Files are missing.
    """
    _tell_reasons(report)
    output.note(_so_far(report))
    if report.missing:
        raise NoPeers(
            504,
            "no_peers",
            f"missing: {output.count_text(len(report.missing), 'file')} that no peer gave in time; "
            "the same command goes on when one does",
        )


def _tell_reasons(report: "Report") -> None:
    for title, reasons in (("skipped", report.skipped), ("missing", report.missing)):
        for path, reason in reasons[: waiting.MAX_REASONS]:
            output.note(f"{title} {output.shown(path)}: {output.shown(reason)}")
        if len(reasons) > waiting.MAX_REASONS:
            output.note(f"{title} {len(reasons) - waiting.MAX_REASONS} more")
