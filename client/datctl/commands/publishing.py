"""Verbs that make archives of our own: share, create, fork, adopt, rescan."""

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from datctl import output
from datctl.commands import waiting
from datctl.commands.options import (
    ArchiveArgument,
    ChunkingOption,
    DaemonOption,
    DeleteOption,
    FollowLinksOption,
    IgnoreHiddenOption,
    JsonOption,
    VersionOption,
    WaitForJob,
    parse_place,
)
from datctl.commands.versions import change_line
from datctl.errors import DatdError, NoDaemon, NotFound, TimedOut, Unauthorized, UsageError, passes

if TYPE_CHECKING:
    from datctl.client import Client
    from datctl.models import Archive
    from datctl.models_jobs import Job

# A change of a watched folder is told as soon as a person could look.
WATCH_SECONDS = 0.5
# Of one version with very many changes, so many are told.
MAX_TOLD = 20
# Where the original programs have the key of the archive that lies in a folder: that of `dat`, and
# of archives without their files beside them (flat, and in folders of their own).
_ARCHIVE_FILES = (".dat/metadata.key", "metadata.key", "metadata/key", ".dat/metadata/key")
# What `dat` leaves in the folder that an archive is published from, beside the key elsewhere.
_OWNERS_MARK = ".dat/metadata.ogd"
_KEY = re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{64}(?![0-9a-fA-F])")

NameOption = Annotated[str | None, Parameter(help="Call it by this name, here.")]
TagOption = Annotated[
    tuple[str, ...],
    Parameter(negative=(), show_default=False, help="Find it by this word. May be repeated."),
]
TitleOption = Annotated[str | None, Parameter(help="What it is called, for its readers.")]
DescriptionOption = Annotated[str | None, Parameter(help="What it holds, for its readers.")]
FolderArgument = Annotated[
    Path, Parameter(name="DIR", help="A folder of the host that the daemon runs on.")
]


