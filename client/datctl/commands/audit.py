"""The verb `audit`: who changed what."""

from typing import Annotated

from cyclopts import Parameter

from datctl import output
from datctl.commands.options import DaemonOption, JsonOption


async def audit(
    *,
    since: Annotated[
        int | None, Parameter(help="Lines after the one with this number, instead of the newest.")
    ] = None,
    limit: Annotated[int, Parameter(help="How many lines at most, up to 1000.")] = 100,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """Show who changed what, and who used a secret key: the audit log of the daemon.

    WHO is a token by its id, the holder of `api.token`, a user of the daemon's host, or an account.
    Archives are named by their discovery key, which gives nobody the right to read.

    **Examples**

    - `datctl audit`
    - `datctl audit --since 1200 --json`
    """
    async with daemon.client() as dat:
        page = await dat.audit(since=since, limit=limit)
    if json:
        output.print_json(page)
        return
    output.print_table(
        (">LINE", "TIME", "WHO", "FROM", "ACTION", "ARCHIVE", "RESULT"),
        [
            (
                str(line.id),
                output.time_text(line.at),
                line.who,
                line.source,
                line.action,
                (line.archive or "")[:12],
                "gone" if line.status is None else str(line.status),
            )
            for line in page.entries
        ],
        empty="nothing was changed",
    )
