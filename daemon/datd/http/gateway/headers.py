"""What each answer tells a browser: whose it is, what it may load, and for how long it holds."""

from datd.archive.manifest import Manifest
from datd.http.gateway.origins import Site
from datd.http.problems import SAFE_HEADERS
from datd.keys import Key

# T-46. No page elsewhere may load it (Resource-Policy) or hold a handle to it (Opener-Policy); and
# `document.domain` does not make one origin of two archives below one domain (Agent-Cluster).
PLAIN = SAFE_HEADERS | {
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Origin-Agent-Cluster": "?1",
}
# What lies in an archive came from the open web, though its address is of this host: the browser is
# to ask before such a page reaches other servers of this host or its network.
_OWN = "frame-ancestors 'self'; treat-as-public-address"
# Where archives share an origin a page may do nothing: no script, no form, no origin at all.
_SHARED = "sandbox; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

IMMUTABLE = "public, max-age=31536000, immutable"
# What tells a browser from a program.
LED = ("Accept", "Sec-Fetch-Mode")
# The newest version may change at any time; with the ETag asking again is cheap.
REVALIDATE = "public, no-cache"


def archive_headers(key: Key, site: Site, manifest: Manifest | None) -> dict[str, str]:
    """Headers of everything that comes out of an archive."""
    policies = [_OWN if site.own_origin else _SHARED]
    if manifest is not None and _fits(manifest.content_security_policy):
        # Policies add up (CSP, 4.1): what the author says can forbid more, never allow.
        policies.append(manifest.content_security_policy)
    headers = PLAIN | {
        "Content-Security-Policy": ", ".join(policies),
        "Hyperdrive-Key": key.hex,
    }
    if not site.own_origin:
        # A sandbox and a policy on openers exclude one another: a browser would have to show
        # nothing (HTML, 7.4.5).
        headers["Cross-Origin-Opener-Policy"] = "unsafe-none"
    if site.origins is not None:
        # Browsers are led elsewhere, so a cache must not give them what a program was given.
        vary(headers, *LED)
    if site.embeds:
        # Sandboxed pages have no origin that could be the same, not even as their own pictures.
        headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return headers


def vary(headers: dict[str, str], *names: str) -> None:
    """Say that an answer depends on these headers of a request, too."""
    known = [name for name in headers.get("Vary", "").split(", ") if name]
    headers["Vary"] = ", ".join([*known, *(name for name in names if name not in known)])


def _fits(policy: str) -> bool:
    return bool(policy) and policy.isascii() and policy.isprintable()
