"""Verbs that change how an archive is hosted: set, mode, networks, domain."""

from typing import Annotated, Any, Literal

from cyclopts import Parameter

from datctl import output
from datctl.commands import wording
from datctl.commands.options import (
    ArchiveArgument,
    ChunkingOption,
    DaemonOption,
    DeleteOption,
    FollowLinksOption,
    IgnoreHiddenOption,
    JsonOption,
    chosen_networks,
    parse_version,
)
from datctl.errors import DatdError, UsageError


async def set_settings(
    archive: ArchiveArgument,
    /,
    *,
    name: Annotated[str | None, Parameter(help="Call it by this name.")] = None,
    no_name: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Take its name away.")
    ] = False,
    tag: Annotated[
        tuple[str, ...],
        Parameter(
            negative=(),
            show_default=False,
            help="Find it by this word. May be repeated; these replace all that it had.",
        ),
    ] = (),
    no_tags: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Take all its tags away.")
    ] = False,
    version: Annotated[
        str | None,
        Parameter(help="Mirror this version and nothing newer; latest: follow the newest again."),
    ] = None,
    web: Annotated[
        tuple[str, ...],
        Parameter(
            negative=(),
            show_default=False,
            help="https://HOST/FOLDER/ where it lies on a web server, or wss://HOST/PATH that "
            "replicates it. May be repeated; these replace all that it had.",
        ),
    ] = (),
    no_web: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Take all its web sources away.")
    ] = False,
    watch: Annotated[
        bool | None,
        Parameter(
            negative="--no-watch",
            show_default=False,
            help="Publish changes in its folder as they happen, or not any more.",
        ),
    ] = None,
    chunking: ChunkingOption = None,
    follow_links: FollowLinksOption = None,
    ignore_hidden: IgnoreHiddenOption = None,
    delete: DeleteOption = None,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """Change how an archive is hosted. What is not named stays as it is.

    **Examples**

    - `datctl set 6e61c1 --name recipes --tag kitchen --tag family`
    - `datctl set recipes --version 12` (nothing newer; `--version latest` undoes it)
    - `datctl set mine --no-watch`
    """
    if (name is not None and no_name) or (tag and no_tags) or (web and no_web):
        raise UsageError(
            "a name or --no-name, tags or --no-tags, --web or --no-web: give one of the two"
        )
    changes: dict[str, Any] = {}
    if name is not None or no_name:
        changes["name"] = name
    if tag or no_tags:
        changes["tags"] = tag
    if web or no_web:
        changes["web_sources"] = web
    given = {
        "watch": watch, "chunking": chunking, "follow_links": follow_links,
        "ignore_hidden": ignore_hidden, "delete": delete,
    }  # fmt: skip
    changes |= {field: value for field, value in given.items() if value is not None}
    if not changes and version is None:
        raise UsageError("say what is to change, as in --name recipes; datctl set --help tells all")
    async with daemon.client() as dat:
        if version is not None:
            pinned = parse_version(version)
            if pinned is not None and not isinstance(pinned, int):
                pinned = (await dat.list(archive, version=pinned, limit=1)).version
            changes["version"] = pinned
        found = await dat.change(archive, **changes)
    if json:
        output.print_json(found)
    else:
        output.say(f"changed {wording.label(found)}")


async def mode(
    archive: ArchiveArgument,
    mode: Annotated[
        Literal["archive", "latest", "sparse"] | None,
        Parameter(
            help="archive: every version; latest: the newest version of each file; sparse: only "
            "what is read or matches --include."
        ),
    ] = None,
    /,
    *,
    include: Annotated[
        tuple[str, ...],
        Parameter(
            negative=(),
            show_default=False,
            allow_leading_hyphen=True,
            help="With sparse: fetch what matches this pattern, without being asked for it. May be "
            "repeated; these replace all that it had.",
        ),
    ] = (),
    prune: Annotated[
        bool,
        Parameter(
            negative=(),
            show_default=False,
            help="Drop at once what is here and not wanted any more.",
        ),
    ] = False,
    force: Annotated[
        bool,
        Parameter(
            negative=(),
            show_default=False,
            help="Also drop of an archive of our own what may exist nowhere else.",
        ),
    ] = False,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """Show or choose what is kept of an archive.

    A change to `latest` always drops old versions; they can be read again only if a peer still has
    them and the mode is `archive`. A change to `sparse`, or to other patterns, keeps what is here
    unless `--prune` is given. A change to `archive` fetches what is missing.

    Patterns are lines as in a `.gitignore`: `/data/**` is anchored at the top, `*.csv` is not, and
    `!*.tmp` takes out again what one before took in. A pattern has at most two `*` between slashes,
    and two `**`. It means the newest version, unless versions stand before it: `+5:/a` (version 5),
    `+5-9:/a/**` (5 to 9), `+5-:/a` (from 5 on).

    **Examples**

    - `datctl mode recipes` (show it)
    - `datctl mode recipes latest`
    - `datctl mode recipes sparse` (only what is read)
    - `datctl mode recipes sparse --include '/soups/**' --include '*.md' --prune`
    - `datctl mode recipes sparse --include '+5-9:/soups/**'`
    - `datctl mode recipes --prune` (a sparse one: drop what was read, and is not in its patterns)
    - `datctl mode recipes archive`
    """
    if include and mode != "sparse":
        raise UsageError("--include goes with the mode sparse")
    if prune and mode not in (None, "sparse"):
        raise UsageError("--prune is for sparse archives: latest drops old versions anyway")
    async with daemon.client() as dat:
        found = await dat.archive(archive)
        if mode is not None or prune:
            if found.writable and not force and (mode == "latest" or prune):
                raise DatdError(
                    f"{wording.label(found)} is ours, and what would be dropped may exist nowhere "
                    "else: give --force if that is meant"
                )
            changes: dict[str, Any] = {"prune": True} if prune else {}
            if mode is not None:
                changes |= {"mode": mode, "include": include or None}
            if force:
                changes["force"] = True
            found = await dat.change(found.key, **changes)
    if json:
        output.print_json(found)
    else:
        output.say(f"{wording.label(found)}: {wording.mode(found)}")


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
        output.say(f"{wording.label(found)}: {', '.join(found.networks) or 'none'}")


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
        output.say(f"{wording.label(found)}: {found.domain or 'no domain'}")
