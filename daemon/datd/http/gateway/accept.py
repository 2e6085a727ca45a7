"""The Accept header: which form of an answer is wanted. Pure. Source: RFC 9110, 12.5.1."""

import re
from collections.abc import Sequence

# Longer headers hold nothing that a choice among three forms needs.
_MAX_PARTS = 32
_WEIGHT = re.compile(r"\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*", re.IGNORECASE)


def choose(header: str | None, offered: Sequence[str]) -> str | None:
    """The media type that a client likes best.

    Args:
        header: As sent; None if there was none.
        offered: What there is, the usual one first.

    Returns:
        One of them; None if the client takes none.
    """
    if header is None or not header.strip():
        return offered[0]
    weights = _weights(header)
    best, chosen = 0.0, None
    for kind in offered:
        family = kind.partition("/")[0] + "/*"
        weight = next((weights[name] for name in (kind, family, "*/*") if name in weights), 0.0)
        if weight > best:
            best, chosen = weight, kind
    return chosen


def names_html(header: str | None) -> bool:
    """Whether whoever asks says that it reads HTML: browsers do, programs say `*/*`."""
    return header is not None and "text/html" in _weights(header)


def _weights(header: str) -> dict[str, float]:
    weights = {}
    for part in header.split(",")[:_MAX_PARTS]:
        kind, *parameters = part.split(";")
        found = [match for text in parameters if (match := _WEIGHT.fullmatch(text))]
        weights[kind.strip().lower()] = float(found[0][1]) if found else 1.0
    return weights
