"""Pages that follow their archive: `/.datd/events` tells of new versions, `/.datd/live.js` reloads.

Listings of the newest version hold the script. A page of the archive gets it only when its address
asks with `?live`: what the author wrote is sent as he wrote it otherwise.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

from aiohttp import web

from datd.hosting.archive import HostedArchive
from datd.http.file_answer import write
from datd.http.gateway.pages import LIVE_SCRIPT, script_element
from datd.http.problems import Problem

EVENTS = "/.datd/events"
SCRIPT = "/.datd/live.js"
# A line that says nothing, so that proxies do not take the connection for dead.
ALIVE_SECONDS = 25.0
# A reader who does not take even that has gone.
_STALLED_SECONDS = 30.0
# Larger pages are sent as they are: this one has to lie in memory.
MAX_LIVE_PAGE = 2**20


class News(Protocol):
    """Where it is told that something happened."""

    @property
    def ended(self) -> bool:
        """Whether nothing will happen any more."""

    def listen(self, listener: "Ear") -> None:
        """Tell somebody whenever there is something new."""

    def forget(self, listener: "Ear") -> None:
        """Tell somebody no more."""


class Ear:
    """Hears that something happened."""

    def __init__(self) -> None:
        self._heard = asyncio.Event()

    def news(self) -> None:
        """Something happened."""
        self._heard.set()

    async def wait(self, until: float) -> bool:
        """Wait until something happens; False if nothing did by that time of the loop's clock."""
        try:
            async with asyncio.timeout_at(until):
                await self._heard.wait()
        except TimeoutError:
            return False
        self._heard.clear()
        return True


async def tell_versions(
    request: web.Request,
    archive: HostedArchive,
    news: News,
    headers: dict[str, str],
    on_begin: Callable[[], None],
) -> web.StreamResponse:
    """Server-sent events: one `version` once there is a newer version than `?from`.

    Args:
        request: What was asked.
        archive: Of which.
        news: Tells that something happened.
        headers: Further ones of the answer.
        on_begin: Called when the answer begins.
    """
    text = request.query.get("from", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise Problem("bad_request", "`from` has to be the number of the version that is shown.")
    known = int(text)
    response = web.StreamResponse(
        headers={
            **headers,
            "Content-Type": "text/event-stream",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
        }
    )
    await response.prepare(request)
    on_begin()
    ear = Ear()
    news.listen(ear)
    try:
        tell = partial(write, request, response, stalled=_STALLED_SECONDS)
        await tell(b"retry: 2000\n\n")
        now = asyncio.get_running_loop().time
        alive_at = now() + ALIVE_SECONDS
        while not (news.ended or archive.removed or archive.paused):
            version = (await archive.view()).version
            if archive.record.pinned is not None:
                # That is the one shown, whatever comes: a page that waits for more would reload
                # again and again.
                version = min(version, archive.record.pinned)
            if version > known:
                known = version
                await tell(f"event: version\ndata: {version}\n\n".encode())
                alive_at = now() + ALIVE_SECONDS
            elif not await ear.wait(alive_at):
                # Not at each news: a stranger would hear when something happens to other archives.
                await tell(b":\n\n")
                alive_at = now() + ALIVE_SECONDS
    finally:
        news.forget(ear)
    return response


def script(headers: dict[str, str]) -> web.Response:
    """The script for pages that hold it."""
    return web.Response(
        body=LIVE_SCRIPT.encode(),
        headers={**headers, "Content-Type": "text/javascript; charset=utf-8"},
    )


def with_script(page: bytes, version: int, prefix: str) -> bytes:
    """A page of an archive that reloads itself when there is a newer version."""
    element = script_element(version, prefix + EVENTS, source=prefix + SCRIPT)
    return page + f"\n{element}\n".encode()
