"""Keys of feeds, their public names, and the links people paste. No cipher, no file."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from datd import crypto
from datd.errors import KeyFormatError

# dat-encoding takes the first run of 64 or more hex digits; exactly 64 make a key (feeds.md 2).
_HEX_RUN = re.compile(r"[0-9a-fA-F]{64,}")
# No archive reaches 2**53 entries, and Python refuses to read numbers of 5,000 digits.
_MAX_VERSION_DIGITS = 16
_AFTER_KEY = re.compile(r"(?:\+(?P<version>[^/?#]+))?(?P<path>/[^?#]*)?")


@dataclass(frozen=True, slots=True)
class DiscoveryKey:
    """The hash of a feed's public key, 32 bytes: its name in public. It does not give the key."""

    raw: bytes

    def __str__(self) -> str:
        return self.raw.hex()


@dataclass(frozen=True)
class Key:
    """The public key of a feed. For an archive it is the link, and so the right to read."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != crypto.KEY_SIZE:
            raise KeyFormatError(f"a key has 32 bytes, this one has {len(self.raw)}")

    @classmethod
    def parse(cls, text: str) -> "Key":
        """Read the key out of any usual form of a link.

        Raises:
            KeyFormatError: There is none.
        """
        return Link.parse(text).key

    @cached_property
    def discovery_key(self) -> DiscoveryKey:
        """The name under which the feed is announced."""
        return DiscoveryKey(crypto.discovery_key(self.raw))

    @property
    def hex(self) -> str:
        """64 lower-case hex digits."""
        return self.raw.hex()

    @property
    def link(self) -> str:
        """`dat://` and the key."""
        return f"dat://{self.raw.hex()}"

    def __repr__(self) -> str:
        # A link is the right to read: logs show the discovery key instead.
        return f"<Key of {self.discovery_key}>"


@dataclass(frozen=True)
class Link:
    """A parsed link.

    Attributes:
        key: The archive's key.
        version: Number of the version that `+N` names, or None.
        path: Path behind the key, starting with `/`, or empty.
    """

    key: Key
    version: int | None = None
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> "Link":
        """Read a link: bare key, `dat:`, `dat://`, in a web address, with `+version` and a path.

        Raises:
            KeyFormatError: The text holds no key, or names a version that is no number.

        Source: dat-encoding 5.0.2 and Beaker's parse-dat-url (feeds.md section 2).
        """
        found = _HEX_RUN.search(text)
        if found is None or len(found.group()) != 64:
            raise KeyFormatError(
                f"{_shown(text)} is not a Dat link: expected 64 hex digits or dat://KEY"
            )
        rest = _AFTER_KEY.match(text, found.end())
        version = rest.group("version") if rest else None
        return cls(
            Key(bytes.fromhex(found.group())),
            parse_version(version, text) if version is not None else None,
            (rest.group("path") or "") if rest else "",
        )


class KnownName(NamedTuple):
    """What a name meant when somebody asked.

    Attributes:
        name: The name, in ASCII and lower case.
        key: The archive.
        expires_at: When it should be asked again, in seconds since 1970.
    """

    name: str
    key: Key
    expires_at: float


def holds_key(text: str) -> bool:
    """Whether a text is taken for a link with a key in it, rather than for one with a name."""
    found = _HEX_RUN.search(text)
    return found is not None and len(found.group()) == 64


def parse_version(version: str, text: str) -> int:
    """The number behind the `+` of a link; `text` is the whole link.

    Raises:
        KeyFormatError: It is no number, or a larger one than any archive reaches.
    """
    if not version.isascii() or not version.isdigit() or len(version) > _MAX_VERSION_DIGITS:
        raise KeyFormatError(
            f"{_shown(text)} names version {_shown(version)}: expected a number, as in dat://KEY+12"
        )
    return int(version)


def _shown(text: str) -> str:
    cut = text if len(text) <= 80 else text[:79] + "…"
    return repr(cut)
