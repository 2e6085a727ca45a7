"""Globs as `.datignore` has them, turned into regular expressions. No files, no rules.

What micromatch 3 makes of a line, its habits included: a rule that hides a file from `dat` must
hide it from us. What it understands and we do not is refused, since a line that is passed over
publishes what somebody meant to keep.

Paths and lines are hostile: all stars but two are in atomic groups, which are not tried twice, so
no line takes more than the square of a path's length.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

# `{a,b}{c,d}…` doubles with each pair; nobody writes more than this by hand.
MAX_ALTERNATIVES = 256
# Classes are the only thing with an inside; a line longer than a path can match nothing.
MAX_GLOB_SIZE = 4096

_NOT_HIDDEN = r"(?!\.)"
_STAR = "[^/]*?"
# Any number of components, none of which starts with a dot.
_ACROSS = r"(?:(?!/\.).)*?"
# Stands where a group was expanded: what follows is no plain text to the original. No name has it.
_BORDER = "\0"
_NO_TEXT = ("", "*", "?", "[", "]", ".", "+", _BORDER)
_RANGE = re.compile(r"(-?\d{1,4})\.\.(-?\d{1,4})|([A-Za-z])\.\.([A-Za-z])")
_CLASS = re.compile(r"\[([!^]?)(\]?[^\]/]*)\]")


class GlobError(ValueError):
    """A glob uses what only the original understands; the text says what."""


def translate(glob: str) -> str:
    """Make the regular expression that matches whole relative paths as a glob does.

    Raises:
        GlobError: It is too long, branches too often, or uses `!(…)`, `*(…)`, `+(…)` or a class of
            POSIX.
    """
    if len(glob) > MAX_GLOB_SIZE:
        raise GlobError(f"it is longer than {MAX_GLOB_SIZE} characters")
    alternatives = []
    for alternative in _alternatives(glob.removeprefix("./")):
        alternatives.append(_one(alternative))
        if len(alternatives) > MAX_ALTERNATIVES:
            raise GlobError(f"its braces make more than {MAX_ALTERNATIVES} patterns")
    return "|".join(alternatives)


def _alternatives(glob: str) -> Iterator[str]:
    """Expand the first group; what lies behind it is expanded by further calls."""
    at = _first_group(glob)
    if at is None:
        yield glob
        return
    start, end, choices = at
    for choice in choices:
        yield from _alternatives(glob[:start] + choice + glob[end:])


def _first_group(glob: str) -> tuple[int, int, list[str]] | None:
    """Where the first `{…}` or `(…)` with something to choose lies, and its choices."""
    position = 0
    while position < len(glob):
        letter = glob[position]
        if letter == "\\":
            position += 2
            continue
        if letter == "[" and (found := _CLASS.match(glob, position)):
            position = found.end()
            continue
        if letter in "{(":
            group = _group(glob, position)
            if group is not None:
                return group
        position += 1
    return None


def _group(glob: str, start: int) -> tuple[int, int, list[str]] | None:
    opening = glob[start]
    closing, separator = ("}", ",") if opening == "{" else (")", "|")
    depth, begin, parts = 0, start + 1, []
    for position in range(start, len(glob)):
        letter = glob[position]
        if glob[position - 1 : position] == "\\":
            continue
        if letter == opening:
            depth += 1
        elif letter == closing:
            depth -= 1
            if depth == 0:
                parts.append(glob[begin:position])
                return _choices(glob, start, position + 1, parts)
        elif letter == separator and depth == 1:
            parts.append(glob[begin:position])
            begin = position + 1
    return None


def _choices(
    glob: str, start: int, end: int, parts: list[str]
) -> tuple[int, int, list[str]] | None:
    if glob[start] == "{":
        if len(parts) == 1:
            found = _RANGE.fullmatch(parts[0])
            if found is None:
                return None
            parts = list(_counted(found))
        # The original does not cross folders inside of braces.
        return start, end, [_BORDER + part.replace("**", "*") + _BORDER for part in parts]
    sign = glob[start - 1] if start and glob[start - 2 : start - 1] != "\\" else ""
    if sign and sign in "!*+":
        raise GlobError(f"datd does not know {sign}(…)")
    if sign == "?":
        return start - 1, end, ["", *parts]
    return start - (sign == "@"), end, [f"{_BORDER}{part}{_BORDER}" for part in parts]


def _counted(found: re.Match[str]) -> Iterator[str]:
    low, high, first, last = found.groups()
    if low is not None:
        ends = sorted((int(low), int(high)))
        if ends[1] - ends[0] >= MAX_ALTERNATIVES:
            raise GlobError(f"{{{found[0]}}} makes more than {MAX_ALTERNATIVES} patterns")
        yield from map(str, range(ends[0], ends[1] + 1))
    else:
        codes = sorted((ord(first), ord(last)))
        yield from map(chr, range(codes[0], codes[1] + 1))


class _Component:
    """One part between slashes, as pieces between its stars."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.is_globstar = text == "**"
        self.is_dotted = text.startswith(".") and not text.startswith("..")
        self.starts_with_text = text[:1] not in _NO_TEXT
        self.ends_with_text = text[-1:] not in _NO_TEXT
        self.pieces: list[str] = [""]
        self._read(text)

    def _read(self, text: str) -> None:
        position = 0
        while position < len(text):
            letter = text[position]
            if letter == "*":
                if self.pieces[-1] or len(self.pieces) == 1:
                    self.pieces.append("")
            elif letter == "?":
                self.pieces[-1] += r"[^./]" if position == 0 else "[^/]"
            elif letter == "[" and (found := _CLASS.match(text, position)):
                self.pieces[-1] += _character_class(found)
                position = found.end() - 1
            elif letter == "+" and text[position - 1 : position].isalnum():
                self.pieces[-1] += r"+\+?"  # the original lets it through, nearly
            elif letter == _BORDER:
                pass
            elif letter == "\\" and position + 1 < len(text):
                position += 1
                self.pieces[-1] += re.escape(text[position])
            else:
                self.pieces[-1] += re.escape(letter)
            position += 1

    def expression(self, *, dotted: bool) -> str:
        first, *others = self.pieces
        if not others:
            return first
        start = "" if first else ("(?=[^/])" if dotted else r"(?=[^/.])")
        middle = "".join(f"(?>{_STAR}{piece})" for piece in others[:-1])
        return f"{start}{first}{middle}{_STAR}{others[-1]}"


