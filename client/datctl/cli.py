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
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter

from datctl import errors, output
from datctl.commands import (
    adding,
    copying,
    files,
    hosting,
    jobs,
    keys,
    network,
    publishing,
    settings,
    versions,
    writing,
)
from datctl.commands.options import Daemon


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
    TERMINATED = 143  # 128 and SIGTERM


_HELP = """Host Dat archives: fetch them, publish them, keep them and serve them to others.

Talks to the daemon datd: over the Unix socket of this host, or where `--api` or `$DATD_API` says.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 no daemon answers, 4 no such archive or file,
5 timed out.

**Examples**

- `datctl add dat://KEY --wait`
- `datctl list`
- `datctl get KEY ./copy`
- `datctl share ./site --watch`
"""


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("datd")
    except PackageNotFoundError:  # run from a folder of sources
        return "unknown"


app = App(
    name="datctl",
    help=_HELP,
    help_format="markdown",
    version=_version,
    result_action="return_value",
)
app.command(adding.add)
app.command(hosting.list_archives, name="list")
app.command(hosting.show)
app.command(settings.set_settings, name="set")
app.command(settings.mode)
app.command(settings.networks)
app.command(settings.domain)
app.command(hosting.pause)
app.command(hosting.resume)
app.command(hosting.remove)
app.command(files.ls)
app.command(files.cat)
app.command(copying.get)
app.command(copying.export)
app.command(versions.log)
app.command(versions.diff)
app.command(versions.tag)
app.command(publishing.share)
app.command(publishing.create)
app.command(publishing.fork)
app.command(publishing.adopt)
app.command(publishing.rescan)
app.command(writing.put)
app.command(writing.rm)
app.command(writing.mkdir)
app.command(keys.keys)
app.command(jobs.jobs)
app.command(jobs.verify)
app.command(network.peers)
app.command(network.stats)
app.command(network.status)


@app.command
def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Print a script that completes verbs and options when Tab is pressed.

    **Examples**

    - `datctl completion bash > ~/.local/share/bash-completion/completions/datctl`
    """
    output.say(app.generate_completion(prog_name="datctl", shell=shell))


@app.meta.default
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    api: Annotated[
        str | None, Parameter(help="http://HOST:PORT or unix:///PATH of the daemon, or $DATD_API.")
    ] = None,
    token: Annotated[
        str | None, Parameter(help="Token of the daemon; better in $DATD_TOKEN, where few see it.")
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
    # Whoever is ended as services are tidies up like one that is interrupted.
    with contextlib.suppress(RuntimeError, ValueError):  # not in the main thread
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await verb


def optional_seconds(tokens: Sequence[str]) -> list[str]:
    """Let `--wait` of the verb `add` stand without a number, which means: as long as it takes."""
    given = list(tokens)
    if given[:1] != ["add"]:
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
