"""The hall's values as the models of the API: plain conversion, no decisions."""

import math
from dataclasses import asdict
from datetime import UTC, datetime

from aiohttp import web
from pydantic import BaseModel

from datctl import models, models_archive, models_jobs, models_settings
from datd.hosting.archive import HostedArchive
from datd.hosting.jobs import Job
from datd.hosting.library import Library
from datd.hosting.stats import Savings
from datd.hosting.views import (
    ArchiveView,
    DaemonView,
    EntryView,
    NetworkView,
    PeerView,
    Progress,
)
from datd.http.problems import SAFE_HEADERS
from datd.http.tags import etag_of
from datd.records import Conflict

# Where datetime ends: years 1 and 9999. An author may sign any number as a time.
_EARLIEST, _LATEST = -62_135_596_800, 253_402_300_799


def json_response(model: BaseModel, status: int = 200) -> web.Response:
    """An answer in JSON."""
    return web.Response(
        status=status,
        body=model.model_dump_json().encode(),
        content_type="application/json",
        headers=SAFE_HEADERS,
    )


def moment(seconds: float | None) -> datetime | None:
    """A time in UTC; None where the number is no date."""
    if seconds is None or not math.isfinite(seconds) or not _EARLIEST <= seconds <= _LATEST:
        return None
    return datetime.fromtimestamp(seconds, UTC)


def encodable(text: str) -> str:
    """The text without lone surrogates, which JSON in UTF-8 cannot carry."""
    return text.encode("utf-8", "replace").decode("utf-8")


async def archive_response(
    library: Library, hosted: HostedArchive, status: int = 200, *, stale: bool = False
) -> web.Response:
    """An answer with one archive, and its ETag."""
    job = library.workshop.jobs.of(hosted.key)
    model = archive(await hosted.view(), job=None if job is None else job.id, stale=stale)
    return tagged_response(model, hosted, status)


async def made_response(
    library: Library, hosted: HostedArchive, status: int = 201, *, stale: bool = False
) -> web.Response:
    """The same for an archive that is hosted since this request, or was before: where it is."""
    response = await archive_response(library, hosted, status, stale=stale)
    response.headers["Location"] = f"/api/v1/archives/{hosted.key.hex}"
    return response


def tagged_response(model: BaseModel, hosted: HostedArchive, status: int = 200) -> web.Response:
    """An answer about one archive, with its ETag."""
    response = json_response(model, status)
    if not isinstance(response.body, bytes):
        raise AssertionError(response.body)
    response.headers["ETag"] = etag_of(hosted.record, response.body)
    return response


def archive(view: ArchiveView, *, job: str | None = None, stale: bool = False) -> models.Archive:
    """One archive.

    Args:
        view: What is known of it.
        job: Id of the job that works on it.
        stale: Whether the name it was asked for by could not be looked up just now.
    """
    error = view.error
    if error is None and view.forking is not None and job is None:
        error = (
            f"this copy of dat://{view.forking.original}+{view.forking.version} is not complete: "
            "`rescan` goes on with it, and so does the next start of the daemon"
        )
    return models.Archive(
        key=view.key,
        link=f"dat://{view.key}",
        discovery_key=view.discovery_key,
        name=view.name,
        title=encodable(view.title),
        description=encodable(view.description),
        tags=view.tags,
        writable=view.writable,
        mode=view.mode,
        state=view.state,
        error=encodable(error) if error else None,
        version=view.version,
        files=view.files,
        size=view.size,
        blocks=_amount(view.blocks),
        bytes=_amount(view.bytes),
        progress=view.progress,
        peers=models_archive.PeerCounts(connected=view.peers_connected, known=view.peers_known),
        networks=view.networks,
        shortname=view.shortname,
        stale=stale,
        domain=view.domain,
        include=view.include,
        web_sources=view.web_sources,
        version_tags=view.version_tags,
        chunking=view.chunking,
        source=view.source and encodable(view.source),
        watch=view.watch,
        location=view.location and encodable(view.location),
        job=job,
        conflict=_conflict(view.conflict),
        import_rules=None
        if view.source is None
        else models_archive.ImportRules.model_validate(asdict(view.import_rules)),
        saved=_saved(view.saved),
        rates=models.Rates(download=view.download_rate, upload=view.upload_rate),
        transferred=models.Transferred(downloaded=view.downloaded, uploaded=view.uploaded),
        added_at=moment(view.added_at),
        updated_at=moment(view.updated_at),
        last_peer_at=moment(view.last_peer_at),
    )


