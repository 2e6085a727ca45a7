"""`Idempotency-Key`: a request that is sent again, since its answer was lost, is done once.

Answers are kept in memory: a day at most, the last thousand, and no longer than the process lives.
A daemon that dies between the work and its answer forgets, and whoever asks again after that finds
what was made in the list of archives.

Source: draft-ietf-httpapi-idempotency-key-header.
"""

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from datd.http.access import access_of
from datd.http.problems import Problem

HEADER = "Idempotency-Key"
ABOUT = {
    HEADER: (
        "Any text of up to 255 characters, new for each thing that is to be done: the same request "
        "with the same text is done once, and answered as the first time for a day."
    )
}
KEPT_SECONDS = 86_400.0
# Rule 4: two kilobytes each. Who makes more archives than that in a day gives up the oldest.
MAX_KEPT = 1_000
_KEY = re.compile(r'"?([\x20\x21\x23-\x7e]{1,255})"?')


@dataclass(slots=True)
class _Kept:
    """What was asked, and what came of it; no answer while that is under way."""

    asked: bytes
    since: float
    answer: tuple[int, bytes, str, dict[str, str]] | None = None


class Replays:
    """Answers that are given again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is kept yet. `clock` gives seconds, monotonic."""
        self._kept: OrderedDict[tuple[str, str, str], _Kept] = OrderedDict()
        self._clock = clock

    async def once(
        self, request: web.Request, work: Callable[[], Awaitable[web.Response]]
    ) -> web.Response:
        """Do what a request asks, unless it was done already.

        Args:
            request: It, with its body still to be read, or read.
            work: Does it; what it raises is not kept, so that the request can be sent again.

        Raises:
            Problem: The header is none, the first request is still under way, or it was another.
        """
        given = request.headers.getall(HEADER, [])
        if not given:
            return await work()
        found = _KEY.fullmatch(given[0])
        if found is None or len(given) > 1:
            raise Problem("bad_request", f"{HEADER} must be one text of 1 to 255 characters.")
        name = (access_of(request).name, f"{request.method} {request.path}", found[1])
        asked = hashlib.sha256(await request.read()).digest()
        self._forget()
        kept = self._kept.get(name)
        if kept is not None:
            return _again(kept, asked)
        kept = self._kept[name] = _Kept(asked, self._clock())
        try:
            response = await work()
        except BaseException:
            del self._kept[name]
            raise
        if not isinstance(response.body, bytes):
            raise AssertionError(response.body)
        kept.answer = response.status, response.body, response.content_type, dict(response.headers)
        return response

    def _forget(self) -> None:
        now = self._clock()
        for name in list(self._kept):
            kept = self._kept[name]
            if kept.answer is None:
                continue
            if len(self._kept) < MAX_KEPT and kept.since > now - KEPT_SECONDS:
                return
            del self._kept[name]


def _again(kept: _Kept, asked: bytes) -> web.Response:
    if kept.asked != asked:
        raise Problem(
            "reused_key", f"This {HEADER} came with another request before: choose a new one."
        )
    if kept.answer is None:
        raise Problem(
            "conflict",
            "The first request with this key is still under way: ask again in a moment.",
            headers={"Retry-After": "1"},
        )
    status, body, content_type, headers = kept.answer
    rest = {name: text for name, text in headers.items() if name != "Content-Type"}
    return web.Response(status=status, body=body, content_type=content_type, headers=rest)
