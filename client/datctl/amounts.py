"""Amounts that people type: lengths of time such as `30d`, sizes such as `10GB`. Pure."""

import re

from datctl.errors import UsageError

_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400, "y": 366 * 86_400}
_BYTES = {
    "": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_AMOUNT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([a-zA-Z]*)")


def seconds(text: str) -> int:
    """A length of time, as in `90min`, `12h`, `30d` or `1y`.

    Raises:
        UsageError: It is none.
    """
    found = _parts(text, _SECONDS)
    if found is None or found < 1:
        raise UsageError(f"{text!r} is no length of time: expected one as in 12h, 30d or 1y")
    return found


def size(text: str) -> int:
    """A number of bytes, as in `500MB`, `10GB` or `1.5TiB`.

    Raises:
        UsageError: It is none.
    """
    found = _parts(text, _BYTES)
    if found is None or found < 1:
        raise UsageError(f"{text!r} is no size: expected one as in 500MB, 10GB or 1.5TiB")
    return found


def _parts(text: str, units: dict[str, int]) -> int | None:
    match = _AMOUNT.fullmatch(text.strip())
    if match is None or match[2].lower() not in units:
        return None
    return int(float(match[1]) * units[match[2].lower()])
