"""Which names of an archive may become names on disk."""

import unicodedata
from typing import Final

# File systems take components of 255 bytes, and calls paths of 4,096.
MAX_COMPONENT: Final = 255
MAX_PATH: Final = 4096

# Where Dat programs and we keep keys and state: a hostile archive names files there.
_OURS: Final = frozenset({".dat", ".datd"})


def safe_path(name: str) -> tuple[str, ...] | None:
    """Take a name apart into components that can be used on disk.

    Args:
        name: As an entry has it, with or without a slash in front.

    Returns:
        One component or more, or None if the name must never be used on disk: a component is empty,
        `.`, `..`, longer than 255 bytes, or holds a control character, a backslash or no
        valid Unicode; the first one is `.dat` or `.datd`, or would be taken for it somewhere.

    Source:
        sleep.md section 9; reliability.md, "Names on disk".
    """
    try:
        if len(name.encode()) > MAX_PATH:
            return None
    except UnicodeEncodeError:
        return None
    components = tuple(name.removeprefix("/").split("/"))
    if not all(map(_is_safe, components)) or _seen_by_others(components[0]) in _OURS:
        return None
    return components


def _is_safe(component: str) -> bool:
    return (
        component not in ("", ".", "..")
        and "\\" not in component
        and len(component.encode()) <= MAX_COMPONENT
        and not any(unicodedata.category(character) == "Cc" for character in component)
    )


def _seen_by_others(component: str) -> str:
    # Folders are moved and shared: some file systems ignore case, invisible characters, other
    # forms of a letter, or dots and spaces at the end.
    visible = "".join(c for c in component if unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFKC", visible).casefold().rstrip(". ")
