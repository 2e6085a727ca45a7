"""Which text is a name: `example.org`, `dat://example.org+12/path`, a link of the web. Pure.

Source: discovery.md section 11; the parts of a link as Beaker's parse-dat-url cuts them.
"""

import re
from dataclasses import dataclass

import idna

from datd.keys import holds_key, parse_version

# RFC 1035, 2.3.4. Longer texts are not even looked at: encoding them is slow.
MAX_HOST = 253
_LINK = re.compile(
    r"(?:dat:(?://)?|https?://)?(?P<host>[^/?#]*?)(?:\+(?P<version>[^/?#+]+))?"
    r"(?P<path>/[^?#]*)?(?:[?#].*)?",
    re.IGNORECASE | re.DOTALL,
)
_PAGE = re.compile(r"https://", re.IGNORECASE)
# URL standard, host parser: a last label of digits is an IPv4 address in one of its many spellings.
_LAST_LABEL = re.compile(r"[a-z][a-z0-9-]*")


@dataclass(frozen=True, slots=True)
class Named:
    """A link whose host is a name.

    Attributes:
        host: The name in ASCII and lower case, without the dot of the root.
        version: Number of the version that `+N` names, or None.
        path: Path behind the name, starting with `/`, or empty.
        page: The whole link, if it is one of the web: the page may know more than its host does.
    """

    host: str
    version: int | None = None
    path: str = ""
    page: str | None = None


def parse(text: str) -> Named | None:
    """Read a link with a name in it.

    Args:
        text: Whatever somebody pasted, of any length.

    Returns:
        Its parts; None if its host is no name, or if it holds a key.

    Raises:
        KeyFormatError: It names a version that is no number.
    """
    text = text.strip()
    found = _LINK.fullmatch(text)
    host = host_name(found["host"]) if found is not None else None
    if found is None or host is None or holds_key(text):
        return None
    version = found["version"]
    return Named(
        host,
        parse_version(version, text) if version is not None else None,
        found["path"] or "",
        text if version is None and _PAGE.match(text) else None,
    )


def host_name(text: str) -> str | None:
    """A domain as it is asked for: ASCII, lower case, without the dot of the root.

    Returns:
        None for what is no domain with a dot in it: an address in digits, `localhost`, a port or
        a user name, letters that no domain has.
    """
    bare = text.strip()
    if not 0 < len(bare) <= MAX_HOST + 1:
        return None
    try:
        host = idna.encode(bare, uts46=True, std3_rules=True).decode("ascii").removesuffix(".")
    except UnicodeError:
        return None
    _, dot, last = host.rpartition(".")
    if not dot or len(host) > MAX_HOST or not _LAST_LABEL.fullmatch(last):
        return None
    return host
