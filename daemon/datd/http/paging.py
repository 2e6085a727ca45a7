"""Pages of long lists: opaque cursors that survive what is added or removed in between. Pure."""

import base64
import binascii
import json
from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeVar

from pydantic import Field

from datd.http.problems import Problem

# L-24: a page is made, sent and shown in one piece.
MAX_PAGE = 1_000
DEFAULT_PAGE = 100
# A cursor holds a sort value (a name, a path) and a key; entry paths may have 64 KiB.
_MAX_CURSOR = 2**17

Limit = Annotated[int, Field(ge=1, le=MAX_PAGE)]

T = TypeVar("T")


def encode_cursor(*values: str | float | None) -> str:
    """Text for an URL, which a client sends back unread."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def decode_cursor(text: str, *types: tuple[type, ...]) -> list[Any]:
    """The values of a cursor, each checked to be of one of the types given for it.

    Raises:
        Problem: This is no cursor of ours, or one of another list.
    """
    try:
        if len(text) > _MAX_CURSOR:
            raise ValueError(len(text))
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        values = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise _not_a_cursor() from error
    fits = isinstance(values, list) and len(values) == len(types)
    if not fits or not all(
        isinstance(value, allowed) and not isinstance(value, bool)
        for value, allowed in zip(values, types, strict=True)
    ):
        raise _not_a_cursor()
    return list(values)


def _not_a_cursor() -> Problem:
    return Problem(
        "bad_request",
        "`cursor` is not one that this list gave out: send the `next_cursor` of the page before, "
        "with the same filters.",
    )


def page_of(
    items: Iterable[T], position: Callable[[T], Any], *, after: Any, limit: int, descending: bool
) -> tuple[list[T], Any]:
    """The items that follow a position.

    Args:
        items: All of them, in any order.
        position: Where an item stands; unique, and comparable with those of the others.
        after: Position of the last item of the page before; None for the first page.
        limit: Items on a page.
        descending: Highest position first.

    Returns:
        The page, and the position to continue after, None if nothing is left.
    """
    ordered = sorted(((position(item), item) for item in items), key=_first, reverse=descending)
    if after is not None:
        ordered = [pair for pair in ordered if (pair[0] < after if descending else pair[0] > after)]
    page = ordered[:limit]
    return [item for _, item in page], page[-1][0] if len(ordered) > limit else None


def _first(pair: tuple[Any, Any]) -> Any:
    return pair[0]
