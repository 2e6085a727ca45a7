"""Options that several verbs share, and how `ARCHIVE/PATH` is read."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from cyclopts import Parameter

from datctl import output
from datctl.errors import UsageError

if TYPE_CHECKING:
    from datctl.client import Client
    from datctl.routes import Version

_KEY = re.compile(
    r"(?:dat:(?://)?|[a-z]+://[^/]+/)?(?P<key>[0-9a-fA-F]{64})(?:\+(?P<version>[^+/]+))?"
    r"(?P<path>/.*)?",
    re.DOTALL,
)
# As the daemon has it for names of versions.
_TAG = re.compile(r"[A-Za-z_][A-Za-z0-9._-]{0,63}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}.*")


@dataclass(frozen=True)
class Daemon:
    """Which daemon to talk to, as the options before or behind the verb say."""

    api: str | None = None
    token: str | None = None

    def client(self) -> "Client":
        """A client for it, to be opened."""
        from datctl.client import Client  # its models cost a quarter of a second

        return Client(self.api, token=self.token, on_silence=output.note)


def require_seconds(_: object, value: float | None) -> None:
    """A check for cyclopts: a number of seconds, which may be infinite."""
    if value is not None and (math.isnan(value) or value < 0):
        raise ValueError("seconds are a number from 0 on")


DaemonOption = Annotated[Daemon, Parameter(parse=False)]
ArchiveArgument = Annotated[
    str, Parameter(help="A link, a key, a unique beginning of a key (6 digits or more), or a name.")
]
JsonOption = Annotated[
    bool, Parameter(negative=(), show_default=False, help="Print one JSON document.")
]
WaitForPeers = Annotated[
    float,
    Parameter(
        name="--wait",
        validator=require_seconds,
        help="Seconds to wait for what has to come from peers first.",
    ),
]
VersionOption = Annotated[
    str | None,
    Parameter(
        help="Of this version instead of the newest: a number, a name given by `datctl tag`, or a "
        "time as in 2019-03-01 or 2019-03-01T12:00 (your own zone, unless it names one)."
    ),
]
WaitForJob = Annotated[
    float | None,
    Parameter(
        name="--wait",
        validator=require_seconds,
        help="Stay until it is done, also where no terminal shows the progress; at most so many "
        "seconds if a number follows (then exit status 5, and the daemon goes on).",
    ),
]
# Verbs whose `--wait` may stand without a number.
STAYING_VERBS = frozenset({"add", "share", "fork", "adopt", "rescan", "verify"})
WatchOption = Annotated[
    bool,
    Parameter(
        name="--watch",
        negative=(),
        show_default=False,
        help="Show it again every second until Ctrl-C; where no terminal is, tell what changes, "
        "with --json as one document on each line.",
    ),
]
ChunkingOption = Annotated[
    Literal["fixed", "content"] | None,
    Parameter(
        help="How files are cut: in pieces of 64 KiB (fixed, as the original does), or by their "
        "content, so that a byte inserted in front changes one piece and not all."
    ),
]
FollowLinksOption = Annotated[
    Literal["inside", "all", "none"] | None,
    Parameter(
        help="Which symbolic links to files are published as those files: those that lead to "
        "another place in the folder (inside, as by default), all that lead to where something may "
        "be published, or none."
    ),
]
IgnoreHiddenOption = Annotated[
    bool | None,
    Parameter(
        negative="--no-ignore-hidden",
        show_default=False,
        help="Whether to leave out what begins with a dot; by default it is left out.",
    ),
]
DeleteOption = Annotated[
    bool | None,
    Parameter(
        name="--delete",
        negative="--no-delete",
        show_default=False,
        help="Whether what vanishes from the folder is removed from the archive; by default it is. "
        "Older versions keep it.",
    ),
]


def chosen_networks(words: Sequence[str]) -> list[str] | None:
    """Networks as named on the command line: None for all, an empty list for none.

    Raises:
        UsageError: `all` or `none` stands beside others.
    """
    if len(words) > 1 and {"all", "none"} & set(words):
        raise UsageError("all and none stand alone: name networks, or one of them")
    if list(words) in ([], ["all"]):
        return None
    return [word for word in words if word != "none"]


class Place(NamedTuple):
    """A file or folder of an archive, as written on the command line."""

    archive: str
    path: str
    version: "Version | None"


def parse_version(text: str | None) -> "Version | None":
    """A version as written on the command line; None for the newest.

    Raises:
        UsageError: It is neither a number, nor could it be a name, nor a time.
    """
    if text is None or text == "latest":
        return None
    if text.isascii() and text.isdigit() and len(text) <= 15:
        return int(text)
    if _TAG.fullmatch(text):
        return text
    try:
        if _DATE.fullmatch(text):
            return datetime.fromisoformat(text)
    except ValueError:
        pass
    raise UsageError(
        f"{text!r} is no version: expected a number, the name of one, or a time as in "
        "2019-03-01T12:00"
    )


def parse_place(text: str, version: str | None = None) -> Place:
    """Read `ARCHIVE[/PATH]`; a link may name a version, as in `dat://KEY+12/path`.

    Raises:
        UsageError: No archive is named, or two versions are.
    """
    match = _KEY.fullmatch(text)
    if match is not None:
        archive, path = match["key"].lower(), match["path"] or "/"
        if match["version"] is not None:
            if version is not None:
                raise UsageError(f"{text!r} names a version, and so does --version: give one")
            version = match["version"]
    else:
        archive, slash, rest = text.removeprefix("dat://").partition("/")
        path = slash + rest or "/"
    if not archive:
        raise UsageError(f"{text!r} names no archive: expected ARCHIVE or ARCHIVE/PATH")
    return Place(archive, path, parse_version(version))
