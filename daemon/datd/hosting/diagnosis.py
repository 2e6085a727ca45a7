"""What the daemon finds wrong with itself: the host, the networks, the archives (`datctl doctor`).

Looks only at what is known, and at the host for a bounded time; asks nobody on the network.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from datd import errand
from datd.hosting import host_checks
from datd.hosting.archive import HostedArchive
from datd.hosting.folders.folder import REPORT
from datd.hosting.host_checks import Finding
from datd.hosting.library import Library
from datd.hosting.views import NetworkView, PeerView
from datd.words import counted

# A disk that hangs for so long is a finding by itself.
HOST_SECONDS = 5.0
# Named one by one; of more only the number is told.
MAX_NAMED = 10
# A peer that wants an archive looks for it every few minutes: until then silence says nothing.
QUIET_SECONDS = 3_600.0
# An archive that nobody else had for so long is in danger with our disk.
ALONE_SECONDS = 7 * 86_400.0

T = TypeVar("T")


async def diagnose(library: Library) -> list[Finding]:
    """Everything that was looked at, in the order in which a person would go through it."""
    services = library.services
    archives = library.archives()
    view = await library.view()
    peers = library.peers()
    now = services.wall_clock()
    noted = [moment for archive in archives for moment in _moments(archive)]
    watched = [
        Path(archive.record.source)
        for archive in archives
        if archive.record.watch and archive.record.source is not None
    ]
    folder = services.folder.parent

    def of_host() -> list[Finding | None]:
        return [
            host_checks.clock(now, max(noted, default=None), host_checks.is_synchronised()),
            *host_checks.disk(folder, services.room.refusal(0)),
            host_checks.catalogue(folder / REPORT, services.catalogue.damage),
            host_checks.rights(folder),
            host_checks.open_files(*host_checks.descriptors()),
            host_checks.udp_buffer(host_checks.kernel_number("net/core/rmem_max")),
            host_checks.watches(watched, host_checks.kernel_number("fs/inotify/max_user_watches")),
        ]

    return [
        *await in_time(of_host, folder, HOST_SECONDS),
        *discovery(view.network_views),
        *transports(view.network_views),
        taken(services.wanted_port, view.port)
        or reachable(view.network_views, view.port, peers, now - view.started_at),
        *state_of(archives, now),
    ]


async def in_time(
    work: Callable[[], Sequence[Finding | None]], folder: Path, seconds: float
) -> list[Finding]:
    """What was found of the host, or that its disk did not answer in so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            return [finding for finding in await _in_thread(work) if finding is not None]
    except TimeoutError:
        text = f"{folder} did not answer within {seconds:g} s"
        advice = "look for a failing disk or a lost network disk (dmesg)"
        return [Finding("disk", "fail", text, advice)]


async def _in_thread(work: Callable[[], T]) -> T:
    """In a thread of its own, which nobody waits for when the disk does not answer."""
    waiting: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def done(found: T | Exception) -> None:
        if waiting.done():
            return
        if isinstance(found, Exception):
            waiting.set_exception(found)
        else:
            waiting.set_result(found)

    errand.start(work, done, name="diagnosis")
    return await waiting


def _moments(archive: HostedArchive) -> list[float]:
    record = archive.record
    return [t for t in (record.added_at, record.last_peer_at) if t is not None]


def discovery(views: Sequence[NetworkView]) -> list[Finding]:
    """Whether peers can be found."""
    networks = [view for view in views if view.kind == "discovery"]
    if not networks:
        text = "no discovery network is in use: only peers that are named by hand are found"
        return [Finding("discovery", "warn", text, "see discovery.networks in the settings")]
    found = []
    far = [view for view in networks if view.name != "mdns" and not _unused(view)]
    for view in networks:
        silent = [part.name for part in view.parts if part.working is False]
        if view.working is False:
            text = f"{view.name} does not work" + (f": {view.remark}" if view.remark else "")
            found.append(Finding("discovery", "warn", text, _advice_for(view)))
        elif silent:
            text = f"of {view.name} do not answer: {', '.join(silent[:MAX_NAMED])}"
            found.append(Finding("discovery", "warn", text, _advice_for(view)))
    if far and all(view.working is False for view in far):
        text = "no discovery network answers but the local one's: no peer elsewhere is found"
        advice = "look whether this host reaches the internet, and whether a firewall drops UDP"
        found.append(Finding("discovery", "fail", text, advice))
    elif not far:
        text = "peers are looked for on the local network only"
        advice = "name servers in discovery.dns_servers, or first nodes in discovery.dht_bootstrap"
        found.append(Finding("discovery", "warn", text, advice))
    elif not found:
        names = ", ".join(view.name for view in networks if not _unused(view))
        found.append(Finding("discovery", "ok", f"in use: {names}"))
    return found


def _unused(view: NetworkView) -> bool:
    """Whether a network is switched on, but was given nobody to ask."""
    return view.working is None and not view.parts and not view.numbers.get("nodes", 0)


