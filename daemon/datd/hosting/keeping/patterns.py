"""What a sparse archive is to hold without being asked: patterns, each of some versions.

A pattern is one line as in a `.gitignore`, against the path in the archive: `/data/**` is anchored
at the top, `*.csv` is not, `!` takes out again what an earlier line took in. Without more it means
the newest version (or the one that the archive is pinned to). Put before it, versions of its own:

    +5:/data/**       as it was in version 5
    +5-9:/data/**     all that was in it in any of the versions 5 to 9
    +5-:/data/**      from version 5 on, the newest included
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pathspec import PathSpec, Pattern

# Matching is done by backtracking, and names are a stranger's choice: these bounds keep the worst
# path below a millisecond. Longer names are never taken; no file system would take them either.
MAX_STARS_IN_NAME: Final = 2
MAX_DOUBLE_STARS: Final = 2
MAX_NAME_LENGTH: Final = 255
MAX_PATH_LENGTH: Final = 4096

_VERSIONS: Final = re.compile(r"\+([0-9]{1,16})(-([0-9]{1,16})?)?:(.*)", re.DOTALL)
_STARS: Final = re.compile(r"\*+")

# In place of a first and a last version: the newest one, whichever that is.
NEWEST: Final = (0, None)

Versions = tuple[int, int | None]


@dataclass(frozen=True, slots=True)
class Part:
    """Patterns that mean the same versions.

    Attributes:
        versions: The first one and the last one, None for all to come.
    """

    versions: Versions
    spec: PathSpec[Pattern]

    def matches(self, path: str) -> bool:
        """Whether a path, starting with `/`, is wanted."""
        if len(path) > MAX_PATH_LENGTH:
            return False
        inner = path.lstrip("/")
        if len(inner) > MAX_NAME_LENGTH and max(map(len, inner.split("/"))) > MAX_NAME_LENGTH:
            return False
        return bool(self.spec.match_file(inner))


@dataclass(frozen=True, slots=True)
class Patterns:
    """All patterns of an archive.

    Attributes:
        newest: Those of the newest version, if there are any.
        older: Those of versions of their own.
    """

    newest: Part | None
    older: tuple[Part, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing is wanted without being asked for."""
        return self.newest is None and not self.older


def parse(lines: Iterable[str]) -> Patterns:
    """Understand patterns.

    Raises:
        ValueError: One makes no sense. The text names it and says what to write instead.
    """
    groups: dict[Versions, list[str]] = {}
    for line in lines:
        versions, pattern = _versions(line)
        _check(line, pattern)
        groups.setdefault(versions, []).append(pattern)
    newest = groups.pop(NEWEST, None)
    return Patterns(
        Part(NEWEST, _compiled(newest)) if newest is not None else None,
        tuple(Part(versions, _compiled(group)) for versions, group in groups.items()),
    )


def _versions(line: str) -> tuple[Versions, str]:
    found = _VERSIONS.fullmatch(line)
    if found is None:
        return NEWEST, line
    first = int(found[1])
    last = first if found[2] is None else int(found[3]) if found[3] else None
    if first < 1 or (last is not None and last < first):
        raise ValueError(f"{line!r}: write the lower version first, from 1 on, as in `+5-9:/a/**`")
    return (first, last), found[4]


def _check(line: str, pattern: str) -> None:
    names = pattern.split("/")
    if not pattern.strip() or pattern.startswith("#") or "\n" in pattern:
        raise ValueError(f"{line!r} is no pattern: write one like `/data/**` or `*.csv`")
    if sum("**" in name for name in names) > MAX_DOUBLE_STARS:
        raise ValueError(f"{line!r} has more than {MAX_DOUBLE_STARS} `**`: split it into several")
    if any(len(_STARS.findall(name)) > MAX_STARS_IN_NAME for name in names):
        raise ValueError(
            f"{line!r} has more than {MAX_STARS_IN_NAME} `*` between slashes: split it into several"
        )
    try:
        _compiled([pattern])
    except (ValueError, re.error) as error:
        raise ValueError(f"{line!r} is no pattern: {error}") from error


def _compiled(patterns: Sequence[str]) -> PathSpec[Pattern]:
    return PathSpec.from_lines("gitignore", patterns)
