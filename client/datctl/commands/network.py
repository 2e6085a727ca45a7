"""Verbs about the daemon and its peers: stats, peers, peers add, status."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from datctl import output
from datctl.commands.options import ArchiveArgument, DaemonOption, JsonOption

if TYPE_CHECKING:
    from pydantic import BaseModel

    from datctl.models import ArchiveStats, DaemonStats, Network, Peer

ONE_ARCHIVE = Parameter(help="Only of this archive: a link, a key, its beginning, or a name.")

_PEERS_HELP = """List peers, of one archive or of all, or name one that should be tried.

**Examples**

- `datctl peers recipes`
- `datctl peers recipes -l` (with all that is known of them)
- `datctl peers --json`
- `datctl peers add recipes 192.0.2.7:3282`
"""

peers = App(name="peers", help=_PEERS_HELP)


@peers.default
async def list_peers(
    archive: Annotated[str | None, ONE_ARCHIVE] = None,
    /,
    *,
    long: Annotated[
        bool,
        Parameter(
            name=["--long", "-l"],
            negative=(),
            show_default=False,
            help="Also who told of them, when they were of use, and what they did.",
        ),
    ] = False,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """List peers, of one archive or of all."""
    async with daemon.client() as dat:
        found = await dat.peers(archive)
    if json:
        output.print_json(found)
        return
    if long:
        _print_long(found)
        return
    output.print_table(
        ("ARCHIVE", "ADDRESS", "SOURCE", "STATE", ">LENGTH", ">DOWN", ">UP", "REMARK"),
        [
            (
                peer.archive[:12],
                peer.address,
                peer.source,
                output.state_cell(peer.state),
                "-" if peer.length is None else str(peer.length),
                output.size_text(peer.transferred.downloaded),
                output.size_text(peer.transferred.uploaded),
                _remark(peer),
            )
            for peer in found
        ],
        empty="no peers are known",
    )


def _print_long(found: "list[Peer]") -> None:
    output.print_table(
        (
            "ARCHIVE",
            "ADDRESS",
            "VIA",
            "SOURCES",
            "STATE",
            "FIRST",
            "LAST",
            "GOOD",
            "MARKS",
            "REMARK",
        ),
        [
            (
                peer.archive[:12],
                peer.address,
                peer.transport or _words(peer.tried),
                ", ".join(peer.sources) or peer.source,
                output.state_cell(peer.state),
                output.time_text(peer.first_seen),
                output.time_text(peer.last_seen),
                output.time_text(peer.last_success),
                ", ".join(f"{name} {count}" for name, count in sorted(peer.marks.items())) or "-",
                _remark(peer),
            )
            for peer in found
        ],
        empty="no peers are known",
    )


def _words(tried: dict[str, str]) -> str:
    return ", ".join(f"{kind}: {how}" for kind, how in tried.items()) or "-"


@peers.command(name="add")
async def add_peer(
    archive: ArchiveArgument,
    address: Annotated[str, Parameter(help="HOST:PORT, or [ADDRESS]:PORT for IPv6.")],
    /,
    *,
    daemon: DaemonOption,
) -> None:
    """Try a source now, and again later, without waiting for it to be found.

    **Examples**

    - `datctl peers add recipes 192.0.2.7:3282`
    - `datctl peers add 6e61c1 seeder.example.org:3282`
    """
    async with daemon.client() as dat:
        found = await dat.add_peer(archive, address)
    output.say(f"trying {output.shown(address)} for {found.key[:12]}")


async def stats(
    archive: Annotated[str | None, ONE_ARCHIVE] = None,
    /,
    *,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """Show the numbers of one archive, or of the whole daemon.

    **Examples**

    - `datctl stats`
    - `datctl stats recipes --json`
    """
    async with daemon.client() as dat:
        if archive is None:
            whole = await dat.stats()
            _print(whole, _daemon_fields(whole), json)
        else:
            one = await dat.archive_stats(archive)
            _print(one, _archive_fields(one), json)


async def status(*, json: JsonOption = False, daemon: DaemonOption) -> None:
    """Show whether the daemon is well, and which archives need somebody to look at them.

    **Examples**

    - `datctl status`
    - `datctl --api http://127.0.0.1:3472 status --json`
    """
    async with daemon.client() as dat:
        found = await dat.stats()
        if json:
            output.print_json(found)
            return
        failing = [archive async for archive in dat.all_archives(state="error")]
    output.say(f"datd {found.version} answers at {dat.endpoint.shown}")
    output.print_fields(_daemon_fields(found))
    for archive in failing:
        output.say(output.shown(f"error: {archive.name or archive.link}: {archive.error}"))


def _print(stats: "BaseModel", fields: list[tuple[str, str]], json: bool) -> None:
    if json:
        output.print_json(stats)
    else:
        output.print_fields(fields)


def _daemon_fields(stats: "DaemonStats") -> list[tuple[str, str]]:
    states = ", ".join(f"{count} {state}" for state, count in sorted(stats.archives.items()))
    return [
        ("up since", f"{output.time_text(stats.started_at)} ({output.span_text(stats.uptime)})"),
        ("peer port", str(stats.port)),
        ("discovery", ", ".join(stats.networks) or "none"),
        *[field for network in stats.details for field in _network_fields(network)],
        ("archives", f"{sum(stats.archives.values())}" + (f": {states}" if states else "")),
        ("stored", f"{output.size_text(stats.bytes)} in {stats.blocks} blocks"),
        ("peers", f"{stats.peers.connected} connected, {stats.peers.known} known"),
        ("down", output.traffic_text(stats.rates.download, stats.transferred.downloaded)),
        ("up", output.traffic_text(stats.rates.upload, stats.transferred.uploaded)),
    ]


def _network_fields(network: "Network") -> list[tuple[str, str]]:
    """A line for a network, and one for each part of it that does not work."""
    numbers = ", ".join(f"{count} {name}" for name, count in network.numbers.items())
    answering = sum(bool(part.working) for part in network.parts)
    parts = f"{answering} of {len(network.parts)} answer" if network.parts else ""
    state = {True: "", False: "does not work", None: ""}[network.working]
    words = ", ".join(word for word in (state, network.remark, parts, numbers) if word)
    silent = [part for part in network.parts if part.working is False]
    return [
        (f"  {network.name}", words or "works"),
        *[(f"    {part.name}", part.remark or "does not answer") for part in silent],
    ]


def _archive_fields(stats: "ArchiveStats") -> list[tuple[str, str]]:
    return [
        ("state", f"{stats.state}, {output.percent_text(stats.progress)}"),
        ("version", str(stats.version)),
        ("blocks", f"{stats.blocks.have} of {stats.blocks.total}"),
        ("unavailable", str(stats.blocks.unavailable)),
        (
            "stored",
            f"{output.size_text(stats.bytes.have)} of {output.size_text(stats.bytes.total)}",
        ),
        ("peers", f"{stats.peers.connected} connected, {stats.peers.known} known"),
        ("down", output.traffic_text(stats.rates.download, stats.transferred.downloaded)),
        ("up", output.traffic_text(stats.rates.upload, stats.transferred.uploaded)),
        ("last peer", output.time_text(stats.last_peer_at)),
    ]


def _remark(peer: "Peer") -> str:
    if peer.dropped:
        return f"dropped: {peer.dropped}"
    return peer.last_error or ""
