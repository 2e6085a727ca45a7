"""Waiting for the daemon, with progress shown: archives that fill, jobs that end."""

import asyncio
import math
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from datctl import output
from datctl.commands import wording
from datctl.errors import DatdError, TimedOut

if TYPE_CHECKING:
    from datctl.client import Client
    from datctl.models import Archive
    from datctl.models_jobs import Job, Skipped

# As for jobs.
POLL_SECONDS = 0.5
FIRST_POLL_SECONDS = 0.05
# A list of a thousand reasons helps nobody; all of them are counted.
MAX_REASONS = 20
# A rate over less than this says more about the disk's last breath than about the work.
_RATE_SECONDS = 5.0


async def complete(dat: "Client", key: str, limit: float) -> "Archive":
    """Show progress until the archive is complete.

    Raises:
        TimedOut: It is not, after so many seconds.
        DatdError: It will not be: it is paused, or in error.
    """
    deadline = time.monotonic() + limit
    pause, pace = FIRST_POLL_SECONDS, Pace(time.monotonic)
    with output.Progress(f"{key[:12]}", time.monotonic) as progress:
        while True:
            archive = await dat.archive(key)
            if archive.state == "seeding" and archive.progress >= 1:
                return archive
            if archive.state in {"error", "paused"}:
                raise DatdError(
                    f"{wording.label(archive)} will not complete, it is in state {archive.state}"
                    + (f": {archive.error}" if archive.error else "")
                )
            progress.update(archive.progress, 1, _on_the_way(archive, pace))
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimedOut(
                    f"not complete after {limit:g} s: {output.percent_text(archive.progress)}, "
                    f"{_on_the_way(archive, pace)}; the daemon goes on"
                    + await _web_troubles(dat, archive)
                )
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, POLL_SECONDS)


def _on_the_way(archive: "Archive", pace: "Pace") -> str:
    parts = [archive.state, wording.amount(archive), output.rate_text(archive.rates.download)]
    rate = pace.rate(archive.bytes.have)
    left = archive.bytes.total - archive.bytes.have
    peers = f"{archive.peers.connected} of {output.count_text(archive.peers.known, 'peer')}"
    if rate > 0 and left > 0:
        parts.append(f"{output.span_text(left / rate)} left")
    return ", ".join([*parts, peers])


async def _web_troubles(dat: "Client", archive: "Archive") -> str:
    """What is wrong with its web sources: unlike peers somebody chose each of them."""
    if not archive.web_sources:
        return ""
    told = {
        f"{peer.address}: {output.shown(error)}"
        for peer in await dat.peers(archive.key)
        if peer.source == "web" and (error := peer.dropped or peer.last_error)
    }
    return "".join(f"; web source {line}" for line in sorted(told))


def wanted(asked: float | None) -> bool:
    """Whether to stay with a job: somebody asked for it, or watches."""
    return asked is not None or output.is_terminal(sys.stderr)


async def finish(dat: "Client", job: str, title: str, limit: float | None = None) -> "Job":
    """Show progress until a job has ended, and what it left out.

    Args:
        dat: The daemon.
        job: Id of the job.
        title: What is being done.
        limit: Seconds after which to give up; the job goes on. None or infinite: never.

    Returns:
        The job, done.

    Raises:
        DatdError: It failed, or somebody cancelled it.
        TimedOut: It has not ended in time.
    """
    pace = Pace(time.monotonic)
    known = None if limit is None or math.isinf(limit) else limit
    try:
        with output.Progress(title, time.monotonic) as progress:
            async with asyncio.timeout(known):
                done = await dat.finished(
                    job, lambda job: progress.update(*_progress_of(job, pace))
                )
    except TimeoutError:
        raise TimedOut(
            f"{title} is not done after {known:g} s; the daemon goes on: datctl jobs wait {job}"
        ) from None
    tell_skipped(done.skipped)
    if done.state != "done":
        raise DatdError(f"{title} {done.state}: {done.error or 'somebody ended it'}")
    return done


def _progress_of(job: "Job", pace: "Pace") -> tuple[float, float | None, str]:
    parts = [job.text] if job.text else []
    if job.unit == "bytes" and job.total:
        parts.append(f"{output.size_text(job.done)} of {output.size_text(job.total)}")
    elif job.total:
        parts.append(f"{job.done} of {output.count_text(job.total, job.unit.removesuffix('s'))}")
    rate = pace.rate(job.done)
    if rate:
        if job.unit == "bytes":
            parts.append(output.rate_text(rate))
        if job.total > job.done:
            parts.append(f"{output.span_text((job.total - job.done) / rate)} left")
    return job.done, job.total or None, output.shown(", ".join(parts))


class Pace:
    """How fast a number grows, over the last seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: list[tuple[float, int]] = []

    def rate(self, done: int) -> float:
        """Its growth a second, now that it is `done`; 0 while that is not known."""
        now = self._clock()
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[1][0] <= now - _RATE_SECONDS:
            del self._seen[0]
        since, before = self._seen[0]
        return (done - before) / (now - since) if now > since else 0.0


def tell_skipped(skipped: "list[Skipped]") -> None:
    """What was left out, and why."""
    for one in skipped[:MAX_REASONS]:
        output.note(f"left out {output.shown(one.path)}: {output.shown(one.reason)}")
    if len(skipped) > MAX_REASONS:
        output.note(f"left out {len(skipped) - MAX_REASONS} more, or further; see: datctl jobs")
