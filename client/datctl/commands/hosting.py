"""Verbs that change or show what is hosted: add, list, show, networks, domain, pause, remove."""

import asyncio
import math
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from datctl import output
from datctl.commands.options import (
    ArchiveArgument,
    DaemonOption,
    JsonOption,
    chosen_networks,
)
from datctl.errors import DatdError, TimedOut, UsageError

if TYPE_CHECKING:
    from datctl.client import Client
    from datctl.models import Amount, Archive

# Often enough for a bar that moves, seldom enough to cost the daemon nothing. What is complete soon
# is seen soon: the first looks follow one another faster.
POLL_SECONDS = 0.5
FIRST_POLL_SECONDS = 0.05

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


async def add(
    link: Annotated[
        str,
        Parameter(
            help="Any form of a Dat link, with a key or with a name such as example.org; "
            "dat://KEY+N pins version N."
        ),
    ],
    /,
    *,
    name: Annotated[str | None, Parameter(help="Call it by this name.")] = None,
    tag: Annotated[
        tuple[str, ...],
        Parameter(negative=(), show_default=False, help="Find it by this word. May be repeated."),
    ] = (),
    mode: Annotated[
        Literal["archive"], Parameter(help="What to keep: archive is every version.")
    ] = "archive",
    peer: Annotated[
        tuple[str, ...],
        Parameter(
            negative=(), show_default=False, help="HOST:PORT to fetch from. May be repeated."
        ),
    ] = (),
    network: Annotated[
        tuple[str, ...],
        Parameter(
            negative=(),
            show_default=False,
            help="Look for peers, and be found, only on this one: mdns (the local network learns "
            "that somebody here wants the archive), dns (the discovery servers of the daemon learn "
            "it, and tell whoever asks), dht (the whole world can learn it), none. Repeatable.",
        ),
    ] = (),
    domain: Annotated[
        str | None,
        Parameter(
            help="Whoever asks for https://DOMAIN/.well-known/dat gets the link: this makes the "
            "archive public."
        ),
    ] = None,
    paused: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Fetch and serve nothing yet.")
    ] = False,
    wait: Annotated[
        float | None,
        Parameter(help="Wait until it is complete, at most so many seconds if a number follows."),
    ] = None,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """Host an archive: fetch it, keep it up to date and serve it to others.

    **Examples**

    - `datctl add dat://KEY --name recipes --tag kitchen`
    - `datctl add KEY --wait 600` (exit status 5 if it is not complete after ten minutes)
    - `datctl add KEY --peer 192.0.2.7:3282` (a source that need not be found)
    - `datctl add KEY --network mdns --network dns` (not in the DHT)
    """
    networks = chosen_networks(network)
    if wait is not None and (paused or math.isnan(wait) or wait < 0):
        raise UsageError("--wait needs seconds from 0 on, and an archive that is not --paused")
    async with daemon.client() as dat:
        archive, new = await dat.add(
            link,
            name=name,
            tags=tag,
            paused=paused,
            peers=peer,
            networks=networks,
            domain=domain,
        )
        if not json:
            output.say(f"{'added' if new else 'hosted already:'} {archive.link}")
        if archive.stale:
            output.note("the name could not be looked up just now: this is what it meant earlier")
        if wait is not None:
            archive = await _complete(dat, archive.key, wait)
            if not json:
                output.say(f"complete: {_amount(archive)}, version {archive.version}")
        if json:
            output.print_json(archive)


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
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """List the archives that are hosted.

    **Examples**

    - `datctl list --state syncing`
    - `datctl list --tag kitchen --json`
    """
    async with daemon.client() as dat:
        archives = [archive async for archive in dat.all_archives(state=state, tags=tag)]
    if json:
        output.print_json(archives)
        return
    output.print_table(
        ("KEY", "NAME", "STATE", ">DONE", ">SIZE", ">PEERS", ">DOWN", ">UP"),
        [
            (
                archive.key[:12],
                archive.name or archive.title or "-",
                output.state_cell(archive.state),
                output.percent_text(archive.progress),
                output.size_text(archive.size),
                str(archive.peers.connected),
                output.rate_text(archive.rates.download),
                output.rate_text(archive.rates.upload),
            )
            for archive in archives
        ],
        empty="no archives; host one with: datctl add LINK",
    )


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
            ("mode", found.mode),
            ("version", str(found.version)),
            ("files", f"{found.files}, {output.size_text(found.size)}"),
            ("blocks", _blocks(found.blocks)),
            ("stored", _amount(found)),
            ("peers", f"{found.peers.connected} connected, {found.peers.known} known"),
            ("networks", ", ".join(found.networks) or "none"),
            ("added by", found.shortname or "key"),
            ("domain", found.domain or "-"),
            ("down", output.traffic_text(found.rates.download, found.transferred.downloaded)),
            ("up", output.traffic_text(found.rates.upload, found.transferred.uploaded)),
            ("added", output.time_text(found.added_at)),
            ("updated", output.time_text(found.updated_at)),
            ("last peer", output.time_text(found.last_peer_at)),
            ("discovery key", found.discovery_key),
        ]
    )


