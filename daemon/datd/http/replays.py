"""`Idempotency-Key`: a request that is sent again, since its answer was lost, is done once.

That holds across restarts and crashes. What a request made is written down in the transaction that
made it (`books/answers`), and its answer once there is one. So whoever asks again is answered as
the first time; or, if the daemon died or failed between the work and its answer, the work is
brought to its end, and nothing is made twice; or, if nothing was made, it is done now.

Answers are kept for a day, the last thousand. The day is counted by a clock that nobody sets, from
the request or from the daemon's start: the wall clock decides nothing about what is kept (D-10).

Source: draft-ietf-httpapi-idempotency-key-header.
"""

import asyncio
import hashlib
import json
import logging
import re
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from datd.books import answers as book
from datd.books.answers import Answer, Page
from datd.catalogue import Catalogue, Write
from datd.errors import StorageError
from datd.hosting.own.founding import Noted
from datd.http.access import access_of
from datd.http.inputs import read_bytes
from datd.http.problems import Problem
from datd.keys import Key

log = logging.getLogger(__name__)

HEADER = "Idempotency-Key"
ABOUT = {
    HEADER: (
        "Any text of up to 255 characters, new for each thing that is to be done: the same request "
        "with the same text is done once, and answered as the first time for a day, also if the "
        "daemon was restarted meanwhile."
    )
}
KEPT_SECONDS = 86_400.0
# Rule 4: two kilobytes each. Who makes more archives than that in a day gives up the oldest.
MAX_KEPT = 1_000
# An archive with a thousand sources and tags. A larger answer is made anew, of what was made.
MAX_BODY = 16 * 1024
_KEY = re.compile(r'"?([\x20\x21\x23-\x7e]{1,255})"?')


@dataclass(slots=True)
class _Kept:
    """What is known of a request.

    Attributes:
        asked: SHA-256 of its body, hex.
        since: When it came, or the daemon remembered it.
        under_way: Whether somebody is at it.
        made: The archive that it made, hex.
        answer: What came of it; None: it is under way, or was cut short.
    """

    asked: str
    since: float
    under_way: bool = False
    made: str | None = None
    answer: Answer | None = None


class Replays:
    """Answers that are given again."""

    def __init__(self, catalogue: Catalogue, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is read before the first request with a key.

        Args:
            catalogue: Keeps the book.
            clock: Seconds, monotonic.
        """
        self._catalogue = catalogue
        self._clock = clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._forgotten: set[str] = set()  # that the book still has
        self._loading = asyncio.Lock()
        self._loaded = False

    async def once(
        self,
        request: web.Request,
        work: Callable[[Noted | None], Awaitable[web.Response]],
        go_on: Callable[[Key], Awaitable[web.Response | None]],
    ) -> web.Response:
        """Do what a request asks, unless it was done already.

        Args:
            request: It, with its body still to be read, or read.
            work: Does it. Is given what an archive is to be made with; None: the request has no
                key. What it raises is not kept, so that the request can be sent again.
            go_on: Brings work to its end that had made an archive when it was cut short; None: that
                archive is not hosted any more.

        Raises:
            Problem: The header is none, the first request is still under way, or it was another.
            StorageError: The book cannot be read.
        """
        given = request.headers.getall(HEADER, [])
        if not given:
            return await work(None)
        found = _KEY.fullmatch(given[0])
        if found is None or len(given) > 1:
            raise Problem("bad_request", f"{HEADER} must be one text of 1 to 255 characters.")
        parts = (access_of(request).name, f"{request.method} {request.path}", found[1])
        name = json.dumps(parts)
        asked = hashlib.sha256(await read_bytes(request)).hexdigest()
        await self._load()
        self._forget()
        kept = self._kept.setdefault(name, _Kept(asked, self._clock()))
        if kept.asked != asked:
            raise Problem(
                "reused_key", f"This {HEADER} came with another request before: choose a new one."
            )
        if kept.under_way:
            raise Problem(
                "conflict",
                "The first request with this key is still under way: ask again in a moment.",
                headers={"Retry-After": "1"},
            )
        if kept.answer is not None:
            return _again(kept.answer)
        kept.under_way = True
        made = kept.made
        try:
            return await self._carry_out(name, kept, work, go_on)
        finally:
            kept.under_way = False
            if kept.made is None and kept.answer is None:
                del self._kept[name]  # nothing came of it
                if made is not None:
                    self._forgotten.add(name)

    async def _carry_out(
        self,
        name: str,
        kept: _Kept,
        work: Callable[[Noted | None], Awaitable[web.Response]],
        go_on: Callable[[Key], Awaitable[web.Response | None]],
    ) -> web.Response:
        def noted(key: Key) -> Write:
            kept.made = key.hex
            self._forgotten.discard(name)  # of an earlier request with that key
            page = Page(name, kept.asked, key.hex, None)
            return lambda database: book.save(database, page)

        response = None
        if kept.made is not None:
            response = await go_on(Key.parse(kept.made))
        if response is None:
            kept.made = None
            response = await work(noted)
        if not isinstance(response.body, bytes):
            raise AssertionError(response.body)
        if len(response.body) <= MAX_BODY:
            kept.answer = Answer(response.status, dict(response.headers), response.body.decode())
            await self._save(Page(name, kept.asked, kept.made, kept.answer))
        return response

    async def _save(self, page: Page) -> None:
        forgotten, self._forgotten = self._forgotten - {page.name}, set()

        def save(database: sqlite3.Connection) -> None:
            book.forget(database, forgotten)
            book.save(database, page)

        try:
            await self._catalogue.together(save)
        except StorageError as error:
            # It is done, and the answer is known as long as we live; and what it made is known.
            log.warning("an answer could not be written down: %s", error)
            self._forgotten |= forgotten

    async def _load(self) -> None:
        async with self._loading:
            if self._loaded:
                return
            now = self._clock()
            for page in await self._catalogue.together(book.load):
                self._kept[page.name] = _Kept(page.asked, now, False, page.made, page.answer)
            self._loaded = True

    def _forget(self) -> None:
        now = self._clock()
        for name in list(self._kept):
            kept = self._kept[name]
            if kept.under_way:
                continue
            if len(self._kept) < MAX_KEPT and kept.since > now - KEPT_SECONDS:
                return
            del self._kept[name]
            self._forgotten.add(name)


def _again(answer: Answer) -> web.Response:
    headers = dict(answer.headers)
    content_type = headers.pop("Content-Type").partition(";")[0]
    return web.Response(
        status=answer.status,
        body=answer.body.encode(),
        content_type=content_type,
        headers=headers,
    )
