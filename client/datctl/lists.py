"""Lists of links as people and other seeders keep them. Pure: text in, links out.

Read are: text with a link on each line; JSON, as in dat-store's `urls.json` (an array of links), in
the answers of pinning services (objects with `url`) and of `datctl list --json`; homebase's
`.homebase.yml`, of whose YAML only the plain blocks that homebase and its manual write.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from datctl.errors import DatdError

# Where objects have their links, and where documents have the objects.
_LINK_FIELDS = ("link", "url", "key")
_LIST_FIELDS = ("archives", "dats", "items", "urls")
# Of homebase; the second one since its third version.
_SECTION = re.compile(r"(?P<section>dats|hyperdrives)\s*:\s*(?P<rest>.*)")
_ITEM = re.compile(r"(?P<dash>\s*-\s+)(?P<rest>.*)")
_FIELD = re.compile(r"(?P<name>[A-Za-z]+)\s*:(?:\s+(?P<value>.*))?$")
_FANCY = tuple("[{&*!|>%@`")


class Listed(NamedTuple):
    """One link of a list.

    Attributes:
        where: "line 3", for messages.
        link: As it stands there.
        name: To call the archive by, if one stands there.
        tags: To find it by.
    """

    where: str
    link: str
    name: str | None = None
    tags: Sequence[str] = ()


def read_list(text: str) -> list[Listed]:
    """All links of a list, in its order, each once.

    Raises:
        DatdError: It is of none of the known kinds.
    """
    if text.lstrip()[:1] in ("[", "{"):
        found = list(_from_json(text))
    elif any(_SECTION.match(line) for line in text.splitlines()):
        found = list(_from_homebase(text))
    else:
        found = list(_from_lines(text))
    once: dict[str, Listed] = {}
    for item in found:
        once.setdefault(item.link, item)
    return list(once.values())


def _from_lines(text: str) -> Iterator[Listed]:
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if words and not words[0].startswith("#"):
            yield Listed(f"line {number}", words[0])


def _from_json(text: str) -> Iterator[Listed]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        document = _json_lines(text)
        if document is None:
            raise DatdError(f"the list is no JSON: {error}") from error
    if isinstance(document, dict):
        inner = [document[name] for name in _LIST_FIELDS if isinstance(document.get(name), list)]
        document = inner[0] if inner else [document]
    for number, item in enumerate(document, 1):
        yield _from_item(f"item {number}", item)


def _json_lines(text: str) -> list[Any] | None:
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        return None


def _from_item(where: str, item: Any) -> Listed:
    if isinstance(item, str) and item.strip():
        return Listed(where, item.strip())
    if isinstance(item, dict):
        for field in _LINK_FIELDS:
            if isinstance(item.get(field), str) and item[field].strip():
                name, tags = item.get("name"), item.get("tags")
                return Listed(
                    where,
                    item[field].strip(),
                    name if isinstance(name, str) and name else None,
                    [str(tag) for tag in tags] if isinstance(tags, list) else (),
                )
    raise DatdError(f"{where} of the list names no link: expected a text, or an object with `url`")


def _from_homebase(text: str) -> Iterator[Listed]:
    """The entries below `dats:`, each a block of fields."""
    inside, where, dash = False, "", -1
    fields: dict[str, str] = {}
    for number, raw in enumerate([*text.splitlines(), "end:"], 1):
        line = re.sub(r"(^|\s)#.*", "", raw).rstrip()
        if not line or line == "---":
            continue
        item, margin = _ITEM.fullmatch(line), len(line) - len(line.lstrip())
        begins = inside and item is not None and dash in (-1, margin)
        if begins or (margin == 0 and item is None):
            if "url" in fields:
                yield Listed(where, fields["url"], fields.get("name"))
            fields = {}
        if margin == 0 and item is None:
            section, dash = _SECTION.fullmatch(line), -1
            inside = section is not None
            if section is not None and section["rest"] not in ("", "[]", "null", "~"):
                raise _unread(number)
        elif inside:
            if item is not None and not begins:
                continue  # an element of a list within the entry: its domains
            where = f"line {number}" if begins or not fields else where
            dash = margin if begins else dash
            _take(fields, item["rest"] if item is not None else line.strip(), number)


def _take(fields: dict[str, str], text: str, number: int) -> None:
    field = _FIELD.fullmatch(text)
    name, value = (field["name"], field["value"] or "") if field else ("url", text)
    if name in ("url", "name") and name not in fields:
        plain = value.strip("\"'")
        if value.startswith(_FANCY) or not plain:
            raise _unread(number)
        fields[name] = plain


def _unread(number: int) -> DatdError:
    return DatdError(
        f"line {number} of the list is YAML of a kind that is not read here: write the links into "
        "a text file, one on each line"
    )
