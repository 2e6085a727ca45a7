"""Verbs about versions: log, diff, tag."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from datctl import output
from datctl.commands.options import (
    ArchiveArgument,
    DaemonOption,
    JsonOption,
    WaitForPeers,
    parse_place,
    parse_version,
)
from datctl.errors import DatdError, UsageError

if TYPE_CHECKING:
    from datctl.models import Entry
    from datctl.models_versions import Change, Difference, DifferencePage, History

# The largest page that the daemon gives.
_PAGE = 1_000

VersionArgument = Annotated[
    str, Parameter(help="A number, a name given by datctl tag, or a time as in 2019-03-01T12:00.")
]


async def log(
    archive: Annotated[
        str,
        Parameter(
            name="ARCHIVE", help="A link, key, name, or the beginning of a key; /PATH may follow."
        ),
    ],
    path: Annotated[
        str | None, Parameter(name="PATH", help="Only changes of this file, or below this folder.")
    ] = None,
    /,
    *,
    since: Annotated[
        str | None, Parameter(help="Only what came after this version: a number, a name, a time.")
    ] = None,
    until: Annotated[
        str | None, Parameter(help="Only what came up to this version: a number, a name, a time.")
    ] = None,
    limit: Annotated[
        int | None, Parameter(help="At most so many changes, the oldest first.")
    ] = None,
    wait: WaitForPeers = 30.0,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """List the changes of an archive, or of what lies at a path, oldest first.

    Each change is a version: its number, the time of the file, what was done, size and path.

    **Examples**

    - `datctl log recipes`
    - `datctl log recipes soups/leek.md`
    - `datctl log recipes --since 2019-03-01 --limit 20`
    - `datctl log recipes --since v1 --json`
    """
    where = parse_place(archive)
    if path is not None and where.path != "/":
        raise UsageError("give the path once: datctl log ARCHIVE PATH")
    if until is not None and where.version is not None:
        raise UsageError("the link names a version, and so does --until: give one")
    if limit is not None and limit < 1:
        raise UsageError("--limit is a number from 1 on")
    chosen = where.path if path is None else "/" + path.strip("/")
    last = where.version if until is None else parse_version(until)
    following, left = parse_version(since), limit
    changes: list[Change] = []
    async with daemon.client() as dat:
        while True:
            page = await dat.history(
                where.archive, chosen, since=following, until=last, wait=wait,
                limit=_PAGE if left is None else min(left, _PAGE),
            )  # fmt: skip
            if json:
                changes += page.changes
            else:
                _print_changes(page)
            following = page.next_since
            left = None if left is None else left - len(page.changes)
            if following is None or left == 0:
                break
    if json:
        output.print_json(page.model_copy(update={"changes": changes}))
    elif not page.complete:
        output.note(
            "changes from before the path was last deleted may be missing, until all of them have "
            "been looked through: ask again in a while"
        )


def _print_changes(page: "History") -> None:
    width = len(str(page.version))
    for change in page.changes:
        output.say(change_line(change, width))


def change_line(change: "Change", width: int = 0) -> str:
    """One change, for people; `width`: digits that the number of its version may have."""
    size = ""
    if change.kind == "file" and change.size is not None:
        size = output.size_text(change.size)
    path = output.shown(change.path) + ("/" if change.kind == "directory" else "")
    return (
        f"{change.version:>{width}}  {output.time_text(change.mtime):<16}  "
        f"{change.type:<6}  {size:>8}  {path}"
    )


async def diff(
    archive: ArchiveArgument,
    from_: Annotated[VersionArgument, Parameter(name="FROM")],
    to: Annotated[VersionArgument, Parameter(name="TO")] = "latest",
    /,
    *,
    wait: WaitForPeers = 30.0,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """List what differs between two versions of an archive.

    **Examples**

    - `datctl diff recipes 5 12`
    - `datctl diff recipes v1` (from then to the newest)
    - `datctl diff recipes/soups 2019-03-01 2019-04-01 --json`
    """
    where = parse_place(archive)
    if where.version is not None:
        raise UsageError("give both versions behind the archive: datctl diff ARCHIVE FROM TO")
    old, new = parse_version(from_), parse_version(to)
    if old is None:
        raise UsageError("name the older version first: nothing comes after the newest one")
    cursor, changes, empty = None, list["Difference"](), True
    async with daemon.client() as dat:
        while True:
            page = await dat.diff(
                where.archive, old, new, path=where.path, cursor=cursor, wait=wait
            )
            old, new, cursor = page.old_version, page.new_version, page.next_cursor
            empty = empty and not page.changes
            if json:
                changes += page.changes
            else:
                _print_differences(page)
            if cursor is None:
                break
    if json:
        output.print_json(page.model_copy(update={"changes": changes}))
    elif empty:
        output.note(f"nothing differs between version {old} and version {new}")


def _print_differences(page: "DifferencePage") -> None:
    for found in page.changes:
        entry = found.new or found.old
        folder = "/" if entry is not None and entry.kind == "directory" else ""
        sizes = [_size(found.old), _size(found.new)]
        told = " -> ".join(dict.fromkeys(size for size in sizes if size))
        output.say(f"{found.type:<7}  {told:>20}  {output.shown(found.path)}{folder}")


def _size(entry: "Entry | None") -> str:
    return output.size_text(entry.size) if entry is not None and entry.kind == "file" else ""


async def tag(
    archive: ArchiveArgument,
    name: Annotated[
        str | None, Parameter(name="NAME", help="A letter, then letters, digits, . _ and -")
    ] = None,
    version: Annotated[
        str | None,
        Parameter(name="VERSION", help="A number, another name, or a time; by default the newest."),
    ] = None,
    /,
    *,
    delete: Annotated[
        bool,
        Parameter(
            name=("-d", "--delete"), negative=(), show_default=False, help="Take the name away."
        ),
    ] = False,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """Show, give or take away names for versions of an archive.

    They are known to this daemon only. Behind a `+` they stand in links: `dat://KEY+v1/path`.

    **Examples**

    - `datctl tag recipes` (show them)
    - `datctl tag recipes v1` (the newest version)
    - `datctl tag recipes before-easter 2019-04-20`
    - `datctl tag recipes v1 -d`
    - `datctl ls recipes --version v1`
    """
    if delete and (name is None or version is not None):
        raise UsageError("name what to take away: datctl tag ARCHIVE NAME -d")
    async with daemon.client() as dat:
        found = await dat.archive(archive)
        if name is not None:
            if delete and name not in found.version_tags:
                raise DatdError(f"no version is called {name} here: datctl tag ARCHIVE shows all")
            number = None
            if not delete:
                meant = parse_version(version)
                number = found.version if meant is None else meant
                if not isinstance(number, int):
                    number = (await dat.list(found.key, version=number, limit=1)).version
            found = await dat.change(found.key, version_tags={name: number})
    if json:
        output.print_json(found)
    elif name is not None and not delete:
        output.say(f"{name} is version {found.version_tags[name]}")
    elif name is not None:
        output.say(f"{name} is no version any more")
    else:
        ordered = sorted(found.version_tags.items(), key=lambda item: (item[1], item[0]))
        output.print_table(
            (">VERSION", "NAME"),
            [(str(number), called) for called, number in ordered],
            empty="no version has a name; give one with: datctl tag ARCHIVE NAME",
        )