def archive_stats(view: ArchiveView) -> models.ArchiveStats:
    """The numbers of an archive that move."""
    whole = archive(view)
    return models.ArchiveStats(
        key=whole.key,
        state=whole.state,
        version=whole.version,
        progress=whole.progress,
        blocks=whole.blocks,
        bytes=whole.bytes,
        peers=whole.peers,
        rates=whole.rates,
        transferred=whole.transferred,
        last_peer_at=whole.last_peer_at,
    )


def peer(view: PeerView) -> models.Peer:
    """One peer of one archive."""
    return models.Peer(
        archive=view.archive,
        address=str(view.address),
        source=view.source,
        state=view.state,
        transport=view.transport,
        initiator=view.initiator,
        connected_at=moment(view.connected_at),
        length=view.length,
        transferred=models.Transferred(downloaded=view.downloaded, uploaded=view.uploaded),
        dropped=view.dropped and encodable(view.dropped),
        last_error=view.last_error and encodable(view.last_error),
        marks=view.marks,
        sources=view.sources,
        first_seen=moment(view.first_seen),
        last_seen=moment(view.last_seen),
        last_success=moment(view.last_success),
        tried={kind: encodable(how) for kind, how in view.tried.items()},
    )


def entry(view: EntryView) -> models.Entry:
    """A file or folder."""
    # A folder that exists only because something lies in it has no time of its own.
    unsigned = view.kind == "directory" and view.mtime == 0
    return models.Entry(
        path=encodable(view.path),
        kind=view.kind,
        size=view.size,
        mode=view.mode,
        mtime=None if unsigned else moment(view.mtime),
        blocks=view.blocks,
        available=view.available,
    )


def daemon(view: DaemonView, now: float) -> models.DaemonStats:
    """The whole daemon. `now` is seconds since 1970, as `started_at` is."""
    return models.DaemonStats(
        version=view.version,
        started_at=moment(view.started_at),
        uptime=max(0.0, now - view.started_at),
        port=view.port,
        peer_id=view.peer_id,
        archives=view.archives,
        peers=models_archive.PeerCounts(connected=view.peers_connected, known=view.peers_known),
        rates=models.Rates(download=view.download_rate, upload=view.upload_rate),
        transferred=models.Transferred(downloaded=view.downloaded, uploaded=view.uploaded),
        blocks=view.blocks_have,
        bytes=view.bytes_have,
        networks=view.networks,
        details=[_network(one) for one in view.network_views],
        saved=_saved(view.saved),
        limits=models_settings.RateLimits(**view.limits._asdict()),
        damage=view.damage,
    )


def _network(view: NetworkView) -> models.Network:
    return models.Network(
        name=view.name,
        kind=view.kind,
        working=view.working,
        remark=encodable(view.remark),
        numbers=view.numbers,
        parts=[
            models.NetworkPart(
                name=encodable(part.name), working=part.working, remark=encodable(part.remark)
            )
            for part in view.parts
        ],
    )


def job(job: Job) -> models_jobs.Job:
    """One job."""
    return models_jobs.Job(
        id=job.id,
        kind=job.kind,
        archive=job.archive.hex,
        state=job.state,
        progress=job.progress,
        done=job.done,
        total=job.total,
        unit=job.unit,
        text=encodable(job.text),
        error=job.error and encodable(job.error),
        skipped=[
            models_jobs.Skipped(path=encodable(path), reason=encodable(why))
            for path, why in job.skipped
        ],
        started_at=moment(job.started_at),
        ended_at=moment(job.ended_at),
    )


def _saved(savings: Savings) -> models_archive.Saved:
    return models_archive.Saved(blocks=savings.blocks, bytes=savings.bytes)


def _conflict(found: Conflict | None) -> models_archive.Conflict | None:
    if found is None:
        return None
    kept, refused = found.kept, found.refused
    return models_archive.Conflict(
        feed=found.feed,
        kept=None if kept is None else models_archive.SignedHistory(**asdict(kept)),
        refused=models_archive.SignedHistory(**asdict(refused)),
    )


def _amount(progress: Progress) -> models_archive.Amount:
    return models_archive.Amount(
        have=progress.have, total=progress.total, unavailable=progress.unavailable
    )
