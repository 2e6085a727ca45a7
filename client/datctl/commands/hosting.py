"""Verbs about what is hosted: list, show, pause, resume, remove."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from datctl import output
from datctl.commands import asking, watching, wording
from datctl.commands.options import ArchiveArgument, DaemonOption, JsonOption, WatchOption
from datctl.errors import DatdError, UsageError

if TYPE_CHECKING:
    from datctl.client import Client
    from datctl.models import Archive

_CUT = {"fixed": "in pieces of 64 KiB", "content": "by content"}

AllOption = Annotated[
    bool, Parameter(name="--all", negative=(), show_default=False, help="All archives.")
]
Archives = Annotated[
    str,
    Parameter(
        name="ARCHIVE",
        negative=(),
        show_default=False,
        help="Links, keys, unique beginnings of keys (6 digits or more), or names.",
    ),
]


async def list_archives(
    *,
    state: Annotated[
        Literal["searching", "syncing", "seeding", "paused", "error"] | None,
        Parameter(help="Only those in this state."),
    ] = None,
    tag: Annotated[
        tuple[str, ...],
        Parameter(negative=(), show_default=False, help="Only those with this tag; repeatable."),
    ] = (),
    watch: WatchOption = False,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """List the archives that are hosted.

    Columns: the beginning of the key, its name or title, its state, how much of what is wanted is
    here, the size of the newest version, connected peers, and bytes a second down and up.

    **Examples**

    - `datctl list --state syncing`
    - `datctl list --tag kitchen --json`
    - `datctl list --watch`
    """
    async with daemon.client() as dat:

        async def look() -> watching.View:
            found = [archive async for archive in dat.all_archives(state=state, tags=tag)]
            return watching.View(
                [archive.model_dump(mode="json") for archive in found],
                ("KEY", "NAME", "STATE", ">DONE", ">SIZE", ">PEERS", ">DOWN", ">UP"),
                [_row(archive) for archive in found],
                empty="no archives; host one with: datctl add LINK",
            )

        await watching.show(look, watch=watch, json=json)


def _row(archive: "Archive") -> list[output.Cell]:
    return [
        archive.key[:12],
        archive.name or archive.title or "-",
        output.state_cell(archive.state),
        output.percent_text(archive.progress),
        output.size_text(archive.size),
        str(archive.peers.connected),
        output.rate_text(archive.rates.download),
        output.rate_text(archive.rates.upload),
    ]


async def show(
    archive: ArchiveArgument, /, *, json: JsonOption = False, daemon: DaemonOption
) -> None:
    """Show everything about one archive.

    **Examples**

    - `datctl show recipes`
    - `datctl show 6e61c1 --json`
    """
    async with daemon.client() as dat:
        found = await dat.archive(archive)
    if json:
        output.print_json(found)
        return
    output.print_fields(
        [
            ("link", found.link),
            ("name", found.name or "-"),
            ("title", found.title or "-"),
            ("description", found.description or "-"),
            ("tags", ", ".join(found.tags) or "-"),
            ("state", found.state + (f": {found.error}" if found.error else "")),
            ("mode", wording.mode(found)),
            ("version", str(found.version)),
            ("tagged", _tagged(found)),
            ("files", f"{found.files}, {output.size_text(found.size)}"),
            ("blocks", wording.blocks(found.blocks)),
            ("stored", wording.amount(found)),
            ("peers", f"{found.peers.connected} connected, {found.peers.known} known"),
            ("saved", _saved(found)),
            ("networks", ", ".join(found.networks) or "none"),
            ("added by", found.shortname or "key"),
            ("domain", found.domain or "-"),
            ("down", output.traffic_text(found.rates.download, found.transferred.downloaded)),
            ("up", output.traffic_text(found.rates.upload, found.transferred.uploaded)),
            ("added", output.time_text(found.added_at)),
            ("updated", output.time_text(found.updated_at)),
            ("last peer", output.time_text(found.last_peer_at)),
            ("discovery key", found.discovery_key),
            *_own(found),
        ]
    )


def _tagged(archive: "Archive") -> str:
    return ", ".join(f"{name}={n}" for name, n in archive.version_tags.items()) or "-"


def _saved(archive: "Archive") -> str:
    saved = archive.saved
    blocks = output.count_text(saved.blocks, "block")
    return f"{blocks}, {output.size_text(saved.bytes)} that were here already"


def _own(archive: "Archive") -> list[tuple[str, str]]:
    """What there is to say of some archives only."""
    fields = []
    if archive.writable:
        fields.append(("ours", f"files can be written; they are cut {_CUT[archive.chunking]}"))
    if archive.source is not None:
        watched = ", watched" if archive.watch else ""
        fields.append(("published from", f"{archive.source}{watched}"))
        rules = archive.import_rules
        if rules is not None:
            hidden = "left out" if rules.ignore_hidden else "published"
            gone = "removed" if rules.delete else "kept"
            fields.append(
                ("of that", f"links {rules.follow_links}, hidden {hidden}, vanished {gone}")
            )
    if archive.location is not None:
        fields.append(("lies in", archive.location))
    if archive.job is not None:
        fields.append(("job", archive.job))
    if archive.conflict is not None:
        fields.append(("conflict", wording.conflict(archive)))
    return fields


async def pause(*archives: Archives, all_: AllOption = False, daemon: DaemonOption) -> None:
    """Stop fetching and serving archives, and keep what is here.

    **Examples**

    - `datctl pause recipes`
    - `datctl pause --all`
    """
    async with daemon.client() as dat:
        for archive in await _chosen(dat, archives, all_):
            await dat.pause(archive.key)
            output.say(f"paused {wording.label(archive)}")


async def resume(*archives: Archives, all_: AllOption = False, daemon: DaemonOption) -> None:
    """Fetch and serve archives again.

    **Examples**

    - `datctl resume recipes`
    - `datctl resume --all`
    """
    async with daemon.client() as dat:
        for archive in await _chosen(dat, archives, all_):
            await dat.resume(archive.key)
            output.say(f"resumed {wording.label(archive)}")


async def remove(
    *archives: Archives,
    all_: AllOption = False,
    keep_data: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Leave the files on the disk.")
    ] = False,
    force: Annotated[
        bool,
        Parameter(
            negative=(),
            show_default=False,
            help="Also archives of our own, which may exist nowhere else. Their secret keys stay.",
        ),
    ] = False,
    delete_key: Annotated[
        bool,
        Parameter(
            negative=(),
            show_default=False,
            help="With --force: delete their secret keys, too. Nobody can ever write them again.",
        ),
    ] = False,
    yes: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Do not ask. Needed in scripts.")
    ] = False,
    daemon: DaemonOption,
) -> None:
    """Stop hosting archives, and delete what is stored of them.

    A folder that an archive was published from is left as it is.

    **Examples**

    - `datctl remove recipes`
    - `datctl remove 6e61c1 --keep-data --yes`
    - `datctl remove mine --force` (an archive of our own)
    """
    if delete_key and not force:
        raise UsageError("--delete-key goes with --force only")
    async with daemon.client() as dat:
        chosen = await _chosen(dat, archives, all_)
        ours = [archive for archive in chosen if archive.writable]
        if ours and not force:
            raise DatdError(
                f"{wording.label(ours[0])} is ours, and may exist nowhere else: give --force if "
                "that is meant, and keep its key with datctl keys export"
            )
        if not yes and chosen:
            _confirm(chosen, keep_data=keep_data, delete_key=delete_key)
        for archive in chosen:
            await dat.remove(archive.key, keep_data=keep_data, force=force, delete_key=delete_key)
            output.say(f"removed {wording.label(archive)}")


async def _chosen(dat: "Client", archives: Sequence[str], everything: bool) -> "list[Archive]":
    """The archives that a verb is for. All are looked up before anything is done to one."""
    if everything == bool(archives):
        raise UsageError("name one archive or more, or give --all")
    if everything:
        return [archive async for archive in dat.all_archives()]
    found = [await dat.archive(archive) for archive in archives]
    return list({archive.key: archive for archive in found}.values())


def _confirm(archives: "Sequence[Archive]", *, keep_data: bool, delete_key: bool) -> None:
    asking.require_person("remove")
    for archive in archives:
        ours = ", ours" if archive.writable else ""
        output.note(f"  {wording.label(archive)}  {output.size_text(archive.bytes.have)}{ours}")
    what = "Their files stay." if keep_data else "What is stored of them is deleted."
    if delete_key:
        what += " Their secret keys are deleted."
    if not asking.agrees(f"Stop hosting {output.count_text(len(archives), 'archive')}? {what}"):
        raise DatdError("nothing was removed")
