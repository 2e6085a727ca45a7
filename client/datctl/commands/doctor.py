"""The verb doctor: the usual faults, those that only the client sees and those of the daemon."""

import asyncio
import os
import stat
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from datctl import output
from datctl.commands.options import DaemonOption, JsonOption
from datctl.errors import ApiError, DatdError, NoDaemon, NotFound, Unauthorized, UsageError

if TYPE_CHECKING:
    from datctl.client import Client
    from datctl.models_diagnosis import Finding, FindingState

_STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}
# Further apart than this, times in logs and of files mislead.
MAX_CLOCK_DIFFERENCE = 60.0
FORBIDDEN = 403
# A daemon that is well says its name at once. Whoever asks a doctor has waited already.
SILENCE_SECONDS = 15.0
_SEE_LOG = "look at its log: journalctl -u datd"
_START = (
    "start it: systemctl start datd, or datd in a terminal; or name it with --api. If it ends at "
    "once, its log tells why: journalctl -u datd"
)
_STUCK = "if that is datd, it is stuck: restart it, and keep its log; else name datd with --api"


async def doctor(*, json: JsonOption = False, daemon: DaemonOption) -> None:
    """Find the usual faults, and say what to do about each.

    Looked at are the daemon and its token, clock, disk, permissions, limits of the system, networks
    and transports, whether others can reach us, and the archives. Exit status 1 if something fails,
    0 if there are warnings only.

    **Examples**

    - `datctl doctor`
    - `datctl doctor --json`
    - `datctl --api http://192.0.2.7:3472 doctor` (a daemon of another host)
    """
    findings = [*await _asked(daemon.client()), *_local(os.environ)]
    if json:
        output.print_document([finding.model_dump(mode="json") for finding in findings])
    else:
        _print(findings)
    failed = sum(finding.state == "fail" for finding in findings)
    if failed:
        checks = output.count_text(len(findings), "check")
        raise DatdError(f"{failed} of {checks} failed: do what the arrows say")


def _print(findings: "list[Finding]") -> None:
    width = max(len(finding.check) for finding in findings)
    console = output.console(sys.stdout) if output.is_terminal(sys.stdout) else None
    for finding in findings:
        text = output.shown(finding.text)
        if console is None:
            output.say(f"{finding.state:<4}  {finding.check:<{width}}  {text}")
        else:
            from rich.text import Text

            line = Text(f"{finding.state:<4}", style=_STYLES[finding.state])
            console.print(line.append(f"  {finding.check:<{width}}  {text}", style="default"))
        if finding.advice:
            output.say(f"{'':<4}  {'':<{width}}  -> {output.shown(finding.advice)}")


async def _asked(client: "Client") -> "list[Finding]":
    """What talking to the daemon shows, and what it says of itself."""
    try:
        async with client as dat:
            async with asyncio.timeout(SILENCE_SECONDS):
                info = await dat.info()
            found = [_finding("daemon", "ok", f"datd {info.version} at {dat.endpoint.shown}")]
            found += _versions(info.version)
            try:
                stats = await dat.stats()
            except Unauthorized as error:
                return [*found, _token(error)]
            found.append(_finding("token", "ok", "the daemon lets us in"))
            if stats.started_at is not None:
                found += _clocks(stats.started_at.timestamp() + stats.uptime)
            try:
                return [*found, *(await dat.diagnosis()).findings]
            except NotFound:
                text = "the daemon is too old to look at itself"
                return [*found, _finding("diagnosis", "warn", text, "update datd")]
            except ApiError as error:
                if error.status != FORBIDDEN:
                    raise
                text = "what the daemon finds of itself is for administrators"
                advice = "use its Unix socket, or a token of scope admin"
                return [*found, _finding("diagnosis", "warn", text, advice)]
    except TimeoutError:
        where = client.endpoint.shown
        text = f"{where} takes connections, and says nothing for {SILENCE_SECONDS:g} s"
        return [_finding("daemon", "fail", text, _STUCK)]
    except Unauthorized as error:
        return [_token(error)]
    except NoDaemon as error:
        return [_finding("daemon", "fail", str(error).partition(": start")[0], _START)]
    except UsageError:
        raise
    except (ApiError, DatdError) as error:
        return [_finding("daemon", "fail", str(error), _SEE_LOG)]


def _finding(check: str, state: "FindingState", text: str, advice: str = "") -> "Finding":
    from datctl.models_diagnosis import Finding

    return Finding(check=check, state=state, text=text, advice=advice)


def _token(error: Unauthorized) -> "Finding":
    return _finding(
        "token", "fail", str(error),
        "give the text of the daemon's api.token as $DATD_TOKEN, or use its Unix socket",
    )  # fmt: skip


def _versions(theirs: str) -> "list[Finding]":
    from importlib.metadata import PackageNotFoundError, version

    try:
        ours = version("datd")
    except PackageNotFoundError:  # run from a folder of sources
        return []
    if ours == theirs:
        return [_finding("versions", "ok", f"datctl and datd are both {ours}")]
    text = f"datctl is {ours}, and the daemon {theirs}"
    return [_finding("versions", "warn", text, "restart datd after an update; use one of both")]


def _clocks(theirs: float) -> "list[Finding]":
    difference = abs(theirs - time.time())
    if difference <= MAX_CLOCK_DIFFERENCE:
        return []
    text = f"its clock and ours differ by {output.span_text(difference)}"
    return [_finding("clocks", "warn", text, "set both by NTP: timedatectl set-ntp true")]


def several(paths: Sequence[str]) -> "list[Finding]":
    """Whether daemons listen on more than one of these sockets, of which the first one is used."""
    from datctl.endpoint import answers

    found = [path for path in paths if answers(path)]
    if len(found) < 2:
        return []
    text = f"several daemons run here: {', '.join(found)}"
    advice = f"datctl talks to {found[0]}; name another with --api unix://{found[1]}"
    return [_finding("daemons", "warn", text, advice)]


def _local(env: Mapping[str, str]) -> "list[Finding]":
    """What is seen of daemons in the files of this host."""
    from datctl.endpoint import data_dirs, socket_paths

    found = several(list(socket_paths(env)))
    for folder in data_dirs(env):
        path = folder / "api.token"
        try:
            mode = path.stat().st_mode
            with path.open("rb"):
                pass
        except FileNotFoundError:
            continue
        except OSError as error:
            text = f"{path} cannot be read: {error.strerror}"
            advice = "use the Unix socket as a member of its group, or be the daemon's user"
            found.append(_finding("token file", "warn", text, advice))
            continue
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            text = f"{path} can be read by others, and is not used"
            found.append(_finding("token file", "fail", text, f"chmod 600 {path}"))
    return found
