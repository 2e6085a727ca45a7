"""Verbs about the daemon and its peers: stats, peers, peers add, status."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from datctl import output
from datctl.commands import watching
from datctl.commands.options import ArchiveArgument, DaemonOption, JsonOption, WatchOption

if TYPE_CHECKING:
    from datctl.models import ArchiveStats, DaemonStats, Network, Peer

ONE_ARCHIVE = Parameter(help="Only of this archive: a link, a key, its beginning, or a name.")

_PEERS_HELP = """List peers, of one archive or of all, or name one that should be tried.

**Examples**

- `datctl peers recipes`
- `datctl peers recipes -l` (with all that is known of them)
- `datctl peers --watch`
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
    watch: WatchOption = False,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """List peers, of one archive or of all."""
    columns, row = (_LONG, _long_row) if long else (_SHORT, _short_row)
    async with daemon.client() as dat:

        async def look() -> watching.View:
            found = await dat.peers(archive)
            return watching.View(
                [peer.model_dump(mode="json") for peer in found],
                columns,
                [row(peer) for peer in found],
                named=2,
                empty="no peers are known",
            )

        await watching.show(look, watch=watch, json=json)


_SHORT = ("ARCHIVE", "ADDRESS", "SOURCE", "STATE", ">LENGTH", ">DOWN", ">UP", "REMARK")
_LONG = (
    "ARCHIVE", "ADDRESS", "VIA", "SOURCES", "STATE", "FIRST", "LAST", "GOOD", "MARKS", "REMARK",
)  # fmt: skip


def _short_row(peer: "Peer") -> list[output.Cell]:
    return [
        peer.archive[:12],
        peer.address,
        peer.source,
        output.state_cell(peer.state),
        "-" if peer.length is None else str(peer.length),
        output.size_text(peer.transferred.downloaded),
        output.size_text(peer.transferred.uploaded),
        _remark(peer),
    ]


def _long_row(peer: "Peer") -> list[output.Cell]:
    return [
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
    ]


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
    watch: WatchOption = False,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """Show the numbers of one archive, or of the whole daemon.

    **Examples**

    - `datctl stats`
    - `datctl stats recipes --json`
    - `datctl stats --watch`
    """
    async with daemon.client() as dat:

        async def look() -> watching.View:
            if archive is None:
                whole = await dat.stats()
                return watching.View(whole.model_dump(mode="json"), fields=_daemon_fields(whole))
            one = await dat.archive_stats(archive)
            return watching.View(one.model_dump(mode="json"), fields=_archive_fields(one))

        await watching.show(look, watch=watch, json=json)


async def status(
    *, watch: WatchOption = False, json: JsonOption = False, daemon: DaemonOption
) -> None:
    """Show whether the daemon is well, and which archives need somebody to look at them.

    What is wrong with it, and what to do about that, tells `datctl doctor`.

    **Examples**

    - `datctl status`
    - `datctl status --watch`
    - `datctl --api http://127.0.0.1:3472 status --json`
    """
    async with daemon.client() as dat:

        async def look() -> watching.View:
            found = await dat.stats()
            if json:
                return watching.View(found.model_dump(mode="json"))
            failing = [archive async for archive in dat.all_archives(state="error")]
            return watching.View(
                None,
                fields=[
                    ("datd", f"{found.version}, answers at {dat.endpoint.shown}"),
                    *_daemon_fields(found),
                ],
                remarks=[f"error: {one.name or one.link}: {one.error}" for one in failing],
            )

        await watching.show(look, watch=watch, json=json)


def _daemon_fields(stats: "DaemonStats") -> list[tuple[str, str]]:
    states = ", ".join(f"{count} {state}" for state, count in sorted(stats.archives.items()))
    return [
        ("up since", f"{output.time_text(stats.started_at)} ({output.span_text(stats.uptime)})"),
        ("peer port", str(stats.port)),
        ("discovery", ", ".join(stats.networks) or "none"),
        *[field for network in stats.details for field in _network_fields(network)],
        ("archives", f"{sum(stats.archives.values())}" + (f": {states}" if states else "")),
        (
            "stored",
            f"{output.size_text(stats.bytes)} in {output.count_text(stats.blocks, 'block')}",
        ),
        ("peers", f"{stats.peers.connected} connected, {stats.peers.known} known"),
        (
            "down",
            output.traffic_text(stats.rates.download, stats.transferred.downloaded)
            + _limit(stats.limits.download),
        ),
        (
            "up",
            output.traffic_text(stats.rates.upload, stats.transferred.uploaded)
            + _limit(stats.limits.upload),
        ),
    ]


def _limit(rate: int | None) -> str:
    return "" if rate is None else f", at most {output.rate_text(rate)}"


def _network_fields(network: "Network") -> list[tuple[str, str]]:
    """A line for a network, and one for each part of it that does not work."""
    numbers = ", ".join(f"{name} {count}" for name, count in network.numbers.items())
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