def _character_class(found: re.Match[str]) -> str:
    negated, inside = found.groups()
    if inside.startswith("[:") or "[:" in inside:
        raise GlobError("datd does not know classes such as [:alpha:]")
    if not inside:
        return re.escape(found[0])
    body = re.sub(r"([\\\[\]^&~|])", r"\\\1", inside)
    expression = f"[^{body}./]" if negated else f"[{body}]"
    try:
        re.compile(expression)
    except re.error:
        raise GlobError(f"{found[0]} is no class of characters") from None
    return expression


def _one(glob: str) -> str:
    """Translate a glob without groups."""
    components = [_Component(text) for text in _split(glob)]
    runs: list[_Run] = [_Run("")]
    dotted = False
    for index, component in enumerate(components):
        if component.is_globstar:
            before = components[index - 1] if index else None
            after = components[index + 1] if index + 1 < len(components) else None
            runs.append(_across(runs[-1], before, after))
            continue
        dotted = dotted or component.is_dotted
        run = runs[-1]
        if index and not run.swallows_slash:
            run.expression += "/"
        run.swallows_slash = False
        run.expression += component.expression(dotted=dotted)
        run.is_loose = run.is_loose or component.is_dotted
    first, *others = runs
    return (
        first.expression
        + "".join(_middle(others[:-1]))
        + "".join(run.expression for run in others[-1:])
    )


@dataclass(slots=True)
class _Run:
    """What lies between one `**` and the next, beginning with the stars.

    Attributes:
        expression: What matches it.
        swallows_slash: It ends with the stars and the slash behind them.
        is_loose: Its leftmost place may not do, so it has to be tried at others.
    """

    expression: str
    swallows_slash: bool = False
    is_loose: bool = False


def _middle(runs: list[_Run]) -> Iterator[str]:
    # Whatever lies between two stars is as good at its leftmost place as at any other, and need be
    # tried nowhere else. Loose ones are the exception, of which one is all that time allows.
    tried = 0
    for run in runs:
        tried += run.is_loose
        yield run.expression if run.is_loose and tried == 1 else f"(?>{run.expression})"


def _across(run: _Run, before: "_Component | None", after: "_Component | None") -> _Run:
    """Begin the run of a `**`; what comes before it gets the slash between them."""
    stars = f"{_NOT_HIDDEN}{_ACROSS}"
    if before is None:
        return _Run(stars) if after is None else _Run(f"(?:{stars}/)??", swallows_slash=True)
    if after is None:
        if not run.swallows_slash:
            run.expression += "/"
        return _Run(stars)
    # Some of the slashes around it may be absent, as in the original.
    if before.ends_with_text:
        run.is_loose = True
        word = "" if after.starts_with_text else r"\b"
        return _Run(f"/?{word}{stars}/", swallows_slash=True)
    if not run.swallows_slash:
        run.expression += "/"
    may_miss = after.starts_with_text or (after.text[:1] == "*" and not after.is_globstar)
    return _Run(f"{stars}/?" if may_miss else f"{stars}/", swallows_slash=True)


def _split(glob: str) -> list[str]:
    """Cut at slashes; `**/**/` is `**/`."""
    parts = glob.split("/")
    return [
        part
        for number, part in enumerate(parts)
        if part != "**" or parts[number + 1 : number + 2] != ["**"] or number + 2 == len(parts)
    ]
