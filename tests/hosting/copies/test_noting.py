"""The index follows what archives hold: what came, what went, and all of it after a loss."""

import random

from tests.helpers.libraries import Node, Source, content_of, node, opened, source, until

from datd import crypto
from datd.hosting.copies import noting
from datd.hosting.copies.known_blocks import KnownBlocks, Place
from datd.hosting.copies.noting import LEAST_BLOCK

OTHER = crypto.key_pair(b"metadata of one more archive....")


def made_of(count: int, size: int = 4096, pair: crypto.KeyPair | None = None) -> Source:
    chance = random.Random(f"{count} {size}")
    blocks = [chance.randbytes(size) for _ in range(count)]
    return source({"one": blocks}) if pair is None else source({"one": blocks}, pair=pair)


def hashes_of(made: Source) -> list[bytes]:
    return [crypto.leaf_hash(made.content.get(n)) for n in range(made.content.length)]


def known_of(here: Node) -> KnownBlocks:
    assert here.services.shelf is not None
    return here.services.shelf.known


def test_only_what_is_held_is_noted_and_what_goes_is_taken_out(told):
    async def of(network, folder):
        made = made_of(10_000, LEAST_BLOCK)
        name, hashes = made.key.discovery_key.raw, hashes_of(made)
        async with node(network, folder, dedup=True) as here:
            made.plant(here, blocks=range(0, 10_000, 2))
            archive = await here.add(made.key)
            async with archive.opened():
                await until(lambda: not known_of(here).empty)
                await noting.note(known_of(here), name, opened(archive))
                found = await known_of(here).find(hashes)
                assert found == [Place(name, n) if n % 2 == 0 else None for n in range(10_000)]
                live = content_of(archive)
                live.lost(live.feed.clear([(0, 5_000)]))
                await noting.note(known_of(here), name, opened(archive))
                found = await known_of(here).find(hashes)
                assert sum(one is not None for one in found) == 2_500
                assert found[5_000] == Place(name, 5_000)

    told(of)


def test_small_blocks_among_large_ones_are_left_out(told):
    async def of(network, folder):
        small, large = [b"%d" % n for n in range(100)], [b"%d" % n * 9000 for n in range(100)]
        made = source({"small": small, "large": large})
        async with node(network, folder, dedup=True) as here:
            made.plant(here)
            archive = await here.seeding(made.key)
            await until(lambda: not known_of(here).empty)
            found = await known_of(here).find(hashes_of(made))
            assert found[:100] == [None] * 100
            assert None not in found[100:]
            # They are not looked at again each time.
            noted = await known_of(here).noted(archive.key.discovery_key.raw)
            assert noted[:200].all()

    told(of)


def test_after_the_index_was_lost_quiet_archives_are_looked_at_too(told):
    async def of(network, folder):
        one, two = made_of(20), made_of(30, pair=OTHER)
        async with node(network, folder, dedup=True) as here:
            for made in (one, two):
                made.plant(here)
                await here.seeding(made.key)
        (folder / "index" / "blocks.sqlite3").unlink()
        async with node(network, folder, dedup=True) as here:
            both = {made.key.discovery_key.raw for made in (one, two)}
            found: set[bytes] = set()
            while found != both:
                found = await known_of(here).archives()
            assert None not in await known_of(here).find(hashes_of(one) + hashes_of(two))

    told(of)


def test_what_was_removed_while_the_index_was_not_in_use_is_forgotten(told):
    async def of(network, folder):
        made = made_of(20)
        async with node(network, folder, dedup=True) as here:
            made.plant(here)
            await here.seeding(made.key)
            await until(lambda: not known_of(here).empty)
        async with node(network, folder) as here:
            await here.library.remove(here.library.find(made.key.hex))
        async with node(network, folder, dedup=True) as here:
            await until(lambda: known_of(here).empty)

    told(of)
