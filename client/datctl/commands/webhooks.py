"""The verb `webhooks`: receivers that are sent what happens in the daemon."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from datctl import output
from datctl.commands.events import KindOption
from datctl.commands.options import Daemon, DaemonOption, JsonOption, parse_place
from datctl.errors import DatdError

if TYPE_CHECKING:
    from datctl.models_events import Webhook

_HELP = """List the receivers that are sent what happens in the daemon, and how they fare.

Each event is sent by POST, signed as Standard Webhooks has it. What is not taken is sent again, for
a day; then the webhook is disabled. Receivers at private addresses have to be allowed by the
setting `webhooks.allow_networks`.

**Examples**

- `datctl webhooks`
- `datctl webhooks add https://example.org/hook --kind archive.complete`
- `datctl webhooks add https://example.org/hook --archive recipes/soups/`
- `datctl webhooks test 1f2e3d4c5b6a7089`
- `datctl webhooks enable 1f2e3d4c5b6a7089`
"""

webhooks = App(name="webhooks", help=_HELP)

IdArgument = Annotated[str, Parameter(name="WEBHOOK", help="Its id.")]


@webhooks.default
@webhooks.command(name="list")
async def list_webhooks(*, json: JsonOption = False, daemon: DaemonOption) -> None:
    """List all receivers, and how they fare.

    **Examples**

    - `datctl webhooks list`
    """
    async with daemon.client() as dat:
        found = await dat.webhooks()
    if json:
        output.print_json(found)
        return
    output.print_table(
        ("WEBHOOK", "URL", "EVENTS", "STATE", "DELIVERED", "REMARK"),
        [
            (
                hook.id,
                hook.url,
                _events_of(hook),
                _state_of(hook),
                output.time_text(hook.delivered_at),
                hook.disabled or hook.error or "",
            )
            for hook in found
        ],
        empty="no webhooks: add one with `datctl webhooks add URL`",
    )


@webhooks.command
async def add(
    url: Annotated[str, Parameter(name="URL", help="Where to send: http:// or https://.")],
    /,
    *,
    kind: KindOption = None,
    archive: Annotated[
        str | None,
        Parameter(
            name="--archive",
            help="Only what happens to this archive; with a path behind it, also the files that "
            "new versions change there.",
        ),
    ] = None,
    tag: Annotated[
        str | None, Parameter(help="Only what happens to archives with this tag.")
    ] = None,
    secret: Annotated[
        str | None,
        Parameter(help="What deliveries are signed with (whsec_…); by default one is made."),
    ] = None,
    json: JsonOption = False,
    daemon: DaemonOption,
) -> None:
    """Send what happens from now on to a receiver; prints the secret, which is shown only once.

    **Examples**

    - `datctl webhooks add https://example.org/hook`
    - `datctl webhooks add https://example.org/hook --kind archive.complete --tag site`
    """
    key, path = None, None
    if archive is not None:
        place = parse_place(archive)
        key, path = place.archive, place.path
        if path == "/" and not archive.endswith("/"):
            path = None
    async with daemon.client() as dat:
        made = await dat.add_webhook(
            url, kinds=kind or (), archive=key, path=path, tag=tag, secret=secret
        )
    if json:
        output.print_json(made)
        return
    output.say(f"webhook {made.id}")
    output.say(f"secret {made.secret}")
    output.note("deliveries are signed with this secret; it is not shown again")


@webhooks.command
async def remove(webhook: IdArgument, /, *, daemon: DaemonOption) -> None:
    """Send nothing there any more.

    **Examples**

    - `datctl webhooks remove 1f2e3d4c5b6a7089`
    """
    async with daemon.client() as dat:
        await dat.remove_webhook(webhook)
    output.say(f"removed {output.shown(webhook)}")


@webhooks.command
async def test(webhook: IdArgument, /, *, daemon: DaemonOption) -> None:
    """Send an event of kind webhook.test once; exit status 1 if it is not taken.

    **Examples**

    - `datctl webhooks test 1f2e3d4c5b6a7089`
    """
    async with daemon.client() as dat:
        found = await dat.test_webhook(webhook)
    if not found.delivered:
        raise DatdError(f"not delivered: {found.error}")
    output.say(f"delivered, status {found.status}")


@webhooks.command
async def enable(webhook: IdArgument, /, *, daemon: DaemonOption) -> None:
    """Send there again, what was missed first.

    **Examples**

    - `datctl webhooks enable 1f2e3d4c5b6a7089`
    """
    await _set(daemon, webhook, enabled=True)


@webhooks.command
async def disable(webhook: IdArgument, /, *, daemon: DaemonOption) -> None:
    """Send nothing there until it is enabled again; it goes on where it was then.

    **Examples**

    - `datctl webhooks disable 1f2e3d4c5b6a7089`
    """
    await _set(daemon, webhook, enabled=False)


async def _set(daemon: Daemon, webhook: str, *, enabled: bool) -> None:
    async with daemon.client() as dat:
        found = await dat.change_webhook(webhook, enabled=enabled)
    output.say(f"webhook {found.id}: {'enabled' if found.enabled else 'disabled'}")


def _events_of(hook: "Webhook") -> str:
    parts = [", ".join(hook.kinds) or "all"]
    if hook.archive is not None:
        parts.append(f"of {hook.archive[:12]}{hook.path or ''}")
    if hook.tag is not None:
        parts.append(f"tagged {hook.tag}")
    return " ".join(parts)


def _state_of(hook: "Webhook") -> output.Cell:
    if not hook.enabled:
        return "disabled", "red" if hook.disabled else "dim"
    return ("failing", "yellow") if hook.failing_since else ("enabled", "green")