async def share(
    folder: FolderArgument,
    /,
    *,
    name: NameOption = None,
    tag: TagOption = (),
    title: TitleOption = None,
    description: DescriptionOption = None,
    watch: Annotated[
        bool,
        Parameter(
            negative=(),
            show_default=False,
            help="Publish changes as they happen, from now on, and tell of each until Ctrl-C. "
            "The daemon goes on after that; datctl set ARCHIVE --no-watch ends it.",
        ),
    ] = False,
    chunking: ChunkingOption = None,
    follow_links: FollowLinksOption = None,
    ignore_hidden: IgnoreHiddenOption = None,
    delete: DeleteOption = None,
    new: Annotated[
        bool,
        Parameter(
            negative=(),
            show_default=False,
            help="Make a new archive, also if the folder is published already, or holds an archive "
            "of dat.",
        ),
    ] = False,
    wait: WaitForJob = None,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """Publish a folder as an archive.

    Prints the link at once. The files are read by the daemon; on a terminal the progress is shown
    until that is done (Ctrl-C ends only the showing). A folder that is published already is looked
    through again, under its link; one with an archive of the program `dat` in it goes on as that
    archive. Left out are hidden files and what `.datignore` names.

    The folder must lie below one of the daemon's `import_roots`: your home, if you started it.

    **Examples**

    - `datctl share ~/recipes --title "Our recipes"`
    - `datctl share . --watch`
    - `datctl share /srv/data --chunking content --wait`
    """
    place = _folder(folder)
    rules = {
        "chunking": chunking, "follow_links": follow_links, "ignore_hidden": ignore_hidden,
        "delete": delete,
    }  # fmt: skip
    settings: dict[str, Any] = {field: value for field, value in rules.items() if value is not None}
    async with daemon.client() as dat:
        known = None if new else await _published(dat, place)
        if known is not None:
            archive = await _again(
                dat,
                known,
                {"name": name, "tags": tag} | settings,
                watch=watch,
                described=title is not None or description is not None,
            )
        else:
            archive = await dat.publish(
                place,
                title=title,
                description=description,
                watch=watch,
                name=name,
                tags=tag,
                adopt="never" if new else "auto",
                **settings,
            )
        if not json:
            output.say(archive.link)
        seen = archive.version
        if archive.job is not None and (waiting.wanted(wait) or watch):
            await _shown(dat, archive.job, f"share {folder}", wait)
        if json:
            output.print_json(await dat.archive(archive.key))
        elif watch:
            seen = max(seen, (await dat.archive(archive.key)).version)
            output.note(
                f"watching {folder}: each change is published; Ctrl-C ends only this display"
            )
            await _tell_changes(dat, archive.key, seen)


async def _published(dat: "Client", folder: str) -> "Archive | None":
    """The archive that a folder is published as already."""
    async for archive in dat.all_archives():
        if archive.writable and archive.source == folder:
            return archive
    return None


async def _again(
    dat: "Client", archive: "Archive", asked: dict[str, Any], *, described: bool, watch: bool
) -> "Archive":
    """Look through a folder again that is published already."""
    if described:
        raise UsageError(
            f"this folder is published already, as {archive.link}: its title and description stand "
            "in its dat.json"
        )
    changes = {field: value for field, value in asked.items() if value not in (None, ())}
    if watch:
        changes["watch"] = True
    if changes:
        await dat.change(archive.key, **changes)
    output.note("published already; looking for changes")
    await dat.rescan(archive.key)
    return await dat.archive(archive.key)


async def _shown(dat: "Client", job: str, title: str, limit: float | None) -> None:
    done = await waiting.finish(dat, job, title, limit)
    output.note(output.shown(done.text))


async def _tell_changes(dat: "Client", key: str, seen: int) -> None:
    """A line for each version that comes, until somebody has enough."""
    answering = True
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        try:
            version = (await dat.archive_stats(key)).version
            if version > seen:
                await _tell_versions(dat, key, seen, version)
                seen = version
            answering = True
        except DatdError as error:
            if not passes(error):
                raise
            if answering:
                output.note("the daemon does not answer just now")
            answering = False


async def _tell_versions(dat: "Client", key: str, seen: int, last: int) -> None:
    lines, told = list[str](), 0
    async for change in dat.changes(key, since=seen, until=last):
        told += 1
        if told <= MAX_TOLD:
            lines.append(change_line(change))
    # Told when all is here: what was told before an error would be told again.
    for line in lines:
        output.say(line)
    if told > MAX_TOLD:
        output.say(f"and {told - MAX_TOLD} more; see: datctl log {key[:12]} --since {seen}")


async def create(
    *,
    title: TitleOption = None,
    description: DescriptionOption = None,
    name: NameOption = None,
    tag: TagOption = (),
    chunking: ChunkingOption = None,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """Make a new, empty archive of our own, and print its link.

    Files come into it with `datctl put`. A folder is published with `datctl share`.

    **Examples**

    - `datctl create --title "Our recipes" --name recipes`
    """
    async with daemon.client() as dat:
        archive = await dat.create(
            title=title, description=description, name=name, tags=tag, chunking=chunking or "fixed"
        )
    if json:
        output.print_json(archive)
    else:
        output.say(archive.link)


async def fork(
    archive: ArchiveArgument,
    /,
    *,
    version: VersionOption = None,
    title: TitleOption = None,
    description: DescriptionOption = None,
    name: NameOption = None,
    tag: TagOption = (),
    chunking: ChunkingOption = None,
    wait: WaitForJob = None,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """Copy a version of an archive into a new one of our own, and print its link.

    What is here of the original is not fetched again, and readers of both fetch it once.

    **Examples**

    - `datctl fork recipes --name my-recipes`
    - `datctl fork dat://KEY+12 --title "As it was"`
    """
    where = parse_place(archive, version)
    if where.path != "/":
        raise UsageError("an archive is forked whole: name it without a path")
    async with daemon.client() as dat:
        chosen = where.version
        if chosen is not None and not isinstance(chosen, int | str):
            chosen = (await dat.list(where.archive, version=chosen, limit=1)).version
        made = await dat.fork(
            where.archive, version=chosen, title=title, description=description, name=name,
            tags=tag, chunking=chunking,
        )  # fmt: skip
        if not json:
            output.say(made.link)
        if made.job is not None and waiting.wanted(wait):
            await _shown(dat, made.job, f"fork {archive}", wait)
        if json:
            output.print_json(await dat.archive(made.key))


async def rescan(
    *archives: Annotated[
        str,
        Parameter(
            name="ARCHIVE",
            negative=(),
            show_default=False,
            help="Links, keys or names of archives.",
        ),
    ],
    wait: WaitForJob = None,
    daemon: DaemonOption,
) -> None:
    """Look through the folders that archives are published from, for what has changed.

    Watched folders need no rescan.

    **Examples**

    - `datctl rescan recipes`
    """
    if not archives:
        raise UsageError("name one archive or more")
    async with daemon.client() as dat:
        for archive in archives:
            job = await dat.rescan(archive)
            output.say(f"{archive}: job {job.id}")
            if waiting.wanted(wait):
                await _shown(dat, job.id, f"rescan {archive}", wait)


async def adopt(
    *folders: Annotated[
        Path,
        Parameter(
            name="DIR",
            negative=(),
            show_default=False,
            help="Folders of the host that the daemon runs on.",
        ),
    ],
    into: Annotated[
        str | None,
        Parameter(
            help="Fill this archive from the files that lie in the folders, whatever they are "
            "called there: what has the right hash is not fetched from anybody."
        ),
    ] = None,
    copy: Annotated[
        bool,
        Parameter(
            negative=(),
            show_default=False,
            help="Copy the archives into the daemon's folder instead of using them in place; of "
            "those that are hosted there already, what they lack.",
        ),
    ] = False,
    wait: WaitForJob = None,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """Take over archives that the original programs made, or files that are here already.

    A folder of `dat` (with `.dat` in it), or one that holds the feeds of an archive, is hosted
    where it lies, with its secret key if that is found. No other program may write it meanwhile.
    With --into, an archive that is not hosted yet is hosted from now on.

    **Examples**

    - `datctl adopt ~/dats/*`
    - `datctl adopt /srv/old --copy`
    - `datctl adopt ~/Downloads --into dat://KEY`
    """
    if not folders:
        raise UsageError("name one folder or more")
    if into is not None and copy:
        raise UsageError("--copy is for archives, and --into for files")
    done: list[Archive | Job] = []
    late = False
    async with daemon.client() as dat:
        if into is not None:
            await _hosted(dat, into)
        for place in [_folder(folder) for folder in folders]:
            try:
                if into is not None:
                    done.append(await _filled(dat, into, place, wait=wait, json=json))
                else:
                    done.append(await _adopted(dat, place, copy=copy, wait=wait, json=json))
            except (NoDaemon, Unauthorized):
                raise
            except DatdError as error:
                # One of many folders is no reason to leave the others alone.
                late = isinstance(error, TimedOut)
                output.note(output.shown(f"{place}: {error}"))
    if json:
        output.print_json(done)
    failed = len(folders) - len(done)
    if failed == 1 and late:
        raise TimedOut("it is not done yet")
    if failed:
        raise DatdError(
            f"{failed} of {output.count_text(len(folders), 'folder')} could not be taken over"
        )


async def _hosted(dat: "Client", archive: str) -> None:
    """See that there is something to fill; what holds a key can be hosted for that."""
    try:
        await dat.archive(archive)
    except NotFound:
        if _KEY.search(archive) is None:
            raise
        added, _ = await dat.add(archive)
        output.note(f"hosted from now on: {added.link}")


async def _filled(
    dat: "Client", archive: str, place: str, *, wait: float | None, json: bool
) -> "Job":
    job = await dat.adopt(archive, place)
    if not json:
        output.say(f"{place}: job {job.id}")
    if not waiting.wanted(wait):
        return job
    await _shown(dat, job.id, f"adopt {place}", wait)
    return await dat.job(job.id)


async def _adopted(
    dat: "Client", place: str, *, copy: bool, wait: float | None, json: bool
) -> "Archive":
    _require_archive(place)
    archive = await dat.publish(place, copy=copy)
    if not json:
        ours = ", ours" if archive.writable else ""
        output.say(f"{archive.link}  {place}{ours}")
    if not archive.writable and not copy and _is_an_owners(place):
        output.note(
            output.shown(
                f"{place}: it was published from here, but its secret key is not where the daemon "
                "looks (setting owner_keys): datctl keys import FILE makes it ours"
            )
        )
    if archive.job is not None and waiting.wanted(wait):
        await _shown(dat, archive.job, f"adopt {place}", wait)
    return await dat.archive(archive.key)


def _folder(given: Path) -> str:
    """The path as the daemon, which has another working folder, understands it."""
    return str(given.expanduser().resolve())


def _is_an_owners(place: str) -> bool:
    return Path(place, _OWNERS_MARK).exists()


def _require_archive(place: str) -> None:
    # If there is no such folder on this host, the daemon may run on another one.
    if Path(place).is_dir() and not any(Path(place, file).exists() for file in _ARCHIVE_FILES):
        raise DatdError(
            "there is no archive in it; publish it with datctl share, or say with --into what "
            "archive its files belong to"
        )
