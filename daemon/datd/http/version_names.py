"""What stands for a version in a request: its number, a time, or a name that somebody gave it."""

import re
from datetime import datetime
from typing import Annotated

from aiohttp import web
from pydantic import StringConstraints

from datd.errors import VersionNotFound
from datd.hosting.archive import HostedArchive
from datd.hosting.versions import Versions
from datd.http.inputs import shown
from datd.http.problems import Problem
from datd.records import Record

# No version tag is longer, nor any number.
VersionText = Annotated[str, StringConstraints(min_length=1, max_length=64)]

_NUMBER = re.compile("[0-9]{1,16}")
# As in `datctl.models.VersionTag`.
_TAG = re.compile("[A-Za-z_][A-Za-z0-9._-]*")
_NO_VERSION = 2**53
# RFC 3339, 5.6. Behind a question mark the + of an offset arrives as a space.
_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(\.\d{1,6})?\d*(?:([Zz])|([+ -])(\d{2}:\d{2}))",
    re.ASCII,
)
# A version behind the archive in a link: dat://KEY+12/path, name+tag, https://dat.example/KEY+12.
_LINK = re.compile(
    r"(?P<archive>(?:[A-Za-z]+:(?://)?)?[^+/?#:]+|.*(?<![0-9A-Fa-f])[0-9A-Fa-f]{64})"
    r"\+(?P<version>[^+/?#]+)(?P<rest>[/?#].*)?",
    re.DOTALL,
)


async def find_version(
    versions: Versions, archive: HostedArchive, asked: str | int | None, *, wait: float = 30
) -> int | None:
    """The number of the version that a request means; None if it names none.

    Args:
        versions: Knows what was when.
        archive: Of which.
        asked: A number, also in digits; a tag; "latest", which is the newest version, as in links;
            or a time of RFC 3339.
        wait: Seconds to wait for blocks that have to come from peers.

    Raises:
        VersionNotFound: There is no such tag.
        Problem: It is nothing of all this.
        Timeout: No peer gave what tells the time of versions.
    """
    time = _time(asked) if isinstance(asked, str) else None
    if time is not None:
        return await versions.at(archive, time, wait=wait)
    return version_of(archive.record, asked)


def version_of(record: Record, asked: str | int | None) -> int | None:
    """The number of a version that a number or a tag names; None if none was asked for.

    Raises:
        VersionNotFound: There is no such tag.
        Problem: It is neither a number nor could it be a tag.
    """
    if asked is None or isinstance(asked, int):
        return asked
    if _NUMBER.fullmatch(asked) and int(asked) < _NO_VERSION:
        return int(asked)
    if not _TAG.fullmatch(asked):
        raise Problem(
            "bad_request",
            f"{shown(asked)} is no version: expected a number, the name of one, or a time as in "
            "2019-03-01T12:00:00Z.",
        )
    if asked in record.version_tags:
        return record.version_tags[asked]
    if asked.lower() == "latest":
        return None
    raise VersionNotFound(f"no version is called {shown(asked)} here")


def split_link(link: str) -> tuple[str, str | None]:
    """Cut the version out of a link; None if it names none."""
    found = _LINK.fullmatch(link)
    if found is None:
        return link, None
    return found["archive"] + (found["rest"] or ""), found["version"]


def asked_version(request: web.Request, archive: HostedArchive, asked: str | None) -> str | None:
    """The version that a request names: by its parameter, or behind the archive in its path.

    Raises:
        Problem: It names two.
    """
    reference = request.match_info["key"]
    _, version = split_link(reference) if reference != archive.record.name else ("", None)
    if version is None or version == asked:
        return asked
    if asked is not None:
        raise Problem(
            "bad_request",
            f"The link names version {shown(version)}, and so does `version`: give one of them.",
        )
    return version


def _time(text: str) -> float | None:
    """Seconds since 1970, if the text is a time.

    Raises:
        Problem: It looks like one, and is none.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    date, clock, fraction, utc, sign, offset = found.groups()
    zone = "+00:00" if utc else f"{'-' if sign == '-' else '+'}{offset}"
    try:
        return datetime.fromisoformat(f"{date}T{clock}{fraction or ''}{zone}").timestamp()
    except (ValueError, OverflowError):
        raise Problem("bad_request", f"{shown(text)} is a time that never was.") from None
