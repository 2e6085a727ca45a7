"""The command `datctl`: verbs put together, errors turned into one line and an exit status.

Nothing heavy is imported before a verb needs it: `datctl --help` waits for no HTTP library.
"""

import asyncio
import contextlib
import inspect
import io
import os
import signal
import sys
from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Group, Parameter

from datctl import errors, output
from datctl.commands import (
    accounts,
    adding,
    audit,
    completion,
    copying,
    daemon_settings,
    discovering,
    doctor,
    events,
    files,
    hosting,
    jobs,
    keys,
    network,
    publishing,
    settings,
    tokens,
    versions,
    webhooks,
    writing,
)
from datctl.commands.options import STAYING_VERBS, Daemon


class Exit(IntEnum):
    """What the exit status of `datctl` means."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NO_DAEMON = 3
    NOT_FOUND = 4
    TIMED_OUT = 5
    INTERRUPTED = 130  # 128 and SIGINT, as shells have it
    PIPE_CLOSED = 141  # 128 and SIGPIPE
    TERMINATED = 143  # 128 and SIGTERM; after SIGHUP as well


_HELP = """Host Dat archives: fetch them, publish them, keep them and serve them to others.

Talks to the daemon datd: over the Unix socket of this host, or where `--api` or `$DATD_API` says.

ARCHIVE is a link, a key, a unique beginning of a key of at least 6 digits, or a name; behind a
`+` may stand a version, as in `dat://KEY+12`. Sizes are in decimal units, times in your own zone.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 no daemon answers, 4 no such archive or file,
5 timed out.

**Examples**

