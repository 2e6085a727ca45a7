"""Verbs about long work of the daemon: jobs, and verify, which is one."""

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from datctl import output
from datctl.commands import waiting, watching
from datctl.commands.options import (
    DaemonOption,
    JsonOption,
    WaitForJob,
    WatchOption,
    require_seconds,
)
from datctl.errors import DatdError, TimedOut, UsageError

if TYPE_CHECKING:
    from datctl.models_jobs import Job

_HELP = """List what the daemon is busy with, and what ended lately: imports, forks, verification.

**Examples**

- `datctl jobs`
- `datctl jobs recipes --state running`
- `datctl jobs --watch`
- `datctl jobs show 1f2e3d4c5b6a` (with all that was left out, and why)
- `datctl jobs wait 1f2e3d4c5b6a`
- `datctl jobs cancel 1f2e3d4c5b6a`
"""

jobs = App(name="jobs", help=_HELP)

JobArgument = Annotated[str, Parameter(name="JOB", help="Its id.")]
_STYLES = {"running": "cyan", "done": "green", "failed": "red", "cancelled": "dim"}


@jobs.default
async def list_jobs(
    archive: Annotated[
        str | None, Parameter(help="Only of this archive: a link, a key, its beginning, or a name.")
    ] = None,
    /,
    *,
    state: Annotated[
        Literal["running", "done", "failed", "cancelled"] | None,
        Parameter(help="Only those in this state."),
    ] = None,
    watch: WatchOption = False,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """List what the daemon is busy with, and what ended lately."""
    async with daemon.client() as dat:

        async def look() -> watching.View:
            found = await dat.jobs(archive, state=state)
            return watching.View(
                [job.model_dump(mode="json") for job in found],
                ("JOB", "KIND", "ARCHIVE", "STATE", ">DONE", "BEGUN", "REMARK"),
                [_row(job) for job in found],
                empty="no jobs, and none that ended lately",
            )

        await watching.show(look, watch=watch, json=json)


def _row(job: "Job") -> list[output.Cell]:
    return [
        job.id,
        job.kind,
        job.archive[:12],
        (job.state, _STYLES.get(job.state, "")),
        output.percent_text(job.progress),
        output.time_text(job.started_at),
        job.error or job.text,
    ]


@jobs.command
async def show(job: JobArgument, /, *, json: JsonOption = False, daemon: DaemonOption) -> None:
    """Show everything about one job.

    **Examples**

    - `datctl jobs show 1f2e3d4c5b6a`
    """
    async with daemon.client() as dat:
        found = await dat.job(job)
    if json:
        output.print_json(found)
        return
    output.print_fields(
        [
            ("job", found.id),
            ("kind", found.kind),
            ("archive", found.archive),
            ("state", found.state + (f": {found.error}" if found.error else "")),
            ("done", f"{output.percent_text(found.progress)}, {_counted(found)}"),
            ("remark", found.text or "-"),
            ("begun", output.time_text(found.started_at)),
            ("ended", output.time_text(found.ended_at)),
        ]
    )
    for one in found.skipped:
        output.say(f"left out {output.shown(one.path)}: {output.shown(one.reason)}")


def _counted(job: "Job") -> str:
    if job.unit == "bytes":
        return f"{output.size_text(job.done)} of {output.size_text(job.total)}"
    return f"{job.done} of {job.total} {job.unit}"


@jobs.command
async def wait(
    job: JobArgument,
    seconds: Annotated[
        float | None,
        Parameter(
            name="SECONDS",
            validator=require_seconds,
            help="At most so many, then exit status 5; without: as long as it takes.",
        ),
    ] = None,
    /,
    *,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """Wait until a job has ended, and show how far it is; exit status 1 if it failed.

    **Examples**

    - `datctl jobs wait 1f2e3d4c5b6a`
    - `datctl jobs wait 1f2e3d4c5b6a 600`
    """
    async with daemon.client() as dat:
        done = await waiting.finish(dat, job, f"job {job}", seconds)
    if json:
        output.print_json(done)
        return
    output.say(output.shown(done.text) or "done")


@jobs.command
async def cancel(job: JobArgument, /, *, daemon: DaemonOption) -> None:
    """End a job. What it did so far stays.

    **Examples**

    - `datctl jobs cancel 1f2e3d4c5b6a`
    """
    async with daemon.client() as dat:
        await dat.cancel(job)
        found = await dat.job(job)
    output.say(f"{found.kind} of {found.archive[:12]}: {found.state}")


async def verify(
    *archives: Annotated[
        str,
        Parameter(
            name="ARCHIVE",
            negative=(),
            show_default=False,
            help="Links, keys, unique beginnings of keys (6 digits or more), or names.",
        ),
    ],
    wait: WaitForJob = None,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """Have every block of archives read and hashed; damaged ones are fetched again.

    **Examples**

    - `datctl verify recipes`
    - `datctl verify recipes maps --wait`
    """
    if not archives:
        raise UsageError("name one archive or more")
    ended, failed = list["Job"](), list[DatdError]()
    async with daemon.client() as dat:
        for archive in archives:
            job = await dat.verify(archive)
            if waiting.wanted(wait):
                try:
                    job = await waiting.finish(dat, job.id, f"verify {archive}", wait)
                except DatdError as error:
                    output.note(output.shown(f"{archive}: {error}"))
                    job = await dat.job(job.id)
                    failed.append(error)
            ended.append(job)
            if not json:
                told = job.text if job.state == "done" else f"{job.state}, job {job.id}"
                output.say(f"{archive}: {output.shown(told)}")
    if json:
        output.print_json(ended)
    if failed:
        late = all(isinstance(error, TimedOut) for error in failed)
        kind, what = (TimedOut, "not done") if late else (DatdError, "could not be verified")
        raise kind(f"{len(failed)} of {output.count_text(len(archives), 'archive')} {what}")
