"""What an address of the gateway names: an archive, a version of it, and a path. No look-up here.

Each archive is an origin of its own in a browser, so that pages of one cannot read another (T-46):
`<52 base32 digits>.localhost`, the same below a configured domain, or the domain that an archive
has. One version of it is `<52 digits>-<number>.localhost`, so that relative links stay within the
version. `localhost/KEY/path` is for programs; browsers are led from there to the archive's origin.
"""

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from aiohttp import web

from datd.http.inputs import shown
from datd.http.listener import is_loopback
from datd.http.problems import Problem
from datd.http.version_names import split_link
from datd.keys import Key
from datd.naming.names import host_name

LOCAL = ("localhost", "127.0.0.1", "::1")
# The digits of RFC 4648: 64 of hexadecimal do not fit into a label of a domain.
_LABEL = re.compile(r"([a-z2-7]{52})(?:-([0-9]{1,10}))?")
_HEX = re.compile(r"[0-9A-Fa-f]{64}")
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^:\[\]]*)(?P<port>:[0-9]{1,5})?")
# dat-store's clients put this before the key.
_ALIAS = "gateway"


@dataclass(frozen=True, slots=True)
class Site:
    """What an address names.

    Attributes:
        reference: The archive: 64 hex digits, or a name.
        version: What stands for a version in the address; None if nothing does.
        prefix: The beginning of the path that says so: "" on an origin of its own, else "/KEY+5".
        path: The rest as it was sent, in percent encoding, with the slash at its start.
        by_domain: Whether it is the archive's own domain.
        origins: Where the archive has an origin of its own: "localhost:3473"; None: nowhere.
        embeds: Whether pages elsewhere may show what lies here, as they can anywhere in the web.
    """

    reference: str
    version: str | None
    prefix: str
    path: str
    by_domain: bool = False
    origins: str | None = None
    embeds: bool = False

    @property
    def own_origin(self) -> bool:
        """Whether no other archive shares its origin."""
        return not self.prefix


class Origins:
    """The hosts that are ours, and what they stand for."""

    def __init__(self, hosts: Sequence[str], domain_key: Callable[[str], str | None]) -> None:
        """Answer for localhost, and for more.

        Args:
            hosts: Names that are ours: `gateway.example` for addresses with the key in the path,
                `*.gateway.example` also for an origin of each archive.
            domain_key: The key (hex) of the archive that has a domain; None: there is none.
        """
        self._wild = {"localhost", *(host[2:].lower() for host in hosts if host.startswith("*."))}
        self._plain = {*LOCAL, *self._wild, *(host.lower() for host in hosts)}
        self._domain_key = domain_key

    def read(self, request: web.Request) -> Site | None:
        """What the address of a request names; None: the gateway itself.

        Raises:
            Problem: The host is none of ours (T-39), or the address names nothing.
        """
        host, port = _host(request)
        raw = request.rel_url.raw_path
        label, _, base = host.partition(".")
        if base in self._wild:
            return _of_label(label, host, raw)
        key = self._domain_key(host)
        if key is not None:
            return Site(key, None, "", raw, by_domain=True)
        if host not in self._plain and host != _called_address(request):
            raise Problem(
                "wrong_host",
                f"The Host header names {shown(host)}, which is neither this gateway nor the "
                "domain of an archive here; the setting gateway.hosts allows more names.",
            )
        site = _of_path(raw)
        if site is None:
            return None
        if host in LOCAL:
            return replace(site, origins=f"localhost{port}")
        if host in self._wild:
            return replace(site, origins=f"{host}{port}")
        return replace(site, embeds=not is_loopback(host))


def label_of(key: Key, version: int | None = None) -> str:
    """The label of an archive, or of one version of it, before the domain of a gateway."""
    label = base64.b32encode(key.raw).decode("ascii").rstrip("=").lower()
    return label if version is None else f"{label}-{version}"


def _of_label(label: str, host: str, raw: str) -> Site:
    found = _LABEL.fullmatch(label)
    raw_key = base64.b32decode(f"{found[1].upper()}====") if found is not None else b""
    # The last digit holds one bit of the key: with other bits it would be a second origin.
    if found is None or label_of(Key(raw_key)) != found[1]:
        raise Problem(
            "wrong_host",
            f"{shown(host)} names no archive: its first part has to be a key in 52 digits of "
            "base32; /KEY/ at the gateway itself leads there.",
        )
    return Site(raw_key.hex(), found[2], "", raw)


def _of_path(raw: str) -> Site | None:
    first, slash, rest = raw.removeprefix("/").partition("/")
    prefix = f"/{first}"
    if first == _ALIAS and _HEX.match(rest):
        first, slash, rest = rest.partition("/")
        prefix = f"{prefix}/{first}"
    if not first:
        return None
    # `+` may have come as %2B; nothing else in a key or name needs an encoding.
    reference, version = split_link(first.replace("%2B", "+").replace("%2b", "+"))
    if _HEX.fullmatch(reference):
        reference = reference.lower()
    return Site(reference, version, prefix, slash + rest)


def _host(request: web.Request) -> tuple[str, str]:
    """The name in the Host header, and `:port` as it stands behind it."""
    given = request.headers.getall("Host", [])
    if len(given) == 1 and not request.raw_path.startswith("/"):
        # An address in absolute form says itself whose it is (RFC 9112, 3.2.2).
        given = [request.url.raw_authority]
    found = _HOST.fullmatch(given[0].strip().lower()) if len(given) == 1 else None
    if found is None:
        raise Problem("wrong_host", "A request needs exactly one Host header.")
    name = found["name"].strip("[]").rstrip(".")
    return host_name(name) or name, found["port"] or ""


def _called_address(request: web.Request) -> str:
    # An address in digits cannot be rebound, if it is the one that was really called.
    name = request.transport.get_extra_info("sockname") if request.transport is not None else None
    return str(name[0]) if isinstance(name, tuple) else ""
