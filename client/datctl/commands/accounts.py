"""Verbs about people who may have archives kept here: accounts list, add, set, passwd, remove."""

import getpass
import sys
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from datctl import amounts, output
from datctl.commands import asking
from datctl.commands.options import DaemonOption, JsonOption
from datctl.errors import UsageError

if TYPE_CHECKING:
    from datctl.models_auth import Account

_HELP = """Let people have archives kept here, by the HTTP pinning service API (DEP-0003).

Clients of it are `dat-store`, `dat-pinning-service-client` and Beaker. Each account has quotas: how
many archives, and how many bytes they may hold together. An account sees its own archives only.

**Examples**

- `datctl accounts add ada --quota 50GB`
- `datctl accounts`
- `datctl accounts set ada --quota 100GB --pins 500`
- `datctl accounts remove ada`
"""
# More than any password; what comes from a pipe by mistake is not read to its end.
_MAX_INPUT = 4_096

accounts = App(name="accounts", help=_HELP)

NameArgument = Annotated[str, Parameter(name="NAME", help="What the account logs in with.")]
QuotaOption = Annotated[
    str | None, Parameter(help="What its archives may hold together, as in 500MB or 10GB.")
]
PinsOption = Annotated[int | None, Parameter(help="How many archives it may have kept.")]
EmailOption = Annotated[str | None, Parameter(help="Where to reach its owner.")]


@accounts.default
@accounts.command(name="list")
async def list_accounts(*, json: JsonOption = False, daemon: DaemonOption) -> None:
    """List all accounts, and what they use of their quotas.

    **Examples**

    - `datctl accounts list`
    """
    async with daemon.client() as dat:
        found = await dat.accounts()
    if json:
        output.print_json(found)
        return
    output.print_table(
        ("ACCOUNT", ">ARCHIVES", ">OF", ">HOLDS", ">OF", "MADE", "REMARK"),
        [
            (
                one.name,
                str(one.pins),
                str(one.max_pins),
                output.size_text(one.bytes),
                output.size_text(one.max_bytes),
                output.time_text(one.made_at),
                ("quota used up", "red") if one.full else (one.email or ""),
            )
            for one in found
        ],
        empty="no accounts: add one with `datctl accounts add NAME`",
    )


@accounts.command
async def add(
    name: NameArgument,
    /,
    *,
    quota: QuotaOption = None,
    pins: PinsOption = None,
    email: EmailOption = None,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """Let somebody have archives kept here. The password is asked for, or read from a pipe.

    **Examples**

    - `datctl accounts add ada --quota 50GB`
    - `pass show ada | datctl accounts add ada`
    """
    size = None if quota is None else amounts.size(quota)
    password = _new_password()
    async with daemon.client() as dat:
        found = await dat.add_account(name, password, email=email, max_bytes=size, max_pins=pins)
    _tell(found, json)


@accounts.command(name="set")
async def set_account(
    name: NameArgument,
    /,
    *,
    quota: QuotaOption = None,
    pins: PinsOption = None,
    email: EmailOption = None,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """Change the quotas of an account, or how to reach its owner.

    **Examples**

    - `datctl accounts set ada --quota 100GB`
    """
    fields: dict[str, Any] = {
        "max_bytes": None if quota is None else amounts.size(quota),
        "max_pins": pins,
        "email": email,
    }
    given = {field: value for field, value in fields.items() if value is not None}
    if not given:
        raise UsageError("say what to change: --quota, --pins or --email")
    async with daemon.client() as dat:
        found = await dat.change_account(name, **given)
    _tell(found, json)


@accounts.command
async def passwd(name: NameArgument, /, *, daemon: DaemonOption) -> None:
    """Give an account another password, and log it out everywhere.

    **Examples**

    - `datctl accounts passwd ada`
    """
    password = _new_password()
    async with daemon.client() as dat:
        found = await dat.change_account(name, password=password)
    output.say(f"{found.name} has another password")


@accounts.command
async def remove(
    name: NameArgument,
    /,
    *,
    yes: Annotated[bool, Parameter(negative=(), show_default=False, help="Do not ask.")] = False,
    daemon: DaemonOption,
) -> None:
    """Remove an account, and the archives that are here for it alone.

    **Examples**

    - `datctl accounts remove ada`
    """
    if not yes:
        asking.require_person("accounts remove")
    async with daemon.client() as dat:
        found = await dat.account(name)
        question = (
            f"Remove {found.name}, with {output.count_text(found.pins, 'archive')} unless "
            "others want them?"
        )
        if not yes and not asking.agrees(question):
            output.note("nothing is removed")
            return
        await dat.remove_account(name)
    output.say(f"removed: {found.name}")


def _tell(found: "Account", json: bool) -> None:
    if json:
        output.print_json(found)
        return
    output.say(
        f"{found.name}: {found.pins} of {output.count_text(found.max_pins, 'archive')}, "
        f"{output.size_text(found.bytes)} of {output.size_text(found.max_bytes)}"
    )


def _new_password() -> str:
    """A password from the terminal, typed twice, or the first line of standard input.

    Raises:
        UsageError: There is none, or the second one differs.
    """
    with asking.interruptible():
        if not sys.stdin.isatty():
            line = sys.stdin.readline(_MAX_INPUT)
            password = line.removesuffix("\n").removesuffix("\r")
        else:
            password = getpass.getpass("password (it is not shown): ")
            if getpass.getpass("once more: ") != password:
                raise UsageError("these are two passwords: try again")
    if not password:
        raise UsageError("a password is needed: type it, or send it through a pipe")
    return password
