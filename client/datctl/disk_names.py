"""Which names of an archive may become files of this host. Pure: strings only, no disk.

Names in archives are any text their author likes. The reference writes all of them: cloning an
archive with a file `.dat/secret_keys/…` there replaces keys of whoever clones it.
"""

import unicodedata

# What ext4, XFS, APFS and NTFS take.
MAX_COMPONENT = 255
MAX_PATH = 4_096
# Where the reference and we keep keys and feeds; compared without case and invisible characters.
RESERVED_FIRST = frozenset({".dat", ".datd"})
# So begin the names of files that are not complete yet, and of what is noted about a folder.
OWN_PREFIX = ".datctl-"


class UnsafeName(Exception):
    """A name that must not become a file; the text says why."""


def disk_parts(path: str) -> tuple[str, ...]:
    """The components of a path below the folder that is written to.

    Args:
        path: As in the archive, relative to what is fetched; a slash at its beginning is ignored.

    Raises:
        UnsafeName: It must not become a file.
    """
    parts = tuple(path.removeprefix("/").split("/"))
    if len(_encoded(path)) > MAX_PATH:
        raise UnsafeName(f"the path is longer than {MAX_PATH} bytes")
    for part in parts:
        _check_part(part)
    if is_reserved(parts[0]):
        raise UnsafeName("keys and feeds are kept under this name")
    return parts


def is_reserved(first: str) -> bool:
    """Whether a name directly in a folder is that of keys and feeds."""
    return _folded(first) in RESERVED_FIRST


def _check_part(part: str) -> None:
    if part in {"", ".", ".."}:
        raise UnsafeName("a part of the path is empty, . or ..")
    if any(unicodedata.category(character) == "Cc" for character in part):
        raise UnsafeName("the name has control characters")
    if _folded(part).startswith(OWN_PREFIX):
        raise UnsafeName(f"names that begin with {OWN_PREFIX} are used by datctl itself")
    if len(_encoded(part)) > MAX_COMPONENT:
        raise UnsafeName(f"a part of the path is longer than {MAX_COMPONENT} bytes")


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise UnsafeName("the name is no valid Unicode") from None


def _folded(part: str) -> str:
    """The name as a careless file system sees it: HFS+ skips invisible characters, NTFS dots."""
    visible = "".join(c for c in part if unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFKC", visible).casefold().rstrip(". ")
