"""Archives in time: what a page was at a moment, and the list of all it has been.

The address of a page without a version is original resource and time gate in one: asked with
`Accept-Datetime` it leads to the version of that time. `?timemap` lists the versions of a page.

Source: RFC 7089, 4.1.1 (a time gate that is the original resource and redirects) and 5.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import NamedTuple

from datd.http.inputs import shown
from datd.http.problems import Problem

# Where dates of HTTP end: a year has four digits.
_LATEST = 253_402_300_799


class Memento(NamedTuple):
    """One version of a page: its number, and when it was made in seconds since 1970, if known."""

    version: int
    time: float | None


def parse_accept_datetime(text: str) -> float:
    """Seconds since 1970 of an Accept-Datetime header.

    Raises:
        Problem: It is no date of HTTP (RFC 7089, 4.5.3: answered with 400).
    """
    try:
        found = parsedate_to_datetime(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        raise Problem(
            "bad_request",
            f"Accept-Datetime {shown(text)} is no date: expected one such as "
            "Fri, 01 Mar 2019 12:00:00 GMT.",
        ) from None


def http_date(seconds: float | None) -> str | None:
    """A date for a header; None where the number is none."""
    if seconds is None or not 0 < seconds <= _LATEST:
        return None
    return format_datetime(datetime.fromtimestamp(int(seconds), UTC), usegmt=True)


def links(path: str, memento: Memento | None = None) -> str:
    """The Link header of a page: where its other versions are found.

    Args:
        path: Its address without a question mark, percent-encoded.
        memento: The version that the answer is, if it is one.
    """
    found = [
        f'<{path}>; rel="original timegate"',
        f'<{path}?timemap>; rel="timemap"; type="application/link-format"',
    ]
    if memento is not None:
        date = http_date(memento.time)
        when = f'; datetime="{date}"' if date is not None else ""
        found.append(f'<{path}?version={memento.version}>; rel="memento"{when}')
    return ", ".join(found)


def timemap(path: str, mementos: Sequence[Memento], following: int | None) -> str:
    """The list of a page's versions in application/link-format, oldest first.

    Args:
        path: Its address without a question mark, percent-encoded.
        mementos: Versions in which it changed.
        following: The next list begins behind this version; None: this is the end.
    """
    lines = [
        f'<{path}>; rel="original timegate"',
        f'<{path}?timemap>; rel="self"; type="application/link-format"',
    ]
    if following is not None:
        lines.append(
            f'<{path}?timemap&since={following}>; rel="timemap"; type="application/link-format"'
        )
    for memento in mementos:
        date = http_date(memento.time)
        when = f'; datetime="{date}"' if date is not None else ""
        lines.append(f'<{path}?version={memento.version}>; rel="memento"{when}')
    return ",\n".join(lines) + "\n"