async def networks(
    archive: ArchiveArgument,
    /,
    *names: Annotated[
        str,
        Parameter(
            name="NETWORK", negative=(), show_default=False, help="mdns, dns, dht; or all, or none."
        ),
    ],
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """Show or choose the networks on which an archive looks for peers and is found.

    None of them tells the link, but each tells that somebody here wants the archive: `mdns` the
    local network; `dns` the discovery servers of the daemon, and whoever knows the link and asks
    them; `dht` the whole world. What was announced elsewhere is withdrawn where that is possible:
    nodes of the DHT forget it after half an hour or more.

    **Examples**

    - `datctl networks recipes` (show them)
    - `datctl networks recipes mdns dns`
    - `datctl networks recipes none` (only peers that were named by hand)
    - `datctl networks recipes all` (all of the daemon, as without a choice)
    """
    async with daemon.client() as dat:
        if names:
            found = await dat.set_networks(archive, chosen_networks(names))
        else:
            found = await dat.archive(archive)
    if json:
        output.print_json(found)
    else:
        output.say(f"{_label(found)}: {', '.join(found.networks) or 'none'}")


async def domain(
    archive: ArchiveArgument,
    name: Annotated[str | None, Parameter(help="Such as dat.example.org.")] = None,
    /,
    *,
    none: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Take the domain away.")
    ] = False,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """Show or choose the domain by which an archive can be found.

    Whoever asks for https://DOMAIN/.well-known/dat gets the link, so the archive becomes public.
    The web server of the domain has to pass that address on to the daemon, with its Host header.

    **Examples**

    - `datctl domain recipes dat.example.org`
    - `datctl domain recipes --none`
    """
    if none and name is not None:
        raise UsageError("give a domain or --none, not both")
    async with daemon.client() as dat:
        if none or name is not None:
            found = await dat.set_domain(archive, name)
        else:
            found = await dat.archive(archive)
    if json:
        output.print_json(found)
    else:
        output.say(f"{_label(found)}: {found.domain or 'no domain'}")


async def pause(*archives: Archives, all_: AllOption = False, daemon: DaemonOption) -> None:
    """Stop fetching and serving archives, and keep what is here.

    **Examples**

    - `datctl pause recipes`
    - `datctl pause --all`
    """
    async with daemon.client() as dat:
        for archive in await _chosen(dat, archives, all_):
            await dat.pause(archive.key)
            output.say(f"paused {_label(archive)}")


async def resume(*archives: Archives, all_: AllOption = False, daemon: DaemonOption) -> None:
    """Fetch and serve archives again.

    **Examples**

    - `datctl resume recipes`
    - `datctl resume --all`
    """
    async with daemon.client() as dat:
        for archive in await _chosen(dat, archives, all_):
            await dat.resume(archive.key)
            output.say(f"resumed {_label(archive)}")


async def remove(
    *archives: Archives,
    all_: AllOption = False,
    keep_data: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Leave the files on the disk.")
    ] = False,
    yes: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Do not ask. Needed in scripts.")
    ] = False,
    daemon: DaemonOption,
) -> None:
    """Stop hosting archives, and delete what is stored of them.

    **Examples**

    - `datctl remove recipes`
    - `datctl remove 6e61c1 --keep-data --yes`
    """
    async with daemon.client() as dat:
        chosen = await _chosen(dat, archives, all_)
        if not yes and chosen:
            _confirm(chosen, keep_data)
        for archive in chosen:
            await dat.remove(archive.key, keep_data=keep_data)
            output.say(f"removed {_label(archive)}")


async def _chosen(dat: "Client", archives: Sequence[str], everything: bool) -> "list[Archive]":
    """The archives that a verb is for. All are looked up before anything is done to one."""
    if everything == bool(archives):
        raise UsageError("name one archive or more, or give --all")
    if everything:
        return [archive async for archive in dat.all_archives()]
    found = [await dat.archive(archive) for archive in archives]
    return list({archive.key: archive for archive in found}.values())


def _confirm(archives: "Sequence[Archive]", keep_data: bool) -> None:
    if not sys.stdin.isatty() or not sys.stderr.isatty():
        raise UsageError("remove asks before it deletes, and nobody is here to answer: give --yes")
    for archive in archives:
        output.note(f"  {_label(archive)}  {output.size_text(archive.bytes.have)}")
    what = "Their files stay." if keep_data else "What is stored of them is deleted."
    sys.stderr.write(f"Stop hosting {len(archives)} archive(s)? {what} [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        output.note("")  # the line was left with Ctrl-D
    if answer.strip().lower() not in {"y", "yes"}:
        raise DatdError("nothing was removed")


async def _complete(dat: "Client", key: str, limit: float) -> "Archive":
    """Show progress until the archive is complete.

    Raises:
        TimedOut: It is not, after so many seconds.
        DatdError: It will not be: it is paused, or in error.
    """
    deadline = time.monotonic() + limit
    pause = FIRST_POLL_SECONDS
    with output.Progress(f"{key[:12]}", time.monotonic) as progress:
        while True:
            archive = await dat.archive(key)
            if archive.state == "seeding" and archive.progress >= 1:
                return archive
            if archive.state in {"error", "paused"}:
                raise DatdError(
                    f"{_label(archive)} will not complete, it is in state {archive.state}"
                    + (f": {archive.error}" if archive.error else "")
                )
            progress.update(archive.progress, 1, _on_the_way(archive))
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimedOut(
                    f"not complete after {limit:g} s: {output.percent_text(archive.progress)}, "
                    f"{_on_the_way(archive)}; the daemon goes on"
                )
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, POLL_SECONDS)


def _on_the_way(archive: "Archive") -> str:
    peers = f"{archive.peers.connected} of {archive.peers.known} peers"
    return (
        f"{archive.state}, {_amount(archive)}, {output.rate_text(archive.rates.download)}, {peers}"
    )


def _label(archive: "Archive") -> str:
    name = archive.name or archive.title
    return output.shown(f"{name} ({archive.key[:12]})" if name else archive.link)


def _amount(archive: "Archive") -> str:
    have, total = archive.bytes.have, archive.bytes.total
    return f"{output.size_text(have)} of {output.size_text(total)}"


def _blocks(blocks: "Amount") -> str:
    gone = f", {blocks.unavailable} that nobody has any more" if blocks.unavailable else ""
    return f"{blocks.have} of {blocks.total}{gone}"