def _advice_for(view: NetworkView) -> str:
    if view.name == "dns":
        return "see discovery.dns_servers, and whether UDP port 5300 or 53 is let out"
    if view.name == "dht":
        return "see discovery.dht_bootstrap, and whether UDP is let out"
    return "see whether the interfaces of this host do multicast"


def transports(views: Sequence[NetworkView]) -> list[Finding]:
    """Whether peers can be spoken to."""
    found = [view for view in views if view.kind == "transport"]
    broken = [view for view in found if view.working is False]
    advice = "see swarm.tcp, swarm.utp and swarm.host in the settings"
    if found and len(broken) == len(found):
        return [Finding("transports", "fail", "no transport works", advice)]
    if broken:
        text = f"{', '.join(view.name for view in broken)} does not work"
        return [Finding("transports", "warn", text, advice)]
    names = ", ".join(view.name for view in found) or "none"
    return [Finding("transports", "ok", f"in use: {names}")]


def taken(wanted: int, port: int) -> Finding | None:
    """Whether we listen elsewhere than the settings say, where no firewall lets anybody in."""
    if wanted in (0, port):
        return None
    text = f"port {wanted} was taken when datd started: peers reach us at {port}"
    advice = (
        f"firewalls and routers were opened for {wanted}, if at all: see who has it (ss -lntup, "
        f"as root), end that, and restart datd; or set swarm.port to {port}, and open that"
    )
    return Finding("port", "warn", text, advice)


def reachable(
    views: Sequence[NetworkView], port: int, peers: Sequence[PeerView], uptime: float
) -> Finding:
    """Whether peers can call us: nobody is asked, so it is a guess from what was seen.

    Args:
        views: Of the networks; port mapping and public address among them.
        port: Where we listen.
        peers: Of all archives.
        uptime: Seconds since the daemon started.
    """
    callers = sum(peer.initiator is False or "inbound" in peer.sources for peer in peers)
    gateways = {view.name: view for view in views if view.kind == "gateway"}
    mapping, seen = gateways.get("port mapping"), gateways.get("public address")
    where = f"; others see us at {seen.remark}" if seen is not None and seen.remark else ""
    advice = (
        f"let TCP and UDP port {port} in at the firewall, and pass it on at the router: by hand, "
        "or with swarm.port_mapping = true"
    )
    if callers:
        return Finding("port", "ok", f"port {port}: called by {counted(callers, 'peer')}{where}")
    if mapping is not None and mapping.working:
        return Finding("port", "ok", f"port {port}: {mapping.remark}")
    if mapping is not None:
        text = f"port {port}: no router passes it on, and nobody called us yet"
        return Finding("port", "warn", text, advice)
    if uptime < QUIET_SECONDS:
        text = f"port {port}: nobody called us yet, which says nothing so soon{where}"
        return Finding("port", "ok", text)
    text = f"port {port}: nobody has called us since the daemon started{where}"
    return Finding("port", "warn", text, advice)


def state_of(archives: Sequence[HostedArchive], now: float) -> list[Finding]:
    """Archives that somebody should look at."""
    found = []
    failing = [one for one in archives if one.state == "error"]
    for archive in failing[:MAX_NAMED]:
        reason = f": {archive.error}" if archive.error is not None else ": there is no room for it"
        advice = "see datctl show; datctl verify reads all of it again"
        found.append(Finding("archive", "fail", f"{_called(archive)} is in error{reason}", advice))
    split = [one for one in archives if one.record.conflict is not None]
    for archive in split[:MAX_NAMED]:
        text = f"{_called(archive)} has two histories, both signed with its key"
        advice = "keep one: datctl show tells which; datctl fork makes a new archive of it"
        found.append(Finding("archive", "fail", text, advice))
    for group, what in ((failing, "in error"), (split, "with two histories")):
        if len(group) > MAX_NAMED:
            text = f"{counted(len(group) - MAX_NAMED, 'more archive')} {what}"
            found.append(Finding("archive", "fail", text, "see datctl list"))
    alone = [one for one in archives if one.state == "seeding" and is_alone(one, now)]
    if alone:
        names = ", ".join(_called(one) for one in alone[:MAX_NAMED])
        more = f" and {len(alone) - MAX_NAMED} more" if len(alone) > MAX_NAMED else ""
        text = f"nobody else was seen for a week that has {names}{more}"
        advice = "host them elsewhere, too, or keep a copy: datctl export"
        found.append(Finding("archives", "warn", text, advice))
    if not found:
        found.append(Finding("archives", "ok", f"{len(archives)} hosted, none in error"))
    return found


def is_alone(archive: HostedArchive, now: float) -> bool:
    """Whether nobody else had an archive for a week."""
    seen = archive.record.last_peer_at
    return now - (archive.record.added_at if seen is None else seen) > ALONE_SECONDS


def _called(archive: HostedArchive) -> str:
    return archive.record.name or archive.key.hex[:12]
