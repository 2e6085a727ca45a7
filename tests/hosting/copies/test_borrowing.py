"""Blocks are taken from other archives of this host only where they fit what is proven."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.helpers.libraries import Node, content_of, node, source, story
from tests.helpers.network import MemoryNetwork

from datd import crypto
from datd.errors import StorageError
from datd.feed.feed import Feed
from datd.hosting.archive import HostedArchive
from datd.hosting.copies.borrowing import Borrower
from datd.hosting.stats import Savings

OTHER = crypto.key_pair(b"metadata of one more archive....")
BLOCKS = [b"block %d " % number * 400 for number in range(32)]
OLD = source({"one": BLOCKS})
# The tenth block is another one, all others lie sixteen further on.
CHANGED = [*BLOCKS[:9], b"another", *BLOCKS[10:]]
NEW = source({"first": [b"%d" % n for n in range(16)], "second": CHANGED}, pair=OTHER)


NAME = OLD.key.discovery_key.raw
# Blocks of the copy, and where they are in the old one.
PAIRS = [(number + 16, number) for number in range(32)]


@asynccontextmanager
async def borrowing(
    folder: Path, **room: Any
) -> AsyncIterator[tuple[Node, HostedArchive, Borrower]]:
    """Both archives hosted, the copy without its content and with hashes of that."""
    async with node(MemoryNetwork(), folder, dedup=True, **room) as here:
        OLD.plant(here)
        NEW.plant(here, blocks=[])
        await here.add(OLD.key)
        copy = await here.add(NEW.key)
        assert here.services.shelf is not None
        async with copy.opened() as opened:
            # What is asked about it tells what the blocks beside hash to together.
            for block in (16, 25):
                learn(content_of(copy).feed, block)
            yield here, copy, Borrower(copy, opened, content_of(copy), here.services.shelf)


def learn(feed: Feed, block: int) -> None:
    """Take a hash answer, as an honest peer gives it."""
    digest = feed.digest(block)
    feed.put_hashes(block, NEW.content.proof(block, digest=digest, hash_only=True))


def held(archive: HostedArchive) -> list[int]:
    feed = content_of(archive).feed
    return [block for block in range(48) if feed.has(block)]


def test_blocks_are_taken_where_a_node_above_says_that_they_are_the_same(tmp_path: Path):
    async def of():
        async with borrowing(tmp_path) as (here, copy, borrower):
            feed = content_of(copy).feed
            assert feed.leaf_hash(40) is None
            await borrower.take(NAME, PAIRS)
            assert held(copy) == [*range(16, 25), *range(26, 48)]
            assert [feed.get(block) for block in held(copy)] == [*CHANGED[:9], *CHANGED[10:]]
            size = sum(len(feed.get(block)) for block in held(copy))
            assert copy.traffic.saved == Savings(blocks=31, bytes=size)
            assert (await here.library.view()).saved == copy.traffic.saved

    story(of())


def test_blocks_from_elsewhere_are_not_taken_for_others(tmp_path: Path):
    async def of():
        async with borrowing(tmp_path) as (_, copy, borrower):
            await borrower.take(NAME, [(here, (there + 1) % 32) for here, there in PAIRS])
            await borrower.take(NAME, [(40, 1000), (41, 31)])
            assert held(copy) == []

    story(of())


def test_nothing_comes_from_an_archive_that_cannot_be_used(tmp_path: Path):
    async def of():
        async with borrowing(tmp_path) as (here, copy, borrower):
            await borrower.take(b"nobody".ljust(32), PAIRS)
            old = here.library.find(OLD.key.hex)
            old.fail(StorageError("its disk is gone"))
            await borrower.take(NAME, PAIRS)
            await here.library.remove(old)
            await borrower.take(NAME, PAIRS)
            assert held(copy) == []
            assert await borrower.read(NAME, lambda feed: [feed.length]) == []

    story(of())


def test_nothing_is_taken_where_there_is_no_room(tmp_path: Path):
    async def of():
        async with borrowing(tmp_path, max_archive_bytes=1) as (_, copy, borrower):
            await borrower.take(NAME, PAIRS)
            assert held(copy) == []

    story(of())
