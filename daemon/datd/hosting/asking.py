"""The requests that go to one peer now: what its exchange chose, with what the lane knows of it."""

from collections.abc import Sequence
from functools import partial

from datd.hosting.batches import found, hash_digests
from datd.hosting.live_feed import LiveFeed
from datd.hosting.open_archive import OpenArchive
from datd.replication.exchange import FeedExchange
from datd.wire.messages import Data, Request


async def requests(
    opened: OpenArchive, live: LiveFeed, exchange: FeedExchange, now: float
) -> list[Request]:
    """Ask for blocks, for hashes and to find bytes, as much as the exchange has room for.

    Args:
        opened: The archive.
        live: A feed of it.
        exchange: What is said of that feed with the peer.
        now: Seconds on the exchange's clock.
    """
    asked: list[Request] = []
    blocks = exchange.next_requests(now)
    if blocks:
        digests = await opened.digests(live, blocks)
        asked += map(exchange.request, blocks, digests)
    asked += exchange.next_seeks(now)
    if live.picker.hashes:
        asked += await _hash_requests(opened, live, exchange, now)
    return asked


async def settle(
    opened: OpenArchive, live: LiveFeed, exchange: FeedExchange, stored: Sequence[Data]
) -> None:
    """If these were answers of a peer that was asked to find bytes, tell those who wait."""
    if not exchange.seeks.waiting:
        return
    exchange.seeks.stored(data.index for data in stored)
    live.sought(await opened.run(partial(found, live.feed, exchange.seeks.asked())))
    live.sought(exchange.seeks.take_over())


async def _hash_requests(
    opened: OpenArchive, live: LiveFeed, exchange: FeedExchange, now: float
) -> list[Request]:
    asked: list[Request] = []
    while hashes := exchange.next_hashes(now):
        known: list[int] = []
        digests = await opened.run(partial(hash_digests, live.feed, hashes))
        for index, digest in zip(hashes, digests, strict=True):
            if digest is None:
                known += (index, index ^ 1)
            else:
                asked.append(exchange.hashes.request(index, digest))
        if not known:
            break
        exchange.hashes.known(known)
        live.hashes_arrived(known)
    return asked
