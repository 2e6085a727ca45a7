"""Opens one feed of an archive in its lane; or archives, one after the other, to look at them."""

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from bitarray import bitarray

from datd.errors import DatdError
from datd.feed.feed import Feed
from datd.hosting.folders.place import OpenPlace
from datd.hosting.lane import Lane
from datd.hosting.live_feed import LiveFeed
from datd.keys import Key
from datd.storage.base import FeedStorage

if TYPE_CHECKING:
    from datd.hosting.archive import HostedArchive

log = logging.getLogger(__name__)


async def open_live(
    lane: Lane,
    place: OpenPlace,
    files: FeedStorage,
    key: Key,
    *,
    clean: bool,
    choose: Callable[[int], int],
    secret: bytes | None,
) -> LiveFeed:
    """Open a feed: metadata before content.

    Args:
        lane: The archive's queue.
        place: Where its files lie.
        files: Those of the feed.
        key: The feed's key.
        clean: Whether it was closed in order.
        choose: Gives a random number below its argument.
        secret: The feed's 64-byte secret key, if it is ours to write.

    Raises:
        StorageError: A file cannot be read, or belongs to another key.
    """

    def opened() -> tuple[Feed, bitarray, int]:
        feed = place.feed(files, key, secret=secret, clean=clean)
        return feed, feed.have, feed.present_bytes

    return LiveFeed(*await lane.run(opened), choose)


async def look_at(archives: "Iterable[HostedArchive]") -> None:
    """Open archives one after the other, so that it is known what their files hold."""
    for archive in archives:
        try:
            async with archive.opened():
                pass
        except DatdError:
            continue  # removed meanwhile, or its state says why
        except Exception:
            # Nobody waits for this task, and its fault must not end the daemon.
            log.exception("opening %s failed", archive.key.discovery_key)
