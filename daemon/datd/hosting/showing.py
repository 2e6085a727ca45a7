"""Archives and their peers put into the values that the interface shows."""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from datd import __version__
from datd.hosting.keeping import census
from datd.hosting.open_archive import OpenArchive
from datd.hosting.services import Services
from datd.hosting.stats import Traffic
from datd.hosting.views import (
    ArchiveView,
    Chunking,
    DaemonView,
    Mode,
    PeerView,
    Progress,
    State,
)
from datd.keys import Key
from datd.records import Record
from datd.swarm import peer as swarm
from datd.words import counted

if TYPE_CHECKING:
    from datd.hosting.archive import HostedArchive
    from datd.hosting.peer import PeerConnection


def archive_view(
    record: Record,
    opened: OpenArchive | None,
    traffic: Traffic,
    *,
    state: State,
    error: str | None,
    networks: list[str],
    peers_known: int,
    now: float,
) -> ArchiveView:
    """One archive.

    Args:
        record: What the catalogue keeps of it, with a summary that is up to date.
        opened: Its feeds, while they are open.
        traffic: What went over the network for it.
        state: One word for people.
        error: Why it cannot be used just now.
        networks: Discovery networks that it is on.
        peers_known: How many peers it has, connected or not.
        now: Seconds of the clock that `traffic` was told.
    """
    key, summary = record.key, record.summary
    if opened is not None:
        error = error or opened.no_room or opened.format_error
    if error is None and record.conflict is not None:
        error = (
            "the key of this archive has signed two histories: the one that came first is kept and "
            f"served, another of {counted(record.conflict.refused.length, 'block')} is refused"
        )
    return ArchiveView(
        key=key.hex,
        discovery_key=str(key.discovery_key),
        name=record.name,
        title=summary.title,
        description=summary.description,
        tags=list(record.tags),
        writable=record.writable and record.conflict is None,
        mode=cast(Mode, record.mode),
        state=state,
        error=error,
        version=summary.version,
        files=summary.files,
        size=summary.size,
        blocks=Progress(summary.blocks_have, summary.blocks_total, summary.blocks_unavailable),
        bytes=Progress(summary.bytes_have, summary.bytes_total),
        progress=census.progress(summary, complete=state == "seeding"),
        peers_connected=len(opened.connections) if opened is not None else 0,
        peers_known=peers_known,
        networks=networks,
        shortname=record.shortname,
        domain=record.domain,
        download_rate=traffic.downloaded.rate(now),
        upload_rate=traffic.uploaded.rate(now),
        downloaded=traffic.downloaded.total,
        uploaded=traffic.uploaded.total,
        added_at=record.added_at,
        updated_at=record.updated_at,
        last_peer_at=record.last_peer_at,
        include=record.include,
        web_sources=list(record.web_sources),
        version_tags=dict(record.version_tags),
        chunking=cast(Chunking, record.chunking),
        source=record.source,
        watch=record.watch,
        location=record.location,
        conflict=record.conflict,
        import_rules=record.import_rules,
        forking=record.forking,
        saved=replace(traffic.saved),
    )


def daemon_view(
    services: Services,
    archives: "Sequence[HostedArchive]",
    peers: Sequence[PeerView],
    peer_id: bytes,
    started_at: float,
) -> DaemonView:
    """The whole daemon in numbers.

    Args:
        services: What archives share.
        archives: All of them.
        peers: Theirs.
        peer_id: 32 bytes.
        started_at: Seconds since 1970.
    """
    now, traffic = services.clock(), services.traffic
    summaries = [archive.record.summary for archive in archives]
    return DaemonView(
        version=__version__,
        started_at=started_at,
        port=services.port,
        peer_id=peer_id.hex(),
        archives=dict(Counter(archive.state for archive in archives)),
        peers_connected=sum(peer.state == "connected" for peer in peers),
        peers_known=len(peers),
        download_rate=traffic.downloaded.rate(now),
        upload_rate=traffic.uploaded.rate(now),
        downloaded=traffic.downloaded.total,
        uploaded=traffic.uploaded.total,
        blocks_have=sum(summary.blocks_have for summary in summaries),
        bytes_have=sum(summary.bytes_have for summary in summaries),
        networks=services.networks,
        network_views=services.network_views(),
        limits=services.bandwidth.rates,
        saved=replace(traffic.saved),
        damage=services.catalogue.damage,
    )


def peer_views(
    key: Key,
    known: Iterable[swarm.PeerView],
    talking: "Iterable[PeerConnection]",
    *,
    since_epoch: float,
) -> list[PeerView]:
    """The peers of one archive.

    Args:
        key: The archive's.
        known: What the swarm says of them.
        talking: Those of them that are connected.
        since_epoch: To be added to the swarm's times to make them seconds since 1970.
    """
    by_connection: dict[Hashable, PeerConnection] = {peer.connection: peer for peer in talking}
    return [_peer_view(key, one, by_connection.get(one.connection), since_epoch) for one in known]


def _peer_view(
    key: Key, known: swarm.PeerView, peer: "PeerConnection | None", since_epoch: float
) -> PeerView:
    return PeerView(
        archive=key.hex,
        address=known.address,
        source=known.source,
        state=known.state,
        transport=known.kind,
        initiator=known.initiator,
        connected_at=_moment(known.connected_at, since_epoch),
        length=peer.announced_length if peer is not None else None,
        downloaded=peer.traffic.downloaded.total if peer is not None else 0,
        uploaded=peer.traffic.uploaded.total if peer is not None else 0,
        dropped=known.dropped,
        last_error=known.last_error,
        marks=dict(known.marks),
        sources=list(known.sources),
        first_seen=_moment(known.first_seen, since_epoch),
        last_seen=_moment(known.last_seen, since_epoch),
        last_success=_moment(known.last_success, since_epoch),
        tried=dict(known.tried),
    )


def _moment(time: float | None, since_epoch: float) -> float | None:
    return None if time is None else time + since_epoch
