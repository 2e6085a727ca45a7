import random
from collections import Counter

import pytest

from datd.hosting.keeping.claims import Claims, joined, without
from datd.replication.block_map import FULL, INDEX_LIMIT, REGION, BlockMap


def members(blocks: BlockMap, stop: int) -> set[int]:
    return {index for index in range(stop) if index in blocks}


@pytest.mark.parametrize("seed", range(5))
def test_nothing_that_is_claimed_is_ever_given_up(seed):
    """Against a model that counts; claims overlap as they never do in an honest archive."""
    chance = random.Random(seed)
    claims = Claims()
    model: Counter[int] = Counter()
    live: list[tuple[int, int]] = []
    for _ in range(100):
        if live and chance.random() < 0.4:
            start, stop = live.pop(chance.randrange(len(live)))
            claims.remove(start, stop)
            model.subtract(range(start, stop))
        else:
            start = chance.randrange(300)
            stop = start + chance.randrange(30)
            live.append((start, stop))
            claims.add(start, stop)
            model.update(range(start, stop))
        needed = {index for index, count in model.items() if count > 0}
        assert needed <= members(claims.wanted(), 400)
    assert not claims.disjoint


def test_what_only_one_file_claimed_is_given_up_with_it():
    claims = Claims()
    claims.add(0, 10)
    claims.add(10, 20)
    claims.remove(0, 10)
    assert members(claims.wanted(), 30) == set(range(10, 20))
    assert claims.disjoint
    assert 12 in claims
    assert 3 not in claims


def test_claims_across_regions_are_taken_back_too():
    claims = Claims()
    claims.add(REGION - 5, 3 * REGION + 5)
    claims.add(3 * REGION + 5, 3 * REGION + 9)
    claims.remove(REGION - 5, 3 * REGION + 5)
    assert claims.wanted().count() == 4


def test_t26_no_claim_costs_more_than_an_archive_of_its_size():
    claims = Claims()
    claims.add(2**39, 2**40)
    claims.add(0, 2**50)
    for region in range(4096):
        # One block at the end of each region would be 512 MiB, kept bit by bit.
        claims.add((region + 1) * REGION - 1, (region + 1) * REGION)
    assert not claims.disjoint
    assert claims._once.partial <= 64
    claims.remove(0, 2**50)
    assert INDEX_LIMIT - 1 in claims
    assert claims.wanted().part(17) is FULL


def test_beyond_the_bound_whole_regions_are_wanted_and_stay():
    claims = Claims()
    for region in range(66):
        claims.add(region * REGION + 7, region * REGION + 8)
    claims.remove(65 * REGION + 7, 65 * REGION + 8)
    assert 65 * REGION + 500 in claims
    assert 3 * REGION + 500 not in claims


def test_sets_are_joined_and_taken_apart():
    left = BlockMap.of_ranges([(0, 10), (REGION, 2 * REGION), (5 * REGION + 3, 5 * REGION + 4)])
    right = BlockMap.of_ranges([(5, 20), (REGION + 5, REGION + 6), (7 * REGION, 7 * REGION + 1)])
    both = joined(left, right)
    assert both.count() == 20 + REGION + 1 + 1
    assert 7 * REGION in both
    rest = without(left, right)
    assert members(rest, 30) == set(range(5))
    assert rest.count() == 5 + REGION - 1 + 1
    # Copies: what becomes of them changes nothing else.
    both.add(99)
    assert 99 not in left
