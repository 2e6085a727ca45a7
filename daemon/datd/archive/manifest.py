"""`/dat.json`: what an archive says of itself, made harmless to show. No feed, no file.

Source: archives.md section 10; the author is a stranger (reliability.md T-30).
"""

import json
import re
import unicodedata
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NoReturn

MANIFEST_PATH = "/dat.json"
# Real ones have a few hundred bytes; the whole is parsed and held in memory.
MAX_MANIFEST_SIZE = 256 * 1024
# `links` and `author` need four levels.
MAX_MANIFEST_DEPTH = 32
# A title is a line, a description a paragraph.
MAX_TEXT_LENGTH = 1000
# Of lists: kinds of site, relations of links.
MAX_LIST_LENGTH = 100

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")
# Colours, cursor moves, window titles: what a terminal would obey.
_ESCAPE_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x9b[0-?]*[ -/]*[@-~]|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\x9c|$)|\x1b.?",
    re.DOTALL,
)
# Controls, invisible signs (those that turn the direction of writing among them), half surrogates.
_UNFIT_CATEGORIES = ("Cc", "Cf", "Cs")
# Two invisible signs stay: they make one emoji or ligature out of several.
_JOINERS = "\u200c\u200d"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The fields of `/dat.json` that are known, cleaned; absent ones are empty.

    Attributes:
        title: One line for people.
        description: One paragraph for people.
        url: The link the author wrote; not to be trusted, a copied archive names the original.
        type: Kinds of site.
        author: Name of the author.
        web_root: Folder that serves as `/` on the web: components joined by `/`, never upwards.
        fallback_page: Page shown for paths that do not exist, in the same form.
        content_security_policy: Header value for viewers.
        links: Relation → what the author wrote there.
        other: Fields that are not known, as written, but for unpaired surrogates.
    """

    title: str = ""
    description: str = ""
    url: str = ""
    type: tuple[str, ...] = ()
    author: str = ""
    web_root: str = ""
    fallback_page: str = ""
    content_security_policy: str = ""
    links: dict[str, Any] = field(default_factory=dict)
    other: dict[str, Any] = field(default_factory=dict)


def parse_manifest(data: bytes) -> Manifest | None:
    """Read a manifest.

    Args:
        data: The whole file.

    Returns:
        What it says; None if it is no JSON object, larger than 256 KiB or nested deeper than 32:
        such a file counts as absent.
    """
    if len(data) > MAX_MANIFEST_SIZE or _depth(data) > MAX_MANIFEST_DEPTH:
        return None
    try:
        found = json.loads(data.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except ValueError:  # also text that is no UTF-8, and numbers of too many digits
        return None
    if not isinstance(found, dict):
        return None
    fields = _paired(found)
    author = fields.pop("author", "")
    kinds = fields.pop("type", [])
    links = fields.pop("links", {})
    return Manifest(
        title=clean(fields.pop("title", "")),
        description=clean(fields.pop("description", "")),
        url=clean(fields.pop("url", "")),
        type=_kinds(kinds),
        author=clean(author.get("name", "") if isinstance(author, dict) else author),
        web_root=_inside(fields.pop("web_root", "")),
        fallback_page=_inside(fields.pop("fallback_page", "")),
        content_security_policy=clean(fields.pop("content_security_policy", "")),
        links=dict(list(links.items())[:MAX_LIST_LENGTH]) if isinstance(links, dict) else {},
        other=fields,
    )


def clean(text: object) -> str:
    """Make a stranger's text safe to print on one line of a terminal or page.

    Escape sequences, control characters and those that turn the direction of writing go, blanks
    and line ends become single blanks, and it is cut to 1,000 characters. What is no text is "".
    """
    if not isinstance(text, str):
        return ""
    words = " ".join(_ESCAPE_SEQUENCE.sub("", text).split())
    fit = (s for s in words if s in _JOINERS or unicodedata.category(s) not in _UNFIT_CATEGORIES)
    return "".join(islice(fit, MAX_TEXT_LENGTH)).strip()


def _depth(data: bytes) -> int:
    # json recurses: what is too deep must not reach it. Strings are found as json finds them, so
    # no bracket counts too little.
    depth = deepest = 0
    for bracket in _BRACKET.finditer(_STRING.sub(b"", data)):
        if bracket.group() in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")  # NaN and Infinity: Python takes them, nobody else does


def _paired(value: Any) -> Any:
    # Half a surrogate pair, written as \ud800, cannot be sent on as UTF-8.
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_paired(item) for item in value]
    if isinstance(value, dict):
        return {_paired(key): _paired(item) for key, item in value.items()}
    return value


def _kinds(value: Any) -> tuple[str, ...]:
    # Beaker wrote a list; older files have one string of words.
    words = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
    return tuple(kind for word in words[:MAX_LIST_LENGTH] if (kind := clean(word)))


def _inside(path: Any) -> str:
    # Upwards stops at the archive's root, as everywhere in hyperdrive.
    if not isinstance(path, str) or len(path) > MAX_TEXT_LENGTH:
        return ""
    parts: list[str] = []
    for part in path.replace("\\", "/").split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
