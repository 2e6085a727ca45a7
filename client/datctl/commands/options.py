"""Options that several verbs share, and how `ARCHIVE/PATH` is read."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NamedTuple

from cyclopts import Parameter

from datctl.errors import UsageError

if TYPE_CHECKING:
    from datctl.client import Client

_KEY = re.compile(
    r"(?:dat:(?://)?|[a-z]+://[^/]+/)?(?P<key>[0-9a-fA-F]{64})(?:\+(?P<version>[0-9]{1,15}))?"
    r"(?P<path>/.*)?",
    re.DOTALL,
)


@dataclass(frozen=True)
class Daemon:
    """Which daemon to talk to, as the options before or behind the verb say."""

    api: str | None = None
    token: str | None = None

    def client(self) -> "Client":
        """A client for it, to be opened."""
        from datctl.client import Client  # its models cost a quarter of a second

        return Client(self.api, token=self.token)


DaemonOption = Annotated[Daemon, Parameter(parse=False)]
ArchiveArgument = Annotated[
    str, Parameter(help="A link, a key, a unique beginning of a key (6 digits or more), or a name.")
]
JsonOption = Annotated[
    bool, Parameter(negative=(), show_default=False, help="Print one JSON document.")
]
WaitForPeers = Annotated[
    float,
    Parameter(help="Seconds to wait for what has to come from peers first.", name="--wait"),
]
VersionOption = Annotated[
    int | None, Parameter(help="Of this version of the archive instead of the newest.")
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
    version: int | None


def parse_place(text: str, version: int | None = None) -> Place:
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
            version = int(match["version"])
    else:
        archive, slash, rest = text.removeprefix("dat://").partition("/")
        path = slash + rest or "/"
    if not archive:
        raise UsageError(f"{text!r} names no archive: expected ARCHIVE or ARCHIVE/PATH")
    return Place(archive, path, version)
