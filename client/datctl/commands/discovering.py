"""The verb discover: daemons of the local network."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from datctl import output
from datctl.commands.options import JsonOption, require_seconds
from datctl.errors import UsageError

if TYPE_CHECKING:
    from datctl.lan import Found

# Announced daemons answer within a second; slow wireless networks take two.
LISTEN_SECONDS = 3.0
_MAX_SECONDS = 300.0


async def discover(
    *,
    seconds: Annotated[
        float, Parameter(validator=require_seconds, help="How long to listen, in seconds.")
    ] = LISTEN_SECONDS,
    json: JsonOption = False,
) -> None:
    """List the daemons of the local network that announce themselves.

    A daemon does so when its API can be reached from other hosts (settings `api.host` and
    `api.announce`). To talk to one, its token is needed, too.

    **Examples**

    - `datctl discover`
    - `datctl discover --seconds 10 --json`
    - `datctl --api http://192.0.2.7:3472 --token TOKEN list`
    """
    from datctl import lan

    if seconds > _MAX_SECONDS:
        raise UsageError(f"--seconds is at most {_MAX_SECONDS:g}")
    print_found(await lan.discover(seconds), json=json)


def print_found(found: "Sequence[Found]", *, json: bool) -> None:
    """What is there, as a table or a document."""
    if json:
        output.print_document([one._asdict() for one in found])
        return
    output.print_table(
        ("NAME", "API", "VERSION", "HOST"),
        [(one.name, one.api, one.version or "-", one.host) for one in found],
        empty="no daemon announces itself here; one of this host is found without that",
    )
