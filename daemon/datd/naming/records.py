"""What servers say of a name: `.well-known/dat`, TXT records in JSON, a page itself. Pure.

Source: discovery.md section 11, measured from dat-dns 3.2.1. Where DEP-0005 is more lenient (a
record may say other things beside its key) we follow it.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from datd.errors import KeyFormatError
from datd.keys import Key

# Seconds that an answer holds if it does not say so, and at most.
DEFAULT_TTL = 3600
MAX_TTL = 604_800
# Above it a number is none to JavaScript, and dat-dns takes the default.
_MAX_SAFE = 2**53 - 1
_FIRST_LINE = re.compile(r"dat://([0-9a-f]{64})", re.IGNORECASE)
_SECOND_LINE = re.compile(r"ttl=([0-9]{1,20})", re.IGNORECASE)
_RECORD = re.compile(r"datkey=([0-9a-f]{64})(?![0-9a-f])", re.IGNORECASE)


class Found(NamedTuple):
    """An answer.

    Attributes:
        key: What the name means.
        ttl: Seconds that this may be believed without asking again; 0: ask each time.
    """

    key: Key
    ttl: int


def parse_well_known(body: bytes) -> Found | None:
    """Read a `.well-known/dat`; None if its first line is no link."""
    lines = body.decode("utf-8", "replace").split("\n")
    link = _FIRST_LINE.match(lines[0])
    if link is None:
        return None
    # Lines that end as on Windows: dat-dns does not read their ttl, we do.
    second = _SECOND_LINE.fullmatch(lines[1].rstrip("\r")) if len(lines) > 1 else None
    return Found(Key(bytes.fromhex(link[1])), _ttl(int(second[1]) if second else None))


def parse_txt_answer(body: bytes) -> Found | None:
    """Read the answer of a resolver, as JSON; None if it holds no `datkey=`.

    Raises:
        ValueError: It is no answer at all, so another resolver may know better.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("it is no JSON") from None
    if not isinstance(document, dict):
        raise ValueError("it is no JSON object")
    answers = document.get("Answer")
    for answer in answers if isinstance(answers, list) else []:
        data = answer.get("data") if isinstance(answer, dict) else None
        record = _RECORD.search(data) if isinstance(data, str) else None
        if record is not None:
            return Found(Key(bytes.fromhex(record[1])), _ttl(answer.get("TTL")))
    return None


def parse_page(headers: Mapping[str, str], body: bytes) -> Key | None:
    """Read a page that stands for an archive; None if it does not say which.

    Args:
        headers: Of its answer; names in any case find them.
        body: Its bytes, or their beginning.

    Source:
        discovery.md section 11: what `dat clone https://…` looks at, in this order.
    """
    for text in (headers.get("Hyperdrive-Key"), headers.get("Dat-Key"), _url_field(body)):
        try:
            if text is not None:
                return Key.parse(text)
        except KeyFormatError:
            continue
    return None


def _url_field(body: bytes) -> str | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    url = document.get("url") if isinstance(document, dict) else None
    return url if isinstance(url, str) else None


def _ttl(given: Any) -> int:
    number = isinstance(given, int | float) and not isinstance(given, bool)
    if not number or not 0 <= given <= _MAX_SAFE or given != int(given):
        return DEFAULT_TTL
    return min(int(given), MAX_TTL)
