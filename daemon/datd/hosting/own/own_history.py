"""May something be appended to an archive of ours? Only at the end of all that was ever signed.

Whoever appends behind less signs a second history, and every reader refuses one of the two for
good. So before a write it is looked at the mark (how far this archive was let out), at what a crash
may have taken, and at what peers say they have.

Source: reliability.md section 3.4, D-3, C-3, C-15.
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import islice

from bitarray import bitarray

from datd.archive.archive import HISTORY_LOOKED_AT
from datd.errors import Behind, Forked, NotWritableError
from datd.feed.feed import Feed
from datd.hosting.live_feed import LiveFeed
from datd.hosting.open_archive import OpenArchive
from datd.hosting.own.secrets import Mark
from datd.records import Signed
from datd.words import counted

# Reliability 3.4: how long the swarm is asked when it is not certain that all is here.
ASK_SECONDS = 30.0
# All is here as far as we know, yet a peer says it has more. An honest one proves it in a round
# trip; a liar must not hold us up for longer than this, nor more often than once in a while.
CLAIM_SECONDS = 10.0
CLAIMS_EVERY = 60.0
# A peer that told what it has of the metadata tells what it has of the content right behind it.
_CONTENT_SECONDS = 1.0
_LOOK_AGAIN = 0.1
_ASKED_TOGETHER = 1000


class OwnHistory:
    """What is certain of one open archive of ours.

    Attributes:
        certain: Whether the mark was compared, and nothing is missing that was let out.
    """

    def __init__(self, opened: OpenArchive, mark: Mark | None) -> None:
        """Compare nothing yet.

        Args:
            opened: The archive, its secret key included.
            mark: How far it was let out; None if that is not known.
        """
        self.certain = False
        self._opened = opened
        self._mark = mark
        self._claims_heard_at = float("-inf")

    async def settle(self, *, grown: bool, reachable: bool) -> None:
        """Return once it is safe to append.

        Args:
            grown: Whether blocks came from peers since the last time.
            reachable: Whether there is a network, or a peer that somebody named, to ask at all.

        Raises:
            Behind: A longer history exists, or may exist, that is not here yet.
            NotWritableError: The secret key does not fit this archive.
            Forked: Another history of it was published.
        """
        if not self.certain:
            await self._fetch_back(reachable)
        elif grown:
            await self._require_whole()
        await self._hear_claims()
        if not all(live.feed.writable for live in self._opened.live_feeds):
            raise NotWritableError("the secret key that is here does not fit this archive")
        self.certain = True

    async def _fetch_back(self, reachable: bool) -> None:
        # What the mark tells was let out: without it, nothing is ever appended. Without a mark, or
        # after a crash that took what the mark does not speak of, asking once is enough.
        unmarked = self._mark is None or self._mark.doubtful
        doubtful = unmarked or any(live.feed.behind for live in self._opened.live_feeds)
        if reachable and (doubtful or self._lacking()):
            with suppress(TimeoutError):
                async with asyncio.timeout(ASK_SECONDS):
                    await self._answered()
                    await self._prove_claims()
                    await self._fetch_marked()
        if self._lacking():
            raise Behind(
                "a longer history of this archive was published than is here, and no connected "
                "peer has given it back: try again when a mirror of it is online"
            )
        for live, marked in self._marked():
            here = await self._opened.run(partial(signed, live.feed))
            if here and here.length == marked.length and here.root_hash != marked.root_hash:
                raise Forked(
                    "what lies here is another history than the one that this daemon published: "
                    "put the newer files back, or fork the archive"
                )
        for live in self._opened.live_feeds:
            await self._opened.run(live.feed.accept_shorter)
        await self._require_whole()

    async def _hear_claims(self) -> None:
        """Let peers prove that they have more; whoever cannot is not believed."""
        now = asyncio.get_running_loop().time()
        if not self._claimed() or now < self._claims_heard_at + CLAIMS_EVERY:
            return
        self._claims_heard_at = now
        before = [live.feed.length for live in self._opened.live_feeds]
        with suppress(TimeoutError):
            async with asyncio.timeout(CLAIM_SECONDS):
                await self._prove_claims()
        if before != [live.feed.length for live in self._opened.live_feeds]:
            self._claims_heard_at = float("-inf")  # it was no lie
            await self._require_whole()

    async def _require_whole(self) -> None:
        """Fetch what writing needs: every entry, and the extent of their content."""
        metadata = self._opened.metadata
        with suppress(TimeoutError):
            async with asyncio.timeout(ASK_SECONDS):
                await self._fetch(metadata)
        missing = metadata.feed.length - metadata.feed.present_blocks
        if missing:
            raise Behind(
                f"this archive lacks {counted(missing, 'entry')} here yet: try again when its "
                "mirrors have given all"
            )
        content = self._opened.content
        if content is None or await self._extent() > content.feed.length:
            raise Behind(
                "content that entries of this archive name was signed, and is not here: try again "
                "when a mirror of it is online"
            )

    async def _extent(self) -> int:
        # Content blocks that entries name. What the mark covers is here in both feeds.
        archive, extent = self._opened.archive, 0
        since = self._mark.metadata.length - 1 if self._mark and self._mark.metadata else 0
        while since < archive.version:
            page = await self._opened.run(partial(archive.history, since, HISTORY_LOOKED_AT))
            for entry in page.entries:
                if entry.stat is not None:
                    extent = max(extent, entry.stat.offset + entry.stat.blocks)
            since = page.last
        return extent

    async def _answered(self) -> None:
        """Wait until some peer said what it has of both feeds."""
        while not any(p.announced_length for p in self._opened.connections):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_AGAIN)  # of a peer's first words there is no event
        await asyncio.sleep(_CONTENT_SECONDS)

    async def _prove_claims(self) -> None:
        """Fetch the last block that peers claim to have: its proof tells how long the feed is."""
        for live in self._opened.live_feeds:
            while live.picker.known_length > live.feed.length:
                await live.arrival([live.picker.known_length - 1])

    async def _fetch_marked(self) -> None:
        for live, marked in self._marked():
            if marked.length > live.feed.length:
                await live.arrival([marked.length - 1])

    async def _fetch(self, live: LiveFeed) -> None:
        """Have all blocks of a feed, as far as its length is proven."""
        while live.feed.present_blocks < live.feed.length:
            lacking = live.picker.have.window(0, live.feed.length).search(bitarray("0"))
            missing = list(islice(lacking, _ASKED_TOGETHER))
            if missing:
                await live.arrival(missing)
            else:
                # The lane has just found one damaged: the loop is told behind that call.
                await self._opened.run(lambda: None)

    def _lacking(self) -> bool:
        return any(marked.length > live.feed.length for live, marked in self._marked())

    def _claimed(self) -> bool:
        lives = self._opened.live_feeds
        return any(live.picker.known_length > live.feed.length for live in lives)

    def _marked(self) -> Iterator[tuple[LiveFeed, Signed]]:
        if self._mark is not None and self._mark.metadata is not None:
            yield self._opened.metadata, self._mark.metadata
        content = self._opened.content
        if self._mark is not None and self._mark.content is not None and content is not None:
            yield content, self._mark.content


def signed(feed: Feed) -> Signed | None:
    """What a feed's writer put its name to last, as far as it is here."""
    roots = feed.signed_roots()
    return None if roots is None else Signed(roots[0], roots[1].hex(), roots[2].hex())
