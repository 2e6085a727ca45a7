import random

import pytest
from tests.helpers.libraries import content_of, node, source

from datd.hosting.keeping import clearance
from datd.replication.block_map import REGION, BlockMap


@pytest.mark.parametrize("seed", range(10))
def test_surplus_is_what_is_here_and_in_no_set(seed):
    chance = random.Random(seed)
    here, first, second = (set(chance.sample(range(500), 200)) for _ in range(3))
    maps = [BlockMap.of_ranges((n, n + 1) for n in chosen) for chosen in (here, first, second)]
    runs = list(clearance.surplus(maps[0], maps[1:], 450))
    found = [index for low, high in runs for index in range(low, high)]
    assert found == sorted(index for index in here - first - second if index < 450)


def test_surplus_of_a_feed_of_many_regions():
    have = BlockMap.of_ranges([(5, 3 * REGION)])
    keep = BlockMap.of_ranges([(REGION, 2 * REGION)])
    assert list(clearance.surplus(have, [keep], 3 * REGION)) == [
        (5, REGION),
        (2 * REGION, 3 * REGION),
    ]


def test_t27_much_goes_in_several_calls():
    most, runs = clearance.BLOCKS, clearance.RUNS
    assert list(clearance.slices(iter([(0, most + 40), (most + 50, most + 60)]))) == [
        [(0, most)],
        [(most, most + 40), (most + 50, most + 60)],
    ]
    scattered = [(2 * n, 2 * n + 1) for n in range(runs + 1)]
    assert list(clearance.slices(iter(scattered))) == [scattered[:runs], scattered[runs:]]


def test_a_sweep_tells_how_much_it_freed_and_goes_no_further_than_it_may(told):
    async def of(network, folder):
        made = source({"big": [b"%d" % n for n in range(100)]})
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.add(made.key)
            async with archive.opened() as opened:
                freed = await clearance.sweep(
                    opened, [BlockMap.of_ranges([(0, 10)])], 90, lambda: True
                )
                assert freed == 80 * 2
                content = content_of(archive)
                assert (content.feed.present_blocks, content.present_bytes) == (20, 10 + 20)

    told(of)


def test_a_change_of_mind_ends_it(told):
    async def of(network, folder):
        made = source({"big": [b"%d" % n for n in range(3 * clearance.RUNS)]})
        async with node(network, folder) as here:
            made.plant(here)
            archive = await here.add(made.key)
            keep = BlockMap.of_ranges((n, n + 1) for n in range(0, 3 * clearance.RUNS, 2))
            turns = iter([True, False])
            async with archive.opened() as opened:
                await clearance.sweep(opened, [keep], 3 * clearance.RUNS, lambda: next(turns))
                dropped = 3 * clearance.RUNS - content_of(archive).feed.present_blocks
                assert dropped == clearance.RUNS

    told(of)
