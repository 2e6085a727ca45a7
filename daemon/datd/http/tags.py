"""ETags of archives, and the conditions that clients put on changing one (RFC 9110, 13). Pure.

A tag has two parts: what can be set of the archive, and all that an answer says of it, which
changes from second to second. Who asks `If-None-Match` wants to know of anything new, so the whole
tag counts. Who changes settings `If-Match` wants that nobody else did: the first part.
"""

import hashlib
import json
from dataclasses import asdict

from aiohttp import web

from datd.http.problems import Problem
from datd.records import Record

_SETTINGS = (
    "name", "tags", "mode", "paused", "pinned", "networks", "domain", "include", "web_sources",
    "writable", "chunking", "source", "watch", "import_rules", "version_tags",
)  # fmt: skip
# A collision would let one change overwrite another unseen: never by accident with 64 bits.
_BYTES = 8


def etag_of(record: Record, body: bytes) -> str:
    """The ETag of an answer about one archive."""
    return f'"{_settings(record)}-{_digest(body)}"'


def require_match(request: web.Request, record: Record) -> None:
    """Check `If-Match`.

    Raises:
        Problem: Somebody else has changed the archive's settings.
    """
    required = request.if_match
    if required is None:
        if "If-Match" in request.headers:
            raise Problem("bad_request", 'If-Match holds no ETag: expected "…" in quotes, or *.')
        return
    now = _settings(record)
    for tag in required:
        if tag.value == "*" or (not tag.is_weak and tag.value.partition("-")[0] == now):
            return
    raise Problem(
        "precondition",
        "Somebody else has changed this archive's settings: look at it again, and then change it.",
    )


def not_modified(request: web.Request, etag: str) -> bool:
    """Whether the client has that very answer already."""
    known = request.if_none_match or ()
    return any(tag.value == "*" or f'"{tag.value}"' == etag for tag in known)


def _settings(record: Record) -> str:
    values = asdict(record)
    return _digest(json.dumps([values[name] for name in _SETTINGS], sort_keys=True).encode())


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=_BYTES).hexdigest()
