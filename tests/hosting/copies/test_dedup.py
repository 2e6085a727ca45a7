"""What is held here already is taken from the disk, and not from the wire."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.helpers.feeds import ArchiveWriter
from tests.helpers.libraries import Node, Source, content_of, node, source, source_of, story, until
from tests.helpers.network import MemoryNetwork
from tests.helpers.raw_peer import RawPeer, calling

from datd import crypto
from datd.hosting.archive import HostedArchive
from datd.hosting.copies import dedup
from datd.hosting.copies.borrowing import Shelf
from datd.hosting.copies.known_blocks import Place
from datd.hosting.stats import Savings
from datd.wire.messages import Data, Request

OTHER = crypto.key_pair(b"metadata of one more archive....")
BLOCK = 16384


def random_blocks(seed: object, count: int, size: int = BLOCK) -> list[bytes]:
    chance = random.Random(f"{seed}")
    return [chance.randbytes(size) for _ in range(count)]


def shelf_of(here: Node) -> Shelf:
    assert here.services.shelf is not None
    return here.services.shelf


def savings(here: Node) -> Savings:
    return here.services.traffic.saved


async def holding(here: Node, made: Source, *sources: Node) -> HostedArchive:
    """Host an archive that lies there already, and wait until its blocks are in the index."""
    made.plant(here)
    archive = await here.seeding(made.key, *sources)
    known = shelf_of(here).known
    await until(lambda: not known.empty and archive.state == "seeding")
    return archive


def fetched(archive: HostedArchive) -> int:
    """Bytes of blocks that came over the wire."""
    return archive.traffic.downloaded.total


def giving(peer: RawPeer, feed: int, request: Request) -> Data | None:
    """What the original answers, hashes included."""
    if not request.hash:
        return peer.honest(feed, request)
    proof = peer.feeds[feed].proof(request.index, digest=request.nodes, hash_only=True)
    return Data(request.index, None, proof.nodes, proof.signature)


def mute(peer: RawPeer, feed: int, request: Request) -> Data | None:
    """What a program answers that knows of no hashes."""
    return None if request.hash else peer.honest(feed, request)


def shared_and_fresh() -> tuple[Source, Source]:
    """An archive, and another one with the same content and a little more."""
    common = random_blocks("common", 200)
    return source({"one": common}), source(
        {"one": [*common, *random_blocks("fresh", 10)]}, pair=OTHER
    )


def same_content(archive: HostedArchive, made: Source) -> bool:
    feed = content_of(archive).feed
    return [feed.get(n) for n in range(feed.length)] == [
        made.content.get(n) for n in range(made.content.length)
    ]


def test_a_copy_under_another_key_is_fetched_only_where_it_differs(told):
    common, fresh = random_blocks("common", 400), random_blocks("fresh", 20)
    old = source({"one": common})
    new = source({"one": [*common[:200], *fresh, *common[200:]]}, pair=OTHER)

    async def of(network, folder):
        async with (
            node(network, folder / "a", "10.0.0.1") as seeder,
            node(network, folder / "b", "10.0.0.2", dedup=True) as here,
        ):
            new.plant(seeder)
            await seeder.seeding(new.key)
            await holding(here, old)
            copy = await here.seeding(new.key, seeder)
            assert same_content(copy, new)
            # Beside what is new: the first blocks, which flowed while the sample was under way.
            assert fetched(copy) < (20 + dedup.LEFT_TO_FLOW + 16) * BLOCK
            assert savings(here).blocks >= 400 - dedup.LEFT_TO_FLOW - 16
            assert savings(here).bytes == savings(here).blocks * BLOCK
            await copy.tidy(close=True)
            assert (await copy.view()).saved == savings(here)
            assert (await here.library.view()).saved == savings(here)

    told(of)


def test_a_copy_that_lies_as_the_old_one_does_is_found_by_a_few_hashes(told):
    common = random_blocks("common", 1200, 4096)
    old = source({"one": common})
    fresh = random_blocks("fresh", 3, 4096)
    new = source({"one": [*common[:700], *fresh, *common[703:]]}, pair=OTHER)

    async def of(network, folder):
        async with (
            node(network, folder / "a", "10.0.0.1") as seeder,
            node(network, folder / "b", "10.0.0.2", dedup=True) as here,
        ):
            new.plant(seeder)
            await seeder.seeding(new.key)
            await holding(here, old)
            copy = await here.seeding(new.key, seeder)
            assert same_content(copy, new)
            assert fetched(copy) < (3 + dedup.LEFT_TO_FLOW + 16) * 4096
            # A sample of 37, and what led to the three: with one hash a pair it would be 600.
            assert savings(here).asked < 37 + 50

    told(of)


def new_version(first: Sequence[bytes], second: Sequence[bytes]) -> tuple[Source, Source]:
    """An archive before and after a file was written anew."""
    writer = ArchiveWriter()
    writer.file("file", first, rows=[[1], [1]])
    before = source_of(writer)
    writer.file("file", second, rows=[[2], [2]])
    return before, source_of(writer)


def test_a_new_version_is_fetched_only_where_it_differs_from_the_old_one(told):
    blocks = random_blocks("old", 400)
    before, after = new_version(blocks, [*random_blocks("new", 3), *blocks[2:]])

    async def of(network, folder):
        async with (
            node(network, folder / "a", "10.0.0.1") as seeder,
            node(network, folder / "b", "10.0.0.2", dedup=True) as here,
        ):
            after.plant(seeder)
            await seeder.seeding(after.key)
            mirror = await holding(here, before)
            before_that = fetched(mirror)
            await mirror.add_peer(seeder.address)
            await until(lambda: mirror.record.summary.version == 2 and mirror.state == "seeding")
            assert same_content(mirror, after)
            assert fetched(mirror) - before_that < 5 * BLOCK
            assert savings(here).blocks == 398

    told(of)


def test_where_nothing_is_shared_a_handful_of_hashes_is_all_it_costs(told):
    async def of(network, folder):
        old = source({"one": random_blocks("old", 100)})
        new = source({"one": random_blocks("new", 1000, 4096)}, pair=OTHER)
        async with (
            node(network, folder / "a", "10.0.0.1") as seeder,
            node(network, folder / "b", "10.0.0.2", dedup=True) as here,
        ):
            new.plant(seeder)
            await seeder.seeding(new.key)
            await holding(here, old)
            copy = await here.seeding(new.key, seeder)
            assert same_content(copy, new)
            assert savings(here) == Savings(asked=31)

    told(of)


@pytest.mark.parametrize("count", [64, 200, 1000])
def test_where_nothing_is_shared_it_takes_no_longer(tmp_path: Path, count: int):
    """On a line of 100 ms there and back, in virtual time: round trips are all there is."""
    old, new = source({"one": random_blocks("old", 100)}), random_blocks("new", count)

    async def seconds(folder: Path, dedup: bool) -> float:
        network = MemoryNetwork(0.05)
        made = source({"one": new}, pair=OTHER)
        async with (
            node(network, folder / "a", "10.0.0.1") as seeder,
            node(network, folder / "b", "10.0.0.2", dedup=True) as here,
        ):
            made.plant(seeder)
            await seeder.seeding(made.key)
            await holding(here, old)
            if not dedup:
                here.services.shelf = None
            begun = asyncio.get_running_loop().time()
            await here.seeding(made.key, seeder)
            return asyncio.get_running_loop().time() - begun

    plain, asking = (story(seconds(tmp_path / f"{way}", way)) for way in (False, True))
    assert asking <= plain * 1.03


@pytest.mark.parametrize("size", [100, 1000])
def test_small_blocks_are_neither_noted_nor_asked_about(told, size: int):
    async def of(network, folder):
        blocks = random_blocks("small", 2_000_000 // size, size)
        old = source({"large": random_blocks("old", 30), "one": blocks[:100]})
        new = source({"one": blocks}, pair=OTHER)
        async with (
            node(network, folder / "a", "10.0.0.1") as seeder,
            node(network, folder / "b", "10.0.0.2", dedup=True) as here,
        ):
            new.plant(seeder)
            await seeder.seeding(new.key)
            await holding(here, old)
            copy = await here.seeding(new.key, seeder)
            assert same_content(copy, new)
            assert savings(here).blocks == 0
            assert savings(here).asked <= 64

    told(of)


def test_a_block_that_is_damaged_where_it_lies_is_fetched(told):
    async def of(network, folder):
        old, new = shared_and_fresh()
        async with (
            node(network, folder / "a", "10.0.0.1") as seeder,
            node(network, folder / "b", "10.0.0.2", dedup=True) as here,
        ):
            new.plant(seeder)
            await seeder.seeding(new.key)
            await holding(here, old)
            data = old.folder(here) / "content.data"
            spoilt = bytearray(data.read_bytes())
            spoilt[100 * BLOCK] ^= 1
            data.write_bytes(spoilt)
            copy = await here.seeding(new.key, seeder)
            assert same_content(copy, new)
            assert 150 < savings(here).blocks < 200

    told(of)


def test_an_index_that_lies_costs_its_bytes_and_nothing_else(told):
    async def of(network, folder):
        old, _ = shared_and_fresh()
        strange = source({"one": random_blocks("strange", 300)}, pair=OTHER)
        async with (
            node(network, folder / "a", "10.0.0.1") as seeder,
            node(network, folder / "b", "10.0.0.2", dedup=True) as here,
        ):
            strange.plant(seeder)
            await seeder.seeding(strange.key)
            archive = await holding(here, old)
            lies = [crypto.leaf_hash(strange.content.get(n)) for n in range(300)]
            await shelf_of(here).known.note(archive.key.discovery_key.raw, 0, lies)
            await shelf_of(here).known.note(b"nobody".ljust(32), 0, lies)
            copy = await here.seeding(strange.key, seeder)
            assert same_content(copy, strange)
            assert savings(here).blocks == 0

    told(of)


@asynccontextmanager
async def beginning(
    network: MemoryNetwork, folder: Path
) -> AsyncIterator[tuple[Node, HostedArchive, Source]]:
    """A copy of what is here already with a little more, before anybody gives something of it."""
    old, new = shared_and_fresh()
    async with node(network, folder, dedup=True) as here:
        await holding(here, old)
        yield here, await here.add(new.key), new


def test_a_peer_that_gives_no_hashes_only_costs_a_moment(told):
    async def of(network, folder):
        async with beginning(network, folder) as (here, copy, new):
            begun = asyncio.get_running_loop().time()
            async with calling(here, *new.feeds, answer=mute):
                await until(lambda: copy.state == "seeding", 30)
                assert asyncio.get_running_loop().time() - begun < 3
                assert same_content(copy, new)
                assert savings(here).blocks == 0

    told(of)


def test_a_reader_does_not_wait_for_hashes(told):
    async def of(network, folder):
        async with (
            beginning(network, folder) as (here, copy, new),
            calling(here, *new.feeds, answer=mute),
        ):
            begun = asyncio.get_running_loop().time()
            stat = await copy.stat("/one")
            await until(lambda: savings(here).asked)
            last = [piece async for piece in copy.read(stat, stat.size - 10, stat.size)]
            assert b"".join(last) == new.files["/one"][-10:]
            assert asyncio.get_running_loop().time() - begun < 2

    told(of)


def test_when_the_peer_leaves_the_next_one_is_asked_for_hashes(told):
    async def of(network, folder):
        async with beginning(network, folder) as (here, copy, new):
            async with calling(here, *new.feeds, answer=mute) as first:
                await until(lambda: any(m.hash for m in requests(first)))
            await asyncio.sleep(10)
            async with calling(here, *new.feeds, host="203.0.113.4", answer=giving):
                await until(lambda: copy.state == "seeding")
                assert same_content(copy, new)
                assert savings(here).blocks > 150

    told(of)


def requests(peer: RawPeer) -> list[Request]:
    return [m for feed, m in peer.heard if feed == 1 and isinstance(m, Request)]


def test_blocks_that_came_over_the_wire_are_in_the_index_and_removed_ones_are_not(told):
    async def of(network, folder):
        made, _ = shared_and_fresh()
        async with (
            node(network, folder / "a", "10.0.0.1") as seeder,
            node(network, folder / "b", "10.0.0.2", dedup=True) as here,
        ):
            made.plant(seeder)
            await seeder.seeding(made.key)
            known = shelf_of(here).known
            hashes = [crypto.leaf_hash(made.content.get(n)) for n in range(200)]
            archive = await here.seeding(made.key, seeder)
            await until(lambda: not known.empty)
            name = made.key.discovery_key.raw
            assert await known.find(hashes) == [Place(name, n) for n in range(200)]
            await here.library.remove(archive)
            assert await known.find(hashes) == [None] * 200
            assert known.empty

    told(of)


def test_an_archive_without_room_takes_nothing_over(told):
    async def of(network, folder):
        old, new = shared_and_fresh()
        async with (
            node(network, folder / "a", "10.0.0.1") as seeder,
            node(
                network, folder / "b", "10.0.0.2", dedup=True, max_archive_bytes=250 * BLOCK
            ) as here,
        ):
            new.plant(seeder)
            await seeder.seeding(new.key)
            await holding(here, old)
            here.services.room.max_archive_bytes = 40 * BLOCK
            copy = await here.add(new.key, seeder)
            await until(lambda: copy.state == "error")
            assert content_of(copy).present_bytes <= (40 + 256) * BLOCK

    told(of)
