"""Which version a reader means, where little or nothing of the metadata is here.

Peers tell how long the feed is; only a block near its end proves it. So the newest entry is fetched
first, together with the header. Source: archives.md sections 7 and 9.
"""

import asyncio
from contextlib import suppress

from datd.errors import NoRoom, Timeout, VersionNotFound
from datd.hosting.live_feed import LiveFeed
from datd.hosting.open_archive import OpenArchive

# A peer may claim any length. Where a version is known already, a newer one that is only claimed
# holds readers up for so many seconds, and only once.
_PATIENCE = 3.0


async def settle(opened: OpenArchive, version: int | None, wait: float) -> None:
    """See to it that the feed is proven to be as long as a reader needs.

    Args:
        opened: The archive.
        version: The one to be read; None for the newest.
        wait: Seconds.

    Raises:
        Timeout: No peer told, or proved, anything in time.
        NoRoom: Nothing may be stored.
        VersionNotFound: No peer has that version.
    """
    live = opened.metadata
    known = live.feed.length > (version or 0)
    if known and not _is_behind(live, version):
        return
    if opened.no_room is not None:
        raise NoRoom(opened.no_room)
    opened.want()
    if not live.feed.length:
        try:
            async with asyncio.timeout(max(0.0, wait)):
                await _begin(live, version)
        except TimeoutError:
            raise Timeout(
                f"no peer gave metadata block 0 in time: {len(opened.connections)} connected"
            ) from None
    if version is not None and version >= live.picker.known_length:
        await _listen(live, min(wait, _PATIENCE))
    if _is_behind(live, version):
        await _catch_up(live, version, wait)
    if version is not None and version >= live.feed.length:
        raise VersionNotFound(
            f"version {version} is not known: the newest one here or at a connected peer is "
            f"{max(live.feed.length, 1) - 1}"
        )


def _is_behind(live: LiveFeed, version: int | None) -> bool:
    """Whether peers say that there is something newer, which a reader needs and nobody fetches."""
    length, claimed = live.feed.length, live.picker.known_length
    if version is not None:
        return version >= length and version < claimed
    return claimed > max(length, live.unproven) and not live.picker.wants(claimed - 2)


async def _begin(live: LiveFeed, version: int | None) -> None:
    """Nothing is here: fetch the header, and the entry where look-ups begin along with it."""
    while not live.picker.known_length:
        await live.longer()
    newest = live.picker.known_length - 1
    head = newest if version is None else min(version, newest)
    # Any block proves how long the feed is.
    await live.arrival([0, head])


async def _listen(live: LiveFeed, patience: float) -> None:
    """Let peers that were just connected tell what they have."""
    # Of an archive of ours nobody has more.
    if not live.feed.writable and not any(exchange.heard for exchange in live.exchanges):
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, patience)):
                await live.longer()


async def _catch_up(live: LiveFeed, version: int | None, wait: float) -> None:
    claimed = live.picker.known_length
    patience = wait if version is not None else min(wait, _PATIENCE)
    try:
        async with asyncio.timeout(max(0.0, patience)):
            await live.arrival([claimed - 1 if version is None else version])
    except TimeoutError:
        if version is not None:
            raise Timeout(f"no peer gave the entry of version {version} in time") from None
        # What is known will do, until somebody claims yet another length.
        live.unproven = claimed