- `datctl add dat://KEY --wait`
- `datctl list --watch`
- `datctl get KEY ./copy`
- `datctl share ./site --watch`
- `datctl help add`
- `datctl doctor` (what is wrong, and what to do about it)
"""

# Verbs stand under the heading of what they are about, in the order in which people need them.
_VERBS: dict[str, list[tuple[Any, str]]] = {
    "Archives": [
        (adding.add, "add"),
        (hosting.list_archives, "list"),
        (hosting.show, "show"),
        (settings.set_settings, "set"),
        (settings.mode, "mode"),
        (settings.networks, "networks"),
        (settings.domain, "domain"),
        (hosting.pause, "pause"),
        (hosting.resume, "resume"),
        (hosting.remove, "remove"),
    ],
    "Files": [
        (files.ls, "ls"),
        (files.cat, "cat"),
        (copying.get, "get"),
        (copying.export, "export"),
    ],
    "Publishing": [
        (publishing.share, "share"),
        (publishing.create, "create"),
        (writing.put, "put"),
        (writing.rm, "rm"),
        (writing.mkdir, "mkdir"),
        (publishing.fork, "fork"),
        (publishing.rescan, "rescan"),
        (publishing.adopt, "adopt"),
    ],
    "Versions": [
        (versions.log, "log"),
        (versions.diff, "diff"),
        (versions.tag, "tag"),
    ],
    "Care": [
        (jobs.verify, "verify"),
        (jobs.jobs, "jobs"),
        (keys.keys, "keys"),
        (network.peers, "peers"),
        (network.stats, "stats"),
    ],
    "Daemon": [
        (network.status, "status"),
        (doctor.doctor, "doctor"),
        (daemon_settings.daemon_settings, "settings"),
        (events.events, "events"),
        (webhooks.webhooks, "webhooks"),
        (discovering.discover, "discover"),
    ],
    "Access": [
        (tokens.token, "token"),
        (tokens.whoami, "whoami"),
        (accounts.accounts, "accounts"),
        (audit.audit, "audit"),
    ],
    "datctl": [
        (completion.completion, "completion"),
    ],
}


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("datd")
    except PackageNotFoundError:  # run from a folder of sources
        return "unknown"


def _make_app() -> App:
    made = App(
        name="datctl",
        help=_HELP,
        help_format="markdown",
        version=_version,
        result_action="return_value",
    )
    for place, (heading, verbs) in enumerate(_VERBS.items()):
        group = Group(heading, sort_key=place)
        for order, (verb, name) in enumerate(verbs):
            made.command(verb, name=None if isinstance(verb, App) else name)
            made[name].group, made[name].sort_key = group, order
        made["--help"].group = made["--version"].group = group  # the last one
    return made


app = _make_app()


@app.command(group=app["completion"].group, sort_key=9, name="help")
def help_of(*verb: Annotated[str, Parameter(name="VERB", negative=(), show_default=False)]) -> None:
    """Explain a verb, or all of them in a line each.

    **Examples**

    - `datctl help`
    - `datctl help add`
    - `datctl help jobs wait`
    """
    if app.parse_commands(verb)[2]:  # what is no verb
        raise errors.UsageError(f"there is no verb {' '.join(verb)!r}: datctl help names them all")
    app.help_print(list(verb))


_EVERYWHERE = Group("Options of every verb", sort_key=len(_VERBS))


@app.meta.default
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    api: Annotated[
        str | None,
        Parameter(
            group=_EVERYWHERE,
            help="http://HOST:PORT or unix:///PATH of the daemon; by default $DATD_API, else the "
            "Unix socket of this host, else http://127.0.0.1:3472.",
        ),
    ] = None,
    token: Annotated[
        str | None,
        Parameter(
            group=_EVERYWHERE,
            help="Token of the daemon; better in $DATD_TOKEN, where few see it. By default that of "
            "this host's daemon.",
        ),
    ] = None,
) -> Any:
    verb, bound, ignored = app.parse_args(
        optional_seconds(tokens), exit_on_error=False, print_error=False
    )
    extra = {"daemon": Daemon(api, token)} if "daemon" in ignored else {}
    result = verb(*bound.args, **bound.kwargs, **extra)
    return asyncio.run(_run(result)) if inspect.iscoroutine(result) else result


async def _run(verb: Any) -> Any:
    task = asyncio.current_task()
    # Whoever is ended as services are, or with its terminal, tidies up like one interrupted.
    with contextlib.suppress(RuntimeError, ValueError):  # not in the main thread
        for number in (signal.SIGTERM, signal.SIGHUP):
            # What was ignored by whoever started us stays so: nohup does that.
            if task is not None and signal.getsignal(number) is not signal.SIG_IGN:
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await verb


def optional_seconds(tokens: Sequence[str]) -> list[str]:
    """Let `--wait` stand without a number, which means: as long as it takes.

    That is so for verbs that begin long work; others wait some seconds anyway, and need the number.
    """
    given = list(tokens)
    if not STAYING_VERBS.intersection(given[:1]):
        return given
    for place, token in enumerate(given):
        if token == "--":
            break
        if token == "--wait" and not _is_number("".join(given[place + 1 : place + 2])):
            given[place] = "--wait=inf"
    return given


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line.

    Returns:
        The exit status.
    """
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    _replace_closed()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names have letters that not every terminal has; those are written as `\u2603`.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app.meta(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except CycloptsError as error:
        return _fail(Exit.USAGE, f"{_one_line(str(error))} (see datctl --help)")
    except errors.DatdError as error:
        return _fail(exit_status(error), _one_line(str(error)))
    except asyncio.CancelledError:
        return Exit.TERMINATED
    except KeyboardInterrupt:
        if output.is_terminal(sys.stderr):
            output.note("")  # what comes next does not belong behind the ^C
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Who read us has enough. The interpreter must not complain when it flushes at its end.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.PIPE_CLOSED
    except OSError as error:
        return _fail(Exit.FAILED, _one_line(str(error)))
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        return _fail(Exit.FAILED, f"this is a fault of datctl, please report it: {_one_line(text)}")
    return Exit.DONE


def _replace_closed() -> None:
    """Have standard streams that the caller closed hold nothing, instead of not being there."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115 - as long as the process
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def exit_status(error: errors.DatdError) -> Exit:
    """The status that tells a script what kind of error it was."""
    match error:
        case errors.UsageError():
            return Exit.USAGE
        case errors.NoDaemon():
            return Exit.NO_DAEMON
        case errors.NotFound():
            return Exit.NOT_FOUND
        case errors.NoPeers() | errors.NoAnswer() | errors.TimedOut():
            return Exit.TIMED_OUT
        case _:
            return Exit.FAILED


def _fail(status: Exit, reason: str) -> Exit:
    with contextlib.suppress(OSError):
        output.note(f"datctl: {reason}")
    return status


def _one_line(text: str) -> str:
    return output.shown(" ".join(text.split()))
