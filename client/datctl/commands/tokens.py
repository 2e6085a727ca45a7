"""Verbs about who may use the API: token list, create and revoke, and whoami."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from datctl import amounts, output
from datctl.commands.options import DaemonOption, JsonOption
from datctl.errors import UsageError

if TYPE_CHECKING:
    from datctl.models_auth import Token

_HELP = """Let programs use the daemon, each with a token of its own that allows what it needs.

A token of scope `read` looks at archives and reads their files; `control` adds, changes and removes
archives, too; `admin` may do everything. The token in the file `api.token` of the data folder is an
`admin`, and is not in the list.

**Examples**

- `datctl token create --name dashboard`
- `datctl token create --name backup --scope control --archive recipes --expires 30d`
- `datctl token list`
- `datctl token revoke 1f2e3d4c5b6a`
"""

token = App(name="token", help=_HELP)


@token.default
@token.command(name="list")
async def list_tokens(*, json: JsonOption = False, daemon: DaemonOption) -> None:
    """List all tokens, without their secrets.

    **Examples**

    - `datctl token list`
    """
    async with daemon.client() as dat:
        found = await dat.tokens()
    if json:
        output.print_json(found)
        return
    output.print_table(
        ("TOKEN", "NAME", "SCOPE", "ARCHIVES", "MADE", "ENDS", "LAST USED"),
        [
            (
                one.id,
                one.name,
                one.scope,
                _archives(one),
                output.time_text(one.made_at),
                _end(one.expires_at),
                output.time_text(one.last_used_at),
            )
            for one in found
        ],
        empty="no tokens but the one in api.token: `datctl token create --name NAME` makes one",
    )


@token.command
async def create(
    *,
    name: Annotated[str, Parameter(help="What it is for; anything that tells it from others.")],
    scope: Annotated[
        Literal["read", "control", "admin"], Parameter(help="What it allows.")
    ] = "read",
    archive: Annotated[
        list[str] | None,
        Parameter(
            negative=(),
            help="Only for this archive; can be given several times. All others are "
            "for it as if they were not there.",
        ),
    ] = None,
    expires: Annotated[
        str | None, Parameter(help="It ends after this time, as in 12h, 30d or 1y.")
    ] = None,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """Make a token, and print it: this once, since the daemon keeps only a hash of it.

    **Examples**

    - `datctl token create --name dashboard > dashboard.token`
    - `datctl token create --name backup --scope control --archive recipes --expires 30d`
    """
    ends = None if expires is None else amounts.seconds(expires)
    async with daemon.client() as dat:
        made = await dat.create_token(name, scope=scope, archives=archive, expires_in=ends)
    if json:
        output.print_json(made)
        return
    output.say(made.token)
    output.note(
        f"token {made.id} ({output.shown(made.name)}), scope {made.scope}, for {_archives(made)}, "
        f"ends {_end(made.expires_at)}: it is not shown again"
    )


@token.command
async def revoke(
    *tokens: Annotated[str, Parameter(name="TOKEN", negative=(), help="Ids of tokens.")],
    daemon: DaemonOption,
) -> None:
    """Make tokens worth nothing, at once.

    **Examples**

    - `datctl token revoke 1f2e3d4c5b6a`
    """
    if not tokens:
        raise UsageError("name one token or more, by its id: datctl token list")
    async with daemon.client() as dat:
        for one in tokens:
            await dat.revoke_token(one)
            output.say(f"revoked: {one}")


async def whoami(*, json: JsonOption = False, daemon: DaemonOption) -> None:
    """Show what the daemon allows us: by our token, or over the Unix socket.

    **Examples**

    - `datctl whoami`
    """
    async with daemon.client() as dat:
        found = await dat.whoami()
    if json:
        output.print_json(found)
        return
    output.print_fields(
        [
            ("name", found.name),
            ("scope", found.scope),
            ("archives", "all" if found.archives is None else ", ".join(found.archives)),
            ("ends", _end(found.expires_at)),
        ]
    )


def _archives(one: "Token") -> str:
    if one.archives is None:
        return "all archives"
    return ", ".join(key[:12] for key in one.archives)


def _end(moment: datetime | None) -> str:
    return "never" if moment is None else output.time_text(moment)
