"""Verbs about the daemon's own settings: settings, settings set, settings reset."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from datctl import amounts, output
from datctl.commands.options import DaemonOption, JsonOption
from datctl.errors import UsageError

if TYPE_CHECKING:
    from datctl.models_settings import Setting

_HELP = """Show the daemon's settings, or change some of them while it runs.

A change holds at once, and over restarts, until it is taken back with `reset`. Other settings are
changed in the file of settings, and hold after a restart. How an archive is hosted changes
`datctl set`.

**Examples**

- `datctl settings`
- `datctl settings set network.upload_limit 2MB` (a second, of all archives together)
- `datctl settings set log.level debug`
- `datctl settings reset network.upload_limit`
"""

daemon_settings = App(name="settings", help=_HELP)

Name = Annotated[
    Literal[
        "network.upload_limit",
        "network.download_limit",
        "swarm.max_connections",
        "storage.max_bytes",
        "storage.max_archive_bytes",
        "storage.keep_free",
        "log.level",
    ],
    Parameter(name="SETTING", help="Which one."),
]


@daemon_settings.default
async def list_settings(
    *,
    changeable: Annotated[
        bool,
        Parameter(
            negative=(), show_default=False, help="Only those that can be changed while it runs."
        ),
    ] = False,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """Show all settings, and where each comes from."""
    async with daemon.client() as dat:
        found = await dat.settings()
    if changeable:
        found = [one for one in found if one.changeable]
    if json:
        output.print_json(found)
        return
    output.print_table(
        ("SETTING", "VALUE", "FROM", "CHANGES", "MEANS"),
        [
            (
                one.name,
                _value(one),
                _source(one),
                "at once" if one.changeable else "with a restart",
                one.description,
            )
            for one in found
        ],
    )


@daemon_settings.command(name="set")
async def set_setting(
    setting: Name,
    value: Annotated[
        str,
        Parameter(name="VALUE", help="An amount, as 2MB or 500000, or a word, as debug."),
    ],
    /,
    *,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """Change a setting of the running daemon.

    Limits are bytes a second: everything to and from peers and web sources counts, of all archives
    together, but not what goes over the API and the gateway. `none` sets no limit.

    **Examples**

    - `datctl settings set network.upload_limit 2MB`
    - `datctl settings set network.download_limit 500kB`
    - `datctl settings set network.download_limit none`
    - `datctl settings set storage.max_bytes 1.5TB`
    - `datctl settings set swarm.max_connections 2000`
    """
    await _change(setting, _read(setting, value), daemon, json=json)


@daemon_settings.command
async def reset(setting: Name, /, *, json: JsonOption = False, daemon: DaemonOption) -> None:
    """Take a change back: what is configured holds again.

    **Examples**

    - `datctl settings reset network.upload_limit`
    """
    await _change(setting, None, daemon, json=json)


async def _change(setting: str, value: object, daemon: DaemonOption, *, json: bool) -> None:
    async with daemon.client() as dat:
        found = await dat.change_settings({setting: value})
    now = next(one for one in found if one.name == setting)
    if json:
        output.print_json(now)
    else:
        output.say(f"{now.name}: {_value(now)} ({_source(now)})")


def _read(setting: str, text: str) -> Any:
    if setting == "log.level":
        return text
    if setting == "swarm.max_connections":
        if not (text.isascii() and text.isdigit()) or len(text) > 15:
            raise UsageError(f"{text!r} is no number of connections: expected one as in 2000")
        return int(text)
    rate = setting.startswith("network.")
    if text.strip() == "0" or (rate and text.strip() == "none"):
        return 0
    return amounts.size(text.strip().removesuffix("/s") if rate else text)


def _value(one: "Setting") -> str:
    if one.secret:
        return "(secret)"
    if one.value is None or (one.value == 0 and one.unit == "bytes/s"):
        return "none"
    if isinstance(one.value, list):
        return ", ".join(map(str, one.value)) or "none"
    if isinstance(one.value, bool):
        return "yes" if one.value else "no"
    if one.unit in ("bytes", "bytes/s"):
        return output.size_text(one.value) + ("/s" if one.unit == "bytes/s" else "")
    return f"{one.value} s" if one.unit == "seconds" else str(one.value)


def _source(one: "Setting") -> str:
    if one.source != "changed":
        return one.source.replace("_", " ")
    configured = one.model_copy(update={"value": one.configured})
    return f"changed; configured: {_value(configured)}"
